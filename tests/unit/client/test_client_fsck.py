"""`segue doctor --fsck`: is what the engine finds in its journals told?"""

import json

from unit.client.client_world import World

from segue_contracts.v1.commands import CheckRuns, RunsChecked, Violation

BROKEN = Violation(
    run="01abcdef", invariant="next_cause", message="step.a.1.scheduled is due, [sic]"
)


def test_sound_journals_end_with_zero(world: World) -> None:
    """How much was looked at is told."""
    world.facts.answers["check_runs"] = RunsChecked(checked=2, events=1_204, violations=[])

    result = world.run("doctor", "--fsck")

    assert (result.exit_code, result.stdout) == (0, "2 runs, 1,204 events: nothing found\n")


def test_what_is_found_ends_with_one(world: World) -> None:
    """Each with its run and the invariant that it breaks, as the engine said it."""
    world.facts.answers["check_runs"] = RunsChecked(checked=1, events=3, violations=[BROKEN])

    result = world.run("doctor", "--fsck", "01abcdef")

    assert result.exit_code == 1
    assert result.stdout == (
        "fail run 01abcdef: next_cause: step.a.1.scheduled is due, [sic]\n"
        "1 run, 3 events: 1 found\n"
    )


def test_what_is_found_can_be_read_by_programs(world: World) -> None:
    """As one JSON object, whatever the exit code."""
    world.facts.answers["check_runs"] = RunsChecked(checked=1, events=3, violations=[BROKEN])

    result = world.run("doctor", "--fsck", "-o", "json")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "checked": 1,
        "events": 3,
        "violations": [
            {"run": "01abcdef", "invariant": "next_cause", "message": BROKEN.message},
        ],
    }


def test_a_run_without_the_check_is_wrong_use(world: World) -> None:
    """The doctor looks at no single run otherwise."""
    result = world.run("doctor", "01abcdef")

    assert result.exit_code == 2
    assert "segue doctor --fsck 01abcdef" in result.stderr


def test_all_runs_are_gone_through(world: World) -> None:
    """Page by page, and told as one."""

    def answer(request: CheckRuns) -> RunsChecked:
        found = [] if request.after else [BROKEN]
        following = "" if request.after else "01abcdef"
        return RunsChecked(checked=1, events=2, violations=found, next=following)

    world.facts.answers["check_runs"] = answer

    result = world.run("doctor", "--fsck")

    assert result.stdout.endswith("2 runs, 4 events: 1 found\n")
    assert [request.after for request in world.facts.requests] == ["", "01abcdef"]
