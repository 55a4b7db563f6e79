"""Complexity: which functions and files are hard to maintain?"""

from collections.abc import Mapping

from msgspec import Struct

from segue_agents.core.findings import Finding, Severity

TOOL = "measure_complexity"

COMPLEX_FROM = 11
"""Paths through a function from which it is a finding."""

_FUNCTION_BANDS: tuple[tuple[int, Severity], ...] = (
    (31, "high"),
    (21, "medium"),
    (COMPLEX_FROM, "low"),
)

_FILE_BANDS: tuple[tuple[float, Severity], ...] = ((10.0, "medium"), (20.0, "low"))
"""Maintainability indexes below which a file is a finding (radon's ranks C and B)."""

_LOWEST_FILES = 10


class Block(Struct, frozen=True, kw_only=True):
    """A function or method with its complexity."""

    symbol: str
    """Its name, with its class."""
    line: int
    """Where it starts."""
    complexity: int
    """Independent paths through it (McCabe)."""


class Measured(Struct, frozen=True, kw_only=True):
    """The complexity of one file."""

    blocks: tuple[Block, ...]
    """Its functions and methods."""
    maintainability: float
    """From 0, unmaintainable, to 100."""


def judge_complexity(files: Mapping[str, Measured]) -> list[Finding]:
    """Report functions above ten paths and the files of lowest maintainability."""
    functions = [
        _function(file, block)
        for file, measured in files.items()
        for block in measured.blocks
        if block.complexity >= COMPLEX_FROM
    ]
    return functions + _lowest_files(files)


def complexity_metrics(files: Mapping[str, Measured]) -> dict[str, float | int | str]:
    """Sum up a repository: functions, mean and worst complexity, mean maintainability."""
    paths = [block.complexity for measured in files.values() for block in measured.blocks]
    indexes = [measured.maintainability for measured in files.values()]
    return {
        "files": len(files),
        "functions": len(paths),
        "complex_functions": sum(count >= COMPLEX_FROM for count in paths),
        "mean_complexity": _mean(paths),
        "max_complexity": max(paths, default=0),
        "mean_maintainability": _mean(indexes),
    }


def _function(file: str, block: Block) -> Finding:
    return Finding(
        tool=TOOL,
        rule="complexity",
        severity=next(name for bound, name in _FUNCTION_BANDS if block.complexity >= bound),
        message=f"{block.symbol} has {block.complexity} independent paths; 10 are readable",
        file=file,
        line=block.line,
        symbol=block.symbol,
        metric=float(block.complexity),
    )


def _lowest_files(files: Mapping[str, Measured]) -> list[Finding]:
    lowest = sorted(files.items(), key=lambda item: (item[1].maintainability, item[0]))
    findings = []
    for file, measured in lowest[:_LOWEST_FILES]:
        index = measured.maintainability
        severity = next((name for bound, name in _FILE_BANDS if index < bound), None)
        if severity:
            findings.append(_file(file, index, severity))
    return findings


def _file(file: str, index: float, severity: Severity) -> Finding:
    return Finding(
        tool=TOOL,
        rule="maintainability",
        severity=severity,
        message=f"maintainability index {index:.1f} of 100; split the file or its functions",
        file=file,
        line=1,
    )


def _mean(numbers: list[int] | list[float]) -> float:
    return round(sum(numbers) / len(numbers), 2) if numbers else 0.0
