"""What a format declares of itself, and what follows from it."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.auth import Bearer
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.dialect import Dialect, Endpoint, words
from tokenwire.protocols.events import End, Evidence, Text
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.question import Question
from tokenwire.protocols.service import Service


class Plain(Dialect):
    """Declares no more than it must."""

    name = "plain"
    endpoints = (Endpoint("chat", "POST", "/chat"), Endpoint("models", "GET", "/models"))


PROVIDER = Provider(name="x", dialect=Plain(), base_url="https://x.test", any_model=True)


def test_words() -> None:
    assert words("a b\n c") == {"a", "b", "c"}
    assert words("") == frozenset()


@pytest.mark.parametrize(
    ("path", "target", "found"),
    [
        ("/chat", "/chat", {}),
        ("/chat", "/v1/chat", {}),
        ("/chat", "/v1/chats", None),
        ("/chat", "/achat", None),
        ("/chat", "/chat/", {}),
        ("/maX", "/v1/maX", {}),
        ("/chat", "chat", None),
        ("/chat", "", None),
        ("/chat", "/", None),
        ("/v1/chat", "/chat", None),
        ("/v1/chat", "/api/v1/chat", {}),
        ("/models/{id}", "/models/m-1", {"id": "m-1"}),
        ("/models/{id}", "/v1/models/a:b%2F", {"id": "a:b/"}),
        ("/models/{id}", "/models/", None),
        ("/models/{id}", "/models/a/b", None),
        ("/models/{id}", "/model/a", None),
        ("/{model}:ask", "/v1/m-1:ask", {"model": "m-1"}),
        ("/{model}:ask", "/v1/a:ask:ask", {"model": "a:ask"}),
        ("/{model}:ask", "/v1/m-1:tell", None),
        ("/{model}:ask", "/v1/:ask", None),
        ("/x-{model}", "/x-m", {"model": "m"}),
        ("/x-{model}", "/y-m", None),
        ("/a{n}a", "/a", None),
        ("/a{n}a", "/aa", None),
        ("/a{n}a", "/axa", {"n": "x"}),
        ("/{a}/to/{b}", "/v1/x/to/y", {"a": "x", "b": "y"}),
        ("/{a}/to/{b}", "/to/y", None),
        ("/models/{+m}", "/models/m-1/", {"m": "m-1"}),
        ("/models/{+m}", "/v1/models/a/b%2Fc/d", {"m": "a/b/c/d"}),
        ("/models/{+m}", "/v1/models/models/a/b", {"m": "a/b"}),
        ("/models/{+m}", "/v1/models/a%253Ab", {"m": "a%3Ab"}),
        ("/models/{+m}", "models/a/b", None),
        ("/models/{+m}", "/v1/models/", None),
        ("/models/{+m}", "/v1/model/a/b", None),
        ("/{+m}:ask", "/a/b:ask", {"m": "b"}),
        ("/models/{+m}:ask", "/v1/models/a/b:ask", {"m": "a/b"}),
        ("/models/{+m}:ask", "/v1/models/a/b:tell", None),
        ("/models/{+m}:ask", "/v1/models/a%2Fb%3Aask", {"m": "a/b"}),
        ("/models/{m}:ask", "/models/a%3Aask", {"m": "a"}),
        ("/models/{m}:ask", "/models/a%3Atell", None),
        ("/chat/", "/v1/chat", {}),
        ("/", "/", {}),
        ("/", "", {}),
        ("/", "/v1/", None),
    ],
)
def test_an_endpoint_is_recognized_by_the_end_of_the_path(
    path: str, target: str, found: dict[str, str] | None
) -> None:
    assert Endpoint("chat", "POST", path).match(target) == found


SEGMENT = st.text("abc:-%", min_size=1, max_size=4)


@given(st.lists(SEGMENT, max_size=3), SEGMENT, SEGMENT)
def test_what_an_endpoint_finds_is_what_stands_there(
    before: list[str], model: str, action: str
) -> None:
    endpoint = Endpoint("chat", "POST", f"/models/{{model}}:{action}")
    target = "".join(f"/{part}" for part in (*before, "models", f"{model}:{action}"))
    assert endpoint.match(target) == {"model": unquote(model)}


def test_what_a_format_has_unless_it_says_otherwise() -> None:
    dialect = Plain()
    assert dialect.says == {Text, End}
    assert dialect.auth == (Bearer(),)
    assert (dialect.evidence, dialect.ping, dialect.line_ends) == ("finish", b"", True)
    for name in ("takes", "efforts", "knows", "hints", "ignores"):
        assert getattr(dialect, name) == frozenset()
    assert dialect.new_state() is None
    assert dialect.says_to(as_chat("hi")) is dialect.says
    assert dialect.sdk_example("http://x", "m", "KEY") == ""


def test_the_end_of_an_answer_shows_what_the_format_has() -> None:
    ends: dict[Evidence, Evidence] = {
        "terminator": "terminator",
        "finish": "terminator",
        "body_end": "body_end",
    }
    for evidence, shown in ends.items():
        other: type[Plain] = type("Other", (Plain,), {"evidence": evidence})
        assert other().end() == End(shown)


def test_what_a_format_has_to_write() -> None:
    chat = as_chat("hi", model="m")
    question = Question(PROVIDER, chat, "m", "https://x.test", Limits())
    with pytest.raises(NotImplementedError):
        Plain().ask(question)
    with pytest.raises(NotImplementedError):
        Plain().look_up(question, question.get("/1"))
    with pytest.raises(NotImplementedError):
        Plain().respond(Service(PROVIDER))


def test_a_provider_may_have_the_chat_elsewhere() -> None:
    assert Plain().endpoints_of(PROVIDER) is Plain.endpoints
    elsewhere = PROVIDER.replace(path="/ask")
    assert Dialect().endpoints_of(elsewhere) == ()  # a client half alone
    assert Plain().endpoints_of(elsewhere) == (Endpoint("chat", "POST", "/ask"), Plain.endpoints[1])


def test_a_provider_may_refuse_what_the_format_takes() -> None:
    class Taking(Plain):
        takes = words("tools n seed")

    provider = PROVIDER.replace(dialect=Taking(), refuses=frozenset(("n", "other")))
    assert provider.dialect.takes_of(provider) == {"tools", "seed"}


def test_the_reason_of_a_kind_is_the_first_that_means_it() -> None:
    class Finishing(Plain):
        finish = {"end_turn": "stop", "done": "stop", "max_tokens": "length"}

    assert Finishing().reason("stop") == "end_turn"
    assert Finishing().reason("length") == "max_tokens"
    assert Finishing().reason("tool_call") == "tool_call"
    assert Plain().reason("stop") == "stop"


def test_a_provider_may_take_a_part_of_a_word() -> None:
    class Able(Dialect):
        name = "able"
        takes = words("images tool_choice tools")

    plain = Provider(name="able", dialect=Able(), base_url="https://able.test")

    def takes(refuses: str) -> frozenset[str]:
        return plain.replace(refuses=words(refuses)).takes

    assert takes("image_urls") == words("image_bytes tool_choice tools")
    assert takes("forced_tools") == words("images tools_off tools")
    assert takes("image_urls images") == words("tool_choice tools")
    assert takes("forced_tools tool_choice") == words("images tools")
