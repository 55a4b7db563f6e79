"""Channels: on which subject does each event travel, and who says it?

An address is a subject whose ids are `<names>`; `subjects` builds the real ones.
"""

from typing import Final

import msgspec

from segue_contracts.envelope import Message
from segue_contracts.v1 import (
    control,
    deltas,
    providers,
    runs,
    steps,
    subjects,
    telemetry,
    turns,
)

Producers = tuple[str, ...]

PARAMETERS: Final[dict[str, str]] = {
    "ns": "The tenant's namespace, `default` unless configured.",
    "shard": "The run's virtual shard: CRC-32 of the run's id modulo 256, two hexadecimal digits.",
    "run": "The run's id, lower-case letters and digits, ordered by time.",
    "key": "The step's key as a token: `_` doubles, any other byte than `a-z0-9-` is `_xx`, "
    "map items append `~<index>`, and the task that undoes a step appends `~undo`.",
    "attempt": "The step's attempt, counted from 1.",
    "pool": "Who serves the task.",
    "class": "The task's priority, `p0` to `p3`.",
    "n": "A number that tells events of one kind apart.",
    "id": "An id that tells events of one kind apart.",
    "call": "Names a call to a model: `call-` and the first 16 digits of the SHA-256 of its id.",
    "lease": "Names a lease: the first 32 digits of the SHA-256 of its kind, workflow and key.",
    "service": "The service's name.",
    "state": "The instance's state.",
    "reason": "The typed reason.",
    "topic": "The user's own topic, one token or more.",
}
"""What the names in addresses stand for."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """An address and what is said there."""

    name: str
    """Short name, unique among channels."""
    address: str
    """The subject with `<names>` for ids."""
    description: str
    """What travels there, in one sentence."""
    body: type[Message] | None = None
    """The body of the framed event; None when what travels there is not an event of ours."""
    producers: Producers = ()
    """The services that publish there; empty when users' systems or the broker do."""


_RUN: Final = f"{subjects.PREFIX}.<ns>.run.<shard>.<run>"
_ATTEMPT: Final = f"{_RUN}.step.<key>.<attempt>"

_ORCHESTRATOR: Final = ("orchestrator",)
_WORKERS: Final = ("agents", "providers")
_SETTLERS: Final = ("orchestrator", *_WORKERS)
_SERVICES: Final = ("orchestrator", "agents", "providers", "events", "gateway")
_CALLERS: Final = ("agents", "gateway")
_CONSUMING: Final = ("orchestrator", "agents", "providers", "events")


def _event(name: str, address: str, body: type[Message], producers: Producers) -> Channel:
    description = (body.__doc__ or "").partition("\n")[0]
    return Channel(
        name=name, address=address, description=description, body=body, producers=producers
    )


