"""Tests of the commands: what do they print where, and which exit code do they end with?"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result
from unit.client.client_events import EPOCH, RUN, ended, run_event, scheduled, started, step_event
from unit.client.client_facts import FakeFacts

from segue import Client
from segue.cli.app import build
from segue.cli.shell import Shell
from segue.core.stack_record import StackRecord
from segue.stack import folder as folders
from segue.stack.stack import StackPlan
from segue.stack.supervised import StackError
from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import commands, runs, steps
from segue_contracts.v1.values import Failure, UsageTotals, Value
from segue_shared.errors import BusUnavailableError
from segue_testing.fakes import FakeClock, FakeIds

VALID = """\
name: review
inputs:
  repository: {type: string, required: true}
steps:
  - key: lint
    agent: quality
    with: {repository: "{{ inputs.repository }}"}
outputs:
  report: "{{ steps.lint.output }}"
"""
INVALID = """\
name: review
steps:
  - key: lint
    agnt: quality
  - key: scan
    agent: security
    dependsOn: [lnt]
"""
CONTEXT = ["--context", '{"repository": "."}']
ACCEPTED = commands.RunAccepted(run=RUN, workflow="review", definition="d" * 64, cursor="e1-1")
USAGE = UsageTotals(input_tokens=1_000, output_tokens=234, model_calls=1)


class QuickClock(FakeClock):
    """A fake clock on which nobody waits: sleeping moves it."""

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        await self.advance(seconds)


class FakeStack:
    """A stack that is up, on paper."""

    nats_url = "nats://127.0.0.1:4999"

    def record(self) -> StackRecord:
        """Tell what runs where."""
        return StackRecord(
            pid=7,
            nats_url=self.nats_url,
            gateway_url="http://127.0.0.1:8080",
            pids={"nats": 8, "agents": 9},
            urls={"nats": self.nats_url, "agents": "http://127.0.0.1:9000"},
            durability="fast: in words",
        )


@dataclass
class World:
    """Everything the commands touch, and what they did to it."""

    folder: Path
    facts: FakeFacts = field(default_factory=FakeFacts)
    env: dict[str, str] = field(default_factory=dict)
    listening: bool = True
    connected: list[tuple[str, str]] = field(default_factory=list)
    plans: list[StackPlan] = field(default_factory=list)
    stacks_ended: int = 0
    stack_error: str = ""
    terminal: bool | None = None

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command and return what it did."""
        app = build(self.shell())
        return CliRunner().invoke(app, list(arguments), input=stdin, catch_exceptions=False)

    def shell(self) -> Shell:
        """Return the shell that is this world."""
        return Shell(
            connect=self._connect,
            connect_bus=self._no_bus,
            start_stack=self._stack,
            answers=self._answers,
            clock=QuickClock(1_700_000_000_000),
            env=self.env,
            folder=self.folder,
            out=Console(force_terminal=self.terminal, width=120),
            err=Console(stderr=True, width=120),
        )

    def finished(self, **fields: object) -> None:
        """Let the journal hold a whole run."""
        self.facts.answers["start_run"] = ACCEPTED
        self.facts.store(run_event("started", started()))
        self.facts.store(step_event("lint", scheduled("lint")))
        outcome = steps.StepCompleted(provider="offline", usage=USAGE, notes=["claude has no key"])
        self.facts.store(step_event("lint", outcome))
        self.facts.store(run_event("ended", ended(**fields)))

    @asynccontextmanager
    async def _connect(self, url: str, namespace: str) -> AsyncIterator[Client]:
        self.connected.append((url, namespace))
        if url.endswith(":1"):
            raise BusUnavailableError(f"no broker answers at {url}")
        yield Client(
            self.facts,
            journal=self.facts,
            payloads=self.facts,
            namespace=namespace,
            clock=QuickClock(),
            ids=FakeIds(),
            patience_s=1,
        )

    @asynccontextmanager
    async def _no_bus(self, url: str) -> AsyncIterator[object]:
        raise BusUnavailableError(f"no broker answers at {url}")
        yield

    @asynccontextmanager
    async def _stack(
        self, plan: StackPlan, tell: Callable[[str], None]
    ) -> AsyncIterator[FakeStack]:
        self.plans.append(plan)
        if self.stack_error:
            raise StackError(self.stack_error)
        yield FakeStack()
        self.stacks_ended += 1

    async def _answers(self, _: str) -> bool:
        return self.listening


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with a bus, in a folder with two definitions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "valid.yaml").write_text(VALID)
    (tmp_path / "invalid.yaml").write_text(INVALID)
    return World(tmp_path)


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


