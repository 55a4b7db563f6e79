"""How is a workflow written so that equal ones have equal bytes?"""

import hashlib
import json
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from segue_language.models import Workflow

_WIDTH = 1_000_000


class _Representer(SafeRepresenter):
    """Writes texts so that they are read back as they are."""


def _write_text(representer: _Representer, text: str) -> ScalarNode:
    """Escape rare line breaks and control characters: between single quotes they would change."""
    plain = text.replace("\n", "").isprintable()
    node: ScalarNode = representer.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if plain else '"'
    )
    return node


_Representer.add_representer(str, _write_text)


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
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = _WIDTH
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared without a type
    text = StringIO()
    yaml.dump(_content(workflow), text)
    return text.getvalue()
