"""Generated files: are they what the contracts say, and does the command say so?"""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from segue_contracts import generated
from segue_contracts.schema import catalogue, schema_of

ROOT = Path(__file__).parents[2]

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command and gives its exit code."""

    def command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["segue_contracts", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("segue_contracts", run_name="__main__")
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return command


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository whose generated files and baseline are current."""
    (tmp_path / "contracts").mkdir()
    generated.write(tmp_path)
    generated.accept(tmp_path)
    return tmp_path


def test_the_committed_files_are_current() -> None:
    """Whoever changes a type also regenerates what follows: `python -m segue_contracts write`."""
    assert generated.stale(ROOT) == []


def test_the_contracts_are_compatible_with_the_committed_baseline() -> None:
    """Nothing that was promised is taken back; a break is a new version beside the old."""
    assert generated.broken_since_baseline(ROOT) == []


def test_every_message_is_in_the_committed_baseline() -> None:
    """A new message is accepted too, or its later breaks would go unseen."""
    baseline = json.loads((ROOT / generated.BASELINE).read_text("utf-8"))
    assert set(baseline) == {entry.name for entry in catalogue()}


def test_generating_twice_gives_the_same_text() -> None:
    """The files depend on the contracts alone."""
    assert generated.files() == generated.files()


def test_each_schema_file_holds_the_schema_of_its_name() -> None:
    """A client finds a message's schema by its type."""
    text = generated.files()[generated.SCHEMAS / "segue.run.ended.v1.json"]
    assert json.loads(text) == schema_of("segue.run.ended.v1")


def test_check_succeeds_on_current_files(run: Run, repository: Path) -> None:
    """The command is silent about what is current."""
    assert run("check", "--root", str(repository)) == 0


def test_check_lists_missing_changed_and_surplus_files(
    run: Run, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each stale file is named with the way out."""
    schemas = repository / generated.SCHEMAS
    (schemas / "segue.run.ended.v1.json").unlink()
    (schemas / "segue.run.gone.v1.json").write_text("{}")
    (repository / generated.REFERENCE).write_text("old")
    assert run("check", "--root", str(repository)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"stale: {path} (run `python -m segue_contracts write`)"
        for path in (
            "contracts/schemas/v1/segue.run.ended.v1.json",
            "contracts/schemas/v1/segue.run.gone.v1.json",
            "docs/reference/contracts.md",
        )
    ]


def test_check_tells_what_breaks_since_the_baseline(
    run: Run, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A break fails the check even when all files are current."""
    forget_a_message(repository)
    assert run("check", "--root", str(repository)) == 1
    assert capsys.readouterr().err == "breaks: segue.run.gone.v1: the message was removed.\n"


def test_write_brings_stale_files_up_to_date(
    run: Run, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing files come back, and files of no message go."""
    surplus = repository / generated.SCHEMAS / "segue.run.gone.v1.json"
    surplus.write_text("{}")
    (repository / generated.ASYNCAPI).unlink()
    assert run("write", "--root", str(repository)) == 0
    assert generated.stale(repository) == []
    assert not surplus.exists()
    assert capsys.readouterr().out.endswith("2 of the generated files changed\n")


def test_baseline_accepts_breaks_and_says_which(
    run: Run, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taking a promise back is visible where it happens."""
    forget_a_message(repository)
    assert run("baseline", "--root", str(repository)) == 0
    assert generated.broken_since_baseline(repository) == []
    assert "accepted: segue.run.gone.v1: the message was removed." in capsys.readouterr().out


def test_a_folder_that_is_no_repository_is_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the folder and the way out."""
    assert run("check", "--root", str(tmp_path)) == 2
    assert f"{tmp_path} has no folder contracts; name the repository" in capsys.readouterr().err


def forget_a_message(repository: Path) -> None:
    """Put a message into the baseline that the contracts do not have."""
    path = repository / generated.BASELINE
    baseline = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(baseline | {"segue.run.gone.v1": {"type": "object"}}))
