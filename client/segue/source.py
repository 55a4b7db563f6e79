"""Sources: where is a definition that a program hands over?"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

Workflow = str | Path | Mapping[str, object]
"""A definition: its text, the path of its file, or the definition as a mapping."""


async def text_of(workflow: Workflow) -> tuple[str, str]:
    """Return a definition's text and its file's name."""
    if isinstance(workflow, Mapping):
        return json.dumps(workflow), ""
    if isinstance(workflow, str) and ("\n" in workflow or workflow.lstrip().startswith("{")):
        return workflow, ""
    path = Path(workflow)
    return await asyncio.to_thread(path.read_text, encoding="utf-8"), str(workflow)
