"""Do health, breakers and keys work together for each call, and is it told to operators?"""

import msgspec
from unit.providers.routing_support import (
    CLAUDE,
    GEMINI,
    NOW,
    OPUS,
    asking,
    called,
    catalogue,
    fleet_of,
    routed,
)

from segue_contracts.v1.providers import KeyState, ProviderList
from segue_providers.core.breaker import OPEN_MS
from segue_providers.core.catalogue import Found, Target
from segue_providers.core.fleet import KEYLESS, Admission, Barred, Fleet
from segue_providers.core.health import MOST_MODELS, Result
from segue_providers.core.standing import explained, listed

DOWN = Result(error="transport")


def admitted(fleet: Fleet, target: Target = CLAUDE, **how: object) -> Admission:
    """Admit a call."""
    admission = fleet.admit(target, now_ms=NOW, **how)  # type: ignore[arg-type]
    assert isinstance(admission, Admission), admission
    return admission


def barred(fleet: Fleet, target: Target = CLAUDE, now_ms: int = NOW, **how: object) -> Barred:
    """Have a call refused."""
    found = fleet.admit(target, now_ms=now_ms, **how)  # type: ignore[arg-type]
    assert isinstance(found, Barred)
    return found


def test_a_call_is_counted_while_it_runs() -> None:
    """Admission takes a place and a key, the record gives both back."""
    fleet = fleet_of(None, "env:A", "env:B")
    one, other = admitted(fleet), admitted(fleet)

    assert {one.key, other.key} == {"env:A", "env:B"}
    vital = fleet.vital(CLAUDE)
    assert vital is not None
    assert vital.in_flight == 2
    fleet.record(one, Result(total_ms=9), now_ms=NOW, jitter=0)
    assert (vital.in_flight, vital.latency_ms) == (1, 9)


def test_a_refusal_says_what_stands_in_the_way() -> None:
    """Breaker, room and keys each have their class of error and their end."""
    fleet = fleet_of()
    called(fleet, CLAUDE, *[DOWN] * 5)
    opened = barred(fleet)
    assert (opened.error, opened.until_ms) == ("overloaded", NOW + OPEN_MS)
    probe = fleet.admit(CLAUDE, now_ms=NOW + OPEN_MS)
    assert isinstance(probe, Admission)
    assert "half-open" in barred(fleet, now_ms=NOW + OPEN_MS).reason

    fleet = fleet_of()
    called(fleet, CLAUDE, Result(error="quota_exhausted"))
    assert barred(fleet).error == "quota_exhausted"
    assert "no other key" in barred(fleet_of(), without=["env:KEY"]).reason


def test_a_refused_call_keeps_no_key() -> None:
    """A key that was picked for a call that the breaker refused is as free as before."""
    fleet = fleet_of(None, "env:A", "env:B")
    called(fleet, CLAUDE, *[DOWN] * 5)
    barred(fleet)

    assert [key.in_flight for key in fleet._keys["claude"]._keys.values()] == [0, 0]


def test_a_provider_without_keys_is_called_without_one() -> None:
    """Servers that want no key have one empty place for it."""
    fleet = Fleet()
    fleet.renew({"claude": {KEYLESS: ""}}, most={})

    assert admitted(fleet).key == KEYLESS
    assert fleet.key_states("claude", now_ms=NOW) == []
    called(fleet, GEMINI, *[DOWN] * 5)
    assert barred(fleet, GEMINI).error == "overloaded"
    assert admitted(fleet, Target("gemini", "flash")).key == KEYLESS


def test_a_call_of_before_a_change_uses_no_key_of_after() -> None:
    """A setup has its own clients; a key that it lacks is not handed to its calls."""
    fleet = fleet_of()
    fleet.renew({"claude": {"env:KEY": "2"}}, most={})

    assert barred(fleet, having={"env:KEY": "1"}).error == "auth"
    assert admitted(fleet, having={"env:KEY": "2"}).key == "env:KEY"
    # A provider that is gone from the configuration still serves those that began with it.
    gone = admitted(fleet, GEMINI, having={"env:OLD": "1"})
    assert gone.key == "env:OLD"
    fleet.record(gone, Result(), now_ms=NOW, jitter=0)