def test_a_definition_that_is_not_there_is_a_mistake_of_use(world: World) -> None:
    """The message names the file."""
    result = world.run("workflow", "validate", "nowhere.yaml")

    assert (result.exit_code, result.stderr) == (
        2,
        "segue: nowhere.yaml: No such file or directory\n",
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


@pytest.mark.parametrize("named", ["env", "flag"])
def test_a_bus_that_was_named_is_never_replaced_by_a_stack(world: World, named: str) -> None:
    """A named bus that is down is an error, not a surprise."""
    world.listening = False
    url = "nats://bus.example:1"
    if named == "env":
        world.env["NATS_URL"] = url
    options = ["--nats-url", url] if named == "flag" else []
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT, *options)

    assert (result.exit_code, world.plans) == (6, [])
    assert url in result.stderr


def test_a_stack_that_does_not_come_up_is_told(world: World) -> None:
    """Exit code 6 with the stack's own words."""
    world.listening, world.stack_error = False, "agents dies whenever it is started"
    result = world.run("workflow", "execute", "valid.yaml", *CONTEXT)

    assert (result.exit_code, "agents dies" in result.stderr) == (6, True)


def test_the_bus_is_found_in_the_order_that_is_documented(world: World) -> None:
    """NATS_URL, then --nats-url, then the stack of the folder, then the default."""
    world.facts.answers["list_runs"] = commands.RunList(runs=[])
    world.run("workflow", "list")
    with folders.owned(world.folder / ".segue"):
        folders.write(world.folder / ".segue", FakeStack().record())
        world.run("workflow", "list")
        world.run("workflow", "list", "--nats-url", "nats://flag:4222")
        world.env["NATS_URL"] = "nats://env:4222"
        told = world.run("workflow", "list", "--nats-url", "nats://flag:4222").stderr

    assert [url for url, _ in world.connected] == [
        "nats://127.0.0.1:4222",
        FakeStack.nats_url,
        "nats://flag:4222",
        "nats://env:4222",
    ]
    assert "NATS_URL is set to nats://env:4222, so --nats-url is not used" in told


def test_a_namespace_that_cannot_be_is_a_mistake_of_use(world: World) -> None:
    """Nothing is asked of a bus for it."""
    result = world.run("workflow", "list", "--namespace", "My Team")

    assert (result.exit_code, world.connected) == (2, [])


def test_no_bus_at_all_is_told_with_the_way_out(world: World) -> None:
    """Exit code 6, and how to start one."""
    world.listening = False
    result = world.run("workflow", "list")

    assert (result.exit_code, "start one with 'segue up'" in result.stderr) == (6, True)


def test_a_bus_without_services_is_told(world: World) -> None:
    """The broker answers, but nobody serves."""
    result = world.run("workflow", "list")

    assert result.exit_code == 6
    assert "no orchestrator service answers" in result.stderr


SUMMARY = runs.RunSummary(
    run=RUN, workflow="review", status="running", started_ms=1_699_999_990_000
)


def test_runs_are_listed_newest_first(world: World) -> None:
    """With state, start and duration; as JSON for programs."""
    world.facts.answers["list_runs"] = commands.RunList(runs=[SUMMARY])
    shown = world.run("workflow", "list", "--limit", "7", "--status", "running")
    data = json.loads(world.run("workflow", "list", "-o", "json").stdout)

    assert RUN in shown.stdout
    assert "10.0 s" in shown.stdout
    assert (world.facts.requests[0].limit, world.facts.requests[0].status) == (7, "running")
    assert data[0]["workflow"] == "review"


def test_an_empty_list_says_how_to_start(world: World) -> None:
    """The hint is no data."""
    world.facts.answers["list_runs"] = commands.RunList(runs=[])
    result = world.run("workflow", "list")

    assert (result.stdout, "segue workflow execute" in result.stderr) == ("", True)


def _view(**fields: object) -> runs.RunView:
    step = runs.StepView(step="lint", status="failed", attempt=2, agent="quality", usage=USAGE)
    return runs.RunView(
        run=RUN,
        namespace="default",
        workflow="review",
        definition="d" * 64,
        status="running",
        started_ms=1_699_999_990_000,
        cursor="e1-9",
        steps=[step],
        **fields,
    )


def test_the_state_of_a_run_is_shown_with_its_steps(world: World) -> None:
    """And as JSON with the output itself instead of its wrapping."""
    world.facts.answers["get_run"] = _view(output=Value(inline={"report": "# r"}))
    shown = world.run("workflow", "status", RUN)
    data = json.loads(world.run("workflow", "status", RUN, "-o", "json").stdout)

    assert f"run {RUN} of review: running, 10.0 s, cursor e1-9" in shown.stdout
    assert "quality" in shown.stdout
    assert data["output"] == {"report": "# r"}


def test_a_run_that_does_not_exist_is_not_found(world: World) -> None:
    """Whether its id cannot be, or the orchestrator does not know it."""
    world.facts.answers["get_run"] = Refused(code="not_found", message=f"there is no run {RUN}")

    assert world.run("workflow", "status", RUN).exit_code == 5
    assert world.run("workflow", "status", "NOT-AN-ID").exit_code == 5
    assert world.run("events", "tail", RUN).exit_code == 5


