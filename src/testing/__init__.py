r"""For tests of what you build on this: chats, answers and bytes drawn by hypothesis; both sides of
a provider joined in memory (`pair`); the embedded server (`serve`) with its cuttings and faults;
and the checks that every format and every transport has to pass.

    from hypothesis import given, strategies as st
    from tokenwire import PROVIDERS, Text, as_chat
    from tokenwire.testing import answers, cuts, record

    openai, chat = PROVIDERS["openai"], as_chat("hi", model="m")

    @given(st.data())
    def test_my_parser(data):
        answer = data.draw(answers(openai, chat))
        body = record(openai, chat, answer)[-1].body  # what the service would send
        parser = MyParser()
        for piece in data.draw(cuts(body)):
            parser.feed(piece)
        assert parser.text == "".join(e.text for e in answer if isinstance(e, Text))

And with `data.draw(mutations(body))` instead of `body`: whatever it is fed, it raises nothing but
what it documents. A client of yours can be pointed at a server that ends its answers early:

    with serve("openai", fault=CloseAfter(200)) as server:
        my_client(base_url=server.url)

Tests of programs that use any SDK have the fixture `llm_server` of the pytest plugin; `LlmServer`
is its type, `Received` what it was asked. `FAULTS` are the faults of `llm_fault`, `events(3)` is a
place in an answer (docs/testing.md).

A format of yours is checked by `check_dialect(Subject(provider=..., short=[...]))`, a transport by
`check_transport(make_client, run)`.

Needs the extra `testing` (hypothesis, and anyio for the server), the plugin the extra `pytest`. All
strategies go by what a format declares, so they fit one of yours too.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..protocols.service import pair
    from ..server import Server, serve
    from ..server.faults import (
        BreakEvent,
        CloseAfter,
        CloseIdle,
        Cutting,
        DropTerminator,
        EndAfter,
        ErrorObject,
        Fault,
        Faults,
        Gzip,
        HtmlPage,
        KeepAlives,
        Linger,
        RefuseWith,
        ResetAfter,
        StallAfter,
        Unframed,
    )
    from .dialect import CHECKS, check_dialect
    from .llm.answers import Scripted
    from .llm.cuts import CutPlace
    from .llm.faults import FAULTS
    from .llm.mishaps import Mishap
    from .llm.places import events
    from .llm.received import Received
    from .llm.server import LlmServer
    from .pieces import cut_at, cuts, mutations
    from .recording import Recorded, record
    from .strategies import answers, chats
    from .subject import Subject
    from .transport import TRANSPORT_CHECKS, check_transport

__all__ = [
    "CHECKS",
    "FAULTS",
    "TRANSPORT_CHECKS",
    "BreakEvent",
    "CloseAfter",
    "CloseIdle",
    "CutPlace",
    "Cutting",
    "DropTerminator",
    "EndAfter",
    "ErrorObject",
    "Fault",
    "Faults",
    "Gzip",
    "HtmlPage",
    "KeepAlives",
    "Linger",
    "LlmServer",
    "Mishap",
    "Received",
    "Recorded",
    "RefuseWith",
    "ResetAfter",
    "Scripted",
    "Server",
    "StallAfter",
    "Subject",
    "Unframed",
    "answers",
    "chats",
    "check_dialect",
    "check_transport",
    "cut_at",
    "cuts",
    "events",
    "mutations",
    "pair",
    "record",
    "serve",
]

_MODULES = {
    "..protocols.service": "pair",
    "..server": "Server serve",
    "..server.faults": (
        "BreakEvent CloseAfter CloseIdle Cutting DropTerminator EndAfter ErrorObject Fault Faults "
        "Gzip HtmlPage KeepAlives Linger RefuseWith ResetAfter StallAfter Unframed"
    ),
    ".dialect": "CHECKS check_dialect",
    ".pieces": "cut_at cuts mutations",
    ".recording": "Recorded record",
    ".strategies": "answers chats",
    ".subject": "Subject",
    ".transport": "TRANSPORT_CHECKS check_transport",
    ".llm.answers": "Scripted",
    ".llm.cuts": "CutPlace",
    ".llm.faults": "FAULTS",
    ".llm.mishaps": "Mishap",
    ".llm.places": "events",
    ".llm.received": "Received",
    ".llm.server": "LlmServer",
}
"""Where each name is. They are imported when they are asked for: the plugin needs no hypothesis."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names.split():
            return getattr(import_module(module, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
