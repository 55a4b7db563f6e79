"""How is a workflow written so that equal ones have equal bytes?"""

import hashlib
import json

from segue_language.models import Workflow


def _content(workflow: Workflow) -> dict[str, object]:
    content: dict[str, object] = workflow.model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )
    return _without_repeated_priority(content, workflow)


def _without_repeated_priority(content: dict[str, object], workflow: Workflow) -> dict[str, object]:
    """Leave out a step's priority where it is the workflow's anyway."""
    steps = content["steps"]
    for step in steps if isinstance(steps, list) else []:
        if step.get("priority") == workflow.priority:
            del step["priority"]
    return content


def canonical_json(workflow: Workflow) -> bytes:
    """Write a workflow as JSON with sorted names, no defaults and no blanks."""
    return json.dumps(
        _content(workflow),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    ).encode()


def content_hash(workflow: Workflow) -> str:
    """Return the SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(workflow)).hexdigest()


def load_canonical(data: bytes) -> Workflow:
    """Read what `canonical_json` wrote.

    Raises:
        ValueError: It is no canonical workflow.
    """
    return Workflow.model_validate(json.loads(data), by_alias=True, by_name=False)


def to_yaml(workflow: Workflow) -> str:
    """Write a workflow the way people read it: in the order of the language's reference."""
    from segue_language.yaml_text import written  # noqa: PLC0415 - its library takes 0.1 s

    return written(_content(workflow))
