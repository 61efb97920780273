"""What Prometheus is told."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tokenwire import Usage
from tokenwire.gateway.metrics import METRICS, Metrics, exposition
from tokenwire.gateway.plan import Planner
from tokenwire.gateway.record import Record, Try

from .driving import config_of, for_backs


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "id": "1",
        "began": 10.0,
        "ended": 14.0,
        "front": "anthropic",
        "back": "openai_chat",
        "model": "fast",
        "target": "local/m",
        "outcome": "complete",
        **changes,
    }
    return Record(**fields)


def samples(metrics: Metrics | str) -> dict[tuple[str, ...], float]:
    """All that is not 0: by the name and the values of the labels, in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(metrics).decode())
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


def test_a_call_that_is_complete() -> None:
    metrics = Metrics()
    metrics.settled(
        record(
            asked=10.002,
            first=11.0,
            stream=True,
            evidence="terminator",
            tries=(Try("other/m", "overloaded"), Try("local/m", "complete")),
            usage=Usage(5, 4, 9, 3, 2, 1),
            losses=("seed", "top_k"),
            unrecognized=2,
            pings=7,
            held=3,
        )
    )
    found = samples(metrics)
    assert 0.001 < found.pop(("tokenwire_overhead_seconds_sum", "fast")) < 0.003
    assert found == {
        (
            "gen_ai_server_request_duration_seconds_count",
            "anthropic",
            "fast",
            "complete",
            "local/m",
        ): 1,
        (
            "gen_ai_server_request_duration_seconds_sum",
            "anthropic",
            "fast",
            "complete",
            "local/m",
        ): 4,
        ("gen_ai_server_time_to_first_token_seconds_count", "fast", "local/m"): 1,
        ("gen_ai_server_time_to_first_token_seconds_sum", "fast", "local/m"): 1,
        ("gen_ai_server_time_per_output_token_seconds_count", "fast", "local/m"): 1,
        ("gen_ai_server_time_per_output_token_seconds_sum", "fast", "local/m"): 1,
        ("gen_ai_client_token_usage_count", "fast", "local/m", "input"): 1,
        ("gen_ai_client_token_usage_sum", "fast", "local/m", "input"): 5,
        ("gen_ai_client_token_usage_count", "fast", "local/m", "output"): 1,
        ("gen_ai_client_token_usage_sum", "fast", "local/m", "output"): 4,
        ("gen_ai_client_token_usage_count", "fast", "local/m", "cached"): 1,
        ("gen_ai_client_token_usage_sum", "fast", "local/m", "cached"): 3,
        ("gen_ai_client_token_usage_count", "fast", "local/m", "cache_write"): 1,
        ("gen_ai_client_token_usage_sum", "fast", "local/m", "cache_write"): 2,
        ("gen_ai_client_token_usage_count", "fast", "local/m", "reasoning"): 1,
        ("gen_ai_client_token_usage_sum", "fast", "local/m", "reasoning"): 1,
        ("tokenwire_calls_total", "anthropic", "fast", "complete"): 1,
        ("tokenwire_attempts_total", "overloaded", "other/m"): 1,
        ("tokenwire_attempts_total", "complete", "local/m"): 1,
        ("tokenwire_evidence_total", "terminator", "local/m"): 1,
        ("tokenwire_overhead_seconds_count", "fast"): 1,
        ("tokenwire_held_events_count",): 1,
        ("tokenwire_held_events_sum",): 3,
        ("tokenwire_losses_total", "openai_chat", "seed", "anthropic"): 1,
        ("tokenwire_losses_total", "openai_chat", "top_k", "anthropic"): 1,
        ("tokenwire_unrecognized_total", "local/m"): 2,
        ("tokenwire_pings_total",): 7,
    }


def test_what_no_configuration_names_is_other() -> None:
    metrics = Metrics()
    metrics.settled(record(front="", model="", target="", outcome="unauthorized"))
    found = samples(metrics)
    assert found[("tokenwire_calls_total", "other", "other", "unauthorized")] == 1
    assert not any("overhead" in name or "first_token" in name for name, *_ in found)


def test_a_stream_of_one_token_has_no_time_per_token() -> None:
    metrics = Metrics()
    metrics.settled(record(first=11.0, stream=True, usage=Usage(output_tokens=1)))
    assert not any("per_output_token" in name for name, *_ in samples(metrics))


def test_the_gauges() -> None:
    metrics = Metrics()
    config = config_of(for_backs(openai="http://127.0.0.1:1"))
    planner = Planner(lambda: 0.5)
    metrics.look(config, planner, 3, 2, 100.0)
    assert samples(metrics) == {
        ("tokenwire_calls_in_flight",): 3,
        ("tokenwire_calls_queued",): 2,
        ("tokenwire_target_up", "openai/m"): 1,
    }
    planner.of(config.models[0].targets[0]).cool(100.0, 8)
    metrics.look(config, planner, 0, 0, 101.0)
    assert samples(metrics) == {("tokenwire_target_cooling_seconds", "openai/m"): 7}


def test_a_failed_reload() -> None:
    metrics = Metrics()
    metrics.reload_failed()
    assert samples(metrics) == {("tokenwire_config_reload_failures_total",): 1}


def test_the_metrics_of_several_processes_become_one(tmp_path: Path) -> None:
    code = (
        "from tokenwire.gateway.metrics import Metrics; m = Metrics(); m.reload_failed(); "
        "m._set('tokenwire_calls_in_flight', 2)"
    )
    for _ in range(2):
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    found = samples(str(tmp_path))
    assert found[("tokenwire_config_reload_failures_total",)] == 2
    assert found[("tokenwire_calls_in_flight",)] == 4


def test_each_row_of_the_table_is_used() -> None:
    """A name in the table that nothing feeds would stay 0 for ever."""
    metrics = Metrics()
    used: set[str] = set()
    of = metrics._of  # pyright: ignore[reportPrivateUsage]

    def noted(name: str, labels: tuple[str, ...]) -> Any:
        used.add(name)
        return of(name, labels)

    metrics._of = noted  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]
    usage = Usage(5, 4, 9, 3, 2, 1)
    metrics.settled(
        record(
            asked=11,
            first=12,
            stream=True,
            evidence="e",
            tries=(Try("a", "b"),),
            usage=usage,
            losses=("seed",),
            limit="key.rpm",
        )
    )
    metrics.reload_failed()
    metrics.store_failed()
    metrics.look(config_of(for_backs(openai="http://127.0.0.1:1")), Planner(lambda: 0.5), 0, 0, 1.0)
    assert used == set(METRICS)
