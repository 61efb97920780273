"""Reports the sources of an answer."""

from ..events import Citation, Event
from ..limits import Parts

__all__ = ["Citations"]


class Citations:
    """The sources of an answer. One that says nothing of the text that it supports is reported once
    for each address, or id of a document; for each title, if it has neither."""

    __slots__ = ("_cited", "_parts")

    def __init__(self, parts: Parts) -> None:
        self._cited: dict[str, None] = {}  # smaller than a set
        self._parts = parts

    def cite(self, citation: Citation, events: list[Event]) -> None:
        """Report a source, unless it was. Raises LimitExceeded."""
        source = citation.url or citation.source or citation.title
        if citation.start is None and source in self._cited:
            return
        self._parts.add()
        self._cited.setdefault(source)
        events.append(citation)
