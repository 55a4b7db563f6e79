"""Is a key used when it may be, and left alone when it may not?"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.providers.routing_support import NOW

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.health import Result
from segue_providers.core.keys import (
    LIMITED_MS,
    LONGEST_MS,
    NEVER,
    QUOTA_MS,
    Held,
    Keys,
)

BOTH = {"env:A": "a1", "env:B": "b1"}


def pick(keys: Keys, model: str = "m", now_ms: int = NOW) -> str:
    """Return which key a call gets."""
    held = keys.pick(model, now_ms=now_ms)
    assert held is not None
    return held.ref


def fail(
    keys: Keys, error: ErrorClass, *, retry_after_s: float | None = None, model: str = "m"
) -> str:
    """Let a call fail so; return which key it had."""
    held = keys.pick(model, now_ms=NOW)
    assert held is not None
    keys.record(held, model, Result(error=error, retry_after_s=retry_after_s), now_ms=NOW)
    return held.ref


def test_keys_take_turns_and_the_less_busy_goes_first() -> None:
    """Equal load alternates; a key with calls in flight waits."""
    keys = Keys(BOTH)
    held = keys.pick("m", now_ms=NOW)
    assert held == Held("env:A", 1)
    assert [pick(keys), pick(keys)] == ["env:B", "env:A"]
    keys.put_back(held)
    keys.put_back(Held("env:A", 1))

    assert pick(keys) == "env:A"


def test_a_key_that_failed_this_call_is_not_chosen_again() -> None:
    """The caller says which; nothing is left when it says all."""
    keys = Keys(BOTH)

    found = keys.pick("m", now_ms=NOW, without={"env:A"})
    assert found is not None
    assert found.ref == "env:B"
    assert keys.pick("m", now_ms=NOW, without=BOTH) is None


def test_a_refused_key_is_dead_until_it_changes() -> None:
    """No time brings it back, a new key in its place does."""
    keys = Keys({"env:A": "a1"})
    fail(keys, "auth")

    assert keys.free_at("m", now_ms=NOW + 10 * LONGEST_MS) == NEVER
    assert keys.why_not("m", now_ms=NOW) == "auth"
    assert keys.states(now_ms=NOW)[0].reason == "auth"
    keys.renew({"env:A": "a1"})
    assert keys.pick("m", now_ms=NOW) is None
    keys.renew({"env:A": "a2"})
    assert pick(keys) == "env:A"


def test_a_key_that_took_anothers_place_does_not_answer_for_it() -> None:
    """A late refusal of the old key leaves the new one alone."""
    keys = Keys({"env:A": "a1"})
    old = keys.pick("m", now_ms=NOW)
    assert old is not None
    keys.renew({"env:A": "a2"})
    keys.record(old, "m", Result(error="auth"), now_ms=NOW)
    keys.put_back(old)

    assert keys.free_at("m", now_ms=NOW) == 0
    assert keys.pick("m", now_ms=NOW, having={"env:A": "a1"}) is None
    assert keys.pick("m", now_ms=NOW, having={"env:A": "a2"}) is not None


def test_a_key_without_quota_rests_for_long() -> None:
    """An hour, or what its provider says within a day; for all models."""
    keys = Keys({"env:A": "a1"})
    fail(keys, "quota_exhausted", retry_after_s=1)

    assert keys.free_at("other", now_ms=NOW) == NOW + QUOTA_MS
    assert keys.why_not("m", now_ms=NOW) == "quota_exhausted"
    [state] = keys.states(now_ms=NOW)
    assert (state.usable, state.reason, state.until_ms) == (
        False,
        "quota_exhausted",
        NOW + QUOTA_MS,
    )
    assert keys.free_at("m", now_ms=NOW + QUOTA_MS) == 0
    longest = Keys({"env:A": "a1"})
    fail(longest, "quota_exhausted", retry_after_s=1e9)
    assert longest.free_at("m", now_ms=NOW) == NOW + LONGEST_MS


def test_a_key_that_is_asked_too_often_rests_for_that_model() -> None:
    """It rests as long as its provider says, other models are free, the later end holds."""
    keys = Keys({"env:A": "a1"})
    running = [keys.pick("m", now_ms=NOW) for _ in range(2)]
    for held, wait in zip(running, (7.0, 2.0), strict=True):
        assert held is not None
        keys.record(held, "m", Result(error="rate_limited", retry_after_s=wait), now_ms=NOW)

    assert keys.free_at("m", now_ms=NOW) == NOW + 7_000
    assert keys.why_not("m", now_ms=NOW) == "rate_limited"
    assert keys.free_at("other", now_ms=NOW) == 0
    assert keys.why_not("other", now_ms=NOW) == ""
    [state] = keys.states(now_ms=NOW)
    assert (state.reason, state.until_ms) == ("rate_limited", NOW + 7_000)
    assert keys.states(now_ms=NOW + 7_000)[0].usable


def test_without_a_word_on_how_long_the_rest_is_short() -> None:
    """Five seconds are a guess that costs little."""
    keys = Keys({"env:A": "a1"})
    fail(keys, "rate_limited")

    assert keys.free_at("m", now_ms=NOW) == NOW + LIMITED_MS


def test_the_first_key_to_be_free_counts() -> None:
    """A dead key beside a resting one leaves the rest's end."""
    keys = Keys(BOTH | {"env:C": "c1"})
    fail(keys, "auth")
    fail(keys, "rate_limited", retry_after_s=9)
    fail(keys, "rate_limited", retry_after_s=4)

    assert keys.free_at("m", now_ms=NOW) == NOW + 4_000
    assert keys.why_not("m", now_ms=NOW) == "auth, rate_limited"


