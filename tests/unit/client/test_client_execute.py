"""Tests of checking and starting a workflow: what is said where, and with which exit code?"""

import json

import pytest
from unit.client.client_events import RUN, run_event, started
from unit.client.client_world import ACCEPTED, CONTEXT, INVALID, VALID, FakeStack, World

from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import commands
from segue_contracts.v1.values import Failure, Value


def test_a_valid_definition_is_told_in_one_line(world: World) -> None:
    """Validation needs no bus."""
    world.listening = False
    result = world.run("workflow", "validate", "valid.yaml")

    assert (result.exit_code, result.stdout) == (0, "review is valid: 1 step\n")
    assert world.connected == []


def test_every_problem_of_a_definition_is_told_with_its_place(world: World) -> None:
    """All at once, as compilers do, with what was probably meant."""
    result = world.run("workflow", "validate", "invalid.yaml")

    assert result.exit_code == 3
    assert "invalid.yaml:4:5: unknown field 'agnt' (did you mean 'agent'?)" in result.stderr
    assert "invalid.yaml:7:17: unknown step 'lnt' (did you mean 'lint'?)" in result.stderr
    assert result.stdout == ""


def test_validation_as_json_is_data_on_standard_output(world: World) -> None:
    """A program reads problems with line and column."""
    answer = json.loads(world.run("workflow", "validate", "invalid.yaml", "-o", "json").stdout)
    good = json.loads(world.run("workflow", "validate", "valid.yaml", "-o", "json").stdout)

    assert (answer["valid"], answer["workflow"]) == (False, None)
    assert {(p["line"], p["column"]) for p in answer["problems"]} >= {(4, 5), (7, 17)}
    assert good == {"valid": True, "workflow": "review", "problems": []}


def test_a_definition_is_read_from_standard_input(world: World) -> None:
    """A dash stands for a pipe."""
    result = world.run("workflow", "validate", "-", stdin=INVALID)

    assert (result.exit_code, "<stdin>:4:5: " in result.stderr) == (3, True)


def test_a_definition_that_cannot_be_read_is_an_invalid_one(world: World) -> None:
    """The message names the file."""
    result = world.run("workflow", "validate", "nowhere.yaml")

    assert (result.exit_code, result.stderr) == (
        3,
        "nowhere.yaml:1:1: No such file or directory\n",
    )


def test_an_invalid_definition_starts_nothing(world: World) -> None:
    """Problems are found before any bus, and no stack is started for them."""
    world.listening = False
    result = world.run("workflow", "execute", "invalid.yaml", "--watch")

    assert (result.exit_code, world.connected, world.plans) == (3, [], [])


def test_a_missing_input_is_an_invalid_start(world: World) -> None:
    """The inputs are checked with the definition, here."""
    result = world.run("workflow", "execute", "valid.yaml")

    assert result.exit_code == 3
    assert "valid.yaml:3:" in result.stderr
    assert "repository" in result.stderr


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ("{repository: .}", "segue: --context:1:2: expecting property name"),
        ('{"repository": }', "segue: --context:1:16: expecting value"),
        ("[]", "segue: --context:1:1: must be a JSON object"),
        ("@bad.json", "segue: bad.json:2:1: expecting value"),
        ("@absent.json", "segue: --context @absent.json:"),
    ],
)
def test_a_context_that_cannot_be_read_is_told_with_its_place(
    world: World, context: str, told: str
) -> None:
    """Exit code 2, the source, the line and the column."""
    (world.folder / "bad.json").write_text('{"repository":\n}')
    result = world.run("workflow", "execute", "valid.yaml", "--context", context)

    assert (result.exit_code, told in result.stderr) == (2, True)
    assert world.connected == []


@pytest.mark.parametrize("timeout", ["soon", "-5s", "11y"])
def test_a_timeout_that_is_none_is_told(world: World, timeout: str) -> None:
    """The message shows how durations are written."""
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, f"--timeout={timeout}")

    assert (result.exit_code, "segue: --timeout: " in result.stderr) == (2, True)


def test_a_run_is_started_and_left_to_itself(world: World) -> None:
    """Without --watch the command tells the run and how to follow it."""
    world.facts.answers["start_run"] = ACCEPTED
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--key", "mine")
    [request] = world.facts.requests

    assert (result.exit_code, result.stdout) == (0, f"run {RUN}\n")
    assert f"segue events tail {RUN}" in result.stderr
    assert (request.key, request.file, request.text) == ("mine", "valid.yaml", VALID)
    assert request.inputs == {"repository": str(world.folder)}


def test_the_context_is_read_from_a_file(world: World) -> None:
    """Large inputs need no shell quoting."""
    world.facts.answers["start_run"] = ACCEPTED
    (world.folder / "context.json").write_text('{"repository": "/srv/repo"}')
    world.run("workflow", "execute", "valid.yaml", "--context", "@context.json")

    assert world.facts.requests[0].inputs == {"repository": "/srv/repo"}


