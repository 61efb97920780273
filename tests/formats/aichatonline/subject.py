"""AiChatOnline's format, for all tests of formats."""

from hypothesis import strategies as st

from tests.prompts import understands_prompt
from tokenwire import PROVIDERS, End, Text
from tokenwire.testing import Subject
from tokenwire.testing.driving import Ending
from tokenwire.testing.subject import Sent

__all__ = ["SUBJECTS"]


def proven_by_http_after_a_line(sent: Sent, size: int, ending: Ending) -> bool:
    return ending == "eof" and size > 0 and bool({size, size + 1} & set(sent.ends()))


SUBJECTS = {
    "aichatonline": Subject(
        provider=PROVIDERS["aichatonline"],
        short=[Text("h\u20ac"), Text("i"), End("body_end")],
        understands=understands_prompt,
        proven=proven_by_http_after_a_line,
        form=(b'{"data":{"message":"', b'"}}'),
        unrecognized=st.sampled_from([b'{"data":{"other":1}}', b"[1]", b'"x"', b"null"]),
        seeds=(
            (b'{"data":"t"}', b'{"data":{"message":"a"}}\r{"x":1}\r\n\n[DONE]\n'),
            (b'{"code":401,"message":"no"}',),
            (b'{"data":"t"}', b'{"code":"500","message":"no"}\n'),
        ),
        words=(
            *(b'{"data":{"message":"a"}}\n', b"[DONE]", b'"code":200', b'"data":"t"'),
            *(b'"message":"x"', b'"prompt":"a"', b'"conversationId":"a"', b"uniqueid:unique-1"),
        ),
        state={"unique-1": None},
    )
}
