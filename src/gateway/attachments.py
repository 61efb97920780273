"""Pictures and files of messages, as a service can be sent them."""

from base64 import b64decode

import msgspec

from ..protocols.chat import FilePart, ImagePart, Part, TextPart
from ..protocols.toolkit.media import data_of
from .judge import Judge
from .matrix import DETAILS, SCHEMES, TYPES

__all__ = ["attachment"]

_PLAIN = "text/plain"


def attachment(judge: Judge, part: ImagePart | FilePart) -> Part:
    """The part as the service can be sent it. Raises BadRequest."""
    return _picture(judge, part) if isinstance(part, ImagePart) else _file(judge, part)


def _picture(judge: Judge, part: ImagePart) -> Part:
    media_type, data = data_of(part.url)
    if data is None:
        _check_address(judge, part.url, "image_address", "a picture by its address", "images")
    else:
        taken = not judge.takes.isdisjoint(("images", "image_bytes"))
        judge.need("image", "messages", "a picture", taken=taken)
        if media_type not in TYPES["image", ""]:
            judge.need("image_type", "messages", f"a picture of the type {media_type[:80]!r}")
    said = judge.same or (judge.rule("image_detail") == "=" and "detail" in judge.takes)
    if not part.detail or (said and part.detail in DETAILS.get(judge.back.name, (part.detail,))):
        return part
    if part.detail != "auto":
        judge.losses.add("image_detail")
    return msgspec.structs.replace(part, detail="")


def _file(judge: Judge, part: FilePart) -> Part:
    given, data = data_of(part.url)
    media_type = part.media_type or given
    what = f"a file of the type {media_type[:80]!r}"
    kind = media_type.partition("/")[0]
    if kind == "text" and data is not None:
        return _document(judge, part, media_type, data)
    if kind in ("audio", "video"):
        row = kind if data is not None else "media_address"
    elif data is None:
        row = "document_address"
    else:
        row = "document" if media_type == "application/pdf" else "document_type"
    if data is None:
        _check_address(judge, part.url, row, f"{what} by its address", "files")
    judge.need(row, "messages", what, taken="files" in judge.takes)
    known = TYPES.get((row, judge.back.name))
    if known is not None and media_type not in known:
        raise judge.refuse("messages", what)
    if kind in ("audio", "video") and part.name and judge.rule("media_name") == "-":
        judge.losses.add("media_name")
        part = msgspec.structs.replace(part, name="")
    return part


def _document(judge: Judge, part: FilePart, media_type: str, data: str) -> Part:
    """A document that is text."""
    what = f"a file of the type {media_type[:80]!r}"
    said = judge.says("documents", "messages", what, taken="files" in judge.takes)
    known = TYPES.get(("documents", judge.back.name))
    if said and (known is None or media_type in known - {_PLAIN}):
        return part
    try:
        text = b64decode(data, validate=True).decode()
    except ValueError:
        raise judge.refuse("messages", f"{what} that is not UTF-8") from None
    if said:
        url = FilePart.of_bytes(text.encode(), _PLAIN).url
        return msgspec.structs.replace(part, url=url, media_type=_PLAIN)
    return TextPart(f"{part.name}\n\n{text}" if part.name else text, part.cache)


def _check_address(judge: Judge, url: str, row: str, what: str, word: str) -> None:
    judge.need(row, "messages", what, taken=word in judge.takes)
    known = SCHEMES.get(judge.back.name)
    if known is not None and not url.startswith(known):
        raise judge.refuse("messages", f"{what} that is none of {', '.join(known)}")