def test_a_start_has_a_key_of_its_own(world: World) -> None:
    """A lost answer can be asked for again safely."""
    world.facts.answers["start_run"] = ACCEPTED
    for _ in range(2):
        world.run("workflow", "execute", "valid.yaml", *CONTEXT)
    first, second = (request.key for request in world.facts.requests)

    assert len(first) > 20
    assert len(second) > 20


def test_a_run_started_before_with_the_key_says_so(world: World) -> None:
    """Starting again is no error and no second run."""
    world.facts.answers["start_run"] = commands.RunAccepted(
        run=RUN, workflow="review", definition="d" * 64, cursor="e1-1", existing=True
    )
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--key", "mine")

    assert "started before with this key" in result.stdout


def test_watching_without_a_terminal_writes_a_line_per_event(world: World) -> None:
    """A log shows each durable event once, then the sum."""
    world.finished()
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--watch")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "12:03:04 run of review started",
        "12:03:04 lint: scheduled for quality",
        "12:03:04 lint: completed, answered by offline, 1,234 tokens",
        "12:03:04 run completed",
        f"run {RUN} completed in 3 ms: 1 step, 1,234 tokens, $0, answered by offline",
    ]
    assert "note: claude has no key" in result.stderr


def test_watching_on_a_terminal_draws_a_table(world: World) -> None:
    """Step, state, agent, attempt, time, tokens, cost and provider have their columns."""
    world.terminal = True
    world.finished()
    shown = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--watch").stdout

    for word in ("step", "state", "agent", "attempt", "time", "tokens", "cost", "provider"):
        assert word in shown
    assert "offline" in shown
    assert "scheduled for" not in shown


def test_the_result_as_json_is_all_there_is_on_standard_output(world: World) -> None:
    """What goes on is told on standard error."""
    world.finished(output=Value(inline={"report": "# done"}))
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--watch", "-o", "json")
    told = json.loads(result.stdout)

    assert (told["run"], told["status"], told["output"]) == (RUN, "completed", {"report": "# done"})
    assert "lint: completed" in result.stderr


def test_an_accepted_run_as_json_has_its_cursor(world: World) -> None:
    """A program can follow from there."""
    world.facts.answers["start_run"] = ACCEPTED
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "-o", "json")

    assert json.loads(result.stdout)["cursor"] == "e1-1"


def test_the_report_is_written_where_it_is_wanted(world: World) -> None:
    """Waiting is implied, folders are made, and the place is told."""
    world.finished(output=Value(inline={"report": "# Review"}))
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--report", "out/review.md")

    assert (result.exit_code, (world.folder / "out/review.md").read_text()) == (0, "# Review\n")
    assert "report written to out/review.md" in result.stderr


def test_a_run_without_text_leaves_no_report_and_says_so(world: World) -> None:
    """A wanted report that is missing is a failure."""
    world.finished(output=Value(inline={"count": 3}))
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--report", "r.md")

    assert (result.exit_code, (world.folder / "r.md").exists()) == (1, False)
    assert "no report was written" in result.stderr


def test_a_failed_run_ends_with_one_and_its_reason(world: World) -> None:
    """Scripts see the failure, people the sentence."""
    failure = Failure(code="no_provider", message="set ANTHROPIC_API_KEY")
    world.finished(status="failed", error=failure)
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--watch")

    assert result.exit_code == 1
    assert "segue: no_provider: set ANTHROPIC_API_KEY" in result.stderr


def test_waiting_has_an_end_and_the_run_goes_on(world: World) -> None:
    """Exit code 124, with the way to attach again."""
    world.facts.answers["start_run"] = ACCEPTED
    world.facts.store(run_event("started", started()))
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--timeout", "50ms")

    assert result.exit_code == 124
    assert f"has not ended within 50ms; it goes on; follow it with: segue events tail {RUN}" in (
        result.stderr
    )


def test_the_services_problems_are_told_like_local_ones(world: World) -> None:
    """What only the orchestrator can know, such as agents, has its place in the file too."""
    problem = Problem(
        message="unknown agent 'qualty'", file="valid.yaml", line=6, column=12, suggestion="quality"
    )
    world.facts.answers["start_run"] = Refused(
        code="invalid_definition", message="1 problem", problems=[problem]
    )
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT)

    assert (result.exit_code, result.stderr) == (
        3,
        "valid.yaml:6:12: unknown agent 'qualty' (did you mean 'quality'?)\n",
    )


def test_a_key_of_another_start_is_a_conflict(world: World) -> None:
    """Exit code 5 for what exists but is another."""
    world.facts.answers["start_run"] = Refused(code="conflict", message="the key is taken")
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, "--key", "mine")

    assert (result.exit_code, result.stderr) == (5, "segue: the key is taken\n")


def test_without_any_bus_the_stack_is_started_for_the_run(world: World) -> None:
    """It says so, waits for the end although nobody watches, and stops the stack."""
    world.listening = False
    world.finished()
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT)

    assert (result.exit_code, world.stacks_ended) == (0, 1)
    assert world.plans[0].folder == world.folder / ".segue"
    assert world.connected == [(FakeStack.nats_url, "default")]
    assert "starting the whole stack" in result.stderr
    assert "completed" in result.stdout
