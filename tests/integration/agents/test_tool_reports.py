"""Tests: do the tools report what really is in a repository?"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from integration.agents.sample_repository import commit, write

from segue_agents.core.findings import Finding, ToolReport
from segue_agents.core.modules import Import
from segue_agents.shell.process import ProcessError, ProcessTimedOutError
from segue_agents.shell.tools import REPOSITORY_TOOLS
from segue_agents.shell.tools.architecture import import_graph, outline
from segue_agents.shell.tools.inspection import inspect
from segue_agents.shell.tools.performance import find_slow_patterns, rank_hot_spots
from segue_agents.shell.tools.quality import lint_code, measure_complexity
from segue_agents.shell.tools.security import (
    find_dangerous_calls,
    find_secrets,
    list_dependencies,
)
from segue_agents.shell.workspace import Workspace

AWS_KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
PASSWORD = "correct-horse-" + "battery9"
BROKEN = {"broken.py": "x = 1\ndef (:\n"}


async def opened(root: Path, files: Mapping[str, str | bytes]) -> Workspace:
    """Write a plain folder and open it."""
    return await Workspace.open(str(write(root, files)))


def places(report: ToolReport) -> list[tuple[str, str, int]]:
    """Return rule, file and line of every finding."""
    return [(item.rule, item.file, item.line) for item in report.findings]


async def test_lint_finds_the_rule_and_its_place(tmp_path: Path) -> None:
    """An undefined name is worse than an unused import."""
    files = {"pkg/a.py": "import os\n\n\ndef f():\n    return missing\n", "b.py": "x = 1\n"}
    report = await lint_code(await opened(tmp_path, files))
    assert places(report) == [("F821", "pkg/a.py", 5), ("F401", "pkg/a.py", 1)]
    assert [item.severity for item in report.findings] == ["high", "low"]
    assert report.findings[0].column == 12
    assert report.metrics["rule.F401"] == 1


async def test_another_repository_gives_other_findings(tmp_path: Path) -> None:
    """Reports are of what is there."""
    one = await lint_code(await opened(tmp_path / "one", {"a.py": "import os\n"}))
    other = await lint_code(await opened(tmp_path / "two", {"a.py": "def f(x=[]): ...\n"}))
    assert places(one) == [("F401", "a.py", 1)]
    assert places(other) == [("B006", "a.py", 1)]


async def test_the_configuration_of_a_repository_does_not_change_its_verdict(
    tmp_path: Path,
) -> None:
    """Ruff and bandit read no settings of the code they judge."""
    files = {
        "a.py": "import os\nexec(input())\n",
        "ruff.toml": "[lint.per-file-ignores]\n'*' = ['F401']\n",
        ".bandit": "[bandit]\nskips = B102\n",
    }
    workspace = await opened(tmp_path, files)
    assert places(await lint_code(workspace)) == [("F401", "a.py", 1)]
    assert places(await find_dangerous_calls(workspace)) == [("B102", "a.py", 2)]


async def test_code_of_the_repository_is_never_run(tmp_path: Path) -> None:
    """Modules that bear the names of a tool's own are not imported."""
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')\n"
    names = ("ast", "bandit", "json", "msgspec", "radon", "ruff", "segue_agents", "sitecustomize")
    workspace = await opened(tmp_path / "root", {f"{name}.py": trap for name in names})
    for tool in REPOSITORY_TOOLS.values():
        await tool(workspace)
    assert not (tmp_path / "sprung").exists()


async def test_complex_functions_are_found_with_their_class(tmp_path: Path) -> None:
    """Eleven branches are twelve paths; decorators and closures do not hide them."""
    branches = "".join(f"        if x == {number}: x += 1\n" for number in range(11))
    code = f"class A:\n    @staticmethod\n    def f(x):\n{branches}        return x\n"
    inner = code.replace("class A:", "def outer():").replace("    @staticmethod\n", "")
    report = await measure_complexity(await opened(tmp_path, {"a.py": code, "b.py": inner}))
    found = [item for item in report.findings if item.rule == "complexity"]
    assert [(item.file, item.line, item.metric) for item in found] == [
        ("a.py", 3, 12.0),
        ("b.py", 2, 12.0),
    ]
    assert found[0].symbol == "A.f"


async def test_secrets_are_found_in_any_language_and_their_values_never_shown(
    tmp_path: Path,
) -> None:
    """Keys of a known form are critical, passwords a guess, and placeholders nothing."""
    files = {
        "deploy/run.sh": f"#!/bin/sh\nexport KEY={AWS_KEY}\n",
        "config.yaml": f"db:\n  password: {PASSWORD}\n",
        "app.py": f"import os\npassword = '{PASSWORD}'\ntoken = os.environ['TOKEN']\n",
        "docs.md": "postgres://user:password@localhost/db\n",
        "key.pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n",
        "poetry.lock": f"password = '{PASSWORD}'\n",
    }
    report = await find_secrets(await opened(tmp_path, files))
    assert places(report) == [
        ("aws-access-key", "deploy/run.sh", 2),
        ("private-key", "key.pem", 1),
        ("secret-keyword", "app.py", 2),
        ("secret-keyword", "config.yaml", 2),
    ]
    assert [item.severity for item in report.findings[1:3]] == ["critical", "medium"]