CHANNELS: Final = (
    _event("run.started", f"{_RUN}.started", runs.RunStarted, _ORCHESTRATOR),
    _event("run.cancel_requested", f"{_RUN}.cancel_requested", runs.CancelRequested, _ORCHESTRATOR),
    _event(
        "run.terminate_requested",
        f"{_RUN}.terminate_requested",
        runs.TerminateRequested,
        _ORCHESTRATOR,
    ),
    _event("run.paused", f"{_RUN}.paused.<n>", runs.RunPaused, _ORCHESTRATOR),
    _event("run.resumed", f"{_RUN}.resumed.<n>", runs.RunResumed, _ORCHESTRATOR),
    _event("run.parked", f"{_RUN}.parked.<n>", runs.RunParked, _ORCHESTRATOR),
    _event("run.unparked", f"{_RUN}.unparked.<n>", runs.RunUnparked, _ORCHESTRATOR),
    _event("run.budget_extended", f"{_RUN}.budget.<id>", runs.BudgetExtended, _ORCHESTRATOR),
    _event("run.lease_held", f"{_RUN}.held.<lease>", runs.LeaseHeld, _ORCHESTRATOR),
    _event("run.lease_granted", f"{_RUN}.granted.<lease>", runs.LeaseGranted, _ORCHESTRATOR),
    _event("run.child_started", f"{_RUN}.child.<id>.started", runs.ChildStarted, _ORCHESTRATOR),
    _event("run.child_ended", f"{_RUN}.child.<id>.ended", runs.ChildEnded, _ORCHESTRATOR),
    _event("run.approval_given", f"{_RUN}.approval.<id>", runs.ApprovalGiven, _ORCHESTRATOR),
    _event("run.signal_received", f"{_RUN}.signal.<id>", runs.SignalReceived, _ORCHESTRATOR),
    _event("run.timer_fired", f"{_RUN}.timer.<n>", runs.TimerFired, _ORCHESTRATOR),
    _event("run.ended", f"{_RUN}.ended", runs.RunEnded, _ORCHESTRATOR),
    _event(
        "run.step_scheduled",
        f"{_ATTEMPT}.scheduled.<pool>.<class>",
        steps.StepScheduled,
        _ORCHESTRATOR,
    ),
    _event("run.step_started", f"{_ATTEMPT}.started", steps.StepStarted, _WORKERS),
    _event("run.step_beat", f"{_ATTEMPT}.beat.<n>", steps.StepBeat, _WORKERS),
    _event("run.step_waiting", f"{_ATTEMPT}.waiting", steps.StepWaiting, _ORCHESTRATOR),
    _event("run.step_mapped", f"{_ATTEMPT}.mapped", steps.StepMapped, _ORCHESTRATOR),
    _event("run.step_checked", f"{_ATTEMPT}.checked", steps.StepChecked, _ORCHESTRATOR),
    _event("run.turn_completed", f"{_ATTEMPT}.turn.<n>", turns.TurnCompleted, ("agents",)),
    _event("run.step_completed", f"{_ATTEMPT}.outcome.completed", steps.StepCompleted, _SETTLERS),
    _event("run.step_failed", f"{_ATTEMPT}.outcome.failed", steps.StepFailed, _SETTLERS),
    _event("run.step_timed_out", f"{_ATTEMPT}.outcome.timed_out", steps.StepTimedOut, _SETTLERS),
    _event("run.step_cancelled", f"{_ATTEMPT}.outcome.cancelled", steps.StepCancelled, _SETTLERS),
    _event("run.step_spent", f"{_ATTEMPT}.spent.<id>", steps.StepSpent, _WORKERS),
    _event("run.step_skipped", f"{_ATTEMPT}.outcome.skipped", steps.StepSkipped, _ORCHESTRATOR),
    _event("step.delta", f"{subjects.PREFIX}.<ns>.delta.<run>.<key>", deltas.StepDelta, _WORKERS),
    _event(
        "ctl.cancel", f"{subjects.PREFIX}.<ns>.ctl.<run>.cancel", control.CancelHint, _ORCHESTRATOR
    ),
    _event(
        "ctl.cancel_call",
        f"{subjects.PREFIX}.<ns>.ctl.<call>.cancel_call",
        control.CancelCall,
        _CALLERS,
    ),
    _event(
        "ctl.credit", f"{subjects.PREFIX}.<ns>.ctl.<call>.credit", control.GrantCredit, _CALLERS
    ),
    _event(
        "tel.service_state_changed",
        f"{subjects.PREFIX}.<ns>.tel.<service>.service.<state>",
        telemetry.ServiceStateChanged,
        _SERVICES,
    ),
    _event(
        "tel.route_decided",
        f"{subjects.PREFIX}.<ns>.tel.providers.router.route_decided",
        telemetry.RouteDecided,
        ("providers",),
    ),
    _event(
        "tel.model_called",
        f"{subjects.PREFIX}.<ns>.tel.providers.router.model_called",
        telemetry.ModelCalled,
        ("providers",),
    ),
    _event(
        "tel.breaker_changed",
        f"{subjects.PREFIX}.<ns>.tel.providers.breaker.<state>",
        telemetry.BreakerChanged,
        ("providers",),
    ),
    _event(
        "tel.providers_reported",
        f"{subjects.PREFIX}.<ns>.tel.providers.health.reported",
        providers.ProvidersReported,
        ("providers",),
    ),
    _event(
        "dead_letter",
        f"{subjects.PREFIX}.<ns>.dead.<service>.<reason>",
        telemetry.DeadLetter,
        _CONSUMING,
    ),
    Channel(
        name="timer",
        address=f"{subjects.PREFIX}.<ns>.timer.<shard>.<run>.<n>",
        description="A schedule that the broker fires at its deadline `<n>`, or with `cancelled` "
        "in its place the message that takes it back.",
        producers=_ORCHESTRATOR,
    ),
    Channel(
        name="fired",
        address=f"{subjects.PREFIX}.<ns>.fired.<shard>.<run>.<n>",
        description="A schedule that the broker has fired.",
    ),
    Channel(
        name="in",
        address=f"{subjects.PREFIX}.<ns>.in.<topic>",
        description="An event of a user's own system, any JSON.",
        producers=("client",),
    ),
)
"""Every channel but commands and facts, which follow from the registry and the journal."""

CHANNEL_OF: Final[dict[type[Message], Channel]] = {
    channel.body: channel for channel in CHANNELS if channel.body is not None
}
"""The channel of each event body."""


def fact_channels() -> tuple[Channel, ...]:
    """Return the channels of the copies that the broker makes of stored journal events."""
    return tuple(
        msgspec.structs.replace(
            channel,
            name=channel.name.replace("run.", "fact.", 1),
            address=subjects.fact_of(channel.address),
            producers=(),
        )
        for channel in CHANNELS
        if channel.address.startswith(_RUN)
    )
