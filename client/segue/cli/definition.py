"""The definition: what is in the file, and is it valid, before anything is started?"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segue.cli.failures import InvalidDefinitionError, UsageError
from segue.core.inputs import parse_context, parse_json

if TYPE_CHECKING:
    from segue_language import Parsed, Workflow

STDIN = "-"
_MAX_BYTES = 1024 * 1024
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A file that was read."""

    file: str
    """Its name, for problems."""
    data: bytes
    """Its content."""

    def parse(self, inputs: Mapping[str, object] | None = None) -> "Parsed":
        """Check it, and the inputs with it when they are given."""
        from segue_language import parse_bytes  # noqa: PLC0415 - 0.3 s, which few commands need

        return parse_bytes(self.data, file=self.file, inputs=inputs)

    def valid(self, inputs: Mapping[str, object] | None = None) -> "Workflow":
        """Return the workflow.

        Raises:
            InvalidDefinitionError: With all problems.
        """
        parsed = self.parse(inputs)
        if parsed.workflow is None or parsed.problems:
            raise InvalidDefinitionError([problem.render() for problem in parsed.problems])
        return parsed.workflow

    @property
    def text(self) -> str:
        """The content as text; only for a valid one."""
        return self.data.decode()


def read_definition(file: str) -> Definition:
    """Read a definition's file, or standard input for `-`.

    Raises:
        InvalidDefinitionError: It cannot be read.
    """
    if file == STDIN:
        return Definition(file="<stdin>", data=sys.stdin.buffer.read(_MAX_BYTES + 1))
    try:
        with Path(file).open("rb") as source:
            return Definition(file=file, data=source.read(_MAX_BYTES + 1))
    except OSError as error:
        raise InvalidDefinitionError([f"{file}:1:1: {error.strerror}"]) from error


def is_reference(text: str) -> bool:
    """Tell whether a text names a registered workflow: it looks like no file, and none is there."""
    path = Path(text)
    if text == STDIN or len(path.parts) != 1 or path.suffix in _SUFFIXES or path.exists():
        return False
    from segue_language import workflow_reference  # noqa: PLC0415 - as above

    try:
        workflow_reference(text)
    except ValueError:
        return False
    return True


def read_context(text: str) -> dict[str, object]:
    """Read `--context`: a JSON object, or `@file` that holds one.

    Raises:
        ContextError: It is no JSON object; with the position.
        UsageError: The file cannot be read.
    """
    content, source = _content(text, "--context")
    return parse_context(content, source=source)


def read_value(text: str, option: str) -> object:
    """Read an option's JSON value, or `@file` that holds one.

    Raises:
        ContextError: It is no JSON; with the position.
        UsageError: The file cannot be read.
    """
    content, source = _content(text, option)
    return parse_json(content, source=source)


def _content(text: str, option: str) -> tuple[str, str]:
    """Return an option's text and where it came from."""
    if not text.startswith("@"):
        return text, option
    path = Path(text[1:])
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option} {text}: {error}") from error
