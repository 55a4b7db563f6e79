"""Beats: which may the journal let go of, so that no fold notices?"""

from support.history import Event, History, beat, began, completed, fired, scheduled
from support.journal import T0

from segue_orchestrator.core.evolve import evolve
from segue_orchestrator.core.invariants import differences
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.beats import Beats

DAY_MS = 24 * 3_600_000
LONG = "{name: w, steps: [{key: a, pool: p, timeouts: {heartbeat: 10s}, retry: {maxAttempts: 3}}]}"
PLAIN = "{name: w, steps: [{key: a, pool: p}]}"


class Watched:
    """A run whose beats are watched, as its owner does."""

    def __init__(self, text: str) -> None:
        self.run = History(text)
        self.beats = Beats()
        self.gone: set[int] = set()

    def given(self, *events: Event, at_ms: int = 0) -> "Watched":
        """Fold events, and let go of what is outdated."""
        for event in events:
            self.run.given(event, at_ms=at_ms)
            self.beats.note(self.run.world.journals[self.run.run][-1].entry)
            self.gone.update(self.beats.outdated(self.run.state, self.run.plan))
        return self

    @property
    def held(self) -> list[str]:
        """The beats that the journal still holds."""
        events = (event.entry for event in self.run.world.journals[self.run.run])
        return [
            ".".join(entry.event)
            for entry in events
            if "beat" in entry.event and entry.sequence not in self.gone
        ]

    def folded_anew(self) -> RunState:
        """Return the run as somebody folds it who sees what is left."""
        world = self.run.world
        state = world.started(self.run.run)
        for event in world.journals[self.run.run][1:]:
            if event.entry.sequence not in self.gone:
                evolve(state, self.run.plan, event.entry)
        return state


def test_a_day_of_beats_costs_the_beats_of_one_heartbeat() -> None:
    """Each is let go of once another has followed and its own time is over."""
    run = Watched(LONG).given(scheduled("a"), began("a"))
    most = 0
    for number in range(1, DAY_MS // 60_000):
        run.given(beat("a", number=number), at_ms=number * 3_333)
        most = max(most, len(run.held))

    assert most == 4
    assert differences(run.run.state, run.folded_anew()) == []


def test_the_last_sign_of_life_stays() -> None:
    """Whoever folds the run anew must know how long the worker has been silent."""
    run = Watched(LONG).given(scheduled("a"), began("a"), beat("a")).given(fired(120_000))

    assert run.held == ["step.a.1.beat.1"]
    assert run.folded_anew().step("a").alive_ms > T0


def test_a_sign_of_life_that_comes_again_is_no_second_one() -> None:
    """A delivery may be repeated, and the only beat of an attempt has to stay."""
    run = Watched(PLAIN).given(scheduled("a"), beat("a"))
    run.beats.note(run.run.world.journals[run.run.run][-1].entry)

    run.given(fired(120_000))

    assert run.held == ["step.a.1.beat.1"]


def test_beats_that_nobody_asked_for_are_let_go_of_at_once() -> None:
    """No limit counts from them."""
    run = Watched(PLAIN).given(scheduled("a"), *(beat("a", number=n) for n in range(1, 9)))

    assert run.held == ["step.a.1.beat.8"]
    assert differences(run.run.state, run.folded_anew()) == []


def test_each_attempt_has_beats_of_its_own() -> None:
    """Those of one that is over are no longer looked at, and some may stay."""
    run = Watched(LONG).given(scheduled("a"), beat("a", number=1), beat("a", number=2))
    run.given(completed("a"))
    run.given(beat("a", 2, number=1), at_ms=30_000)

    assert run.held == ["step.a.1.beat.1", "step.a.1.beat.2", "step.a.2.beat.1"]
    assert differences(run.run.state, run.folded_anew()) == []
