"""The instruments of a meter, and what they are told at the end of a question."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Counter, Histogram, MeterProvider

from ..protocols import VERSION
from ..protocols.events import Usage
from .asking import Attributes
from .names import METRICS, Metric, MetricSet
from .usage import by_modality

__all__ = ["Instruments", "instruments_of"]

_TYPE, _MODALITY = "gen_ai.token.type", "gen_ai.token.modality"


class Instruments:
    """The instruments of one set of names. Times are seconds."""

    def __init__(self, provider: MeterProvider, names: MetricSet) -> None:
        meter = provider.get_meter("tokenwire", VERSION)

        def make(metric: Metric) -> Histogram | Counter:
            if not metric.bounds:
                return meter.create_counter(metric.name, metric.unit, metric.description)
            return meter.create_histogram(
                metric.name,
                metric.unit,
                metric.description,
                explicit_bucket_boundaries_advisory=metric.bounds,
            )

        self._made: Mapping[str, Any] = {
            name: make(metric) for name, metric in METRICS[names].items()
        }
        self._names = names

    def gap(self, seconds: float, attributes: Attributes) -> None:
        """A piece of an answer came so long after the one before it."""
        self._made["gap"].record(seconds, attributes)

    def ended(
        self,
        seconds: float,
        first: float | None,
        usage: Usage | None,
        attributes: Attributes,
        error: str,
        context: Any,
    ) -> None:
        """A question has ended. `first`: when the first piece came, if one did; `error`: the type
        of the failure."""
        failed = {**attributes, "error.type": error} if error else attributes
        self._made["duration"].record(seconds, failed, context)
        if first is not None:
            self._made["first"].record(first, attributes, context)
        if usage is None:
            return
        if self._names == "1.41":
            for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if count is not None:
                    self._made["tokens"].record(count, {**attributes, _TYPE: kind}, context)
        else:
            self._count(usage, attributes, not error, context)

    def _count(self, usage: Usage, attributes: Attributes, complete: bool, context: Any) -> None:
        counts = (
            ("input", "input_tokens", usage.input_tokens),
            ("output", "output_tokens", usage.output_tokens),
            ("cache_read", "cache_read.input_tokens", usage.cache_read_input_tokens),
            ("cache_write", "", usage.cache_write_input_tokens),
            ("reasoning", "", usage.reasoning_output_tokens),
        )
        for name, kind, count in counts:
            if count is None:
                continue
            known = by_modality(usage, kind) if kind else {}
            if sum(known.values()) > count:  # parts of another whole
                known = {}
            rest = count - sum(known.values())
            for modality, part in (*known.items(), ("unknown", rest)):
                if part > 0:
                    self._made[name].add(part, {**attributes, _MODALITY: modality}, context)
        if complete:
            for name, count in (("inputs", usage.input_tokens), ("outputs", usage.output_tokens)):
                if count is not None:
                    self._made[name].record(count, attributes, context)


_cache: "WeakKeyDictionary[MeterProvider, dict[str, Instruments]]" = WeakKeyDictionary()


def instruments_of(provider: MeterProvider, names: MetricSet) -> Instruments:
    """The instruments of `provider`: made once, as an SDK complains of a second time."""
    made = _cache.setdefault(provider, {})
    if names not in made:
        made[names] = Instruments(provider, names)
    return made[names]
