"""Pictures and other files."""

import pytest

from tokenwire.protocols.chat import FilePart, ImagePart
from tokenwire.protocols.toolkit.media import data_of, media_type_of


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00AVI ", "application/octet-stream"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"%PDF-1.7", "application/pdf"),
        (b"", "application/octet-stream"),
        (b"PNG", "application/octet-stream"),
    ],
)
def test_media_type_of(data: bytes, media_type: str) -> None:
    assert media_type_of(data) == media_type


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (ImagePart.of_bytes(b"\x00\xff", "image/png").url, ("image/png", "AP8=")),
        (FilePart.of_bytes(b"", "text/plain").url, ("text/plain", "")),
        ("DATA:Image/PNG;x=1;BASE64,AP8=", ("image/png", "AP8=")),
        ("data:text/plain,a%20b", ("text/plain", "YSBi")),
        ("data:,a", ("", "YQ==")),
        ("data:,a,b", ("", "YSxi")),
        ("data:text/x:y,a", ("text/x:y", "YQ==")),
        ("data:image/png;base64", ("", None)),
        ("https://x.test/a,b", ("", None)),
    ],
)
def test_data_of(url: str, found: tuple[str, str | None]) -> None:
    assert data_of(url) == found
