"""Signals: may a run be sent this one, and is one sent again the same?"""

from segue_contracts.payload import Value
from segue_contracts.v1 import runs
from segue_contracts.v1.commands import SignalRun
from segue_contracts.v1.subjects import short_hash
from segue_orchestrator.core.control import check_alive, refusal
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import RunState


def check_signal(state: RunState, plan: Plan, request: SignalRun) -> None:
    """Check that a step of a run waits for a signal of this name, now or later.

    Raises:
        ControlError: None does, or the run has ended.
    """
    check_alive(state)
    waits = (step.wait for step in plan.steps.values())
    names = sorted({wait.name for wait in waits if wait is not None and wait.kind == "signal"})
    if request.name not in names:
        known = f"its signals are {', '.join(names)}" if names else "it waits for no signals"
        message = f"no step of workflow {plan.name} waits for a signal {request.name!r}; {known}"
        raise refusal("not_found", message, pointer="/name")


def signal_id(key: str) -> str:
    """Return the id of the signal that an idempotency key stands for."""
    return short_hash(key)


def check_same(request: SignalRun, payload: Value, first: runs.SignalReceived) -> None:
    """Check that a signal sent again under its key is the one that was sent first.

    Raises:
        ControlError: It is another.
    """
    if (first.name, first.payload) != (request.name, payload):
        message = f"key {request.key!r} has sent another signal to run {request.run}"
        raise refusal("conflict", f"{message}; use a new key for a new signal", pointer="/key")
