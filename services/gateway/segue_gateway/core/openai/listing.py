"""Embeddings and models: how are they asked for and told?"""

import base64
import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from segue_contracts.v1.providers import EmbedTexts, ProviderList, TextsEmbedded
from segue_gateway.core.openai.faults import Fault, FaultError, invalid
from segue_gateway.core.openai.reading import Strict, read

Json = dict[str, Any]

MOST_TEXTS: Final = 2_048
"""Texts that are embedded for one request at most."""
TOGETHER: Final = 8
"""Texts that are embedded in one message: as many vectors as surely fit into its reply."""
_TOGETHER_BYTES: Final = 256 * 1024


class EmbeddingBody(Strict, frozen=True, kw_only=True):
    """The body of `POST /v1/embeddings`."""

    input: str | list[str]
    model: str
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


def embedding_body(data: bytes) -> EmbeddingBody:
    """Read a body.

    Raises:
        FaultError: It has another form.
    """
    body = read(data, EmbeddingBody)
    if not body.input or len(_texts(body)) > MOST_TEXTS:
        raise invalid(f"1 to {MOST_TEXTS} texts", param="input", code="invalid_value")
    return body


def batches(body: EmbeddingBody) -> Iterator[EmbedTexts]:
    """Yield what is asked of the router, in messages that it can answer."""
    together: list[str] = []
    size = 0
    for text in _texts(body):
        if together and (len(together) == TOGETHER or size + len(text) > _TOGETHER_BYTES):
            yield _batch(together, body)
            together, size = [], 0
        together.append(text)
        size += len(text)
    yield _batch(together, body)


def _batch(texts: list[str], body: EmbeddingBody) -> EmbedTexts:
    return EmbedTexts(texts=texts, model=body.model, dimensions=body.dimensions or 0)


def embeddings(found: Sequence[TextsEmbedded], body: EmbeddingBody) -> Json:
    """Return vectors as an embedding response, in the order of their texts."""
    vectors = [vector for one in found for vector in one.vectors]
    packed = body.encoding_format == "base64"
    tokens = sum(one.usage.input_total for one in found)
    return {
        "object": "list",
        "model": found[0].model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(one) if packed else one}
            for index, one in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _texts(body: EmbeddingBody) -> list[str]:
    return [body.input] if isinstance(body.input, str) else body.input


def models(listed: ProviderList) -> list[Json]:
    """Return what may be named as a model: providers that can be used, and their models."""
    return [
        {"id": name, "object": "model", "created": 0, "owned_by": owner}
        for name, owner in _names(listed).items()
    ]


def model(name: str, listed: ProviderList) -> Json:
    """Return one model.

    Raises:
        FaultError: It is not listed.
    """
    for one in models(listed):
        if one["id"] == name:
            return one
    message = f"The model '{name}' is not listed; GET /v1/models tells which are."
    raise FaultError(Fault(status=404, message=message, param="model", code="model_not_found"))


def _names(listed: ProviderList) -> dict[str, str]:
    names: dict[str, str] = {}
    for provider in listed.providers:
        if provider.available:
            known = [provider.default_model, *(one.model for one in provider.models)]
            names[provider.name] = provider.name
            names |= {f"{provider.name}/{one}": provider.name for one in known if one}
    return names