def test_invented_models_do_not_fill_a_key() -> None:
    """However many models are limited, few are remembered, those with the latest ends."""
    keys = Keys({"env:A": "a1"})
    for n in range(200):
        fail(keys, "rate_limited", retry_after_s=10 + n, model=f"m{n}")

    assert keys.free_at("m199", now_ms=NOW) == NOW + 209_000
    assert keys.free_at("m0", now_ms=NOW) == 0


def test_other_errors_leave_a_key_alone() -> None:
    """A server's trouble is not its key's."""
    keys = Keys({"env:A": "a1"})
    fail(keys, "server_error")

    assert pick(keys) == "env:A"


def test_a_provider_without_keys_has_none_to_give() -> None:
    """No key is free where there is none."""
    assert Keys({}).free_at("m", now_ms=NOW) == NEVER
    assert Keys({}).pick("m", now_ms=NOW) is None


class KeysMachine(RuleBasedStateMachine):
    """Any calls with any outcomes, changes of keys, and time."""

    @initialize()
    def begin(self) -> None:
        """Start with two keys."""
        self.keys = Keys(BOTH)
        self.prints = dict(BOTH)
        self.now = NOW
        self.running: list[tuple[Held, str, str]] = []
        self.dead: set[tuple[str, str]] = set()
        self.rests: dict[tuple[str, str, str], int] = {}

    @rule(ms=st.sampled_from([1, 1_000, 60_000, QUOTA_MS]))
    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms

    @rule(ref=st.sampled_from(sorted(BOTH)), version=st.integers(1, 3))
    def change(self, ref: str, version: int) -> None:
        """Put another key in a place."""
        changed = f"{ref}{version}"
        if changed != self.prints.get(ref):
            gone = {one for one in self.dead if one[0] == ref}
            self.dead -= gone
            self.rests = {one: until for one, until in self.rests.items() if one[0] != ref}
        self.prints[ref] = changed
        self.keys.renew(self.prints)

    @rule(model=st.sampled_from(["m", "n"]))
    def pick(self, model: str) -> None:
        """Begin a call."""
        free_at = self.keys.free_at(model, now_ms=self.now)
        held = self.keys.pick(model, now_ms=self.now)
        assert (held is None) == (free_at != 0)
        if held is None:
            return
        mark = (held.ref, self.prints[held.ref])
        assert mark not in self.dead, "a dead key was used"
        for scope in (model, "*"):
            assert self.rests.get((*mark, scope), 0) <= self.now, "a resting key was used"
        self.running.append((held, self.prints[held.ref], model))

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        error=st.sampled_from([None, "auth", "rate_limited", "quota_exhausted", "server_error"]),
        retry_after_s=st.none() | st.floats(0.001, 100),
    )
    def record(self, data: st.DataObject, error: ErrorClass, retry_after_s: float) -> None:
        """Let a call end."""
        index = data.draw(st.integers(0, len(self.running) - 1))
        held, version, model = self.running.pop(index)
        result = Result(error=error, retry_after_s=retry_after_s)
        self.keys.record(held, model, result, now_ms=self.now)
        if self.prints[held.ref] != version or held.serial != self._serial(held.ref):
            return
        mark = (held.ref, version)
        if error == "auth":
            self.dead.add(mark)
        elif error == "quota_exhausted":
            self._rest((*mark, "*"), QUOTA_MS)
        elif error == "rate_limited":
            self._rest((*mark, model), round((retry_after_s or 0) * 1000) or LIMITED_MS)

    @invariant()
    def nothing_is_in_flight_below_nought(self) -> None:
        """Each key counts the calls that run with it."""
        for ref, key in self.keys._keys.items():
            running = sum(held == Held(ref, key.serial) for held, _, _ in self.running)
            assert key.in_flight == running

    def _serial(self, ref: str) -> int:
        return self.keys._keys[ref].serial

    def _rest(self, mark: tuple[str, str, str], ms: int) -> None:
        self.rests[mark] = max(self.rests.get(mark, 0), self.now + ms)


KeysMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestKeysMachine = KeysMachine.TestCase
