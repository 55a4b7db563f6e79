"""How is a definition written as YAML that people read?"""

from collections.abc import Mapping
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

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


def written(content: Mapping[str, object]) -> str:
    """Write a definition's content, its fields in the order they have."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = _WIDTH
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared without a type
    text = StringIO()
    yaml.dump(content, text)
    return text.getvalue()
