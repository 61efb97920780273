"""OpenTelemetry: a span and metrics for each question, by the conventions for generative AI. It
needs `pip install tokenwire[otel]`, and the SDK of your choice.

    tokenwire.telemetry.install()                               # for the whole program
    tokenwire.ask(..., observers=[tokenwire.telemetry.Telemetry()])     # or for one question

A stream that was truncated, left, refused or timed out is never told as a success. Prompts and
answers are recorded only if you ask for it. `import tokenwire` does not import this.
"""

from .instrumentor import Instrumentor, install
from .names import ERROR_TYPES
from .telemetry import Telemetry

__all__ = ["ERROR_TYPES", "Instrumentor", "Telemetry", "install"]
