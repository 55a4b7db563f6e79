"""Scanning for secrets: which lines of a text seem to hold one?"""

import io
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.filters import allowlist, heuristic
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.keyword import KeywordDetector
from detect_secrets.transformers import get_transformed_file
from detect_secrets.types import NamedIO
from detect_secrets.util.code_snippet import get_code_snippet

from segue_agents.shell.tools.records import Exposed

_LONGEST_LINE = 4000
"""Longer lines are generated; the detectors take minutes over them."""

_TRANSFORMED = 200_000
"""Characters of a configuration file from which it is read line by line only."""

_PLACEHOLDERS = {
    "pass",
    "passwd",
    "password",
    "pw",
    "pwd",
    "secret",
    "token",
    "changeme",
    "example",
}
"""What documentation writes where a password would stand."""

_NO_SECRETS = {"Public IP (ipv4)"}

# The detectors cost 70 µs a line. A line without any of this cannot interest them.
_WORTH_A_LOOK = re.compile(
    r"[\w+/=\-]{16}|://|BEGIN|key|pass|pwd|secret|token|contrase", re.IGNORECASE
)
_KEYWORDS = re.compile(r"key|pass|pwd|secret|contrase", re.IGNORECASE)


class _NamedText(io.StringIO):
    """A text that knows its file's name, as transformers want it."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def scan(file: str, text: str) -> list[Exposed]:
    """Return the lines that seem to hold secrets, each kind of secret once a line.

    Nothing is verified against the services that issue secrets: that would send them out.
    """
    if heuristic.is_lock_file(file) or heuristic.is_swagger_file(file):
        return []
    lines = _lines(file, text)
    found = {
        (number, plugin.secret_type): None
        for number, line in enumerate(lines, start=1)
        if len(line) <= _LONGEST_LINE and _WORTH_A_LOOK.search(line)
        for plugin in _plugins()
        if _finds(plugin, file, lines, number)
    }
    return [Exposed(kind=kind, line=line) for line, kind in found]


@cache
def _plugins() -> tuple[BasePlugin, ...]:
    known: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return tuple(plugin() for kind, plugin in sorted(known.items()) if kind not in _NO_SECRETS)


def _lines(file: str, text: str) -> list[str]:
    """Return the lines as the detectors read them: YAML and INI values get quotes."""
    if len(text) <= _TRANSFORMED:
        transformed = get_transformed_file(cast("NamedIO", _NamedText(text, file)))
        if transformed:
            return [line.rstrip() for line in transformed]
    return [line.rstrip() for line in text.split("\n")]


def _finds(plugin: BasePlugin, file: str, lines: list[str], number: int) -> bool:
    line = lines[number - 1]
    if isinstance(plugin, KeywordDetector) and not _KEYWORDS.search(line):
        return False
    context = get_code_snippet(lines, number)
    found = plugin.analyze_line(filename=file, line=line, line_number=number, context=context)
    if not found or allowlist.is_line_allowlisted(file, line, context):
        return False
    values = (secret.secret_value or "" for secret in found)
    return not heuristic.is_indirect_reference(line) and any(
        not any(_excuses(plugin, value, line)) for value in values
    )


def _excuses(plugin: BasePlugin, value: str, line: str) -> Iterator[bool]:
    """Yield whether a value is something else than a secret."""
    yield value.lower() in _PLACEHOLDERS
    yield heuristic.is_sequential_string(value)
    yield heuristic.is_potential_uuid(value)
    yield heuristic.is_likely_id_string(value, line, plugin)
    yield heuristic.is_templated_secret(value)
    yield heuristic.is_prefixed_with_dollar_sign(value)
    yield heuristic.is_not_alphanumeric_string(value)
