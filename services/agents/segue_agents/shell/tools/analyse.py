"""The analysing process: `python -m segue_agents.shell.tools.analyse <analysis>`.

Reads a JSON list of files on stdin, relative to the working directory, and writes one record for
each on stdout. A process of its own keeps parsing off the event loop, bounds memory and dies alone
when a file brings the parser down.
"""

import ast
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from segue_agents.core.complexity import Block, Measured
from segue_agents.core.hotspots import MeasuredFunction
from segue_agents.core.modules import read_imports
from segue_agents.core.outlines import FileOutline, entry_points, python_entries
from segue_agents.core.patterns import find_patterns
from segue_agents.core.python_source import UnparsableError, parse
from segue_agents.core.shapes import function_shapes
from segue_agents.shell.tools.records import Problem, Record
from segue_agents.shell.workspace import WorkspaceError, read_inside

Analysis = Callable[[str, bytes], object]
"""Turns a file's name and bytes into its result."""

_MEMORY = 2 * 1024**3


def complexity(_: str, source: bytes) -> Measured:
    """Measure the functions and the maintainability of a file."""
    from radon.metrics import mi_visit  # noqa: PLC0415 - only one analysis pays for its import

    tree = parse(source)
    text = ast.unparse(tree) if b"\r" in source else source.decode(errors="replace")
    blocks = tuple(
        Block(symbol=symbol, line=line, complexity=paths)
        for line, (symbol, paths) in sorted(_paths(tree).items())
    )
    return Measured(blocks=blocks, maintainability=round(mi_visit(text, multi=True), 2))


def functions(_: str, source: bytes) -> list[MeasuredFunction]:
    """Measure the shape and the complexity of every function."""
    tree = parse(source)
    paths = _paths(tree)
    return [
        MeasuredFunction(shape=shape, complexity=paths.get(shape.line, ("", 1))[1])
        for shape in function_shapes(tree)
    ]


def patterns(file: str, source: bytes) -> object:
    """Find slow patterns."""
    return find_patterns(file, parse(source))


def imports(_: str, source: bytes) -> object:
    """Collect import statements."""
    return read_imports(parse(source))


def outline(file: str, source: bytes) -> FileOutline:
    """Measure a file and find its entry points."""
    entries = entry_points(file, source.decode(errors="replace"))
    if file.endswith(".py"):
        entries = python_entries(file, parse(source))
    lines = source.count(b"\n") + (not source.endswith(b"\n") and bool(source))
    return FileOutline(lines=lines, entries=tuple(entries))


def secrets(file: str, source: bytes) -> object:
    """Find lines that seem to hold secrets."""
    from segue_agents.shell.tools.secret_scan import scan  # noqa: PLC0415 - its import is slow

    return scan(file, source.decode(errors="replace"))


ANALYSES: Mapping[str, Analysis] = {
    "complexity": complexity,
    "functions": functions,
    "patterns": patterns,
    "imports": imports,
    "outline": outline,
    "secrets": secrets,
}
"""What this process can do."""


def analyse(analysis: Analysis, file: str) -> Record[object]:
    """Analyse one file; what cannot be analysed is said in its record."""
    try:
        return Record(file=file, value=analysis(file, read_inside(Path.cwd(), file)))
    except UnparsableError as error:
        problem = Problem(message=error.message, line=error.line, column=error.column)
    except WorkspaceError as error:
        problem = Problem(message=str(error), rule="not-analysed")
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign analysers fail on odd files in any way
        reason = f"cannot be analysed ({type(error).__name__})"
        problem = Problem(message=reason, rule="not-analysed")
    return Record(file=file, problem=problem)


def main() -> None:
    """Serve one request."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    files = msgspec.json.decode(sys.stdin.buffer.read(), type=list[str])
    analysis = ANALYSES[sys.argv[1]]
    records = [analyse(analysis, file) for file in files]
    sys.stdout.buffer.write(msgspec.json.encode(records))


def _paths(tree: ast.Module) -> dict[int, tuple[str, int]]:
    """Map the line of each function to its name and complexity."""
    from radon.complexity import cc_visit_ast  # noqa: PLC0415 - only two analyses need it

    found: dict[int, tuple[str, int]] = {}
    waiting = list(cc_visit_ast(tree))
    while waiting:
        block = waiting.pop()
        waiting.extend([*getattr(block, "methods", ()), *getattr(block, "inner_classes", ())])
        waiting.extend(getattr(block, "closures", ()))
        if block.letter in "FM":
            found[block.lineno] = (block.fullname, block.complexity)
    return found


if __name__ == "__main__":
    main()
