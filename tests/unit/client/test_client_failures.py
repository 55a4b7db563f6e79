"""Tests of the one place that maps errors to exit codes."""

import pytest

from segue.cli.failures import StillRunningError, UsageError, explain, place
from segue.sdk import RunFailedError, RunResult
from segue_contracts.reply import Problem
from segue_shared import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BusUnavailableError("x"), 6),
        (errors.TimedOutError("x"), 6),
        (errors.PermissionDeniedError("x"), 6),
        (errors.NotFoundError("x"), 5),
        (errors.ConflictError("x"), 5),
        (errors.TooLargeError("x"), 2),
        (errors.PayloadMissingError("x"), 1),
        (errors.DestructiveChangeError("x"), 1),
        (RunFailedError(RunResult(run="r", status="failed")), 1),
        (StillRunningError("x"), 124),
        (UsageError("x"), 2),
        (PermissionError(13, "Permission denied", "report.md"), 2),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    """Scripts tell by the code what kind of trouble it was."""
    failure = explain(error)

    assert failure is not None
    assert failure.code == code
    assert failure.lines[0].startswith("segue: ")


def test_a_file_error_names_the_file() -> None:
    """Without the number that the system gives it."""
    failure = explain(PermissionError(13, "Permission denied", "report.md"))

    assert failure is not None
    assert failure.lines == ("segue: report.md: Permission denied",)


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError("x"), BrokenPipeError()])
def test_a_mistake_of_ours_is_not_dressed_up(error: Exception) -> None:
    """It keeps its traceback; a reader that went away needs no sentence."""
    assert explain(error) is None


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem(message="m", file="f", line=2, column=3, suggestion="s"),
            "f:2:3: m (did you mean 's'?)",
        ),
        (Problem(message="m", pointer="/steps/0"), "<definition>: /steps/0: m"),
        (Problem(message="m"), "<definition>: m"),
    ],
)
def test_a_problem_reads_as_compilers_write_them(problem: Problem, text: str) -> None:
    """The place first, whatever of it is known."""
    assert place(problem) == text
