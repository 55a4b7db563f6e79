"""Tests of the other commands: what do they print where, and which exit code do they have?"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from unit.client.client_events import EPOCH, RUN
from unit.client.client_world import CONTEXT, USAGE, FakeStack, World

from segue.stack import folder as folders
from segue.stack.stack import StackPlan
from segue_contracts.reply import Refused
from segue_contracts.v1 import commands, runs
from segue_contracts.v1.values import Value


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
    assert world.run("bus", "apply", "--shard-consumers", "257").exit_code == 2
    assert world.run("nonsense").exit_code == 2


def test_a_bus_that_does_not_answer_cannot_be_applied(world: World) -> None:
    """Exit code 6 from the bare bus too."""
    assert world.run("bus", "apply").exit_code == 6


def test_the_version_is_told(world: World) -> None:
    """One word and a number."""
    assert world.run("--version").stdout.startswith("segue ")
