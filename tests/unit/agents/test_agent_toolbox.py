"""The toolbox: which tools lie ready for a task, and on what?"""

import os
import subprocess
from pathlib import Path

import pytest
from unit.agents.agent_support import a_finding, a_report

from segue_agents.core.calls import Invocation
from segue_agents.core.findings import ToolReport
from segue_agents.shell.ports import InputError
from segue_agents.shell.toolbox import LimitArgs, RepositoryToolbox
from segue_agents.shell.workspace import Workspace


async def count_files(workspace: Workspace, *, limit: int = 40) -> ToolReport:
    """Count the files.

    More that a model need not know.
    """
    return ToolReport(
        tool="count_files", summary=f"{len(workspace.files)} files, at most {limit} findings."
    )


TOOLBOX = RepositoryToolbox({"count_files": count_files})


def _call(name: str, limit: int = 40) -> Invocation:
    return Invocation(id="c1", name=name, args=LimitArgs(limit=limit))


def _git(folder: Path, *arguments: str) -> None:
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository on the branch `topic` with one commit."""
    folder = tmp_path.resolve()
    (folder / "app.py").write_text("x = 1\n")
    _git(folder, "init", "-q", "-b", "topic")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "first")
    return folder


async def test_tools_look_at_the_repository_of_the_task(repository: Path) -> None:
    """The bench knows the resolved path and the branch, and passes the limit on."""
    bench = await TOOLBOX.bind(["count_files"], {"repository": str(repository)})

    assert (bench.repository, bench.branch) == (str(repository), "topic")
    report = await bench.run(_call("count_files", limit=3))
    assert report.summary == "1 files, at most 3 findings."


async def test_a_detached_head_is_on_no_branch(repository: Path) -> None:
    """The branch is empty then."""
    _git(repository, "checkout", "-q", "--detach")

    bench = await TOOLBOX.bind(["count_files"], {"repository": str(repository)})

    assert not bench.branch


async def test_a_plain_folder_has_no_branch(tmp_path: Path) -> None:
    """A repository need not be under git."""
    bench = await TOOLBOX.bind(["count_files"], {"repository": str(tmp_path)})

    assert not bench.branch


@pytest.mark.parametrize("given", [{}, {"repository": " "}, {"repository": 3}])
async def test_a_missing_repository_is_named_by_its_field(given: dict[str, object]) -> None:
    """The author learns which field to add."""
    with pytest.raises(InputError, match="`repository` in the step's `with`"):
        await TOOLBOX.bind(["count_files"], given)


async def test_a_repository_that_is_not_there_is_named_by_its_field(tmp_path: Path) -> None:
    """The sentence holds the path."""
    with pytest.raises(InputError, match=r"field `repository`: .*nowhere.* does not exist"):
        await TOOLBOX.bind(["count_files"], {"repository": str(tmp_path / "nowhere")})


async def test_merging_needs_no_repository() -> None:
    """It reads the reports that the task's input holds, at any depth."""
    given = {
        "scan": {"output": {"reports": [a_report(a_finding("high"), a_finding("low", line=9))]}}
    }
    bench = await TOOLBOX.bind(["merge_findings"], given)

    report = await bench.run(_call("merge_findings", limit=1))

    assert [finding.severity for finding in report.findings] == ["high"]
    assert (report.metrics["findings"], report.truncated) == (2, 1)


async def test_merging_works_beside_tools_that_look(repository: Path) -> None:
    """An agent may do both."""
    given: dict[str, object] = {"repository": str(repository), "scan": a_report(a_finding())}
    bench = await TOOLBOX.bind(["count_files", "merge_findings"], given)

    assert (await bench.run(_call("merge_findings"))).metrics["findings"] == 1


async def test_a_tool_is_described_by_its_first_paragraph() -> None:
    """The rest of a docstring is for readers of the code."""
    bench = await TOOLBOX.bind(["merge_findings"], {})

    assert "\n" not in bench.specs["merge_findings"].description
    assert bench.specs["merge_findings"].offer().parameters["properties"]["limit"]["maximum"] == 500
