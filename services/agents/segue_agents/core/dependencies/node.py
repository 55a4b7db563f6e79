"""Node manifests: what does a package.json declare?"""

import json
import re
from collections.abc import Mapping, Sequence

from segue_agents.core.dependencies.declared import Binding, Declared, MalformedError, Manifest

LOCKS = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
)
"""What pins the dependencies of a Node project."""

_SECTIONS = ("dependencies", "devDependencies", "optionalDependencies")
_EXACT = re.compile(r"=?v?\d+\.\d+\.\d+(?:[-+][\w.+-]+)?")
_COMMIT = re.compile(r"#[0-9a-f]{7,40}$")
_LOCAL = ("file:", "link:", "workspace:", "portal:", ".", "/")
_ANY = {"", "*", "x", "latest", "next"}


def read_package(text: str) -> Manifest:
    """Read the dependencies of a package.json.

    Raises:
        MalformedError: It is no JSON object.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedError(f"is no readable JSON: {error.msg}", line=error.lineno) from None
    except RecursionError:
        raise MalformedError("is nested too deeply to read") from None
    if not isinstance(document, dict):
        raise MalformedError("is no JSON object")
    lines = text.splitlines()
    declared = [item for section in _SECTIONS for item in _section(document, section, lines)]
    return Manifest(ecosystem="node", declared=tuple(declared), locks=LOCKS if declared else ())


def _section(document: Mapping[str, object], section: str, lines: Sequence[str]) -> list[Declared]:
    table = document.get(section)
    if not isinstance(table, dict):
        return []
    return [
        Declared(
            name=name,
            binding=_binding(version),
            line=_line(lines, section, name),
            text=f"{name}@{version}",
        )
        for name, version in table.items()
        if isinstance(version, str) and not version.startswith(_LOCAL)
    ]


def _binding(version: str) -> Binding:
    wanted = version.strip().removeprefix("npm:").rpartition("@")[2]
    if "://" in version or version.startswith(("git@", "github:", "gitlab:")):
        return "exact" if _COMMIT.search(version) else "moving"
    if wanted in _ANY:
        return "open"
    return "exact" if _EXACT.fullmatch(wanted) else "range"


def _line(lines: Sequence[str], section: str, name: str) -> int:
    """Find a dependency below the head of its section."""
    inside = False
    for number, line in enumerate(lines, start=1):
        inside = inside or f'"{section}"' in line
        if inside and f'"{name}"' in line:
            return number
    return 1
