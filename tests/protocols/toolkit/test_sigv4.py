"""Signatures of AWS: beside worked examples, AWS's own suite, and botocore."""

from hashlib import sha256
from importlib import import_module
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.toolkit.http import Headers, Request, get_header
from tokenwire.protocols.toolkit.sigv4 import (
    AwsKey,
    amz_date,
    canonical_request,
    is_signed,
    region_of,
    scope_of,
    sign_request,
    signing_key,
    string_to_sign,
)

# Its modules have no types.
SigV4Auth: Any = import_module("botocore.auth").SigV4Auth
AWSRequest: Any = import_module("botocore.awsrequest").AWSRequest
Credentials: Any = import_module("botocore.credentials").Credentials

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = AwsKey("AKIDEXAMPLE", SECRET, region="us-east-1")
DATE, SECONDS = "20260102T030405Z", 1767323045.75
JSON = (b"content-type", b"application/json")


def post(url: str, body: bytes = b"{}", *headers: tuple[bytes, bytes]) -> Request:
    return Request("POST", url, [JSON, *headers], body)


def said(request: Request) -> str:
    return get_header(request.headers, b"authorization") or ""


# Worked examples, of three kinds of address

MODEL = "/model/anthropic.claude-3-haiku-20240307-v1"
EXAMPLES: dict[str, tuple[Request, AwsKey, dict[str, Any]]] = {
    "a model": (
        post(
            f"https://bedrock-runtime.us-east-1.amazonaws.com{MODEL}%3A0/converse-stream",
            b'{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}',
        ),
        AwsKey(KEY.id, SECRET),
        {
            "body": "45e583fed2564dc00e823303d7609f8587af7f685b993cb0f998afc0d480b01d",
            "names": "content-type;host;x-amz-date",
            "path": f"{MODEL}%253A0/converse-stream",
            "size": 269,
            "hash": "5829310b4c719db81d7475a0dcbefcfd3c04889daa5e90f3c696381382b6f5cf",
            "region": "us-east-1",
            "key": "5fe7d00891a75b7029b7875f73e3395713a85cc92df11a0b55a6a2f63078cf17",
            "signature": "61f58b286db224e19ae49e06e7af80159ab2b74dda5d552e6e5a33c4d95e937c",
        },
    ),
    "a resource, with a token": (
        post(
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-1"
            "%3A123456789012%3Aapplication-inference-profile%2Fabcdefghij12/converse",
            '{"messages":[{"role":"user","content":[{"text":"é"}]}]}'.encode(),
        ),
        AwsKey(KEY.id, SECRET, "SESSIONTOKENEXAMPLE=="),
        {
            "body": "4081716a56a3bda59b517ad6571f8ad046d34a85f4cec1808bcc2a7dc03ce359",
            "names": "content-type;host;x-amz-date;x-amz-security-token",
            "path": "/model/arn%253Aaws%253Abedrock%253Aeu-west-1%253A123456789012"
            "%253Aapplication-inference-profile%252Fabcdefghij12/converse",
            "size": 389,
            "hash": "67bfa6cc7e0b7720a386f54c260343f7698eac10c7fcee549d6b3398ce4735b7",
            "region": "eu-west-1",
            "key": "81559910716696003078b4f9951c2c5994ed26bd7e437f63d210994c2ca3cfe5",
            "signature": "25905e2d00307acf733e019745d6ef498e3126cdf5f94a215a799dcef7d3dbff",
        },
    ),
    "a host of one's own": (
        post(
            "http://127.0.0.1:8080/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/"
            "invoke-with-response-stream",
            b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,'
            b'"messages":[{"role":"user","content":"Hi"}]}',
            (b"x-amzn-bedrock-accept", b"application/json"),
        ),
        AwsKey(KEY.id, SECRET, region="us-west-2"),
        {
            "body": "4ce463b5c3d9ec921b15bafe17cf28cc4d188c93bf720c68e1dee3905c9fd0f8",
            "names": "content-type;host;x-amz-date;x-amzn-bedrock-accept",
            "path": "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%253A0/"
            "invoke-with-response-stream",
            "size": 323,
            "hash": "d7fd17b33eb45ce35771bb9a4840d6b464d2595f571fe57e4e46d29b97db459c",
            "region": "us-west-2",
            "key": "453e9cd97918ff1513f2dc13e4954eb020151ebe821bd323306a2542a27ecac6",
            "signature": "de458dd4b0b18b5d6f098c77d6543bf9adc40588e6deb890b2f3c407edd32c86",
        },
    ),
    "a raw colon": (
        post(
            f"https://bedrock-runtime.us-east-1.amazonaws.com{MODEL}:0/converse-stream",
            b'{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}',
        ),
        KEY,
        {
            "names": "content-type;host;x-amz-date",
            "path": f"{MODEL}%3A0/converse-stream",
            "region": "us-east-1",
            "signature": "9651525ab5c8174b9d2e955db8df7320ed2324032aeb673f56739d58d410de6c",
        },
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_step_of_an_example(name: str) -> None:
    request, key, expected = EXAMPLES[name]
    signed = sign_request(request, key, "bedrock", SECONDS)
    canonical = canonical_request(signed, expected["names"].split(";"))
    assert canonical.split("\n")[:3] == ["POST", expected["path"], ""]
    scope = scope_of(DATE, expected["region"], "bedrock")
    assert scope == f"20260102/{expected['region']}/bedrock/aws4_request"
    if "hash" in expected:
        assert canonical.endswith(f"\n\n{expected['names']}\n{expected['body']}")
        assert len(canonical) == expected["size"]
        assert sha256(canonical.encode()).hexdigest() == expected["hash"]
        text = f"AWS4-HMAC-SHA256\n{DATE}\n{scope}\n{expected['hash']}"
        assert string_to_sign(canonical, DATE, scope) == text
        assert signing_key(SECRET, scope).hex() == expected["key"]
    token = [(b"x-amz-security-token", key.token.encode())] if key.token else []
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={expected['names']}, "
        f"Signature={expected['signature']}"
    )
    assert signed.headers == [
        *request.headers,
        (b"x-amz-date", DATE.encode()),
        *token,
        (b"authorization", authorization.encode()),
    ]
    assert (signed.method, signed.url, signed.body) == (request.method, request.url, request.body)
    assert is_signed(signed, key, "bedrock", SECONDS)


def test_a_canonical_request_in_full() -> None:
    request, key, expected = EXAMPLES["a model"]
    signed = sign_request(request, key, "bedrock", SECONDS)
    assert canonical_request(signed, ["content-type", "host", "x-amz-date"]) == (
        f"POST\n{MODEL}%253A0/converse-stream\n\ncontent-type:application/json\n"
        "host:bedrock-runtime.us-east-1.amazonaws.com\nx-amz-date:20260102T030405Z\n\n"
        f"content-type;host;x-amz-date\n{expected['body']}"
    )


# The cases of AWS's own suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4) in which the
# path is normalized: the request, and its signature

VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
FORM = [
    ("content-length", "13"),
    ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
]
Case = tuple[str, str, list[tuple[str, str]], bytes, str]
SUITE: dict[str, Case] = {
    "get-vanilla": ("GET", "/", [], b"", VANILLA),
    "get-vanilla-with-session-token": (
        *("GET", "/", [("X-Amz-Security-Token", TOKEN)], b""),
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    "get-header-key-duplicate": (
        *("GET", "/", [("My-Header1", v) for v in ("value2", "value2", "value1")], b""),
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-order": (
        *("GET", "/", [("My-Header1", f"value{n}") for n in (4, 1, 3, 2)], b""),
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    "get-header-value-trim": (
        *("GET", "/", [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')], b""),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-relative-relative-normalized": ("GET", "/example1/example2/../..", [], b"", VANILLA),
    "get-slash-pointless-dot-normalized": (
        *("GET", "/./example", [], b""),
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    "get-slashes-normalized": (
        *("GET", "//example//", [], b""),
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    "get-space-normalized": (
        *("GET", "/example space/", [], b""),
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-unreserved": (
        *("GET", f"/{UNRESERVED}", [], b""),
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    "get-utf8": (
        *("GET", "/\u1234", [], b""),
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    "get-vanilla-empty-query-key": (
        *("GET", "/?Param1=value1", [], b""),
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    "get-vanilla-query-order-encoded": (
        *("GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", [], b""),
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-query-order-key-case": (
        *("GET", "/?Param2=value2&Param1=value1", [], b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-unreserved": (
        *("GET", f"/?{UNRESERVED}={UNRESERVED}", [], b""),
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        *("GET", "/?\u1234=bar", [], b""),
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "post-header-key-sort": (
        *("POST", "/", [("My-Header1", "value1")], b""),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-vanilla-query": (
        *("POST", "/?Param1=value1", [], b""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "post-x-www-form-urlencoded": (
        *("POST", "/", [("Content-Type", "application/x-www-form-urlencoded"), *FORM]),
        *(b"Param1=value1", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
    ),
    "post-x-www-form-urlencoded-parameters": (
        *(
            "POST",
            "/",
            [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), *FORM],
        ),
        *(b"Param1=value1", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
    ),
}


@pytest.mark.parametrize("name", SUITE)
def test_aws_own_suite(name: str) -> None:
    method, target, pairs, body, signature = SUITE[name]
    pairs = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z"), *pairs]
    headers: Headers = [(key.encode(), value.encode()) for key, value in pairs]
    names = sorted({key.lower() for key, _ in pairs})
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    headers.append((b"Authorization", authorization.encode()))
    request = Request(method, f"https://example.amazonaws.com{target}", headers, body)
    token = get_header(headers, b"x-amz-security-token") or ""
    key = msgspec.structs.replace(KEY, token=token)
    assert is_signed(request, key, "service", 1440938160)
    # One bit of anything else, and it is not.
    assert not is_signed(request, key, "services")
    assert not is_signed(msgspec.structs.replace(request, method="PUT"), key, "service")


# Beside botocore

segments = st.text(st.sampled_from("aZ0-._~%:@$&+=!*'(),; /\u00e9"), max_size=6).filter(
    lambda text: "/" not in text
)
plain = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 \t]{0,12}[A-Za-z0-9])?", fullmatch=True)


def encoded(text: str) -> str:
    """As it can be on the wire: `%` begins an escape."""
    safe = set("aZ0-._~:@$&+=!*'(),;")
    return "".join(c if c in safe else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text)


@given(
    path=st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(map(encoded, parts))),
    headers=st.dictionaries(
        st.sampled_from(["x-amzn-trace", "x-amz-meta", "x-other", "content-type"]), plain
    ),
    body=st.binary(max_size=20),
    key=st.builds(AwsKey, st.just("AKIDEXAMPLE"), plain, st.just("") | plain, st.just("eu-west-1")),
    service=st.sampled_from(["bedrock", "execute-api"]),
    seconds=st.integers(0, 4_000_000_000),
)
def test_botocore_signs_alike(
    path: str, headers: dict[str, str], body: bytes, key: AwsKey, service: str, seconds: int
) -> None:
    url = f"https://host.test:8443{path}"
    ours = sign_request(
        Request("POST", url, [(k.encode(), v.encode()) for k, v in headers.items()], body),
        key,
        service,
        seconds,
    )
    theirs = AWSRequest("POST", url, {k: v for k, v in headers.items() if k != "x-other"}, body)
    credentials = Credentials(key.id, key.secret, key.token or None)
    auth = SigV4Auth(credentials, service, key.region)
    theirs.context["timestamp"] = amz_date(seconds)
    theirs.headers["X-Amz-Date"] = amz_date(seconds)
    if key.token:
        theirs.headers["X-Amz-Security-Token"] = key.token
    canonical = auth.canonical_request(theirs)
    names = auth.signed_headers(auth.headers_to_sign(theirs)).split(";")
    assert canonical_request(ours, names) == canonical
    text = auth.string_to_sign(theirs, canonical)
    assert said(ours).endswith(f"Signature={auth.signature(text, theirs)}")
    assert f"SignedHeaders={';'.join(names)}," in said(ours)
    assert is_signed(ours, key, service, seconds)


# Verification

SIGNED = sign_request(EXAMPLES["a model"][0], KEY, "bedrock", SECONDS)


def with_header(request: Request, name: bytes, value: bytes | None) -> Request:
    headers = [pair for pair in request.headers if pair[0] != name]
    more = [] if value is None else [(name, value)]
    return msgspec.structs.replace(request, headers=[*headers, *more])


@pytest.mark.parametrize(
    "key",
    [
        AwsKey("AKIDEXAMPLE", SECRET),
        AwsKey("AKIDEXAMPLE", SECRET, region="us-east-1"),
    ],
)
def test_a_key_without_a_region_is_right_in_any(key: AwsKey) -> None:
    assert is_signed(SIGNED, key, "bedrock")


@pytest.mark.parametrize(
    ("key", "service"),
    [
        (AwsKey("AKIDEXAMPLF", SECRET), "bedrock"),
        (AwsKey("AKIDEXAMPLE", SECRET.lower()), "bedrock"),
        (AwsKey("AKIDEXAMPLE", SECRET, "token"), "bedrock"),
        (AwsKey("AKIDEXAMPLE", SECRET, region="us-east-2"), "bedrock"),
        (KEY, "s3"),
    ],
)
def test_another_key(key: AwsKey, service: str) -> None:
    assert not is_signed(SIGNED, key, service)


def test_a_token_that_the_key_does_not_have() -> None:
    signed = sign_request(SIGNED, AwsKey(KEY.id, SECRET, "t", KEY.region), "bedrock", SECONDS)
    assert not is_signed(signed, KEY, "bedrock")


@pytest.mark.parametrize(
    ("seconds", "valid"),
    [(0, True), (300, True), (301, False), (-300, True), (-301, False), (86_400, False)],
)
def test_how_long_it_is_valid(seconds: int, valid: bool) -> None:
    assert is_signed(SIGNED, KEY, "bedrock", SECONDS + seconds) is valid
    assert is_signed(SIGNED, KEY, "bedrock")  # the time is not known


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
        ("AWS4-HMAC-SHA256", "Bearer"),
        ("/20260102/", "/20260103/"),
        ("/us-east-1/", "/us-east-2/"),
        ("/bedrock/", "/s3/"),
        ("/aws4_request", "/aws4"),
        (";host", ""),
        (";x-amz-date", ""),
        ("content-type;", ""),
        ("content-type;", "content-type;x;"),
        ("Signature=6", "Signature=7"),
        ("Signature=", "Signature=0"),
        ("Signature=", "signature="),
        ("Credential=AKIDEXAMPLE", "Credential=AKIDEXAMPL"),
    ],
)
def test_another_authorization(old: str, new: str) -> None:
    assert said(SIGNED).count(old) == 1
    changed = with_header(SIGNED, b"authorization", said(SIGNED).replace(old, new).encode())
    assert not is_signed(changed, KEY, "bedrock", SECONDS)


def test_spaces_between_the_parts() -> None:
    for comma in (",", " , ", ",  "):
        text = said(SIGNED).replace(", ", comma).replace("SHA256 ", "SHA256  ")
        assert is_signed(with_header(SIGNED, b"authorization", text.encode()), KEY, "bedrock")


@pytest.mark.parametrize(
    "changed",
    [
        msgspec.structs.replace(SIGNED, body=SIGNED.body + b" "),
        msgspec.structs.replace(SIGNED, url=SIGNED.url.replace("us-east-1", "us-east-2")),
        msgspec.structs.replace(SIGNED, url=SIGNED.url.replace("%3A", ":")),
        msgspec.structs.replace(SIGNED, url=SIGNED.url + "?a"),
        msgspec.structs.replace(SIGNED, url=SIGNED.url + "/"),
        with_header(SIGNED, b"content-type", b"text/plain"),
        with_header(SIGNED, b"content-type", None),
        with_header(SIGNED, b"host", b"other.test"),
        with_header(SIGNED, b"x-amz-date", None),
        with_header(SIGNED, b"x-amz-date", b"20260102T030406Z"),
        with_header(SIGNED, b"x-amz-date", b"20260102T030405"),
        with_header(SIGNED, b"x-amz-target", b"not signed"),
        with_header(SIGNED, b"X-Amz-Target", b"not signed"),
        with_header(SIGNED, b"x-amzn-bedrock-guardrailidentifier", b"not signed"),
        msgspec.structs.replace(SIGNED, headers=[*SIGNED.headers, (b"x-amz-date", b"twice")]),
        msgspec.structs.replace(SIGNED, headers=[*SIGNED.headers, (b"content-type", b"twice")]),
        msgspec.structs.replace(SIGNED, url=SIGNED.url + "/\ud800"),
        msgspec.structs.replace(SIGNED, method="POST\u20ac"),
        with_header(SIGNED, b"authorization", None),
    ],
)
def test_another_request(changed: Request) -> None:
    assert not is_signed(changed, KEY, "bedrock")


def test_headers_that_are_not_signed_may_be_added() -> None:
    assert is_signed(with_header(SIGNED, b"x-forwarded-for", b"::1"), KEY, "bedrock", SECONDS)
    assert is_signed(with_header(SIGNED, b"x-amzn-trace-id", b"Root=1"), KEY, "bedrock", SECONDS)
    host = b"bedrock-runtime.us-east-1.amazonaws.com"
    assert is_signed(with_header(SIGNED, b"host", host), KEY, "bedrock", SECONDS)


# Signing


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.ap-southeast-2.api.aws", "ap-southeast-2"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-0a-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
        ("eu-west-1.amazonaws.com", "eu-west-1"),
        ("xeu-west-1.amazonaws.com", ""),
        ("s3.amazonaws.com", ""),
        ("bedrock.us-east-1.amazonaws.com.evil.test", ""),
        ("bedrock.us-east-1.amazonawsxcom", ""),
        ("localhost", ""),
    ],
)
def test_the_region_of_a_host(host: str, region: str) -> None:
    assert region_of(host) == region


def test_the_region_of_the_host_goes_before_that_of_the_key() -> None:
    key = msgspec.structs.replace(KEY, region="eu-west-1")
    signed = sign_request(EXAMPLES["a model"][0], key, "bedrock", SECONDS)
    assert "/us-east-1/bedrock/" in said(signed)


def test_no_region() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        sign_request(post("https://x.test/"), AwsKey("AKID", SECRET), "bedrock", 0)
    assert str(caught.value) == "a signature needs the region: give AwsKey(..., region=...)"


@pytest.mark.parametrize(
    "key", [AwsKey("", SECRET), AwsKey("AKID", ""), AwsKey("AKID", f"{SECRET}\u00e9")]
)
def test_a_key_that_is_none(key: AwsKey) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        sign_request(EXAMPLES["a model"][0], key, "bedrock", 0)
    assert str(caught.value) == "an AwsKey has an id and a secret, which are ASCII"


WORDS = "the id and the region of an AwsKey are one word each"
AROUND = "an AwsKey has white space around its secret or token: remove it"


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (AwsKey("A\nKID", SECRET), WORDS),
        (AwsKey(" AKID", SECRET), WORDS),
        (AwsKey("A/KID", SECRET), WORDS),
        (AwsKey("AKID", SECRET, region="us,east"), WORDS),
        (AwsKey("AKID", SECRET + "\n"), AROUND),
        (AwsKey("AKID", SECRET, "token "), AROUND),
        (AwsKey("AKID", SECRET, "to\nken"), "header x-amz-security-token has a control character"),
        (AwsKey("AKID", SECRET, region="us\ud800"), "an AwsKey has an id and a secret, which are"),
    ],
)
def test_a_key_that_would_sign_in_vain(key: AwsKey, error: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        sign_request(post("https://x.test/"), msgspec.structs.replace(KEY, **part(key)), "s", 0)
    assert str(caught.value).startswith(error)
    assert SECRET not in str(caught.value)
    assert "KID" not in str(caught.value)


def part(key: AwsKey) -> dict[str, str]:
    """What is told of a key."""
    return {name: value for name, value in msgspec.structs.asdict(key).items() if value}


def test_what_a_proxy_changes_is_not_signed() -> None:
    traced = with_header(EXAMPLES["a model"][0], b"x-amzn-trace-id", b"Root=1")
    assert said(sign_request(traced, KEY, "bedrock", SECONDS)) == said(SIGNED)


def test_signing_anew_replaces_the_time_and_the_token() -> None:
    key = msgspec.structs.replace(KEY, token="new")
    given = EXAMPLES["a model"][0]
    signed = sign_request(given, key, "bedrock", SECONDS)
    old = with_header(given, b"x-amz-date", b"20000101T000000Z")
    old = with_header(old, b"x-amz-security-token", b"old")
    anew = sign_request(old, key, "bedrock", SECONDS)
    assert said(anew) == said(signed)
    assert sorted(anew.headers) == sorted(signed.headers)


@pytest.mark.parametrize(
    ("seconds", "date"),
    [(0, "19700101T000000Z"), (951782399.9, "20000228T235959Z"), (SECONDS, DATE)],
)
def test_the_date(seconds: float, date: str) -> None:
    assert amz_date(seconds) == date


def test_nothing_of_a_key_is_shown() -> None:
    assert repr(KEY) == str(KEY) == "<AwsKey>"
    assert KEY.__rich_repr__() == []


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a/../", "/"),
        ("/../a", "/a"),
        ("/a/b/../c", "/a/c"),
        ("/a/./b//c/", "/a/b/c/"),
        ("/a%20b", "/a%2520b"),
        ("/~a", "/~a"),
    ],
)
def test_the_path(path: str, canonical: str) -> None:
    request = Request("GET", f"https://x.test{path}", [])
    assert canonical_request(request, ["host"]).split("\n")[1] == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("b=2&a=1&b=1", "a=1&b=1&b=2"),
        ("a", "a="),
        ("a&&b=", "a=&b="),
        ("a=b=c", "a=b%3Dc"),
        ("a=%7e%2f+&%zz", "%25zz=&a=~%2F%2B"),
    ],
)
def test_the_query(query: str, canonical: str) -> None:
    request = Request("GET", f"https://x.test/?{query}", [])
    assert canonical_request(request, ["host"]).split("\n")[2] == canonical


def test_the_values_of_a_header() -> None:
    headers: Headers = [(b"X-A", b" a \t b "), (b"x-a", b"\xe9"), (b"host", b"h")]
    lines = canonical_request(Request("GET", "https://x.test/", headers), ["host", "x-a", "x-b"])
    assert lines.split("\n")[3:6] == ["host:h", "x-a:a b,\u00e9", "x-b:"]
    assert string_to_sign(lines, DATE, "s").endswith(sha256(lines.encode("latin-1")).hexdigest())
