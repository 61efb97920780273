"""What holds of chat completions alone, through both halves."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.driving import drive
from tests.formats.openai_chat.subject import SUBJECTS
from tokenwire import End, Event, Finish, Start, ToolCallEnd, ToolCallStart, Usage, as_chat
from tokenwire.testing import answers

few = settings(max_examples=max(1, settings().max_examples // 7))


@pytest.mark.parametrize("name", ["openai", "openai-whole"])
@few
@given(data=st.data())
def test_a_reason_may_come_early(name: str, data: st.DataObject) -> None:
    """Services send a finish reason with content after it: it is heard at the end all the same."""
    subject = SUBJECTS[name]
    chat = data.draw(subject.chats())
    answer = data.draw(answers(subject.provider, chat, unrecognized=subject.unrecognized))
    assume(all(getattr(event, "complete", True) for event in answer))  # with its own reason only
    moved = list(answer)
    for event in answer:
        if isinstance(event, Finish):
            moved.remove(event)
            moved.insert(data.draw(st.integers(1, len(moved) - 1)), event)
    usual, early = (
        drive(subject.exchange(chat), *subject.send(chat, events).responses()).succeeded().events
        for events in (answer, moved)
    )
    # Start comes with the first chunk, and usage goes along with a reason, wherever they are.
    assert [e for e in early if not isinstance(e, Start | Usage)] == [
        e for e in usual if not isinstance(e, Start | Usage)
    ]


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_what_is_cut_is_not_executable_in_a_whole_answer_either(reason: str) -> None:
    """As a gateway passes on a call whose arguments were cut before their first character."""
    end = ToolCallEnd(0, "c", "f", "{}", reason == "tool_calls")
    said: list[Event] = [ToolCallStart(0, "c", "f"), end, Finish(reason), End("finish")]
    subject = SUBJECTS["openai-whole"]
    sent = subject.send(as_chat("hi", model="m", stream=False), said)
    outcome = drive(subject.exchange(sent.chat), *sent.responses()).succeeded()
    assert end in outcome.events