def test_a_run_is_cancelled_with_a_reason(world: World) -> None:
    """And a run that is over says so."""
    world.facts.answers["cancel_run"] = lambda request: commands.CancelAccepted(
        run=request.run, already_ended=request.reason == "late"
    )
    asked = world.run("workflow", "cancel", RUN, "--reason", "not needed")
    late = world.run("workflow", "cancel", RUN, "--reason", "late")

    assert (asked.exit_code, asked.stdout) == (0, f"run {RUN} is being cancelled\n")
    assert late.stdout == f"run {RUN} had ended before\n"


def test_a_run_is_followed_from_its_start_to_its_end(world: World) -> None:
    """The lines are those of --watch, and the exit code is the run's."""
    world.finished(status="cancelled")
    result = world.run("events", "tail", RUN)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "12:03:04 run cancelled"


def test_events_as_json_are_one_object_a_line_after_a_cursor(world: World) -> None:
    """A program goes on where it was."""
    world.finished()
    shown = world.run("events", "tail", RUN, "--after", f"{EPOCH}-2", "-o", "json").stdout

    assert [json.loads(text)["cursor"] for text in shown.splitlines()] == ["e1-3", "e1-4"]


@pytest.mark.parametrize(("after", "code"), [("7", 2), ("0ther-7", 5)])
def test_a_cursor_that_cannot_be_followed_is_told(world: World, after: str, code: int) -> None:
    """Another text is a mistake of use, another journal's cursor is not found."""
    world.finished()

    assert world.run("events", "tail", RUN, "--after", after).exit_code == code


def test_contracts_are_listed_shown_and_written(world: World) -> None:
    """A program in any language finds its JSON Schemas."""
    name = "segue.run.step_completed.v1"
    listed = world.run("contracts", "list").stdout
    as_json = json.loads(world.run("contracts", "list", "-o", "json").stdout)
    schema = json.loads(world.run("contracts", "show", name).stdout)
    world.run("contracts", "schemas", "out")

    assert name in listed
    assert name in {entry["name"] for entry in as_json}
    assert "output" in schema["properties"]
    assert json.loads((world.folder / "out" / f"{name}.json").read_text()) == schema


def test_a_message_that_is_unknown_is_not_found(world: World) -> None:
    """And the message says where to look."""
    result = world.run("contracts", "show", "segue.run.nothing.v1")

    assert (result.exit_code, "segue contracts list" in result.stderr) == (5, True)


def test_replicated_is_refused_on_one_machine(world: World) -> None:
    """With the reason and the way out."""
    result = world.run("up", "--durability", "replicated")

    assert (result.exit_code, world.plans) == (2, [])
    assert "needs three brokers" in result.stderr


def test_a_profile_cannot_be_chosen_for_a_broker_that_runs_already(world: World) -> None:
    """NATS_URL means that none is started, so the option would be a silent lie."""
    world.env["NATS_URL"] = "nats://b:4222"

    assert world.run("up", "--durability", "fsync").exit_code == 2


def test_a_second_stack_in_the_folder_is_a_conflict(world: World) -> None:
    """Exit code 5, by the real owner of the folder."""
    with folders.owned(world.folder / ".segue"):

        @asynccontextmanager
        async def second(plan: StackPlan, tell: object) -> AsyncIterator[FakeStack]:
            with folders.owned(plan.folder):
                yield FakeStack()

        world._stack = second
        result = world.run("up")

    assert (result.exit_code, "already running" in result.stderr) == (5, True)


def test_stopping_no_stack_is_not_found(world: World) -> None:
    """Nothing is signalled on a guess."""
    assert world.run("down").exit_code == 5


def test_the_doctor_names_what_is_missing(world: World) -> None:
    """Exit code 6 when there is no bus, and each check in words."""
    world.listening = False
    result = world.run("doctor")
    checks = json.loads(world.run("doctor", "-o", "json").stdout)

    assert result.exit_code == 6
    assert "nothing answers at nats://127.0.0.1:4222" in result.stdout
    assert {check["name"] for check in checks} == {"python", "nats-server", "bus"}


def test_wrong_use_of_the_command_line_ends_with_two(world: World) -> None:
    """As scripts expect."""
    assert world.run("workflow", "execute").exit_code == 2
    assert world.run("workflow", "list", "--limit", "0").exit_code == 2
    assert world.run("nonsense").exit_code == 2


def test_a_bus_that_does_not_answer_cannot_be_applied(world: World) -> None:
    """Exit code 6 from the bare bus too."""
    assert world.run("bus", "apply").exit_code == 6


def test_the_version_is_told(world: World) -> None:
    """One word and a number."""
    assert world.run("--version").stdout.startswith("segue ")
