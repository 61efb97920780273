"""Answers that are made of blocks."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.blocks import (
    Act,
    Block,
    BlockKind,
    BlockReader,
    BlockWriter,
    blocks_of,
    with_citations,
)
from tokenwire.protocols.errors import LimitExceeded, LocalProtocolError, RateLimited
from tokenwire.protocols.events import (
    Citation,
    Event,
    Finish,
    FinishKind,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.refusals import ErrorTable

FINISHES: dict[str, FinishKind] = {"done": "stop", "full": "length", "broken": "error"}
KINDS: list[BlockKind] = [Text, Reasoning, Refusal, ToolCallStart, Native]
SEAL = Native("x", b'{"seal":"s"}')


def reader(**limits: int) -> BlockReader:
    return BlockReader("x", Limits(**limits), FINISHES)


def acts(events: list[Event], *, limit: int = 99) -> list[Act]:
    writer = BlockWriter("x", limit)
    return [act for event in events for act in writer.write(event)] + writer.end()


def script(events: list[Event], limit: int = 99) -> str:
    """What is written, in short: `0<` opens block 0, `>` closes the open one, `!` with its form."""
    said = ""
    for act in acts(events, limit=limit):
        if act.does == "open":
            said += f"{act.block.number}{act.block.kind.__name__[0]}<"
        elif act.does == "piece":
            said += act.text if act.citation is None else f"[{act.citation.url}]"
        else:
            said += ">" if act.block.native is None else "!>"
    return said


def read(told: list[Act]) -> list[Event]:
    """The events of what was written, with gaps in the numbers."""
    blocks, events = reader(), list[Event]()
    for act in told:
        number, call = act.block.number * 3 + 1, act.block.call
        if act.does == "open":
            id, name, custom = (call.id, call.name, call.custom) if call else ("", "", False)
            blocks.open(number, act.block.kind, events, id=id, name=name, custom=custom)
            continue
        block = blocks.find(number)
        assert block is not None
        if act.does == "piece":
            blocks.piece(block, act.text, events)
        else:
            block.form = msgspec.json.decode(act.block.native.raw) if act.block.native else {}
            blocks.close(block, events)
    blocks.finish_reason = "done"
    blocks.settle(True, events)
    return events


def call(number: int, *pieces: str, part: int, custom: bool = False) -> list[Event]:
    start = ToolCallStart(number, f"c{number}", "f", custom, part)
    return [start, *(ToolCallDelta(number, piece) for piece in pieces)]


pieces_ = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3)
arguments = st.sampled_from([(), ('{"a"', ":1}"), ("{}",), ('{"a"', ":{}")])


@st.composite
def parts(draw: st.DrawFn) -> list[list[Event]]:
    """The parts of an answer, in the order in which they begin."""
    drawn: list[list[Event]] = []
    calls = 0
    for part in range(draw(st.integers(0, 4))):
        kind: BlockKind = draw(st.sampled_from(KINDS))
        events: list[Event] = []
        if kind is ToolCallStart:
            custom = draw(st.booleans())
            events += call(calls, *draw(arguments), part=part, custom=custom)
            calls += 1
        elif kind is Text or kind is Reasoning or kind is Refusal:
            events += [kind(text, part) for text in draw(pieces_)]
        if kind is Native or draw(st.booleans()):
            events.append(msgspec.structs.replace(SEAL, part=part))
        drawn.append(events)
    return drawn


def ends(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, ToolCallEnd | Finish)]


@given(parts())
def test_parts_that_follow_each_other_come_back(drawn: list[list[Event]]) -> None:
    events = [event for part in drawn for event in part]
    heard = read(acts(events))
    said = heard[: len(heard) - len(ends(heard))]
    assert said == events
    reply = Reply.of(heard)
    assert [c.complete for c in reply.tool_calls] == [
        c.custom or c.arguments == "{}" or c.arguments.endswith("1}") for c in reply.tool_calls
    ]
    # The same answer, whole.
    blocks = blocks_of(reply.choices[0].events(), "x")
    assert [block.part for block in blocks] == list(range(len(drawn)))
    assert [block.native is not None for block in blocks] == [
        isinstance(part[-1], Native) for part in drawn
    ]
    texts = [block.text for block in blocks if block.call is None]
    assert "".join(texts) == "".join(
        e.text for e in said if isinstance(e, Text | Reasoning | Refusal)
    )
    assert [b.text for b in blocks if b.call] == [c.arguments for c in reply.tool_calls]


@given(parts(), st.data())
def test_calls_that_alternate_are_written_in_the_order_in_which_they_begin(
    drawn: list[list[Event]], data: st.DataObject
) -> None:
    calls = [part for part in drawn if isinstance(part[0], ToolCallStart)]
    calls = [
        call(n, "{", '"a":1}', part=n) if data.draw(st.booleans()) else call(n, "{", part=n)
        for n in range(len(calls))
    ]
    order = data.draw(st.permutations([n for n, events in enumerate(calls) for _ in events[1:]]))
    starts = [events[0] for events in calls]
    rests = [iter(events[1:]) for events in calls]
    heard = read(acts([*starts, *(next(rests[n]) for n in order)]))
    assert heard[: len(heard) - len(ends(heard))] == [e for events in calls for e in events]


def test_a_later_call_waits() -> None:
    a, b = call(0, '{"a":', "{}", "}", part=0), call(1, "{", "}", part=1)
    assert script([a[0], b[0], b[1], a[1], a[2], Text("x", 2), b[2], a[3]]) == (
        '0T<{"a":{}}>1T<{}>2T<x>'
    )
    writer = BlockWriter("x")
    assert [act.does for act in writer.write(a[0])] == ["open"]
    assert writer.write(b[0]) == []
    # Its end is as good as its closing brace: the arguments may be cut, or free text.
    end = ToolCallEnd(0, "c0", "f", "", False)
    assert [act.does for act in writer.write(end)] == ["close", "open"]
    assert writer.write(end) == []
    assert writer.write(ToolCallEnd(1, "c1", "f", "", False)) == []
    with pytest.raises(LocalProtocolError, match=r"^a piece of a tool call whose block is closed$"):
        writer.write(a[1])


def test_a_call_goes_on_until_it_seems_whole() -> None:
    writer = BlockWriter("x")
    said: list[Event] = [*call(3, '{"a":', "{}", part=0), Text("b", 1)]
    written = [writer.write(event) for event in [*said, *[ToolCallDelta(3, " ")] * 9]]
    assert [act.text for act in written[-1]] == [" "]
    told = writer.write(ToolCallDelta(3, "}"))
    assert [act.does for act in told] == ["piece", "close", "open", "piece"]
    assert told[0].block.call is not None
    assert told[0].block.call.number == 3
    # One of free text goes on until its end, whatever it is.
    custom = [*call(0, "{}", part=0, custom=True), Text("b", 1)]
    assert script([*custom, ToolCallDelta(0, "c")]) == "0T<{}c>1T<b>"


def test_what_waits_is_bounded() -> None:
    events = [*call(0, "{" * 9, part=0), Text("abc", 1), *call(1, "de", part=2)]
    assert script(events, limit=5) == "0T<" + "{" * 9 + ">1T<abc>2T<de>"
    with pytest.raises(LocalProtocolError, match="more than 4 characters wait"):
        script(events, limit=4)


def test_native_forms() -> None:
    other = Native("other", b"{}", 0)
    assert script([Reasoning("a"), other, SEAL, Text("b")]) == "0R<a!>1T<b>"
    assert script([Reasoning("a"), Reasoning("b", 1), SEAL]) == "0R<a>1R<b>"
    assert script([Text("a"), Native("", b"{}")]) == "0T<a!>"
    # One of a part that waits comes with it.
    waiting: list[Event] = [Text("a", 1), Text("b", 2), msgspec.structs.replace(SEAL, part=2)]
    assert script([*call(0, "{", part=0), *waiting]) == "0T<{>1T<a>2T<b!>"
    # What waits and is of no part has none.
    probs, seal = LogProbs([TokenLogProb("a", 0.0)]), msgspec.structs.replace(SEAL, part=1)
    assert script([*call(0, "{", part=0), probs, seal]) == "0T<{>1T<>2N<!>"


def test_what_belongs_to_no_block_and_citations() -> None:
    events: list[Event] = [Usage(1), Image(b"", ""), Citation("u"), Text("a"), Citation("v")]
    assert script(events) == "0T<[u]a[v]>"
    assert script([]) == ""
    first, piece, *_ = acts([Citation("u")])
    assert piece == Act("piece", first.block, citation=Citation("u"))
    assert first.block.citations == [Citation("u")]


def test_kinds_and_parts_begin_blocks() -> None:
    assert script([Text("a"), Text("b"), Text("c", 1), Refusal("d", 1), Text("", 1)]) == (
        "0T<ab>1T<c>2R<d>"
    )


def test_a_text_that_goes_on() -> None:
    writer = BlockWriter("x")
    assert writer.going_on(-1) is None  # nothing is open
    opened, _ = writer.write(Text("a", 1))
    assert writer.going_on(1) is opened.block
    assert writer.going_on(0) is None
    writer.write(Reasoning("b", 1))
    assert writer.going_on(1) is None


def test_a_text_goes_on_only_if_it_is_the_last() -> None:
    """Log probabilities that follow would be of another one."""
    writer = BlockWriter("x")
    writer.write(Citation("u"))
    assert writer.going_on(0) is None
    writer = BlockWriter("x")
    waiting = [Text("a", 1), Text("b", 2), Text("c", 1)]
    for event in [*call(0, "{", part=0)[:-1], *waiting, ToolCallEnd(0, "", "", "{", False)]:
        writer.write(event)
    assert (writer.going_on(1), writer.going_on(2)) == (None, None)


def test_blocks_are_known_by_their_number() -> None:
    blocks, events = reader(), list[Event]()
    assert blocks.find(None) is blocks.find(0) is None
    assert (blocks.next, blocks.opened) == (0, [])
    first, second = blocks.open(7, Text, events), blocks.open(3, Reasoning, events)
    assert (blocks.find(7), blocks.find(None), blocks.find(0)) == (first, second, None)
    assert (blocks.next, blocks.opened, first.form) == (4, [first, second], {})
    blocks.piece(second, "b", events)
    blocks.piece(first, "a", events)
    blocks.piece(first, "", events)
    blocks.close(second, events)
    assert (first.text, second.text, blocks.find(3)) == ("", "b", None)
    first.form = {"cited": True}
    blocks.piece(first, "c", events)
    assert first.text == "c"
    foreign = blocks.open(9, Native, events)
    blocks.piece(foreign, "{}", events)  # only for its native form
    assert foreign.text == "{}"
    # None is closed any more, so they have no native form.
    blocks.settle(True, events)
    assert events == [Reasoning("b", 1), Text("a"), Text("c")]


def test_what_is_spoilt() -> None:
    """A call is not whole, also if its block is closed; there is no native form."""
    blocks, events = reader(), list[Event]()
    for number in (5, 6, 7):
        call = blocks.open(number, ToolCallStart, events)
        call.form = {"seal": "s"}
    blocks.close(call, events)
    blocks.spoil(6)
    blocks.spoil(7)
    for call in blocks.opened:
        blocks.close(call, events)
    blocks.spoil(8)  # there is none
    blocks.settle(True, events)
    assert events == [
        *(ToolCallStart(number, "", "", part=number) for number in range(3)),
        msgspec.structs.replace(SEAL, part=2),
        SEAL,
        *(ToolCallEnd(number, "", "", "{}", number == 0) for number in range(3)),
    ]


def test_each_event_is_of_the_choice() -> None:
    blocks, events = BlockReader("x", Limits(), FINISHES, index=2), list[Event]()
    blocks.whole(ToolCallStart, "{}", events, id="c", name="f", custom=True)
    blocks.whole(Text, "a", events, form={"seal": "s"})
    blocks.finish_reason = "done"
    blocks.settle(True, events)
    assert events == [
        ToolCallStart(0, "c", "f", True, index=2),
        ToolCallDelta(0, "{}", index=2),
        Text("a", 1, index=2),
        msgspec.structs.replace(SEAL, part=1, index=2),
        ToolCallEnd(0, "c", "f", "{}", True, True, index=2),
        Finish("done", "tool_call", index=2),
    ]


def test_a_block_of_a_document() -> None:
    blocks, events = reader(), list[Event]()
    blocks.whole(ToolCallStart, "{}", events, id="c", name="f")
    blocks.whole(Native, "", events, form={"seal": "s"})
    blocks.whole(Text, "a", events)
    blocks.whole(ToolCallStart, "", events)
    assert (blocks.find(None), blocks.next) == (None, 4)
    seal = msgspec.structs.replace(SEAL, part=1)
    assert events == [
        *(ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}"), seal, Text("a", 2)),
        ToolCallStart(1, "", "", part=3),
    ]


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize(
    ("reason", "kind", "complete"),
    [
        ("", "tool_call", True),
        ("done", "tool_call", True),
        ("full", "length", False),
        ("broken", "error", False),
    ],
)
def test_calls_end_if_that_is_proven(
    proven: bool, reason: str, kind: FinishKind, complete: bool
) -> None:
    blocks, events = reader(), list[Event]()
    blocks.open(0, ToolCallStart, events, id="c", name="f")
    del events[:]
    blocks.finish_reason = reason
    blocks.settle(proven, events)
    expected: list[Event] = []
    if proven:
        expected.append(ToolCallEnd(0, "c", "f", "{}", complete))
    if reason:
        expected.append(Finish(reason, kind))
    assert events == expected
    assert (blocks.failure is not None) == (kind == "error")


ERRORS = ErrorTable(codes={"slow": RateLimited})
SLOW = ("error", b'{"code":"slow","message":"no"}')


def test_keys_that_are_not_understood_are_handed_on() -> None:
    blocks, events = reader(), [Text("a")]
    said: list[Event] = [*events]
    blocks.hand_on([("x", b"1"), ("y", b"2")], "delta.", ERRORS, said)
    assert said == [Text("a"), Unrecognized(b"1", "delta.x"), Unrecognized(b"2", "delta.y")]
    assert blocks.failure is None
    blocks.hand_on([SLOW], "", ERRORS, said)
    assert said[3:] == [Unrecognized(SLOW[1], "error")]
    first = blocks.failure
    assert isinstance(first, RateLimited)
    blocks.hand_on([("x", b"1"), ("error", b'"later"')], "", ERRORS, said)
    assert blocks.failure is first


@pytest.mark.parametrize("reason", ["", "done"])
@pytest.mark.parametrize("arguments", ["", "{}"])
def test_a_call_that_a_failure_cut_is_not_complete(reason: str, arguments: str) -> None:
    blocks, events = reader(), list[Event]()
    block = blocks.open(0, ToolCallStart, events, id="c", name="f")
    blocks.piece(block, arguments, events)
    blocks.hand_on([SLOW], "", ERRORS, events)
    del events[:]
    blocks.finish_reason = reason
    blocks.settle(True, events)
    assert events[0] == ToolCallEnd(0, "c", "f", "{}", complete=False)
    assert isinstance(blocks.failure, RateLimited)


@pytest.mark.parametrize(("pieces", "complete"), [(["{", "}"], True), (["{"], False), ([], True)])
def test_a_call_without_a_reason_is_complete_by_its_arguments(
    pieces: list[str], complete: bool
) -> None:
    blocks, events = reader(), list[Event]()
    block = blocks.open(0, ToolCallStart, events, id="c", name="f")
    for piece in pieces:
        blocks.piece(block, piece, events)
    blocks.settle(True, events)
    assert isinstance(events[-1], ToolCallEnd)
    assert events[-1].complete is complete


def test_limits() -> None:
    blocks, events = reader(parts=2, event=3), list[Event]()
    thought = blocks.open(0, Reasoning, events)
    blocks.piece(thought, "abc", events)
    with pytest.raises(LimitExceeded, match="3 characters"):
        blocks.piece(thought, "d", events)
    text: Block = blocks.open(1, Text, events)
    blocks.piece(text, "abcd", events)  # nothing of it is kept
    with pytest.raises(LimitExceeded, match="more than 2"):
        blocks.open(2, Text, events)


def test_log_probabilities_are_of_the_last_text() -> None:
    tokens = [TokenLogProb("a", -1.0)]
    probs = LogProbs(tokens)
    first, second = blocks_of(
        [Text("a", part=3), probs, probs, Reasoning("b", part=4), LogProbs([])], "x"
    )
    assert (first.logprobs, second.logprobs) == (tokens * 2, [])
    opened, said, piece, _ = acts([Text("a"), probs])
    assert (said.text, piece) == ("a", Act("piece", opened.block, logprobs=probs))
    _, _, late = blocks_of([Text("a", part=3), Reasoning("b", part=4), probs], "x")
    assert (late.kind, late.part, late.logprobs) == (Text, 3, tokens)
    thought, again = blocks_of([Reasoning("b"), LogProbs(tokens)], "x")
    assert (thought.kind, again.kind, again.part) == (Reasoning, Text, -1)
    assert again.logprobs == tokens


def test_what_waits_in_a_whole_answer_may_be_as_large_as_it() -> None:
    text = Text("x" * (Limits().event + 1), 1)
    assert [block.part for block in blocks_of([*call(0, "{", part=0), text], "x")] == [0, 1]


def test_an_answer_without_sources() -> None:
    choice = Reply.of([Text("t"), SEAL, Text("u", 1)]).choices[0]
    assert list(with_citations(choice)) == [Text("t"), SEAL, Text("u", 1)]


def test_sources_stand_at_their_text() -> None:
    native = Native("x", b"{}", 1)
    here, there, nowhere = (Citation(url, part=part) for part, url in enumerate("abc"))
    said: list[Event] = [Text("t"), here, Reasoning("r", part=1), native, there, nowhere]
    choice = Reply.of(said).choices[0]
    assert list(with_citations(choice)) == [
        *(Text("t"), here, Reasoning("r", part=1), there, native, nowhere)
    ]
