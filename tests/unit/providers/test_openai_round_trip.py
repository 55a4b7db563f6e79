"""Does what a model said go back to it as it was?"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from unit.providers.openai_support import REASONER, VENDOR, asking, assembled, said

from segue_providers.core.answer import (
    Began,
)
from segue_providers.core.assembly import Assembly
from segue_providers.core.wires.openai_options import Json
from segue_providers.core.wires.openai_responses_answer import (
    ResponsesReader,
)
from segue_providers.core.wires.openai_responses_request import translate

MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL: Json = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "c1",
    "name": "weather",
    "arguments": "{}",
}
REASONING: Json = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"}


def response(*output: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    """A response."""
    told = {"id": "resp", "model": "gpt-served", "status": status, "service_tier": "flex"}
    return {**told, "output": [*output], **more}


def at_once(body: Any) -> Assembly:
    """Read a reply that came at once, and put it together."""
    return assembled(ResponsesReader(VENDOR, Began()).whole(body))


ITEMS = st.lists(
    st.sampled_from([REASONING, CALL, MESSAGE, {**MESSAGE, "phase": "commentary"}])
    | st.builds(
        lambda words, name: {
            **MESSAGE,
            "id": name,
            "content": [{"type": "output_text", "text": w, "annotations": []} for w in words],
        },
        st.lists(st.text(min_size=1), min_size=1, max_size=3),
        st.uuids().map(str),
    ),
    max_size=5,
)


def plain(item: Json) -> Json:
    """Return an item as it is sent back: without its state."""
    return {name: value for name, value in item.items() if name != "status"}


def joined(items: list[Json]) -> list[Json]:
    """Join messages of the same item that stand side by side; they are one when sent back."""
    out: list[Json] = []
    for item in map(plain, items):
        content = item.get("content")
        if out and {**out[-1], "content": 0} == {**item, "content": 0} and content:
            out[-1] = {**item, "content": [*out[-1]["content"], *content]}  # type: ignore[misc]
        else:
            out.append(item)
    return out


@given(ITEMS)
def test_an_answer_goes_back_as_it_came(output: list[Json]) -> None:
    """Read, stored and sent again, the provider's items are what they were."""
    parts = at_once(response(*output)).message().parts
    sent = translate(asking(said(*parts, role="assistant"), model=REASONER), VENDOR).body["input"]

    assert sent == [
        one if one["type"] == "reasoning" else {**one, "type": one["type"]}
        for one in joined(output)
    ]
