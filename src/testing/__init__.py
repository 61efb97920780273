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

A format of yours is checked by `check_dialect(Subject(provider=..., short=[...]))`, a transport by
`check_transport(make_client, run)`.

Needs the extra `testing` (hypothesis, and anyio for the server). All strategies go by what a format
declares, so they fit one of yours too.
"""

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
from .pieces import cut_at, cuts, mutations
from .recording import Recorded, record
from .strategies import answers, chats
from .subject import Subject
from .transport import TRANSPORT_CHECKS, check_transport

__all__ = [
    "CHECKS",
    "TRANSPORT_CHECKS",
    "BreakEvent",
    "CloseAfter",
    "CloseIdle",
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
    "Recorded",
    "RefuseWith",
    "ResetAfter",
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
    "mutations",
    "pair",
    "record",
    "serve",
]
