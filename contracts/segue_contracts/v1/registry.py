"""The registry: which body belongs to which event type, and what may services be asked?"""

from typing import Final

from segue_contracts.envelope import Event, Message, UndecodableError, decode_body
from segue_contracts.v1 import (
    chat,
    commands,
    control,
    deltas,
    providers,
    runs,
    steps,
    telemetry,
    turns,
)

EVENTS: Final[dict[str, type[Message]]] = {
    "segue.run.started.v1": runs.RunStarted,
    "segue.run.cancel_requested.v1": runs.CancelRequested,
    "segue.run.terminate_requested.v1": runs.TerminateRequested,
    "segue.run.paused.v1": runs.RunPaused,
    "segue.run.resumed.v1": runs.RunResumed,
    "segue.run.parked.v1": runs.RunParked,
    "segue.run.unparked.v1": runs.RunUnparked,
    "segue.run.budget_extended.v1": runs.BudgetExtended,
    "segue.run.lease_held.v1": runs.LeaseHeld,
    "segue.run.lease_granted.v1": runs.LeaseGranted,
    "segue.run.child_started.v1": runs.ChildStarted,
    "segue.run.child_ended.v1": runs.ChildEnded,
    "segue.run.approval_given.v1": runs.ApprovalGiven,
    "segue.run.signal_received.v1": runs.SignalReceived,
    "segue.run.timer_fired.v1": runs.TimerFired,
    "segue.run.ended.v1": runs.RunEnded,
    "segue.run.step_scheduled.v1": steps.StepScheduled,
    "segue.run.step_started.v1": steps.StepStarted,
    "segue.run.step_beat.v1": steps.StepBeat,
    "segue.run.step_waiting.v1": steps.StepWaiting,
    "segue.run.step_mapped.v1": steps.StepMapped,
    "segue.run.step_checked.v1": steps.StepChecked,
    "segue.run.turn_completed.v1": turns.TurnCompleted,
    "segue.run.step_completed.v1": steps.StepCompleted,
    "segue.run.step_failed.v1": steps.StepFailed,
    "segue.run.step_timed_out.v1": steps.StepTimedOut,
    "segue.run.step_cancelled.v1": steps.StepCancelled,
    "segue.run.step_skipped.v1": steps.StepSkipped,
    "segue.run.step_spent.v1": steps.StepSpent,
    "segue.step.delta.v1": deltas.StepDelta,
    "segue.ctl.cancel.v1": control.CancelHint,
    "segue.ctl.cancel_call.v1": control.CancelCall,
    "segue.ctl.credit.v1": control.GrantCredit,
    "segue.tel.service_state_changed.v1": telemetry.ServiceStateChanged,
    "segue.tel.route_decided.v1": telemetry.RouteDecided,
    "segue.tel.model_called.v1": telemetry.ModelCalled,
    "segue.tel.breaker_changed.v1": telemetry.BreakerChanged,
    "segue.tel.providers_reported.v1": providers.ProvidersReported,
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
TERMINATE_RUN: Final = _command(
    "orchestrator", "terminate_run", commands.TerminateRun, commands.RunState
)
PAUSE_RUN: Final = _command("orchestrator", "pause_run", commands.PauseRun, commands.RunState)
RESUME_RUN: Final = _command("orchestrator", "resume_run", commands.ResumeRun, commands.RunState)
RESUME_RUNS: Final = _command(
    "orchestrator", "resume_runs", commands.ResumeRuns, commands.RunsResumed
)
SIGNAL_RUN: Final = _command(
    "orchestrator", "signal_run", commands.SignalRun, commands.SignalAccepted
)
DECIDE_APPROVAL: Final = _command(
    "orchestrator", "decide_approval", commands.DecideApproval, commands.ApprovalRecorded
)
EXTEND_BUDGET: Final = _command(
    "orchestrator", "extend_budget", commands.ExtendBudget, commands.RunState
)
LIST_WAITS: Final = _command("orchestrator", "list_waits", commands.ListWaits, commands.WaitList)
FORK_RUN: Final = _command("orchestrator", "fork_run", commands.ForkRun, commands.RunAccepted)
DIFF_RUNS: Final = _command("orchestrator", "diff_runs", commands.DiffRuns, commands.RunDiff)
REPLAY_RUN: Final = _command(
    "orchestrator", "replay_run", commands.ReplayRun, commands.ReplayResult
)
CHECK_RUNS: Final = _command("orchestrator", "check_runs", commands.CheckRuns, commands.RunsChecked)
SAVE_WORKFLOW: Final = _command(
    "orchestrator", "save_workflow", commands.SaveWorkflow, commands.WorkflowVersion
)
SET_ALIAS: Final = _command(
    "orchestrator", "set_alias", commands.SetAlias, commands.WorkflowVersion
)
LIST_WORKFLOWS: Final = _command(
    "orchestrator", "list_workflows", commands.ListWorkflows, commands.WorkflowList
)
GET_WORKFLOW: Final = _command(
    "orchestrator", "get_workflow", commands.GetWorkflow, commands.WorkflowText
)
GET_RUN: Final = _command("orchestrator", "get_run", commands.GetRun, runs.RunView)
LIST_RUNS: Final = _command("orchestrator", "list_runs", commands.ListRuns, commands.RunList)
POOL_ENSURE: Final = _command(
    "orchestrator", "pool_ensure", commands.EnsurePool, commands.PoolReady
)
LIST_AGENTS: Final = _command("agents", "list", commands.ListAgents, commands.AgentList)
CHAT: Final = _command("providers", "chat", chat.ChatRequest, chat.ChatResponse)
PROVIDERS_STATUS: Final = _command(
    "providers", "status", providers.ProvidersStatus, providers.ProviderList
)
EXPLAIN_ROUTE: Final = _command(
    "providers", "route", providers.ExplainRoute, providers.RouteExplained
)
CHECK_PROVIDER: Final = _command(
    "providers", "test", providers.CheckProvider, providers.ProviderChecked
)
EMBED: Final = _command("providers", "embed", providers.EmbedTexts, providers.TextsEmbedded)
COUNT_TOKENS: Final = _command("providers", "count", providers.CountTokens, providers.TokensCounted)
SPENDING: Final = _command("providers", "spending", providers.GetSpending, providers.Spending)

COMMANDS: Final = (
    START_RUN,
    VALIDATE,
    CANCEL_RUN,
    TERMINATE_RUN,
    PAUSE_RUN,
    RESUME_RUN,
    RESUME_RUNS,
    SIGNAL_RUN,
    DECIDE_APPROVAL,
    EXTEND_BUDGET,
    LIST_WAITS,
    FORK_RUN,
    DIFF_RUNS,
    REPLAY_RUN,
    CHECK_RUNS,
    SAVE_WORKFLOW,
    SET_ALIAS,
    LIST_WORKFLOWS,
    GET_WORKFLOW,
    GET_RUN,
    LIST_RUNS,
    POOL_ENSURE,
    LIST_AGENTS,
    CHAT,
    PROVIDERS_STATUS,
    EXPLAIN_ROUTE,
    CHECK_PROVIDER,
    EMBED,
    COUNT_TOKENS,
    SPENDING,
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
    "CHECK_PROVIDER",
    "CHECK_RUNS",
    "COMMANDS",
    "COUNT_TOKENS",
    "DECIDE_APPROVAL",
    "DIFF_RUNS",
    "EMBED",
    "EVENTS",
    "EXPLAIN_ROUTE",
    "EXTEND_BUDGET",
    "FORK_RUN",
    "GET_RUN",
    "GET_WORKFLOW",
    "LIST_AGENTS",
    "LIST_RUNS",
    "LIST_WAITS",
    "LIST_WORKFLOWS",
    "OUTCOME_OF",
    "PAUSE_RUN",
    "POOL_ENSURE",
    "PROVIDERS_STATUS",
    "REPLAY_RUN",
    "RESUME_RUN",
    "RESUME_RUNS",
    "SAVE_WORKFLOW",
    "SET_ALIAS",
    "SIGNAL_RUN",
    "SPENDING",
    "START_RUN",
    "TERMINATE_RUN",
    "TYPE_OF",
    "VALIDATE",
    "Command",
    "UndecodableError",
    "decode",
]
