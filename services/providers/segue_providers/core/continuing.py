"""Continuing: how does another provider go on where an answer broke off?

Only plain text can be gone on with: half a tool call, half a JSON value and hidden reasoning
cannot. What is there is given back as the assistant's words with an instruction of the user, since
newer models refuse to have their answer begun for them.
"""

from typing import Final

from msgspec import structs

from segue_contracts.v1.chat import ChatMessage, ChatRequest
from segue_contracts.v1.parts import Part, Text

INSTRUCTION: Final = (
    "Your answer above was cut off by a technical fault. Go on with the very next character: "
    "repeat nothing, explain nothing, and do not begin anew."
)


def can_continue(request: ChatRequest, said: ChatMessage) -> bool:
    """Tell whether an answer that broke off can be gone on with."""
    if request.tools or request.output.format.type != "text":
        return False
    return bool(text_of(said)) and all(isinstance(part, Text) for part in said.parts)


def text_of(message: ChatMessage) -> str:
    """Return the text of a message."""
    return "".join(part.text for part in message.parts if isinstance(part, Text))


def continued(request: ChatRequest, text: str) -> ChatRequest:
    """Return the request that asks for the rest of an answer.

    Args:
        request: The request that was being answered.
        text: What was said so far.
    """
    said = ChatMessage(role="assistant", parts=[Text(text=text)])
    instruction = ChatMessage(role="user", parts=[Text(text=INSTRUCTION)])
    return structs.replace(request, messages=[*request.messages, said, instruction])


def joined(text: str, rest: ChatMessage) -> ChatMessage:
    """Return the whole answer; the text of the rest belongs to the part that broke off."""
    first, *others = rest.parts or [Text(text="")]
    if isinstance(first, Text):
        whole: list[Part] = [structs.replace(first, text=text + first.text), *others]
    else:
        whole = [Text(text=text), first, *others]
    return structs.replace(rest, parts=whole)
