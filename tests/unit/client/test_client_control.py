"""Tests of the commands that control runs: what do they ask for, and what do they print?"""

import json

import pytest
from unit.client.client_events import RUN
from unit.client.client_world import World

from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import commands, runs
from segue_shared.errors import TimedOutError

WAIT = runs.WaitView(
    run=RUN,
    workflow="release",
    step="review",
    kind="approval",
    since_ms=1_699_999_940_000,
    until_ms=1_700_000_060_000,
    message="ok?",
    quorum=2,
    approved_by=["ann"],
)


def state(status: str, *, changed: bool = True) -> commands.RunState:
    """Return what the orchestrator answers."""
    return commands.RunState(run=RUN, status=status, changed=changed)


@pytest.mark.parametrize(
    ("verb", "request_type", "status"),
    [
        ("pause", commands.PauseRun, "paused"),
        ("resume", commands.ResumeRun, "running"),
        ("terminate", commands.TerminateRun, "cancelled"),
    ],
)
def test_a_run_is_controlled_with_a_reason_and_a_name(
    world: World, verb: str, request_type: type, status: str
) -> None:
    """The answer says where it stands then."""
    world.facts.answers[f"{verb}_run"] = state(status)
    result = world.run("workflow", verb, RUN, "--reason", "lunch", "--by", "ann")

    assert (result.exit_code, result.stdout) == (0, f"run {RUN} is {status}\n")
    assert world.facts.requests == [request_type(run=RUN, reason="lunch", by="ann")]


def test_a_command_that_changed_nothing_says_so(world: World) -> None:
    """It is no failure."""
    world.facts.answers["pause_run"] = state("paused", changed=False)
    result = world.run("workflow", "pause", RUN)

    assert (result.exit_code, result.stdout) == (0, f"run {RUN} is paused, as before\n")
    shown = world.run("workflow", "pause", RUN, "-o", "json").stdout
    assert json.loads(shown) == {"run": RUN, "status": "paused", "changed": False}


def test_many_runs_are_resumed_by_their_reason(world: World) -> None:
    """Their ids are the data; the count and what is left go beside it."""
    world.facts.answers["resume_runs"] = commands.RunsResumed(runs=[RUN], more=True)
    options = ["--code", "too_large", "--workflow", "w", "--limit", "1", "--dry"]
    result = world.run("workflow", "resume", "--all", *options, "--by", "ann")

    assert (result.exit_code, result.stdout) == (0, f"{RUN}\n")
    assert "1 run would go on" in result.stderr
    assert "more runs fit" in result.stderr
    [asked] = world.facts.requests
    expected = commands.ResumeRuns(code="too_large", workflow="w", limit=1, dry=True, by="ann")
    assert asked == expected


@pytest.mark.parametrize(
    "options", [[], [RUN, "--all"], [RUN, "--code", "x"], [RUN, "--dry"]], ids=str
)
def test_a_resume_is_of_one_run_or_of_all_that_fit(world: World, options: list[str]) -> None:
    """Anything between is a mistake of use, and nothing is asked."""
    result = world.run("workflow", "resume", *options)

    assert (result.exit_code, world.facts.requests) == (2, [])
    assert "--all" in result.stderr


def test_a_signal_carries_json_and_a_key(world: World) -> None:
    """Without a key it gets a fresh one, so that a lost answer does no harm."""
    world.facts.answers["signal_run"] = commands.SignalAccepted(run=RUN, signal="s1")
    named = world.run("run", "signal", RUN, "go", "--payload", '{"n": 1}', "--key", "k")
    world.run("run", "signal", RUN, "go")

    assert named.stdout == f"signal go is sent to run {RUN} as s1\n"
    first, second = world.facts.requests
    assert (first.payload, first.key) == ({"n": 1}, "k")
    assert (second.payload, second.key != "") == (None, True)


def test_a_payload_that_is_no_json_is_told_with_its_place(world: World) -> None:
    """Nothing is sent."""
    result = world.run("run", "signal", RUN, "go", "--payload", "{n: 1}")

    assert (result.exit_code, world.facts.requests) == (2, [])
    assert "--payload:1:2" in result.stderr


