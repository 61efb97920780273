"""All targets by name."""

from tests.fuzzing import framings
from tests.fuzzing.clients import CLIENTS
from tests.fuzzing.exchanges import EXCHANGE
from tests.fuzzing.requests import REQUESTS
from tests.fuzzing.source import Target
from tests.fuzzing.wires import WIRE

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {
    **CLIENTS,
    "sse": framings.SSE,
    "lines": framings.LINES,
    "frames": framings.FRAMES,
    "elements": framings.ELEMENTS,
    "chunked": framings.CHUNKED,
    "exchange": EXCHANGE,
    "requests": REQUESTS,
    "wire": WIRE,
}