async def test_a_made_up_password_in_a_test_is_for_information_only(tmp_path: Path) -> None:
    """A real key counts there, too."""
    code = f"password = '{PASSWORD}'\nkey = '{AWS_KEY}'\n"
    report = await find_secrets(await opened(tmp_path, {"tests/test_a.py": code}))
    assert {item.rule: item.severity for item in report.findings} == {
        "aws-access-key": "critical",
        "secret-keyword": "info",
    }


async def test_a_line_that_its_authors_allow_is_no_secret(tmp_path: Path) -> None:
    """The pragma of detect-secrets is obeyed, and generated lines are left alone."""
    code = f"password = '{PASSWORD}'  # pragma: allowlist secret\n"
    long = f"x = '{'y' * 5000}'; password = '{PASSWORD}'\n"
    assert places(await find_secrets(await opened(tmp_path, {"a.py": code, "b.py": long}))) == []


async def test_no_tool_ever_shows_a_secret(tmp_path: Path) -> None:
    """Whatever a tool quotes, the values of secrets are not in it."""
    code = f"""\
        import subprocess
        def login(user, password="{PASSWORD}"):
            secret = "{PASSWORD}"
            if user == 1:
                key = "{AWS_KEY}"
            else:
                key = "{PASSWORD}"
            if secret == "{PASSWORD}" or secret == "{AWS_KEY}":
                return True
            return login(user, password="{PASSWORD}")
        """
    url = f"git+https://user:{PASSWORD}@example.org/x.git"
    files = {
        "a.py": code,
        "broken.py": f"x = '{PASSWORD}' '{AWS_KEY}\n",
        "requirements.txt": f"{url}\n",
        "package.json": f'{{"dependencies": {{"x": "{url}"}}, "scripts": {{"start": "{url}"}}}}',
        "pyproject.toml": f'[project]\ndependencies = ["x @ {url}"]\n',
    }
    workspace = await opened(tmp_path, files)
    for name, tool in REPOSITORY_TOOLS.items():
        text = msgspec.json.encode(await tool(workspace, limit=500)).decode()
        assert PASSWORD not in text, name
        assert AWS_KEY not in text, name
    rules = {item.rule for item in (await find_dangerous_calls(workspace)).findings}
    assert {"B105", "B106", "B107"} <= rules


async def test_dangerous_calls_are_weighed_by_severity_and_confidence(tmp_path: Path) -> None:
    """A shell with foreign input is worse than eval; asserts in tests are fine."""
    files = {
        "a.py": "import subprocess\nsubprocess.run(x, shell=True)\neval(x)\n",
        "tests/test_a.py": "assert 1\n",
    }
    report = await find_dangerous_calls(await opened(tmp_path, files))
    assert places(report) == [("B602", "a.py", 2), ("B307", "a.py", 3), ("B404", "a.py", 1)]
    assert [item.severity for item in report.findings] == ["high", "medium", "low"]
    assert [item.metric for item in report.findings] == [9.0, 6.0, 3.0]


async def test_loose_dependencies_are_found_with_file_and_line(tmp_path: Path) -> None:
    """Manifests of every ecosystem are read from disk."""
    files = {
        "requirements.txt": "a==1\nb\n",
        "web/package.json": '{\n"dependencies": {\n"c": "^1.0.0"}}',
        "web/yarn.lock": "",
        "Dockerfile": "FROM d\n",
    }
    report = await list_dependencies(await opened(tmp_path, files))
    assert places(report) == [
        ("moving-reference", "Dockerfile", 1),
        ("unpinned", "requirements.txt", 2),
    ]
    assert report.metrics["dependencies"] == 4


async def test_an_import_cycle_is_found_with_its_path(tmp_path: Path) -> None:
    """A src layout is understood."""
    files = {
        "src/pkg/__init__.py": "",
        "src/pkg/a.py": "import os\nfrom pkg.b import x\n",
        "src/pkg/b.py": "from . import a\n",
    }
    report = await import_graph(await opened(tmp_path, files))
    (cycle,) = (item for item in report.findings if item.rule == "import-cycle")
    assert (cycle.file, cycle.line) == ("src/pkg/a.py", 2)
    assert "pkg.a → pkg.b → pkg.a" in cycle.message


async def test_an_outline_knows_parts_languages_and_entry_points(tmp_path: Path) -> None:
    """It works without any Python."""
    files = {"cmd/main.go": "package main\n\nfunc main() {\n}\n", "web/a.ts": "let a = 1"}
    report = await outline(await opened(tmp_path, files))
    assert ("entry-point", "cmd/main.go", 3) in places(report)
    assert (report.metrics["lines.Go"], report.metrics["lines.TypeScript"]) == (4, 1)