def test_an_approval_carries_a_form(world: World) -> None:
    """Values are JSON, or texts where they are none."""
    world.facts.answers["decide_approval"] = commands.ApprovalRecorded(
        run=RUN, step="review", missing=1
    )
    options = ["--form", "risk=low", "--form", "count=3", "--comment", "fine", "--by", "ann"]
    result = world.run("run", "approve", RUN, "review", *options)

    assert result.stdout == "step review: approved by ann is recorded, 1 approval missing\n"
    [asked] = world.facts.requests
    assert (asked.decision, asked.form) == ("approved", {"risk": "low", "count": 3})
    assert (asked.by, asked.comment) == ("ann", "fine")


def test_a_second_word_is_told_to_count_for_nothing(world: World) -> None:
    """The first word is the person's."""
    world.facts.answers["decide_approval"] = commands.ApprovalRecorded(
        run=RUN, step="review", existing=True
    )
    result = world.run("run", "reject", RUN, "review", "--by", "ann")

    assert "had decided before; the first word counts" in result.stdout
    assert world.facts.requests[0].decision == "rejected"


def test_a_form_that_is_not_filled_in_right_is_told_field_by_field(world: World) -> None:
    """With the pointers that the orchestrator gives."""
    problem = Problem(message="'risk' is a required property", pointer="/form")
    world.facts.answers["decide_approval"] = Refused(
        code="invalid_request", message="no", problems=[problem]
    )
    result = world.run("run", "approve", RUN, "review", "--by", "ann")

    assert result.exit_code == 2
    assert result.stderr == "segue: /form: 'risk' is a required property\n"


def test_a_field_without_a_name_is_a_mistake_of_use(world: World) -> None:
    """Nothing is asked."""
    result = world.run("run", "approve", RUN, "review", "--by", "ann", "--form", "low")

    assert (result.exit_code, world.facts.requests) == (2, [])
    assert "name=value" in result.stderr


def test_waits_are_shown_with_who_is_still_asked(world: World) -> None:
    """As a table, as JSON, or as the word that there are none."""
    world.facts.answers["list_waits"] = commands.WaitList(waits=[WAIT])
    shown = world.run("run", "waits", RUN, "--kind", "approval").stdout
    data = world.run("run", "waits", "-o", "json").stdout
    world.facts.answers["list_waits"] = commands.WaitList(waits=[])
    nothing = world.run("run", "waits")

    assert "approval 1 of 2" in shown
    assert "2023-11-14T22:14:20" in shown
    assert json.loads(data)[0]["step"] == "review"
    assert (nothing.stdout, nothing.stderr) == ("", "nothing waits\n")
    assert world.facts.requests[0] == commands.ListWaits(run=RUN, kind="approval")


def test_a_budget_is_extended_once_even_when_the_answer_is_lost(world: World) -> None:
    """A request whose answer is lost is repeated under its key."""
    heard: list[object] = []

    def lost_once(request: object) -> object:
        heard.append(request)
        if len(heard) == 1:
            raise TimedOutError("no answer")
        return state("running")

    world.facts.answers["extend_budget"] = lost_once
    done = world.run("run", "budget", RUN, "--usd", "2.50", "--tokens", "10", "--by", "ann")

    [first, again] = world.facts.requests
    assert isinstance(first, commands.ExtendBudget)
    assert (first.usd, first.tokens, first.by) == ("2.50", 10, "ann")
    assert first.key
    assert again == first
    assert done.stdout == f"run {RUN} is running\n"


def test_a_budget_s_key_may_be_given(world: World) -> None:
    """Then asking again, from anywhere, adds nothing."""
    world.facts.answers["extend_budget"] = state("running")

    world.run("run", "budget", RUN, "--usd", "1", "--key", "audit")

    assert world.facts.requests == [commands.ExtendBudget(run=RUN, usd="1", key="audit")]


@pytest.mark.parametrize("amount", ["2,50", "-1", "much"])
def test_an_amount_that_is_none_is_a_mistake_of_use(world: World, amount: str) -> None:
    """Nothing is asked."""
    result = world.run("run", "budget", RUN, f"--usd={amount}")

    assert (result.exit_code, world.facts.requests) == (2, [])
    assert "no amount such as 2.50" in result.stderr
