"""Python manifests: what do requirements files, pyproject.toml and setup.cfg declare?"""

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping

from segue_agents.core.dependencies.declared import (
    Binding,
    Declared,
    MalformedError,
    Manifest,
    line_of,
)

LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock")
"""What pins the dependencies of a Python project."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"@[0-9a-f]{7,40}(?:#|$)")
_TOML_PLACE = re.compile(r"line (\d+)")
_EXACT = re.compile(r"===?\s*[^*,\s]+$")


def read_requirements(text: str) -> Manifest:
    """Read a requirements file; what it includes from other files is read there."""
    declared = []
    for number, line in enumerate(_joined_lines(text), start=1):
        if spec := re.sub(r"(^|\s)#.*", "", line).strip():
            item = _requirement(re.sub(r"\s+--\S.*", "", spec), number)
            if item:
                declared.append(item)
    return Manifest(ecosystem="python", declared=tuple(declared))


def read_pyproject(text: str, *, own: frozenset[str] = frozenset()) -> Manifest:
    """Read the dependencies of a pyproject.toml.

    Args:
        text: The document.
        own: Names of the projects of this repository; they are not dependencies.

    Raises:
        MalformedError: It is no TOML.
    """
    document = _toml(text)
    lines = text.splitlines()
    declared = [
        item
        for spec in _pyproject_specs(document)
        if (item := _requirement(spec, line_of(lines, f'"{spec}"', f"'{spec}'")))
    ]
    declared += _poetry(document, text)
    kept = tuple(item for item in declared if normal_name(item.name) not in own)
    return Manifest(ecosystem="python", declared=kept, locks=LOCKS if kept else ())


def read_setup_cfg(text: str) -> Manifest:
    """Read the dependencies of a setup.cfg.

    Raises:
        MalformedError: It is no INI file.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or 1
        raise MalformedError("setup.cfg is no readable INI file", line=line) from None
    blocks = [parser.get("options", "install_requires", fallback="")]
    if parser.has_section("options.extras_require"):
        blocks += [value for _, value in parser.items("options.extras_require")]
    specs = [line.strip() for block in blocks for line in block.splitlines()]
    lines = text.splitlines()
    found = (_requirement(spec, line_of(lines, spec)) for spec in specs if spec)
    declared = tuple(item for item in found if item)
    return Manifest(ecosystem="python", declared=declared, locks=LOCKS if declared else ())


def project_name(text: str) -> str:
    """Return the normalised name a pyproject.toml gives its project, or an empty text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    name = _table(document, "project").get("name")
    return normal_name(name) if isinstance(name, str) else ""


def normal_name(name: str) -> str:
    """Write a project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirement(spec: str, line: int) -> Declared | None:
    """Read one requirement; options and local paths are none."""
    bare = spec.partition(";")[0].strip()
    if bare.startswith(("-", ".", "/", "file:")) and not bare.startswith("-e "):
        return None
    bare = bare.removeprefix("-e ").strip()
    if "://" in bare:
        moving: Binding = "exact" if _COMMIT.search(bare) or "#sha256=" in bare else "moving"
        return Declared(name=_url_name(bare), binding=moving, line=line, text=bare)
    name = _NAME.match(bare)
    if not name:
        return None
    rest = re.sub(r"^\s*\[[^\]]*\]", "", bare[name.end() :]).strip(" ()")
    return Declared(name=name.group(), binding=_binding(rest), line=line, text=bare)


def _binding(versions: str) -> Binding:
    if not versions:
        return "open"
    return "exact" if _EXACT.match(versions) else "range"


def _url_name(spec: str) -> str:
    named = re.match(r"([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*@", spec)
    egg = re.search(r"#egg=([A-Za-z0-9._-]+)", spec)
    found = named or egg
    if found:
        return found.group(1)
    return re.split(r"[@#?]", spec.rstrip("/").rpartition("/")[2])[0].removesuffix(".git")


def _joined_lines(text: str) -> Iterator[str]:
    """Yield a requirement on its first line and empty ones for its continuations."""
    held = ""
    empties = 0
    for line in text.splitlines():
        if line.rstrip().endswith("\\"):
            held += line.rstrip()[:-1] + " "
            empties += 1
            continue
        yield held + line
        yield from [""] * empties
        held, empties = "", 0
    if held:
        yield held


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        raise MalformedError(
            f"is no readable TOML: {error}", line=int(place.group(1)) if place else 1
        ) from None


def _pyproject_specs(document: Mapping[str, object]) -> Iterator[str]:
    project = _table(document, "project")
    yield from _texts(project.get("dependencies"))
    for group in _table(project, "optional-dependencies").values():
        yield from _texts(group)
    for group in _table(document, "dependency-groups").values():
        yield from _texts(group)


def _poetry(document: Mapping[str, object], text: str) -> list[Declared]:
    poetry = _table(_table(document, "tool"), "poetry")
    tables = [_table(poetry, "dependencies"), _table(poetry, "dev-dependencies")]
    tables += [_table(group, "dependencies") for group in _table(poetry, "group").values()]
    lines = text.splitlines()
    return [
        _poetry_item(name, value, line_of(lines, f"{name} =", f"{name}="))
        for table in tables
        for name, value in table.items()
        if name != "python"
    ]


def _poetry_item(name: str, value: object, line: int) -> Declared:
    version = value.get("version") if isinstance(value, dict) else value
    if isinstance(value, dict) and ("git" in value or "url" in value):
        binding: Binding = "exact" if "rev" in value else "moving"
    elif isinstance(value, dict) and "path" in value:
        binding = "exact"
    elif not isinstance(version, str) or version.strip() in {"", "*"}:
        binding = "open"
    else:
        binding = "exact" if re.fullmatch(r"(?:==)?\d[\w.]*", version) else "range"
    shown = f" {version}" if isinstance(version, str) else ""
    return Declared(name=name, binding=binding, line=line, text=f"{name}{shown}")


def _table(value: object, name: str) -> Mapping[str, object]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _texts(value: object) -> Iterable[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
