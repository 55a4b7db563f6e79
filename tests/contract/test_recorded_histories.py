"""Recorded histories: does the engine still decide on them what it once decided?"""

from pathlib import Path

import pytest
from support.journal import World
from support.owners import Owner
from support.record import FOLDER, HISTORIES, lines, read_history

from segue_contracts.v1.events import frame
from segue_orchestrator.core import effects as fx
from segue_orchestrator.core.decide import remember
from segue_orchestrator.core.evolve import evolve
from segue_orchestrator.core.invariants import check_journal
from segue_orchestrator.core.messages import SOURCE

PATHS = sorted(FOLDER.glob("*.jsonl"))


def world_of(path: Path) -> World:
    """Return a world that holds a recorded history."""
    workflows, history = read_history(path)
    world = World(*workflows)
    world.load(history)
    return world


def is_decided(event: tuple[str, ...]) -> bool:
    """Tell whether an event of the engine is a decision on the run that it belongs to."""
    return event[0] in {"step", "parked", "ended"} or event[::2] == ("child", "started")


def recorded(world: World, run: str) -> dict[str, bytes]:
    """Return what the engine decided on a run, by subject."""
    events = [event for event in world.journals[run] if is_decided(event.entry.event)]
    of_engine = [event for event in events if event.frame and event.frame.source == SOURCE]
    log = {event.entry.sequence: world.log[event.entry.sequence - 1] for event in of_engine}
    return {stored.subject: bytes(stored.data) for stored in log.values()}


def replayed(world: World, run: str) -> dict[str, bytes]:
    """Return what the engine decides on each prefix of a run's journal, by subject.

    Each event is framed with the time at which it was recorded, if it was.
    """
    owner, decided = Owner(world), dict[str, bytes]()
    state = owner.states[run] = world.started(run)
    plan = world.plan(run)
    times = {
        event.frame.id: event.frame.time for event in world.journals[run] if event.frame is not None
    }
    for event in world.journals[run]:
        evolve(state, plan, event.entry)
        decision = owner.decide(run)
        for effect in decision.effects:
            if not isinstance(effect, fx.Durable):
                continue
            fact = world.fact(effect, state)
            data = frame(
                fact.body,
                subject=fact.subject,
                source=SOURCE,
                about=run,
                time=times.get(fact.subject, ""),
            )
            decided.setdefault(fact.subject, data)
        remember(state, decision)
    return decided


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_recorded_history_is_decided_on_as_it_was(path: Path) -> None:
    """At every prefix, byte for byte: nothing else, and nothing less."""
    world = world_of(path)

    for run in world.journals:
        assert replayed(world, run) == recorded(world, run)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_recorded_history_keeps_the_invariants(path: Path) -> None:
    """However it is folded."""
    world = world_of(path)

    for run, journal in world.journals.items():
        entries = [event.entry for event in journal[1:]]
        state, breaches = check_journal(
            lambda run=run: world.started(run), world.plan(run), entries
        )
        assert breaches == []
        assert state.ended is not None


@pytest.mark.parametrize("name", HISTORIES)
def test_recording_anew_changes_nothing(name: str) -> None:
    """The recorded files are those that the engine would write today."""
    data = b"\n".join(lines(HISTORIES[name]())) + b"\n"

    assert (FOLDER / f"{name}.jsonl").read_bytes() == data


def test_no_history_is_left_over() -> None:
    """Each file has its recipe."""
    assert {path.stem for path in PATHS} == set(HISTORIES)
