"""Embeddings and models: are texts, vectors and names told in order and in OpenAI's form?"""

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse, Model

from segue_contracts.v1.metering import Usage
from segue_contracts.v1.providers import (
    EmbedTexts,
    ModelHealth,
    ProviderList,
    ProviderState,
    TextsEmbedded,
)
from segue_gateway.core.openai.faults import FaultError
from segue_gateway.core.openai.listing import (
    EmbeddingBody,
    batches,
    embedding_body,
    embeddings,
    model,
    models,
)


def body(**fields: Any) -> EmbeddingBody:
    """Read a body."""
    return embedding_body(json.dumps({"model": "gemini", "input": "a", **fields}).encode())


def test_one_text_is_one_message() -> None:
    """With the model and the length that were asked for."""
    assert list(batches(body(dimensions=3))) == [
        EmbedTexts(texts=["a"], model="gemini", dimensions=3)
    ]


def test_texts_are_divided_so_that_their_vectors_fit() -> None:
    """By number, in order."""
    texts = [f"t{number}" for number in range(20)]
    divided = [batch.texts for batch in batches(body(input=texts))]

    assert [len(one) for one in divided] == [8, 8, 4]
    assert [text for one in divided for text in one] == texts


def test_long_texts_are_divided_so_that_they_fit() -> None:
    """By length; one that is too long alone is the router's to refuse."""
    texts = ["x" * 200_000, "y" * 200_000, "z" * 400_000]

    assert [len(batch.texts) for batch in batches(body(input=texts))] == [1, 1, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": []},
        {"input": ""},
        {"input": ["a"] * 2_049},
        {"input": [1, 2]},
        {"dimensions": 0},
        {"encoding_format": "hex"},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_embedded_is_refused(fields: dict[str, Any]) -> None:
    """Tokens too: they mean something to one model only."""
    with pytest.raises(FaultError):
        body(**fields)


def found(*vectors: list[float]) -> TextsEmbedded:
    """Return vectors of the router."""
    usage = Usage(input_total=len(vectors))
    return TextsEmbedded(provider="gemini", model="m", vectors=list(vectors), usage=usage)


def test_vectors_are_told_in_the_order_of_their_texts() -> None:
    """Over all messages, with what they used together."""
    told = embeddings([found([1.0], [2.0]), found([3.0])], body())
    CreateEmbeddingResponse.model_validate(told)

    assert [(one["index"], one["embedding"]) for one in told["data"]] == [
        (0, [1.0]),
        (1, [2.0]),
        (2, [3.0]),
    ]
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_vectors_are_packed_when_that_is_asked_for() -> None:
    """Four bytes a number, the low byte first."""
    [entry] = embeddings([found([0.5, -2.0])], body(encoding_format="base64"))["data"]

    assert struct.unpack("<2f", base64.b64decode(entry["embedding"])) == (0.5, -2.0)


LISTED = ProviderList(
    providers=[
        ProviderState(
            name="claude",
            available=True,
            default_model="sonnet",
            models=[ModelHealth(model="sonnet"), ModelHealth(model="opus")],
        ),
        ProviderState(name="gemini", available=False, default_model="pro"),
        ProviderState(name="local", available=True),
    ]
)


def test_models_are_what_may_be_named_now() -> None:
    """Providers that can be used, and their models."""
    told = models(LISTED)

    assert [one["id"] for one in told] == ["claude", "claude/sonnet", "claude/opus", "local"]
    assert {one["owned_by"] for one in told} == {"claude", "local"}
    assert all(Model.model_validate(one) for one in told)


def test_a_model_is_found_by_its_name() -> None:
    """One that is not listed is not found."""
    assert model("claude/opus", LISTED)["owned_by"] == "claude"
    with pytest.raises(FaultError) as caught:
        model("gemini/pro", LISTED)
    assert (caught.value.fault.status, caught.value.fault.code) == (404, "model_not_found")
