"""DarkAI's format, for all tests of formats."""

from hypothesis import strategies as st

from tests.prompts import understands_prompt
from tokenwire import PROVIDERS, End, Text
from tokenwire.testing import Subject
from tokenwire.testing.driving import Ending
from tokenwire.testing.subject import Sent

__all__ = ["SUBJECTS"]


def proven_by_last_line(sent: Sent, size: int, ending: Ending) -> bool:
    """The line of `End` is there; its end too, if nothing says that it is complete."""
    end = sent.end_of(sent.answer[-1]) - 2
    return size >= (end if ending in ("eof", "close") else end + 1)


_words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(
    str.encode
)

SUBJECTS = {
    "darkai": Subject(
        provider=PROVIDERS["darkai"],
        short=[Text("h\u20ac"), Text("i"), End("terminator")],
        understands=understands_prompt,
        proven=proven_by_last_line,
        form=(b'data: {"event":"text-chunk","data":{"text":"', b'"}}'),
        unrecognized=st.sampled_from([b'data: {"event":"final-response","data":1}', b"x: 7"])
        | _words.map(lambda word: b"~" + word),
        seeds=(
            (
                b'data:{"event":"text-chunk","data":{"text":"\\ud83d"}}\r\ndata: {"event":"x"}\r'
                b'id: 1\n: c\ndata: {"event":"stream-end"}',
            ),
            (b'event: error\ndata: {"data":{"detail":"no"}}\n\n',),
            (b'{"detail":"no"}',),
        ),
        words=(
            b'data: {"event":"stream-end"}\n\n',
            *(b'"event":"text-chunk"', b'"data":{"text":"a"}', b'"detail":"x"', b'"query":"a"'),
            b'{"event":"text-chunk","data":{"text":"b"}}',
        ),
    )
}
