"""Secrets in every spelling, and everything that hangs on an error."""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import random_cut
from tokenwire.protocols.errors import (
    EXCERPT,
    ConnectFailed,
    LocalProtocolError,
    Malformed,
    RateLimited,
    Redirected,
    TimedOut,
    TokenwireError,
)
from tokenwire.protocols.events import (
    Citation,
    Event,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.http import Request
from tokenwire.protocols.toolkit.redaction import conceal, places, redact

KEY = "Xy7+top/secret_Key.=12345"
RUN = 8


def shows(text: str, secret: str = KEY) -> bool:
    """Whether a run of it is in `text`, in either case."""
    runs = (secret[at : at + RUN].lower() for at in range(len(secret) - RUN + 1))
    return any(run in text.lower() for run in runs)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("nothing here", "nothing here"),
        ("", ""),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer [secret]"),
        ("bearer  abc.def-ghi~/=", "bearer  [secret]"),
        ("sk-abcdefgh and SK-abcdefgh", "sk-[secret] and SK-[secret]"),
        (r"Bearer abcd\u0065fghij", "Bearer [secret]"),
        ("sk-short, bearer short", "sk-short, bearer short"),
        ("task-abcdefghijk", "task-abcdefghijk"),
        ("the hidden word", "the [secret] word"),
        ("hidden hidden, hidden", "[secret] [secret], [secret]"),
        ("hiddenhidden", "[secret]"),
        ("hidde", "hidde"),
        ("cut: quite-a-long-secre", "cut: [secret]"),
        ("cut: quite-a-'", "cut: [secret]'"),
        ("cut: quite-a", "cut: quite-a"),
        ("quite-a-long one", "[secret] one"),
        ("-long-secret: the end", "[secret]: the end"),
        ("g-secret: less than a run", "[secret]: less than a run"),
        ("-secret: less than a run", "-secret: less than a run"),
        ("pin 1234", "pin [secret]"),
        ("no secret: 123", "no secret: 123"),
    ],
)
def test_redact(text: str, redacted: str) -> None:
    assert redact(text, ["quite-a-long-secret", "hidden", "1234", "123"]) == redacted


def test_what_looks_like_a_key_does_not_swallow_what_follows_a_secret() -> None:
    key = "sk-0123456789"
    assert redact(f"https://a/{key}/v1/chat", [key]) == "https://a/[secret]/v1/chat"
    assert redact(f"{key}, sk-abcdefgh/v1", [key]) == "[secret], sk-[secret]"


def each(form: str) -> Callable[[str], str]:
    """Every character in the `form`."""
    return lambda text: "".join(form % ord(c) for c in text)


def odd(spell: Callable[[str], str]) -> Callable[[str], str]:
    """Every second character."""
    return lambda text: "".join(spell(c) if at % 2 else c for at, c in enumerate(text))


def escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


