"""The registry: which body belongs to which event type, and what may services be asked?"""

from typing import Final

from segue_contracts.envelope import Event, Message, UndecodableError, decode_body
from segue_contracts.v1 import chat, commands, control, deltas, runs, steps, telemetry, turns

EVENTS: Final[dict[str, type[Message]]] = {
    "segue.run.started.v1": runs.RunStarted,
    "segue.run.cancel_requested.v1": runs.CancelRequested,
    "segue.run.paused.v1": runs.RunPaused,
    "segue.run.resumed.v1": runs.RunResumed,
    "segue.run.parked.v1": runs.RunParked,
    "segue.run.unparked.v1": runs.RunUnparked,
    "segue.run.signal_received.v1": runs.SignalReceived,
    "segue.run.timer_fired.v1": runs.TimerFired,
    "segue.run.ended.v1": runs.RunEnded,
    "segue.run.step_scheduled.v1": steps.StepScheduled,
    "segue.run.step_started.v1": steps.StepStarted,
    "segue.run.turn_completed.v1": turns.TurnCompleted,
    "segue.run.step_completed.v1": steps.StepCompleted,
    "segue.run.step_failed.v1": steps.StepFailed,
    "segue.run.step_timed_out.v1": steps.StepTimedOut,
    "segue.run.step_cancelled.v1": steps.StepCancelled,
    "segue.run.step_skipped.v1": steps.StepSkipped,
    "segue.step.delta.v1": deltas.StepDelta,
    "segue.ctl.cancel.v1": control.CancelHint,
    "segue.tel.service_state_changed.v1": telemetry.ServiceStateChanged,
    "segue.tel.route_decided.v1": telemetry.RouteDecided,
    "segue.dead_letter.v1": telemetry.DeadLetter,
}
"""Every event type and its body."""

TYPE_OF: Final[dict[type[Message], str]] = {body: name for name, body in EVENTS.items()}
"""The event type of each body."""

OUTCOME_OF: Final[dict[type[Message], steps.OutcomeStatus]] = {
    steps.StepCompleted: "completed",
    steps.StepFailed: "failed",
    steps.StepTimedOut: "timed_out",
    steps.StepCancelled: "cancelled",
    steps.StepSkipped: "skipped",
}
"""The last subject token of each outcome."""


class Command(Message, frozen=True, kw_only=True):
    """One thing that may be asked of a service."""

    service: str
    """Who answers."""
    verb: str
    """The last subject token."""
    request: type[Message]
    """The request's body."""
    result: type[Message]
    """The result's body."""


def _command(service: str, verb: str, request: type[Message], result: type[Message]) -> Command:
    return Command(service=service, verb=verb, request=request, result=result)


START_RUN: Final = _command("orchestrator", "start_run", commands.StartRun, commands.RunAccepted)
VALIDATE: Final = _command(
    "orchestrator", "validate", commands.ValidateWorkflow, commands.WorkflowValid
)
CANCEL_RUN: Final = _command(
    "orchestrator", "cancel_run", commands.CancelRun, commands.CancelAccepted
)
GET_RUN: Final = _command("orchestrator", "get_run", commands.GetRun, runs.RunView)
LIST_RUNS: Final = _command("orchestrator", "list_runs", commands.ListRuns, commands.RunList)
POOL_ENSURE: Final = _command(
    "orchestrator", "pool_ensure", commands.EnsurePool, commands.PoolReady
)
LIST_AGENTS: Final = _command("agents", "list", commands.ListAgents, commands.AgentList)
CHAT: Final = _command("providers", "chat", chat.ChatRequest, chat.ChatResponse)
PROVIDERS_STATUS: Final = _command(
    "providers", "status", commands.ProvidersStatus, commands.ProviderList
)

COMMANDS: Final = (
    START_RUN,
    VALIDATE,
    CANCEL_RUN,
    GET_RUN,
    LIST_RUNS,
    POOL_ENSURE,
    LIST_AGENTS,
    CHAT,
    PROVIDERS_STATUS,
)
"""Every command of every service."""


def decode(event: Event) -> Message | None:
    """Decode an event's body by its type; None for a type that is not known here.

    Raises:
        UndecodableError: The body does not fit its type.
    """
    kind = EVENTS.get(event.type)
    return None if kind is None else decode_body(event.data, kind)


__all__ = [
    "CANCEL_RUN",
    "CHAT",
    "COMMANDS",
    "EVENTS",
    "GET_RUN",
    "LIST_AGENTS",
    "LIST_RUNS",
    "OUTCOME_OF",
    "POOL_ENSURE",
    "PROVIDERS_STATUS",
    "START_RUN",
    "TYPE_OF",
    "VALIDATE",
    "Command",
    "UndecodableError",
    "decode",
]
