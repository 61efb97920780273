"""HTTP messages as values: URLs, headers, and what may not stand in them."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.toolkit.http import (
    Headers,
    Origin,
    Request,
    as_headers,
    basic_secrets,
    check_plain,
    check_url,
    content_type,
    get_header,
    join_url,
    make_headers,
)


def test_what_is_remembered_of_a_request() -> None:
    url = "https://a.test/x?key=SESAME-OPEN"
    headers = [(b"accept", b"*/*"), (b"x-api-key", b"sesame-2"), (b"cookie", b"a=sesame-3")]
    for chosen in (False, True):
        request = Request("POST", url, headers, b"a prompt", chosen)
        assert request.remembered() == Request("POST", url, headers[1:], b"", chosen)
        assert request.remembered().secrets() == request.secrets()


def test_what_the_caller_gave_is_remembered() -> None:
    headers = [(b"x-own", b"sesame-4"), (b"x-other", b"y")]
    request = Request("POST", "https://a.test/", headers, b"", given=frozenset((b"x-own",)))
    remembered = request.remembered()
    assert remembered.headers == headers[:1]
    assert remembered.secrets() == ["sesame-4"]


def test_of_a_signed_request_the_signature_is_a_secret() -> None:
    signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/x, SignedHeaders=host, Signature=5d672d79"
    headers = make_headers([("authorization", signed), ("x-api-key", "sesame-5-long")])
    request = Request("POST", "https://a.test/", headers)
    assert request.secrets() == ["sesame-5-long", "5d672d79"]


def test_rich_shows_no_secret() -> None:
    url = "https://u:p@a.test/sesame-6?key=sesame-7"
    request = Request("POST", url, make_headers([("x-api-key", "sesame-6")]), b"a prompt")
    assert request.__rich_repr__() == [
        ("method", "POST"),
        ("address", "https://a.test/[secret]"),
    ]


def test_a_key_in_the_query_is_a_secret() -> None:
    request = Request("GET", "https://a.test/x?key=SESAME-OPEN&b=short-one", [])
    assert request.secrets() == ["SESAME-OPEN", "short-one"]
    request = Request("GET", "https://a.test/x?key=U0VTQU1F==", [])
    assert request.secrets() == ["U0VTQU1F=="]
    request = Request("GET", "https://a.test/x?key=SESAME%2FOPEN", [])
    assert request.secrets() == ["SESAME%2FOPEN", "SESAME/OPEN"]


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        (("cookie", "sid=QUJDREVGR0g=="), "QUJDREVGR0g=="),
        (("x-password", "sesame-open"), "sesame-open"),
        (("x-session", "sesame-open"), "sesame-open"),
    ],
)
def test_whatever_is_named_like_a_credential_is_a_secret(
    header: tuple[str, str], secret: str
) -> None:
    request = Request("GET", "https://a.test/", make_headers([header]))
    assert secret in request.secrets()
    assert secret not in repr(request)


@pytest.mark.parametrize(
    "url",
    [
        "https://u:sesame@h:99999",
        "https://u:ses ame@h",
        "ftp://u:sesame@h/",
        "https://h/v1?key=sesame x",
        "https://h/v1 x?key=sesame?y=1",
        "https://h\n/v1?key=sesame",
        "https://u:ses/ame@h/v1",
        "https://u:ses#ame@h/v1",
        "https://ses/ame@h ö",
        "u:sesame@h/v1",
        "//u:ses/ame@h/",
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_secrets(url: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        check_url(url)
    assert "ses" not in str(caught.value).replace("spaces", "")
    assert "ses" not in str(caught.value.__context__)


@pytest.mark.parametrize(
    "headers",
    [[(b"Retry-After", b"5")], [("Retry-After", "5")], {"Retry-After": "5"}],
)
def test_headers_as_clients_have_them(headers: Any) -> None:
    assert as_headers(headers) == [(b"retry-after", b"5")]


@pytest.mark.parametrize("headers", [None, [1], ["ab", "c"], [(1, 2)], {"a": 1}])
def test_what_are_no_headers(headers: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^headers: give \(name, value\) pairs"):
        as_headers(headers)


def test_what_no_header_can_hold_becomes_a_question_mark() -> None:
    assert as_headers({"a": "5 \u20ac"}) == [(b"a", b"5 ?")]


@pytest.mark.parametrize(
    ("url", "origin", "authority", "target"),
    [
        ("https://a.b", Origin("https", "a.b", 443), "a.b", "/"),
        ("http://a.b/", Origin("http", "a.b", 80), "a.b", "/"),
        ("http://a.b:443/c?d=e#f", Origin("http", "a.b", 443), "a.b:443", "/c?d=e"),
        ("https://a.b:443/c%20d?", Origin("https", "a.b", 443), "a.b", "/c%20d"),
        ("http://127.0.0.1:8000/v1", Origin("http", "127.0.0.1", 8000), "127.0.0.1:8000", "/v1"),
        ("http://[::1]?q", Origin("http", "::1", 80), "[::1]", "/?q"),
        ("https://[::1]:8443/", Origin("https", "::1", 8443), "[::1]:8443", "/"),
        ("HTTPS://A.B/C", Origin("https", "a.b", 443), "a.b", "/C"),
    ],
)
def test_where_a_request_goes(url: str, origin: Origin, authority: str, target: str) -> None:
    request = Request("GET", url, [])
    assert request.origin == origin
    assert request.origin.authority == authority
    assert request.target == target


def test_repr_shows_neither_credentials_nor_query_nor_body() -> None:
    headers = [(b"authorization", b"Bearer hidden"), (b"accept", b"*/*")]
    request = Request("POST", "https://a.b/c?key=hidden", headers, b"hidden")
    assert repr(request) == (
        "Request(POST https://a.b/c?..., headers=[(b'authorization', b'[secret]'), "
        "(b'accept', b'*/*')], body of 6 bytes, server_chosen=False)"
    )
    assert repr(Request("GET", "https://a.b/", [], server_chosen=True)) == (
        "Request(GET https://a.b/, headers=[], body of 0 bytes, server_chosen=True)"
    )
    assert Request("GET", "https://u:p@a.b/c/d@e?f=/@g", []).address == "https://a.b/c/d@e"
    assert "https://a.b/c?..., " in repr(Request("GET", "https://a.b/c?", []))


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("accept", "long enough", []),
        ("authorization", "Bearer sk-12345", ["sk-12345"]),
        ("authorization", "Bearer my own key", ["my own key"]),
        ("authorization", "Basic dXNlcg==", ["dXNlcg=="]),
        ("proxy-authorization", "Basic dXNlcg==", ["dXNlcg=="]),
        ("cookie", "a=secret1; b=secret22", ["a=secret1; b=secret22", "a=secret1;", "b=secret22"]),
        ("x-api-key", "12345", []),
        ("x-api-key", "123456", ["123456"]),
        ("api-key", "123456", ["123456"]),
        ("x-goog-api-key", "123456", ["123456"]),
        ("x-auth-token", "123456", ["123456"]),
        ("uniqueid", "123456", ["123456"]),
    ],
)
def test_secrets(name: str, value: str, secrets: list[str]) -> None:
    found = Request("GET", "https://x", [(name.encode(), value.encode())]).secrets()
    assert found == sorted(found, key=len, reverse=True)
    assert set(secrets) <= set(found)
    assert bool(found) == bool(secrets)
    assert all(part in value for part in found)
    assert "Bearer" not in found


def test_only_spaces_part_a_header() -> None:
    headers = [(b"authorization", b"Custom 1 abcdef\xa0ghijkl")]
    assert "abcdef\xa0ghijkl" in Request("GET", "https://x", headers).secrets()


def test_basic_credentials_are_a_pair_whose_password_may_have_colons() -> None:
    coded = b64encode(b"user:pass:word").decode()
    assert basic_secrets(coded) == ["user:pass:word", "pass:word"]
    assert basic_secrets("a") == basic_secrets("/w==") == []  # no base64, no UTF-8
    request = Request("GET", "https://x", [(b"authorization", f"Basic {coded}".encode())])
    assert {"user:pass:word", "pass:word"} <= set(request.secrets())


def test_a_cookie_is_secret_without_its_name() -> None:
    secrets = Request("GET", "https://x", [(b"cookie", b"a=secret1; b=secret22")]).secrets()
    assert {"secret1", "secret22"} <= set(secrets)


def test_make_headers() -> None:
    pairs = [("Accept", " a "), ("X-Y", "1"), ("accept", "b"), ("z", "\u00ff")]
    assert make_headers(pairs) == [(b"accept", b"b"), (b"x-y", b"1"), (b"z", b"\xff")]
    assert make_headers([]) == []


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "\u00e9", "\ud800", "a\0", "(a)"])
def test_what_is_no_header_name(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="use only letters, digits and hyphens") as caught:
        make_headers([(name, "hidden")])
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\n", "\0", "\x7f", "\t", "\u20ac", "\ud800"])
def test_what_is_no_header_value(value: str) -> None:
    with pytest.raises(LocalProtocolError, match="header x") as caught:
        make_headers([("x", "hidden" + value)])
    assert "hidden" not in str(caught.value)


HEADERS: Headers = [(b"a", b" 1 "), (b"A", b"2"), (b"Content-Type", b"Text/HTML ; charset=x")]


def test_get_header() -> None:
    assert get_header(HEADERS, b"a") == "1"
    assert get_header(HEADERS, b"b") is None
    assert get_header([(b"a", b"\xe9")], b"a") == "\u00e9"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"text/event-stream", "text/event-stream"),
        (b"TEXT/event-stream;charset=utf-8", "text/event-stream"),
        (b"text/event-stream;", "text/event-stream"),
        (b"text/event-stream, text/event-stream", "text/event-stream"),
        (b"text/event-stream;x=y,text/html", "text/event-stream"),
        (b" application/json ", "application/json"),
        (b"", ""),
        (b";", ""),
    ],
)
def test_content_type(value: bytes, kind: str) -> None:
    assert content_type([(b"content-type", value)]) == kind


def test_no_content_type() -> None:
    assert content_type([]) == ""
    assert content_type(HEADERS) == "text/html"


def test_check_plain() -> None:
    assert check_plain("a \u00e9 \u2028", "x") == "a \u00e9 \u2028"
    with pytest.raises(LocalProtocolError, match=r"^key has a control character: remove it$"):
        check_plain("hidden\n", "key", show=False)
    with pytest.raises(LocalProtocolError, match=r"^model 'a\\n' has a control character"):
        check_plain("a\n", "model")
    with pytest.raises(LocalProtocolError, match=f"^model '{'x' * 100}' has"):
        check_plain("x" * 200 + "\n", "model")


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://a.b", "https://a.b"),
        ("http://a.b:1/c?d#e", "http://a.b:1/c?d"),
        ("HTTP://a.b/C", "http://a.b/C"),
        ("http://[::1]/", "http://[::1]/"),
        ("https://a.b/@c?d=@e", "https://a.b/@c?d=@e"),
    ],
)
def test_check_url(url: str, checked: str) -> None:
    assert check_url(url) == checked


BAD_URLS = [
    ("", "give http:// or https://, a host, and a port above 0"),
    ("a.b", "give http:// or https://, a host, and a port above 0"),
    ("/a", "give http:// or https://, a host, and a port above 0"),
    ("ftp://a.b", "give http:// or https://, a host, and a port above 0"),
    ("file:///etc/passwd", "give http:// or https://, a host, and a port above 0"),
    ("http://", "give http:// or https://, a host, and a port above 0"),
    ("http://a:0/", "give http:// or https://, a host, and a port above 0"),
    ("http://:80/", "give http:// or https://, a host, and a port above 0"),
    ("http://a.b:x/", r": the host or the port is not valid \(an IPv6 address has brackets\)$"),
    ("http://a.b:99999/", "the host or the port is not valid"),
    ("http://[::1", "an IPv6 address has brackets"),
    ("http://::1:80", "an IPv6 address has brackets"),
    ("http://a b/", "percent-encode"),
    ("http://a<b/", "'http://a<b/': use only letters, digits, hyphens and dots in the host$"),
    ("http://\u00e9/", "percent-encode"),
    ("http://a.b/\n", "control character"),
    ("http://a.b\r\nx: y/", "control character"),
    ("https://user:hidden@a.b/", "give credentials by key= or headers="),
    ("https://user@a.b/", ": give credentials by key= or headers=, not in the URL$"),
    ("https://user:pa/hidden@a.b/", ": give credentials by key= or headers=, not in the URL$"),
    ("https://@a.b/", "give credentials by key= or headers="),
    ("https://user@a.b/?to=http://c.d/", "give credentials by key= or headers="),
]


@pytest.mark.parametrize(("url", "message"), BAD_URLS)
def test_what_is_no_url(url: str, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message) as caught:
        check_url(url)
    assert "hidden" not in str(caught.value)
    with pytest.raises(LocalProtocolError, match=r"^base_url"):
        join_url(url, "/x")


def test_the_url_that_is_wrong_is_named() -> None:
    with pytest.raises(LocalProtocolError, match=r"^URL 'http://a b/': percent-encode"):
        check_url("http://a b/?key=hidden")


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://a.b", "/c", "https://a.b/c"),
        ("https://a.b/", "/c", "https://a.b/c"),
        ("https://a.b/v1//", "/c", "https://a.b/v1/c"),
        ("https://a.b/X/", "/c", "https://a.b/X/c"),
        ("https://a.b/v1?api-version=1", "/c", "https://a.b/v1/c?api-version=1"),
        ("https://a.b/v1?x=1#f", "/c?y=2", "https://a.b/v1/c?x=1&y=2"),
        ("https://a.b", "/c?y=2", "https://a.b/c?y=2"),
        ("https://a.b/v2/", "/v2/c", "https://a.b/v2/c"),
        ("https://a.b/v2", "/v1/c", "https://a.b/v2/v1/c"),
        ("https://a.b/api", "/api/chat", "https://a.b/api/chat"),
        ("https://a.b/api/", "/v1/chat", "https://a.b/api/v1/chat"),
    ],
)
def test_join_url(base: str, path: str, url: str) -> None:
    assert join_url(base, path) == url


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://a.b/v1/chat/completions", "/chat/completions", "/v1/chat/completions"),
        ("https://a.b/v1/chat/completions/", "/models", "/v1/models"),
        ("https://a.b/chat/completions?x=1", "/chat/completions", "/chat/completions?x=1"),
        ("https://a.b/xchat/completions", "/c", "/xchat/completions/c"),
        ("https://a.b/v1/m/claude-x:stream", "/m/y:stream", "/v1/m/y:stream"),
        ("https://a.b/v1/m/a/b:stream", "/m/y:stream", "/v1/m/a/b:stream/m/y:stream"),
        ("https://a.b/v1/m/x:whole", "/m/y:stream", "/v1/m/y:stream"),
    ],
)
def test_a_base_url_that_ends_in_the_endpoint(base: str, path: str, url: str) -> None:
    endpoints = ("/chat/completions", "/m/{model}:stream", "/m/{model}:whole", "")
    assert join_url(base, path, *endpoints) == f"https://a.b{url}"


@given(st.text() | st.text("htps:/@[].a1#?%\\").map("http://".__add__))
def test_any_url_can_be_used_or_is_refused(url: str) -> None:
    try:
        request = Request("GET", check_url(url), [])
    except LocalProtocolError:
        return
    assert request.origin.host
    assert request.origin.authority.isascii()
    assert request.target.startswith("/")
    assert " " not in request.target


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3))
def test_any_headers_can_be_sent_or_are_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        headers = make_headers(pairs)
    except LocalProtocolError:
        return
    for name, value in headers:
        assert name == name.lower() != b""
        assert not set(value) & {0, 10, 13}
