"""Events for tests: how is a message of a run made as the broker would carry it?"""

from segue.core.events import RunEvent, read_fact
from segue_contracts.cursor import Cursor
from segue_contracts.envelope import Message
from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.runs import RunEnded, RunStarted
from segue_contracts.v1.steps import StepScheduled, StepSpent, StepStarted
from segue_contracts.v1.turns import TurnCompleted

RUN = "01jd3z6qk8run0000000000001"
NAMESPACE = "default"
EPOCH = "e1"
PREFIX = subjects.run_prefix(NAMESPACE, RUN)
TIME = "2026-11-21T12:03:04.000Z"


def run_event(name: str, body: Message) -> tuple[str, bytes]:
    """Return subject and frame of an event of the run as a whole."""
    subject = f"{PREFIX}.{name}"
    return subject, _framed(subject, body, RUN)


def step_event(step: str, body: Message, *, attempt: int = 1) -> tuple[str, bytes]:
    """Return subject and frame of a step's event."""
    token = subjects.step_token(subjects.StepId(step))
    subject = _step_subject(token, body, attempt)
    return subject, _framed(subject, body, f"{RUN}/{step}")


def _step_subject(token: str, body: Message, attempt: int) -> str:
    match body:
        case StepScheduled(pool=pool):
            return subjects.scheduled(PREFIX, token, attempt, pool=pool, priority="p2")
        case StepStarted():
            return subjects.step_started(PREFIX, token, attempt)
        case TurnCompleted(number=number):
            return subjects.turn(PREFIX, token, attempt, number)
        case StepSpent(worker=worker):
            return subjects.step_spent(PREFIX, token, attempt, worker or "x")
        case _:
            return subjects.outcome(PREFIX, token, attempt, OUTCOME_OF[type(body)])


def _framed(subject: str, body: Message, about: str) -> bytes:
    return frame(body, subject=subject, source="segue/test", about=about, time=TIME)


def scheduled(step: str, *, attempt: int = 1, agent: str = "quality") -> StepScheduled:
    """Return a dispatch."""
    return StepScheduled(
        run=RUN,
        namespace=NAMESPACE,
        workflow="review",
        step=step,
        attempt=attempt,
        pool="agents",
        kind="agent",
        agent=agent,
    )


def started() -> RunStarted:
    """Return the start of the run."""
    return RunStarted(workflow="review", definition="d" * 64)


def ended(**fields: object) -> RunEnded:
    """Return the end of the run."""
    return RunEnded(**({"status": "completed"} | fields))


def seen(message: tuple[str, bytes], *, sequence: int = 1, time_ms: int = 1_000) -> RunEvent:
    """Return a message as a reader sees it."""
    subject, data = message
    return read_fact(subject, data, cursor=Cursor(EPOCH, sequence), time_ms=time_ms)
