"""Outlines: what is a repository made of, and where does it start?"""

import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from posixpath import basename, dirname, splitext

from msgspec import Struct

from segue_agents.core.findings import Finding
from segue_agents.core.python_source import dotted

TOOL = "outline"

LARGE_FILE = 1000
"""Lines of a source file from which it is a finding."""

_LANGUAGES = {
    ".c": "C", ".cc": "C++", ".cpp": "C++", ".cs": "C#", ".css": "CSS", ".ex": "Elixir",
    ".go": "Go", ".h": "C", ".hpp": "C++", ".html": "HTML", ".java": "Java",
    ".js": "JavaScript", ".jsx": "JavaScript", ".kt": "Kotlin", ".mjs": "JavaScript",
    ".php": "PHP", ".py": "Python", ".pyi": "Python", ".rb": "Ruby", ".rs": "Rust",
    ".scala": "Scala", ".sh": "Shell", ".sql": "SQL", ".svelte": "Svelte", ".swift": "Swift",
    ".ts": "TypeScript", ".tsx": "TypeScript", ".vue": "Vue",
}  # fmt: skip
"""Languages of source code by the ending of a file's name."""

_START = re.compile(r"^(?:ENTRYPOINT|CMD)\b", re.IGNORECASE | re.MULTILINE)
_GO_MAIN = re.compile(r"^func main\(\)", re.MULTILINE)
_RUST_MAIN = re.compile(r"^(?:pub )?(?:async )?fn main\(", re.MULTILINE)


class FileOutline(Struct, frozen=True, kw_only=True):
    """One file of the outline."""

    lines: int
    """Its length."""
    entries: tuple[tuple[int, str], ...] = ()
    """Where execution may start: line and a sentence."""


def language(file: str) -> str:
    """Return the programming language of a file, or an empty text."""
    return _LANGUAGES.get(splitext(file)[1].lower(), "")


def entry_points(file: str, text: str) -> list[tuple[int, str]]:
    """Find where a file lets execution start; broken files have no entry points."""
    name = basename(file)
    if name == "pyproject.toml":
        return list(_project_scripts(text))
    if name == "package.json":
        return list(_node_entries(text))
    if name == "Dockerfile" or name.startswith("Dockerfile."):
        return _matches(_START, text, "the image starts here")
    if name.endswith(".go"):
        return _matches(_GO_MAIN, text, "the main function of a Go program")
    if name in {"main.rs", "build.rs"}:
        return _matches(_RUST_MAIN, text, "the main function of a Rust program")
    return []


def python_entries(file: str, tree: ast.Module) -> list[tuple[int, str]]:
    """Find where a Python file lets execution start."""
    guards = [
        (node.lineno, "runs as a script")
        for node in tree.body
        if isinstance(node, ast.If) and _asks_for_main(node.test)
    ]
    if basename(file) == "__main__.py":
        return [(1, "runs with python -m")]
    return guards


def judge_outline(files: Mapping[str, FileOutline]) -> list[Finding]:
    """Report the parts of a tree by size, its entry points and its largest files."""
    return [*_parts(files), *_entries(files), *_large(files)]


def outline_metrics(files: Mapping[str, FileOutline]) -> dict[str, float | int | str]:
    """Count files and lines, also for each language."""
    lines: Counter[str] = Counter()
    for file, outline in files.items():
        lines[language(file)] += outline.lines
    named = sorted((name, count) for name, count in lines.items() if name)
    return {
        "files": len(files),
        "lines": sum(lines.values()),
        **{f"lines.{name}": count for name, count in named},
    }


def parts(files: Iterable[str]) -> dict[str, str]:
    """Map each source file to its part: the outermost package, else the top folder."""
    sources = [file for file in files if language(file)]
    packages = {dirname(file) for file in sources if basename(file) == "__init__.py"}
    return {file: _part(file, packages) for file in sources}


def _part(file: str, packages: set[str]) -> str:
    folder = dirname(file)
    if folder not in packages:
        return file.partition("/")[0] if folder else "."
    while folder and dirname(folder) in packages:
        folder = dirname(folder)
    return folder or "."


def _parts(files: Mapping[str, FileOutline]) -> Iterator[Finding]:
    members: dict[str, list[str]] = {}
    for file, part in parts(files).items():
        members.setdefault(part, []).append(file)
    for part, inside in members.items():
        lines = sum(files[file].lines for file in inside)
        yield Finding(
            tool=TOOL,
            rule="part",
            severity="info",
            message=f"{part} holds {len(inside)} source files, {lines} lines",
            file=min(inside),
            line=1,
            symbol=part,
            metric=float(lines),
        )


def _entries(files: Mapping[str, FileOutline]) -> Iterator[Finding]:
    for file, outline in files.items():
        for line, message in outline.entries:
            yield Finding(
                tool=TOOL,
                rule="entry-point",
                severity="info",
                message=message,
                file=file,
                line=line,
            )


def _large(files: Mapping[str, FileOutline]) -> Iterator[Finding]:
    for file, outline in files.items():
        if language(file) and outline.lines > LARGE_FILE:
            yield Finding(
                tool=TOOL,
                rule="large-file",
                severity="low",
                message=f"{outline.lines} lines in one file",
                file=file,
                line=1,
                metric=float(outline.lines),
            )


def _project_scripts(text: str) -> Iterator[tuple[int, str]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for table in ("scripts", "gui-scripts"):
        for name, target in _table(_table(document, "project"), table).items():
            yield line_of(text, f"{name} ="), f"the command {name} runs {target}"


def _node_entries(text: str) -> Iterator[tuple[int, str]]:
    try:
        document = json.loads(text)
    except ValueError:
        return
    for field in ("main", "bin", "module"):
        if isinstance(document, dict) and document.get(field):
            yield line_of(text, f'"{field}"'), f"the package names its {field}"
    if "start" in _table(document, "scripts"):
        yield line_of(text, '"start"'), "the script start runs it"


def _table(value: object, name: str) -> Mapping[str, object]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def line_of(text: str, needle: str) -> int:
    """Return the line on which a text first occurs, or 1."""
    at = text.find(needle)
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


def _matches(pattern: re.Pattern[str], text: str, message: str) -> list[tuple[int, str]]:
    return [(text.count("\n", 0, match.start()) + 1, message) for match in pattern.finditer(text)]


def _asks_for_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(left=left, comparators=[ast.Constant(value="__main__")]):
            return dotted(left) == "__name__"
        case _:
            return False
