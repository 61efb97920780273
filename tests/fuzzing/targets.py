"""All targets by name."""

from collections.abc import Mapping

from tests.fuzzing import framings
from tests.fuzzing.clients import clients
from tests.fuzzing.exchanges import exchanges
from tests.fuzzing.requests import requests
from tests.fuzzing.signatures import SIGV4
from tests.fuzzing.source import Target
from tests.fuzzing.wires import wires
from tests.subjects import SUBJECTS
from tokenwire.testing import Subject

__all__ = ["TARGETS", "targets"]


def targets(subjects: Mapping[str, Subject]) -> dict[str, Target]:
    """The targets: a client for each subject, and those that all subjects share."""
    return {
        **clients(subjects),
        "sse": framings.SSE,
        "lines": framings.LINES,
        "frames": framings.FRAMES,
        "elements": framings.ELEMENTS,
        "chunked": framings.CHUNKED,
        "exchange": exchanges(subjects),
        "requests": requests(subjects),
        "sigv4": SIGV4,
        "wire": wires(subjects),
    }


TARGETS = targets(SUBJECTS)
