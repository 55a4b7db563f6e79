"""Content: which parts of a message do pieces of text, images, sounds and files become?"""

import re
from collections.abc import Sequence
from typing import Final, assert_never

from segue_contracts.v1.chat import Media, Part, Refusal, Source, Text
from segue_gateway.core.openai.faults import FaultError, invalid
from segue_gateway.core.openai.reading import Loose

_DATA: Final = re.compile(r"data:(?P<mime>[^;,]*)(?:;[^;,]*)*?;base64,(?P<data>[A-Za-z0-9+/=\s]*)")
_SOUNDS: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_IMAGES: Final = {
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "avif": "image/avif",
}
_USUAL_IMAGE: Final = "image/jpeg"
_USUAL_FILE: Final = "application/pdf"


class ImageUrl(Loose, frozen=True, kw_only=True):
    """Where an image is."""

    url: str
    detail: str | None = None


class Sound(Loose, frozen=True, kw_only=True):
    """A sound's bytes."""

    data: str
    format: str


class File(Loose, frozen=True, kw_only=True):
    """A file's bytes, or its place at a provider."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class _Piece(Loose, frozen=True, kw_only=True, tag_field="type"):
    """One piece of a message's content."""


class TextPiece(_Piece, frozen=True, kw_only=True, tag="text"):
    """Text."""

    text: str


class InputText(_Piece, frozen=True, kw_only=True, tag="input_text"):
    """Text of a user."""

    text: str


class OutputText(_Piece, frozen=True, kw_only=True, tag="output_text"):
    """Text of the model."""

    text: str


class RefusalPiece(_Piece, frozen=True, kw_only=True, tag="refusal"):
    """Words by which the model declined."""

    refusal: str


class ImagePiece(_Piece, frozen=True, kw_only=True, tag="image_url"):
    """An image."""

    image_url: ImageUrl


class InputImage(_Piece, frozen=True, kw_only=True, tag="input_image"):
    """An image, or one that was uploaded to a provider."""

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class SoundPiece(_Piece, frozen=True, kw_only=True, tag="input_audio"):
    """A sound."""

    input_audio: Sound


class FilePiece(_Piece, frozen=True, kw_only=True, tag="file"):
    """A file."""

    file: File


class InputFile(_Piece, frozen=True, kw_only=True, tag="input_file"):
    """A file, or one that is elsewhere."""

    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    file_id: str | None = None


Piece = (
    TextPiece
    | InputText
    | OutputText
    | RefusalPiece
    | ImagePiece
    | InputImage
    | SoundPiece
    | FilePiece
    | InputFile
)
Content = str | list[Piece] | None


def parts_of(content: Content, *, at: str) -> list[Part]:
    """Return the parts that a content means.

    Args:
        content: A text, or pieces.
        at: Where it is in the body.

    Raises:
        FaultError: A piece cannot be read.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    return [_part(piece, f"{at}[{index}]") for index, piece in enumerate(content)]


def text_of(content: Content, *, at: str) -> str:
    """Return a content that may be text only.

    Raises:
        FaultError: It is more than text.
    """
    parts = parts_of(content, at=at)
    for index, part in enumerate(parts):
        if not isinstance(part, Text):
            raise invalid("only text can stand here", param=f"{at}[{index}]", code="invalid_value")
    return "".join(part.text for part in parts if isinstance(part, Text))


def plain(parts: Sequence[Part]) -> str:
    """Return the text of parts, without what is no text."""
    return "".join(part.text for part in parts if isinstance(part, Text))


def _part(piece: Piece, at: str) -> Part:
    match piece:
        case TextPiece(text=text) | InputText(text=text) | OutputText(text=text):
            return Text(text=text)
        case RefusalPiece(refusal=text):
            return Refusal(text=text)
        case ImagePiece(image_url=image):
            return _image(image.url, "", image.detail, at=f"{at}.image_url.url")
        case InputImage(image_url=url, file_id=uploaded, detail=detail):
            return _image(url or "", uploaded or "", detail, at=f"{at}.image_url")
        case SoundPiece(input_audio=sound):
            return _sound(sound, at)
        case FilePiece(file=file):
            return _file(file, "", f"{at}.file")
        case InputFile(file_data=data, filename=name, file_id=uploaded, file_url=url):
            return _file(File(file_data=data, filename=name, file_id=uploaded), url or "", at)
        case _:
            assert_never(piece)


def _image(url: str, uploaded: str, detail: str | None, *, at: str) -> Media:
    mime, source = _placed(url, uploaded, at=at, usual=_image_mime(url))
    return Media(kind="image", mime=mime, source=source, detail=detail or "")


def _image_mime(url: str) -> str:
    """Guess what an address holds; whoever fetches it sees for itself."""
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    return _IMAGES.get(ending, _USUAL_IMAGE)


def _sound(sound: Sound, at: str) -> Media:
    mime = _SOUNDS.get(sound.format)
    if mime is None:
        place = f"{at}.input_audio.format"
        raise invalid(f"'{sound.format}' is no format here; send wav or mp3", param=place)
    return Media(kind="audio", mime=mime, source=Source(data_b64=sound.data))


def _file(file: File, url: str, at: str) -> Media:
    place = url or file.file_data or ""
    mime, source = _placed(place, file.file_id or "", at=at, usual=_USUAL_FILE)
    return Media(kind="document", mime=mime, source=source, title=file.filename or "")


def _placed(url: str, uploaded: str, *, at: str, usual: str) -> tuple[str, Source]:
    """Return a medium's type and place."""
    if uploaded:
        return usual, Source(provider_file=uploaded)
    if url.startswith("data:"):
        found = _DATA.fullmatch(url)
        if found is None:
            raise _unreadable(at)
        return found["mime"] or usual, Source(data_b64="".join(found["data"].split()))
    if not url.startswith(("https://", "http://")):
        raise _unreadable(at)
    return usual, Source(url=url)


def _unreadable(at: str) -> FaultError:
    message = "give an http or https address, or 'data:<type>;base64,<bytes>'"
    return invalid(message, param=at, code="invalid_value")
