"""Pictures and other files: what they are by their first bytes, and `data:` URLs."""

from base64 import b64encode
from urllib.parse import unquote_to_bytes

__all__ = ["AUDIO", "data_of", "media_type_of"]

AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The media types of the `format` of OpenAI's `input_audio`."""

_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
)
"""How files of a type begin (https://mimesniff.spec.whatwg.org, section 6)."""

_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
"""What a RIFF file is, by its bytes from the eighth on."""


def media_type_of(data: bytes) -> str:
    """The media type of a file, as its first bytes say; `application/octet-stream` if they say
    nothing."""
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12], "application/octet-stream")
    found = (media_type for start, media_type in _SIGNATURES if data.startswith(start))
    return next(found, "application/octet-stream")


def data_of(url: str) -> tuple[str, str | None]:
    """The media type and the base64 of a `data:` URL (RFC 2397); None: it is an address."""
    head, comma, data = url.partition(",")
    scheme, _, kind = head.partition(":")
    if scheme.lower() != "data" or not comma:
        return "", None
    if not kind.lower().endswith(";base64"):
        data = b64encode(unquote_to_bytes(data)).decode()
    return kind.partition(";")[0].lower(), data
