"""Modules: what are the files of a tree called, and which one does an import mean?"""

import ast
from collections.abc import Iterable, Sequence
from posixpath import basename, commonprefix, dirname

from msgspec import Struct

from segue_agents.core.python_source import dotted

_INIT = "__init__.py"


class Import(Struct, frozen=True, kw_only=True):
    """One import statement, or one module of it."""

    module: str
    """What stands after `import` or `from`, without leading dots."""
    names: tuple[str, ...] = ()
    """What stands after `from … import`."""
    level: int = 0
    """Leading dots."""
    line: int
    """Where it stands."""
    deferred: bool = False
    """Whether loading the file leaves it out: in a function, or for type checkers only."""


def read_imports(tree: ast.AST) -> list[Import]:
    """Collect the imports of a file."""
    found: list[Import] = []
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, deferred = waiting.pop()
        found.extend(_imports(node, deferred=deferred))
        deferred |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        held_back = node.body if isinstance(node, ast.If) and _for_types(node.test) else ()
        waiting.extend(
            (child, deferred or child in held_back) for child in ast.iter_child_nodes(node)
        )
    return sorted(found, key=lambda item: item.line)


class ModuleIndex:
    """The modules of a tree by name; several files may bear one name."""

    def __init__(self, files: Iterable[str], roots: Iterable[str]) -> None:
        """Name the files.

        Args:
            files: The Python files.
            roots: Folders that may stand on the import path, such as `""` and `src`.
        """
        self._files = frozenset(files)
        self._roots = sorted({*roots, ""}, key=len, reverse=True)
        self._named: dict[str, list[str]] = {}
        self._labels: dict[str, str] = {}
        for file in sorted(self._files):
            names = self._names(file)
            self._labels[file] = names[0]
            for name in dict.fromkeys(names):
                self._named.setdefault(name, []).append(file)

    def label(self, file: str) -> str:
        """Return the dotted name of a file."""
        return self._labels[file]

    def targets(self, file: str, statement: Import) -> list[str]:
        """Return the files of this tree that an import in `file` loads."""
        names = statement.names or ("",)
        found = (self._locate(file, statement, name) for name in names)
        return [target for target in dict.fromkeys(found) if target and target != file]

    def _locate(self, file: str, statement: Import, name: str) -> str | None:
        """Find the module that is meant, or else the nearest package around it."""
        wanted = ".".join(filter(None, (statement.module, name)))
        if statement.level:
            folder = _above(dirname(file), statement.level - 1)
            return self._at(folder, wanted) or self._at(folder, statement.module)
        found = self._nearest(file, wanted)
        while found is None and "." in wanted:
            wanted = wanted.rpartition(".")[0]
            found = self._nearest(file, wanted)
        return found

    def _nearest(self, file: str, name: str) -> str | None:
        beside = None if self._in_package(file) else self._at(dirname(file), name)
        candidates = self._named.get(name, ())
        return beside or max(
            candidates, key=lambda other: len(commonprefix([other, file])), default=None
        )

    def _at(self, folder: str, name: str) -> str | None:
        stem = _joined(folder, *name.split(".")) if name else folder
        options = (f"{stem}.py", _joined(stem, _INIT))
        return next((option for option in options if option in self._files), None)

    def _in_package(self, file: str) -> bool:
        return _joined(dirname(file), _INIT) in self._files

    def _names(self, file: str) -> list[str]:
        """Return the name within its package, then the names from the roots above it."""
        top = dirname(file)
        while top and _joined(top, _INIT) in self._files:
            top = dirname(top)
        above = [root for root in self._roots if not root or file.startswith(f"{root}/")]
        starts = [top, *above] if self._in_package(file) else above
        return [_dotted(file, start) for start in starts]


def import_roots(files: Sequence[str]) -> set[str]:
    """Return the folders that probably stand on the import path: projects and `src` folders."""
    projects = {"pyproject.toml", "setup.py", "setup.cfg"}
    roots = {dirname(file) for file in files if basename(file) in projects}
    for file in files:
        parts = file.split("/")[:-1]
        roots.update("/".join(parts[: at + 1]) for at, part in enumerate(parts) if part == "src")
    return roots


def _imports(node: ast.AST, *, deferred: bool) -> list[Import]:
    match node:
        case ast.Import():
            return [
                Import(module=alias.name, line=node.lineno, deferred=deferred)
                for alias in node.names
            ]
        case ast.ImportFrom():
            return [
                Import(
                    module=node.module or "",
                    names=tuple(alias.name for alias in node.names),
                    level=node.level,
                    line=node.lineno,
                    deferred=deferred,
                )
            ]
        case _:
            return []


def _for_types(test: ast.expr) -> bool:
    return dotted(test).rpartition(".")[2] == "TYPE_CHECKING"


def _above(folder: str, levels: int) -> str:
    for _ in range(levels):
        folder = dirname(folder)
    return folder


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _dotted(file: str, start: str) -> str:
    inner = file[len(start) :].removeprefix("/").removesuffix(".py")
    return inner.removesuffix("__init__").replace("/", ".").strip(".") or "__init__"
