"""Telemetry for the whole program, by a call or by `opentelemetry-instrument`."""

from collections.abc import Callable
from typing import Any

from ..protocols import observer
from .telemetry import Telemetry

__all__ = ["Instrumentor", "install"]


def install(telemetry: Telemetry | None = None) -> Callable[[], None]:
    """Have each question of the program observed by `telemetry`, or one with the default settings.
    Returns a function that ends this."""
    return observer.install(telemetry or Telemetry())


class Instrumentor:
    """What `opentelemetry-instrument` finds by the entry point `opentelemetry_instrumentor`."""

    def instrument(self, **options: Any) -> None:
        """Install telemetry, once. Of `options` only the providers matter."""
        if not _installed:
            given = {name: options[name] for name in _PROVIDERS if name in options}
            _installed.append(install(Telemetry(**given)))

    def uninstrument(self, **options: Any) -> None:
        """End it."""
        while _installed:
            _installed.pop()()


_installed: list[Callable[[], None]] = []
_PROVIDERS = ("tracer_provider", "meter_provider", "logger_provider")