async def test_hot_spots_weigh_structure_by_history(tmp_path: Path) -> None:
    """Of two equal functions the one whose file changes is hotter."""
    tests = "".join(f"        if x == {number}: x += y\n" for number in range(9))
    code = f"def f(xs):\n    for x, y in xs:\n{tests}    return xs\n"
    commit(tmp_path, {"busy.py": code, "calm.py": code})
    for number in range(5):
        commit(tmp_path, {"busy.py": f"{code}# {number}\n", "run.sh": f"echo {number}\n"})
    report = await rank_hot_spots(await Workspace.open(str(tmp_path)))
    assert places(report) == [
        ("hot-function", "busy.py", 1),
        ("hot-function", "calm.py", 1),
        ("hot-file", "run.sh", 1),
    ]
    assert "changed in 6 commits" in report.findings[0].message
    assert report.metrics["commits"] == 6


async def test_slow_patterns_are_found_with_file_and_line(tmp_path: Path) -> None:
    """A sleeping coroutine stops everybody."""
    code = "import time\nasync def f():\n    time.sleep(1)\n"
    report = await find_slow_patterns(await opened(tmp_path, {"pkg/a.py": code}))
    assert places(report) == [("blocking-call-in-async", "pkg/a.py", 3)]


@pytest.mark.parametrize(
    "name",
    [
        "lint_code",
        "measure_complexity",
        "find_dangerous_calls",
        "import_graph",
        "outline",
        "rank_hot_spots",
        "find_slow_patterns",
    ],
)
async def test_a_file_that_does_not_parse_is_a_finding(tmp_path: Path, name: str) -> None:
    """The other files are still looked at."""
    workspace = await opened(tmp_path, {**BROKEN, "fine.py": "x = 1\n"})
    found = [item for item in (await REPOSITORY_TOOLS[name](workspace)).findings if is_syntax(item)]
    assert {(item.file, item.severity) for item in found} == {("broken.py", "high")}


def is_syntax(finding: Finding) -> bool:
    """Tell whether a finding is about a file that does not parse."""
    return finding.rule == "syntax"


@pytest.mark.parametrize(
    "name",
    [
        "lint_code",
        "measure_complexity",
        "find_dangerous_calls",
        "import_graph",
        "rank_hot_spots",
        "find_slow_patterns",
    ],
)
async def test_a_repository_without_python_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    """No findings, and the reason why."""
    report = await REPOSITORY_TOOLS[name](await opened(tmp_path, {"a.go": "package a\n"}))
    assert report.findings == ()
    assert any(note.startswith("there are no Python files here") for note in report.notes)


@pytest.mark.parametrize("name", REPOSITORY_TOOLS)
async def test_an_empty_folder_breaks_no_tool(tmp_path: Path, name: str) -> None:
    """Nothing in, nothing out."""
    report = await REPOSITORY_TOOLS[name](await opened(tmp_path, {}))
    assert (report.tool, report.findings, report.metrics["findings"]) == (name, (), 0)


@pytest.mark.parametrize("name", REPOSITORY_TOOLS)
async def test_odd_file_names_break_no_tool(tmp_path: Path, name: str) -> None:
    """Names that look like options, hold spaces or other scripts are only names."""
    code = "import os\neval(x)\n"
    files = {"-rf.py": code, "a b/@c.py": code, "ü\n.py": code}
    report = await REPOSITORY_TOOLS[name](await opened(tmp_path, files))
    assert {item.file for item in report.findings} <= files.keys()


async def test_a_limit_caps_the_findings_and_counts_the_rest(tmp_path: Path) -> None:
    """The worst stays."""
    workspace = await opened(tmp_path, {"a.py": "import os\nimport sys\nprint(missing)\n"})
    report = await lint_code(workspace, limit=1)
    assert places(report) == [("F821", "a.py", 3)]
    assert (report.truncated, report.metrics["findings"]) == (2, 3)


async def test_a_tool_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    """Its time is a bound, and the error says so."""
    write(tmp_path, {"a.py": "x = 1\n"})
    workspace = await Workspace.open(str(tmp_path), timeout_s=0.01)
    with pytest.raises(ProcessTimedOutError, match=re.escape("0.01 s")):
        await measure_complexity(workspace)


async def test_an_analysis_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    """A fault of ours is not blamed on the files."""
    workspace = await opened(tmp_path, {"a.py": "x = 1\n"})
    with pytest.raises(ProcessError, match="the analysis unheard-of failed"):
        await inspect(workspace, "unheard-of", workspace.files, list[Import])


async def test_tools_can_run_at_the_same_time(tmp_path: Path) -> None:
    """One workspace serves all of them, and the result is the same each time."""
    workspace = await opened(tmp_path, {"a.py": "import os\neval(x)\n", "b.py": "import a\n"})
    tools = REPOSITORY_TOOLS.values()
    first = await asyncio.gather(*(tool(workspace) for tool in tools))
    again = await asyncio.gather(*(tool(workspace) for tool in tools))
    assert first == again


async def test_files_whose_results_are_too_much_together_are_analysed_apart(
    tmp_path: Path,
) -> None:
    """The bound of a process's output splits the work; it does not lose it."""
    code = "import a\n" * 100_000
    workspace = await opened(tmp_path, {f"m{number}.py": code for number in range(3)})
    records = await inspect(workspace, "imports", workspace.files, list[Import])
    assert [len(record.value or ()) for record in records] == [100_000] * 3
