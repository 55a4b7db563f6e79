"""One line per event: how is what happened said in a plain log?"""

from msgspec import UnsetType

from segue.core.display import count
from segue.core.events import UNDECODABLE, RunEvent
from segue.core.table import failure
from segue_contracts.envelope import Message
from segue_contracts.v1 import deltas, runs, steps, turns
from segue_contracts.v1.values import UsageTotals


def line(event: RunEvent) -> str:
    """Return a line such as `12:03:04 lint: completed by quality (attempt 1, offline)`."""
    about = f"{event.step}: " if event.step else ""
    return f"{event.time[11:19] or '--:--:--'} {about}{_said(event)}"


def _said(event: RunEvent) -> str:
    if event.type == UNDECODABLE:
        return f"a message that is no event: {event.data}"
    if event.body is None:
        return event.type
    told = _run(event.body) or _settled(event.body) or _progress(event.body)
    return told + _attempt(event) if told else event.type


def _attempt(event: RunEvent) -> str:
    return f", attempt {event.attempt}" if event.attempt > 1 else ""


def _run(body: Message) -> str:
    match body:
        case runs.RunStarted(workflow=workflow):
            return f"run of {workflow} started"
        case runs.RunEnded(status=status, error=error):
            return f"run {status}" + ("" if isinstance(error, UnsetType) else f": {failure(error)}")
        case runs.CancelRequested(reason=reason):
            return f"cancel requested{_because(reason)}"
        case runs.RunParked(code=code, message=message):
            return f"run parked: {code}: {message}"
        case runs.RunPaused(reason=reason):
            return f"run paused{_because(reason)}"
        case runs.RunResumed() | runs.RunUnparked():
            return "run goes on"
        case runs.SignalReceived(name=name):
            return f"signal {name} received"
        case _:
            return ""


def _settled(body: Message) -> str:
    match body:
        case steps.StepCompleted(provider=provider, usage=usage):
            return f"completed{_by(provider)}{_used(usage)}"
        case steps.StepFailed(error=error):
            return f"failed: {failure(error)}"
        case steps.StepTimedOut(error=error):
            return f"timed out: {failure(error)}"
        case steps.StepCancelled(reason=reason):
            return f"cancelled{_because(reason)}"
        case steps.StepSkipped(reason=reason):
            return f"skipped{_because(reason)}"
        case _:
            return ""


def _progress(body: Message) -> str:
    match body:
        case steps.StepScheduled(agent=agent, pool=pool):
            return f"scheduled for {agent or pool}"
        case steps.StepStarted(worker=worker):
            return f"running on {worker}"
        case turns.TurnCompleted(number=number, kind=kind, provider=provider, usage=usage):
            what = "model answered" if kind == "model" else "tools answered"
            return f"turn {number}, {what}{_by(provider)}{_used(usage)}"
        case deltas.StepDelta(delta=delta):
            return _delta(delta)
        case _:
            return ""


def _delta(delta: deltas.Delta) -> str:
    match delta:
        case deltas.ToolProgress(name=name, state=state, summary=summary):
            return f"tool {name} {state}" + (f": {summary}" if summary else "")
        case deltas.PartDelta(text=str() as text):
            return text
        case _:
            return type(delta).__name__


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _by(provider: str) -> str:
    return f", answered by {provider}" if provider else ""


def _used(usage: UsageTotals) -> str:
    tokens = usage.input_tokens + usage.output_tokens
    return f", {count(tokens)} tokens" if tokens else ""