NAMED = {"+": "&plus;", "/": "&sol;", "_": "&lowbar;", ".": "&period;", "=": "&equals;"}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "JSON": escaped,
    "JSON as PHP writes it": lambda text: text.replace("/", r"\/"),
    "JSON's escapes": each(r"\u%04x"),
    "JSON's escapes, upper case": each(r"\u%04X"),
    "some of JSON's escapes": odd(each(r"\u%04x")),
    "JSON in JSON": lambda text: escaped(escaped(each(r"\u%04x")(text))),
    "JavaScript": each(r"\u{%x}"),
    "Python": each(r"\x%02x"),
    "Python, long": each(r"\U%08x"),
    "C": each(r"\%03o"),
    "a backslash before each": lambda text: "".join(rf"\{c}" if c in "+/_.=" else c for c in text),
    "a URL": lambda text: quote(text, safe=""),
    "a URL, lower case": each("%%%02x"),
    "a URL, upper case": each("%%%02X"),
    "a form": quote_plus,
    "a URL in a URL": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "HTML": html.escape,
    "HTML in decimal": each("&#%d;"),
    "HTML in decimal, padded": each("&#%020d;"),
    "HTML in hex": each("&#x%x;"),
    "HTML in hex, upper case": each("&#X%X;"),
    "HTML in HTML": lambda text: html.escape(each("&#x%x;")(text)),
    "HTML by name": lambda text: "".join(NAMED.get(c, c) for c in text),
    "all at once": lambda text: escaped(html.escape(quote(each("&#%d;")(text)))),
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 of a user and it": lambda text: b64encode(f"me:{text}".encode()).decode(),
    "base64 of it in the middle": lambda text: b64encode(f"a{text}bc".encode()).decode(),
    "base64 for URLs": lambda text: urlsafe_b64encode(f"a{text}".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex, upper case": lambda text: text.encode().hex().upper(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "secret", [KEY, "na\u00efve \u00fc\u00f6 key", r"back\slash\"quoted\"", "a%2Fb%2Fc&lt"]
)
def test_a_secret_in_every_spelling(spelling: str, secret: str) -> None:
    spelt = SPELLINGS[spelling](secret)
    said = redact(f"<{spelt}>", [secret])
    assert "[secret]" in said
    assert len(said) <= len("<[secret]>") + 8  # in base64, what is beside it
    assert redact(f"<{spelt}>", ["another-secret"]) == f"<{spelt}>"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_that_was_cut(spelling: str) -> None:
    """Whatever is left of it: no more than runs that are too short."""
    spelt = SPELLINGS[spelling](KEY)
    for at in range(len(spelt)):
        for half in (spelt[:at], spelt[at:]):
            said = redact(f"a '{half}' b", [KEY])
            assert not shows(said)
            assert said.startswith("a '")
            assert said.endswith("' b")


def test_only_the_secret_is_taken_out() -> None:
    said = r'{"a": "\u0041&amp;%41", "key": "\u0058y7\u002btop\/secret_Key.=12345", "b": "\u0042"}'
    left = r'{"a": "\u0041&amp;%41", "key": "[secret]", "b": "\u0042"}'
    assert redact(said, [KEY]) == left


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (rf"\u0041{KEY}", r"\u0041[secret]"),
        (rf"{KEY}\u0041", r"[secret]\u0041"),
        (rf"{KEY} \u0041", r"[secret] \u0041"),
        (rf"\u0041 Xy7\u002b{KEY[4:]}", r"\u0041 [secret]"),
        (rf"\u0041 {KEY[:-2]}\u00345 \u0042", r"\u0041 [secret] \u0042"),
    ],
)
def test_an_escape_beside_it_stays(text: str, redacted: str) -> None:
    assert redact(text, [KEY]) == redacted


@pytest.mark.parametrize(
    ("text", "secret", "redacted"),
    [
        ("&qwerty-key", "qwerty-key", "&[secret]"),
        (r"a\u{110000}b", "a110000b", r"a\u{110000}b"),
    ],
)
def test_what_only_looks_like_an_escape(text: str, secret: str, redacted: str) -> None:
    assert redact(text, [secret]) == redacted


@pytest.mark.parametrize(("before", "start", "stop"), [(b"", 0, 33), (b"@", 2, 34), (b"@@", 3, 36)])
def test_all_of_its_base64_and_no_more(before: bytes, start: int, stop: int) -> None:
    """The characters that say nothing but it; those beside them have bits of other bytes, too."""
    coded = b64encode(before + KEY.encode()).decode()
    assert redact(coded, [KEY]) == f"{coded[:start]}[secret]{coded[stop:]}"


