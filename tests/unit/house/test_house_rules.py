"""The house rules: does a tool object when one is broken?"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CORES = sorted(
    [
        *ROOT.glob("services/*/segue_*/core"),
        ROOT / "client/segue/core",
        ROOT / "shared/language/segue_language",
        ROOT / "shared/worker/segue_worker/place.py",
    ]
)
IMPURE_CALLS = frozenset({"open", "print", "input"})


def lint_imports(extra_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the import linter on the project, with modules of `extra_path` put before its own."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(extra_path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("package", "file", "line", "contract"),
    [
        (
            "services/orchestrator/segue_orchestrator",
            "shell/engine.py",
            "import segue_agents",
            "services never import each other",
        ),
        (
            "services/orchestrator/segue_orchestrator",
            "core/decide.py",
            "import asyncio",
            "the cores are pure",
        ),
        (
            "services/orchestrator/segue_orchestrator",
            "core/decide.py",
            "import segue_orchestrator.shell.engine",
            "the same rooms everywhere",
        ),
        ("shared/kit/segue_shared", "bus.py", "import segue_contracts.v1", "the kit knows"),
        (
            "contracts/segue_contracts",
            "envelope.py",
            "import segue_shared",
            "services over worker over shared over contracts",
        ),
        (
            "services/agents/segue_agents",
            "core/job.py",
            "import segue_worker.ticket",
            "the cores are pure",
        ),
        (
            "shared/worker/segue_worker",
            "place.py",
            "import segue_worker.ticket",
            "a worker's pure place lies below all its other modules",
        ),
        ("shared/worker/segue_worker", "place.py", "import asyncio", "the cores are pure"),
        (
            "shared/kit/segue_shared",
            "bus.py",
            "import segue_worker",
            "services over worker over shared over contracts",
        ),
        (
            "shared/language/segue_language",
            "models.py",
            "import segue_contracts",
            "the language knows nothing",
        ),
    ],
)
def test_a_forbidden_import_breaks_the_check(
    tmp_path: Path, package: str, file: str, line: str, contract: str
) -> None:
    """Each import rule objects by name when one line breaks it."""
    copy = tmp_path / Path(package).name
    shutil.copytree(ROOT / package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    target = copy / file
    target.write_text(f"{target.read_text()}\n{line}\n")

    result = lint_imports(tmp_path)

    assert result.returncode == 1, result.stdout
    broken = [text for text in result.stdout.splitlines() if "BROKEN" in text]
    assert any(contract in text for text in broken), result.stdout


def test_a_new_room_in_a_service_breaks_the_check(tmp_path: Path) -> None:
    """Services have the same rooms; another needs a decision first."""
    package = ROOT / "services/orchestrator/segue_orchestrator"
    copy = tmp_path / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "utils.py").write_text('"""A room that is not on the list."""\n')

    result = lint_imports(tmp_path)

    assert result.returncode == 1
    assert "utils" in result.stdout


def impurities(source: str) -> Iterator[str]:
    """Yield what a core may not have and imports do not show."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef):
            yield f"line {node.lineno}: async def {node.name}"
        elif isinstance(node, ast.Await | ast.Global):
            yield f"line {node.lineno}: {type(node).__name__.lower()}"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in IMPURE_CALLS:
            yield f"line {node.lineno}: a call of {ast.unparse(node.func)}"


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.parent.name)
def test_cores_wait_for_nothing_and_touch_nothing(core: Path) -> None:
    """No core has a coroutine, a global, or opens or prints anything."""
    found = {
        f"{path.relative_to(ROOT)}: {impurity}"
        for path in ([core] if core.is_file() else core.rglob("*.py"))
        for impurity in impurities(path.read_text())
    }

    assert found == set()


@pytest.mark.parametrize("source", ["async def f(): ...", "def f():\n    global x", "open('x')"])
def test_an_impure_core_is_noticed(source: str) -> None:
    """The check above objects to each kind of impurity."""
    assert [*impurities(source)] != []


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def documents() -> list[Path]:
    """Return every page of documentation."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*/README.md")]
    return sorted({*pages, *ROOT.glob("*/README.md")})


def dead_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    return [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link of the documentation points at a file."""
    assert dead_links(page) == []


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    """The check above objects to a link that leads nowhere."""
    page = tmp_path / "page.md"
    page.write_text("[a](missing.md) [b](page.md) [c](https://example.org/x)")

    assert dead_links(page) == ["missing.md"]


SECTIONS = ("## Context", "## Decision", "## Consequences")


def test_decisions_are_numbered_and_complete() -> None:
    """Decision pages count up without a hole, and each says context, decision and consequences."""
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))

    assert [int(page.name[:4]) for page in pages] == [*range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert "Status: " in text, page
        assert all(section in text for section in SECTIONS[1:]), page