def test_a_new_configuration_forgets_nothing_of_keys_that_stay() -> None:
    """A key that was refused stays refused when something else changes."""
    fleet = fleet_of()
    called(fleet, CLAUDE, Result(error="auth"))
    fleet.renew({"claude": {"env:KEY": "1"}, "new": {KEYLESS: ""}}, most={})

    assert barred(fleet).reason == "every key was refused (auth); set a new one"


def test_changes_of_breakers_are_told_once() -> None:
    """Whoever publishes them gets each change, with its model, in order."""
    fleet = fleet_of()
    called(fleet, CLAUDE, *[DOWN] * 5)
    assert fleet.awaiting_probe(now_ms=NOW) == []
    assert fleet.awaiting_probe(now_ms=NOW + OPEN_MS) == [CLAUDE]

    told = fleet.turned()

    assert [(one.target, one.change.state) for one in told] == [
        (CLAUDE, "open"),
        (CLAUDE, "half_open"),
    ]
    assert fleet.turned() == []


def test_a_probe_moves_the_breaker_and_no_average() -> None:
    """Listing models is reachable or not; how fast it was says nothing of answers."""
    fleet = fleet_of()
    called(fleet, CLAUDE, *[DOWN] * 5)
    at = NOW + OPEN_MS
    probe = fleet.admit(CLAUDE, now_ms=at)
    assert isinstance(probe, Admission)
    fleet.record_probe(probe, Result(total_ms=1), now_ms=at, jitter=0)

    vital, breaker = fleet.vital(CLAUDE), fleet.breaker(CLAUDE)
    assert vital is not None
    assert breaker is not None
    assert (vital.latency_ms, vital.in_flight, vital.window.calls(at)) == (0, 0, 5)
    assert not breaker.awaits_probe(at)


def test_invented_models_leave_no_breakers_behind() -> None:
    """The number of breakers is bounded as that of models is."""
    fleet = fleet_of()
    for n in range(MOST_MODELS * 2):
        called(fleet, Target("claude", f"m{n}"))

    assert len(fleet._breakers) <= MOST_MODELS + 2


def test_operators_see_how_everything_stands() -> None:
    """Each provider, its models with their figures, and its keys without the keys."""
    fleet = fleet_of()
    called(fleet, CLAUDE, Result(total_ms=80, first_token_ms=8), *[DOWN] * 5)
    called(fleet, GEMINI, Result(error="auth"))
    admitted(fleet, OPUS)
    found = catalogue(offline=Found(obstacle="turned off"))

    told = listed(
        found, fleet, now_ms=NOW, digest="abc", refused=["providers.yaml:1: bad"], instance="p-1"
    )

    claude, gemini, offline = told.providers
    assert (claude.available, claude.wire, claude.priority) == (False, "anthropic", 1)
    assert claude.reason == "its breaker is open, next try in 15 s"
    opus, sonnet = claude.models
    assert (opus.model, opus.breaker, opus.in_flight) == ("opus", "closed", 1)
    assert (sonnet.breaker, sonnet.open_until_ms) == ("open", NOW + OPEN_MS)
    assert (sonnet.latency_ms, sonnet.first_token_ms) == (80, 8)
    assert (round(sonnet.error_rate, 2), sonnet.requests_per_minute) == (0.83, 6)
    assert gemini.keys == [KeyState(ref="env:KEY", usable=False, reason="auth")]
    assert (offline.available, offline.reason) == (False, "turned off")
    assert (told.policy, told.configuration, told.instance) == ("priority", "abc", "p-1")
    assert told.refused == ["providers.yaml:1: bad"]
    assert msgspec.json.decode(msgspec.json.encode(told), type=ProviderList) == told


def test_operators_see_who_would_serve_a_request() -> None:
    """The candidates of a decision are shown with what is in the way of all."""
    shown = explained(routed(asking(order=["gemini"])))
    assert [one.provider for one in shown.candidates] == ["gemini", "claude", "offline"]
    assert shown.policy == "priority"
    gone = {name: Found(obstacle="off") for name in ("claude", "gemini", "offline")}

    assert explained(routed(found=gone)).warnings == [
        "no provider can serve this call (claude: off; gemini: off; offline: off)"
    ]