@pytest.mark.parametrize(
    ("form", "run"),
    [
        (KEY, RUN),
        (KEY.encode().hex(), 2 * RUN),
        (b64encode(KEY.encode()).decode(), RUN * 8 // 6),
    ],
)
def test_how_much_of_it_may_be_left(form: str, run: int) -> None:
    assert redact(form[:run], [KEY]) == "[secret]"
    assert redact(form[: run - 1], [KEY]) == form[: run - 1]


def test_half_a_character() -> None:
    assert redact("\ud800-secret", ["\ud800-secret"]) == "[secret]"


def test_escapes_are_undone_in_a_bounded_number_of_layers() -> None:
    spelt = each("%%%02x")(KEY)
    for _ in range(100):
        spelt = spelt.replace("%", "%25")
    assert redact(spelt, [KEY]) == spelt  # nobody reads that


def test_what_is_no_escape() -> None:
    for text in ("\\", "&#99999999;", "&nothing;", r"\u{110000}", r"\u12", "%zz", "&", "%", "&#1;"):
        assert redact(text, [KEY]) == text
        assert redact(text + KEY + text, [KEY]) in (f"{text}[secret]{text}", f"[secret]{text}")


def test_letters_that_are_two_in_the_other_case() -> None:
    assert redact(f"\u00df{KEY}", [KEY]) == "\u00df[secret]"
    assert redact(f"\u0130\u0130{KEY}\u0130", [KEY]) == "\u0130\u0130[secret]\u0130"
    assert redact("\u0130stanbul-key", ["\u0130stanbul-key"]) == "[secret]"


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=8), st.data())
def test_no_key_of_any_kind_is_shown(key: str, data: st.DataObject) -> None:
    request = Request("POST", "https://x", [(b"x-api-key", key.encode("latin-1"))])
    before, after = data.draw(st.text(max_size=9)), data.draw(st.text(max_size=9))
    if key not in before + after:
        assert key not in redact(before + key + after, request.secrets()).replace("[secret]", "")


@given(
    st.lists(st.sampled_from([KEY, KEY[:12], KEY[9:], *"a&\\%25u0#"])),
    st.sampled_from(sorted(SPELLINGS)),
)
def test_whatever_is_around_it(pieces: list[str], spelling: str) -> None:
    spelt = SPELLINGS[spelling](KEY)
    said = redact("".join(pieces) + f" {spelt} " + "".join(pieces), [KEY])
    assert not shows(said)
    assert spelt not in said
    assert redact(said, [KEY]) == said


def test_it_takes_linear_time() -> None:
    """Also for a secret and a text that repeat themselves: else this would take an hour."""
    assert redact("a" * 100_000, ["a" * 10_000]) == "[secret]"
    assert redact("\\u0061" * 100_000, ["a" * 100]) == "[secret]"
    assert redact(f"{KEY} " * 10_000, [KEY]) == "[secret] " * 10_000


# Errors


def test_all_that_is_kept_and_it_is_shortened() -> None:
    error = RateLimited(f"no, {KEY}", data=b"x" * EXCERPT + KEY.encode(), code=KEY, type=KEY)
    error.headers = [(b"server", KEY.encode())]
    error.request_id = error.retry_after = error.asked = KEY
    error.add_note(f"see {KEY}")
    conceal(error, iter([KEY]))
    assert error.data == b"x" * EXCERPT + b"..."
    assert error.headers == [(b"server", b"[secret]")]
    assert (error.code, error.type, error.request_id, error.retry_after) == ("[secret]",) * 4
    assert (error.message, error.asked) == ("no, [secret]", "[secret]")
    assert error.args == ("no, [secret]",)
    assert error.__notes__ == ["see [secret]"]
    conceal(error, [KEY])
    assert error.data == b"x" * EXCERPT + b"..."


def test_what_has_no_secret_stays() -> None:
    error = Malformed("m", data=bytes(range(256)) * 2)
    error.status = 200
    conceal(error, ["secret"])
    assert (error.data, error.status) == (bytes(range(256)) * 2, 200)
    late = TimedOut("late", "idle")
    conceal(late, ["secret"])
    assert (late.args, late.clock) == (("late",), "idle")


def test_a_redirect() -> None:
    error = Redirected("moved")
    error.location = f"https://x/?key={KEY}"
    conceal(error, [KEY])
    assert error.location == "https://x/?key=[secret]"


def test_bytes_of_another_encoding() -> None:
    for encoding in ("utf-8", "latin-1"):
        error = Malformed("m", data="na\u00efve-secret".encode(encoding))
        conceal(error, ["na\u00efve-secret"])
        assert error.data == b"[secret]"


class Odd(Malformed):
    """What a format of one's own may raise."""

    def __init__(self, told: Any) -> None:
        super().__init__("odd")
        self.told = told


def test_what_a_class_of_its_own_keeps() -> None:
    told = {"a": [KEY, {"b": (KEY.encode(), 1, None)}], KEY: 2, 3: KEY}
    error = Odd(told)
    conceal(error, [KEY])
    changed = {"a": ["[secret]", {"b": (b"[secret]", 1, None)}], "[secret]": 2, 3: "[secret]"}
    assert error.told == changed


