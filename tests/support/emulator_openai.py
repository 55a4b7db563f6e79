"""The emulator's wires of OpenAI: which are there?"""

from typing import Final

from support.emulator_openai_chat import ChatWire, CompatibleWire
from support.emulator_openai_responses import ResponsesWire
from support.emulator_wire import Wire

WIRES: Final[tuple[Wire, ...]] = (ResponsesWire(), ChatWire(), CompatibleWire())
