"""Go and Rust manifests: what do go.mod and Cargo.toml declare?"""

import re
import tomllib
from collections.abc import Iterator, Mapping

from segue_agents.core.dependencies.declared import (
    Binding,
    Declared,
    MalformedError,
    Manifest,
    line_of,
)

GO_LOCKS = ("go.sum",)
"""What fixes the content of Go modules."""

CARGO_LOCKS = ("Cargo.lock",)
"""What pins the dependencies of a Rust crate."""

_GO_MODULE = re.compile(r"(?:require\s+)?(?P<name>[\w.~/-]+\.[\w.~/-]+)\s+(?P<version>v\S+)")
_GO_BLOCK = re.compile(r"(\w+)\s*\($")
_TOML_PLACE = re.compile(r"line (\d+)")


def read_go(text: str) -> Manifest:
    """Read the required modules of a go.mod; their versions are always exact."""
    declared = []
    block = ""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.partition("//")[0].strip()
        if opened := _GO_BLOCK.fullmatch(bare):
            block = opened.group(1)
        elif bare == ")":
            block = ""
        elif (block == "require" or bare.startswith("require ")) and (
            found := _GO_MODULE.fullmatch(bare)
        ):
            declared.append(_go(found, number))
    return Manifest(ecosystem="go", declared=tuple(declared), locks=GO_LOCKS if declared else ())


def read_cargo(text: str) -> Manifest:
    """Read the dependencies of a Cargo.toml.

    Raises:
        MalformedError: It is no TOML.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        raise MalformedError(
            f"is no readable TOML: {error}", line=int(place.group(1)) if place else 1
        ) from None
    lines = text.splitlines()
    declared = tuple(
        Declared(
            name=name,
            binding=_binding(value),
            line=line_of(lines, f"{name} =", f"{name}=", f".{name}]"),
            text=f"{name} {_version(value)}".strip(),
        )
        for name, value in _cargo_items(document)
    )
    return Manifest(ecosystem="rust", declared=declared, locks=CARGO_LOCKS if declared else ())


def _go(found: re.Match[str], line: int) -> Declared:
    name, version = found["name"], found["version"]
    return Declared(name=name, binding="exact", line=line, text=f"{name} {version}")


def _cargo_items(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    tables = [document, _table(document, "workspace"), *_table(document, "target").values()]
    for table in tables:
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, value in _table(table, section).items():
                if not _is_local(value):
                    yield name, value


def _is_local(value: object) -> bool:
    return isinstance(value, dict) and ("path" in value or value.get("workspace") is True)


def _binding(value: object) -> Binding:
    if isinstance(value, dict) and "git" in value:
        return "exact" if "rev" in value else "moving"
    version = _version(value)
    if version in {"", "*"}:
        return "open"
    return "exact" if version.startswith("=") else "range"


def _version(value: object) -> str:
    version = value.get("version") if isinstance(value, dict) else value
    return version if isinstance(version, str) else ""


def _table(value: object, name: str) -> Mapping[str, object]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}