def test_what_is_deeper_than_anything_is_left_out() -> None:
    """A server's JSON may be deeper than Python's stack."""
    told: Any = KEY
    for _ in range(900):
        told = [told]
    error = Odd(told)
    conceal(error, [KEY])
    assert KEY not in repr(error.told)


@pytest.mark.parametrize(("depth", "left"), [(23, "[secret]"), (24, None)])
def test_how_deep_it_is_looked_for(depth: int, left: str | None) -> None:
    told: Any = KEY
    for _ in range(depth):
        told = [told]
    error = Odd(told)
    conceal(error, [KEY])
    told = error.told
    for _ in range(depth):
        (told,) = told
    assert told == left


def test_texts_of_the_same_name_are_pieces_of_one() -> None:
    error = Odd([{"id": "1", "text": KEY[:12]}, {"id": "2", "text": KEY[12:]}])
    conceal(error, [KEY])
    assert error.told == [{"id": "1", "text": "[secret]"}, {"id": "2", "text": ""}]


def raised(error: BaseException, cause: BaseException | None, during: BaseException | None) -> Any:
    """`error` as if it was raised from `cause` while `during` was handled."""
    error.__cause__, error.__context__ = cause, during
    return error


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_the_errors_that_it_came_of(link: str) -> None:
    inner = Malformed(f"no: {KEY}", data=KEY.encode() * 100)
    outer = ConnectFailed("no")
    setattr(outer, link, inner)
    conceal(outer, [KEY])
    assert getattr(outer, link) is inner
    assert not shows(f"{inner} {inner!r} {inner.data!r} {inner.args}")


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
@pytest.mark.parametrize(
    "foreign",
    [
        ValueError(KEY),
        OSError(1, "no", KEY),
        UnicodeDecodeError("utf-8", KEY.encode(), 0, 1, "no"),
        KeyError(each(r"\u%04x")(KEY)),
    ],
)
def test_an_error_of_another_library_that_shows_it_is_dropped(
    link: str, foreign: BaseException
) -> None:
    error = ConnectFailed("no")
    setattr(error, link, foreign)
    conceal(error, [KEY])
    assert getattr(error, link) is None


def test_others_stay_with_what_they_came_of() -> None:
    foreign, noted = OSError(111, "refused"), ValueError("v")
    noted.add_note(KEY)
    hidden = LocalProtocolError(KEY)
    error = raised(ConnectFailed("no"), foreign, raised(noted, None, None))
    raised(foreign, None, raised(KeyError("k"), hidden, error))  # a circle, too
    conceal(error, [KEY])
    assert error.__cause__ is foreign
    assert error.__context__ is None
    assert isinstance(foreign.__context__, KeyError)
    assert hidden.message == "[secret]"


# What was received before


def reply_with(*events: Event) -> TokenwireError:
    error = Malformed("m")
    error.answer = Reply.of(events)
    error.answer.headers = [(b"set-cookie", f"k={KEY}".encode())]
    error.answer.request_id = KEY
    conceal(error, [KEY])
    return error


def every(value: Any) -> str:
    """All texts in an answer."""
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, dict):
        pairs = cast(Mapping[Any, Any], value)
        return " ".join(f"{every(key)} {every(item)}" for key, item in pairs.items())
    if isinstance(value, list | tuple):
        return " ".join(map(every, cast(list[Any], value)))
    if hasattr(value, "__slots__"):
        return every({name: getattr(value, name) for name in value.__slots__})
    return every(vars(value)) if hasattr(value, "__dict__") else f"{value}"


ANSWER: list[Event] = [
    Start(KEY, KEY),
    Text(f"{KEY} "),
    Reasoning(KEY, 1),
    Refusal(KEY, 2),
    ToolCallStart(0, KEY, KEY, part=3),
    ToolCallDelta(0, f'{{"a": "{KEY}'),
    ToolCallEnd(0, KEY, KEY, f'{{"a": "{KEY}"}}', complete=False),
    Image(KEY.encode(), KEY, KEY, KEY, part=4),
    Citation(KEY, KEY, KEY, KEY),
    Native("a", KEY.encode(), part=5),
    LogProbs([TokenLogProb(KEY, 0.0, None, [TokenLogProb(KEY, 0.0)])]),
    Usage(raw={KEY: {KEY: [KEY]}}),
    Finish(KEY, "", KEY),
    Unrecognized(KEY.encode(), KEY),
]


def test_the_answer_of_an_error() -> None:
    error = reply_with(*ANSWER)
    reply = error.answer
    assert reply is not None
    assert reply.text == "[secret] "
    assert reply.unrecognized == [Unrecognized(b"[secret]", "[secret]")]
    assert reply.tool_calls[0].arguments == '{"a": "[secret]"}'
    assert reply.choices[0].message().role == "assistant"
    assert not shows(every(reply))


@pytest.mark.parametrize("spelling", ["plain", "JSON's escapes", "a URL", "HTML in hex"])
@pytest.mark.parametrize("seed", range(8))
def test_a_secret_in_several_events(spelling: str, seed: int) -> None:
    """What is split is one text again in the answer."""
    whole = f"a {SPELLINGS[spelling](KEY)} b".encode()
    pieces = [piece.decode() for piece in random_cut(whole, seed)]
    events: list[Event] = [
        *map(Text, pieces),
        *(Reasoning(piece, 1) for piece in pieces),
        ToolCallStart(0, "i", "n", part=2),
        *(ToolCallDelta(0, piece) for piece in pieces),
        *(Unrecognized(piece.encode()) for piece in pieces),
        *(LogProbs([TokenLogProb(piece, 0.0)]) for piece in pieces),
    ]
    reply = reply_with(*events).answer
    assert reply is not None
    assert reply.text == reply.reasoning == reply.tool_calls[0].arguments == "a [secret] b"
    assert b"".join(event.raw for event in reply.unrecognized) == b"a [secret] b"
    tokens = "".join(probs.tokens[0].token for probs in reply.choices[0].logprobs)
    assert tokens == "a [secret] b"
    assert len(reply.unrecognized) == len(reply.choices[0].logprobs) == len(pieces)


def test_a_secret_in_two_parts_of_two_objects() -> None:
    half = len(KEY) // 2
    error = reply_with(
        Text(KEY[:half]),
        Text(KEY[half:], part=1),
        Unrecognized(b'{"x":"%b"}' % KEY[:half].encode()),
        Unrecognized(b'{"x":"%b"}' % KEY[half:].encode()),
    )
    assert error.answer is not None
    assert error.answer.text == "[secret]"
    assert [event.raw for event in error.answer.unrecognized] == [b'{"x":"[secret]"}'] * 2


@pytest.mark.parametrize("size", [4, 5, 6, 7, 8, 9])
def test_a_secret_is_found_wherever_it_stands(size: int) -> None:
    """Texts are compared in blocks."""
    secret = KEY[:size]
    for before in range(9):
        for after in range(9):
            said = redact(f"{'.' * before}{secret}{'.' * after}", [secret])
            assert said == f"{'.' * before}[secret]{'.' * after}"


def test_a_run_of_a_secret_is_found_wherever_it_stands() -> None:
    for start in range(len(KEY) - RUN + 1):
        for before in range(4):
            said = redact(f"{'é' * before}{KEY[start : start + RUN]}", [KEY])
            assert said == f"{'é' * before}[secret]"


@pytest.mark.parametrize(
    ("text", "secret", "found"),
    [
        ("", "abcd", []),
        ("an abc", "abc", []),  # too short to tell
        ("an abcd", "abcd", [(3, 7)]),
        ("ABCD abcd abcD", "aBcD", [(0, 4), (5, 9), (10, 14)]),
        ("aaaaa", "aaaa", [(0, 5)]),
        ("x a%2Bb\\u0063d", "a+bcd", [(2, 14)]),
        ("a+bc", "a%2Bbc", [(0, 4)]),  # the secret may be written with escapes, too
        ("no part: abcdefgh", "abcdefghi", []),
        ("YWJjZGVmZ2hpamts", "abcdefghijkl", [(0, 16)]),
    ],
)
def test_the_places_of_a_whole_secret(text: str, secret: str, found: list[tuple[int, int]]) -> None:
    assert places(text, [secret, "none"]) == found
