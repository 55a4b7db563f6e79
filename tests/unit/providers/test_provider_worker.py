"""Does every LLM step come to one outcome, whoever else works on it?"""

import asyncio

import pytest
from msgspec import UNSET
from support.wait import until
from unit.providers.provider_support import (
    PREFIX,
    RUN,
    TOKEN,
    FakeModelClient,
    Stage,
    a_task,
    body_of,
    delivered,
    failing,
    hint,
    speaking,
)

from segue_contracts.envelope import decode_event
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.deltas import DeltaEnd
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunResumed
from segue_contracts.v1.steps import StepCancelled, StepCompleted, StepFailed, StepStarted
from segue_providers.settings import Settings
from segue_providers.shell.llm_step import LlmStep
from segue_shared.errors import (
    BusUnavailableError,
    PayloadMissingError,
    TooLargeError,
)
from segue_shared.pull import Ack, Dead, Nak
from segue_worker.ticket import read_ticket

OUTCOME = subjects.outcome(PREFIX, TOKEN, 1, "failed")
OLD_MS = 1_800_000_000_000 - 60_000


def offline_stage() -> Stage:
    """Return the service with the stand-in only."""
    return Stage()


def stage_with(*script: list[object] | Exception) -> Stage:
    """Return the service with a scripted model, or with answers out of reach."""
    failures = [one for one in script if isinstance(one, Exception)]
    stage = Stage(
        clients={"anthropic": FakeModelClient(*(one for one in script if isinstance(one, list)))},
        environ={"ANTHROPIC_API_KEY": "key"},
    )
    stage.completions.failure = next(iter(failures), None)
    return stage


async def test_a_step_is_answered_and_its_outcome_says_by_whom() -> None:
    """Without a model the output is labelled, the notes say why, and nothing was spent."""
    stage = offline_stage()
    verdict = await stage.service.parts.worker.handle(delivered(a_task(provider="gemini")))
    status, body = stage.outcome()

    assert verdict == Ack()
    assert status == "completed"
    assert isinstance(body, StepCompleted)
    assert (body.provider, body.model) == ("offline", "offline-extractive-1")
    keys = "GEMINI_API_KEY or GOOGLE_API_KEY"
    assert body.notes == [f"preferred provider gemini has no key ({keys}); answered by offline"]
    assert str(body.output.inline).startswith("> No model was called")
    assert (body.usage.model_calls, body.usage.cost_usd) == (0, "0")
    assert body.usage.input_tokens > 0


async def test_an_outcome_follows_from_its_task() -> None:
    """Its frame names the cause and the source, and is about the step."""
    stage = offline_stage()
    await stage.service.parts.worker.handle(delivered(a_task()))
    [data] = stage.bus.stored.values()
    event = decode_event(data)

    assert (event.source, event.subject) == ("segue/providers", f"{RUN}/Sum up")
    assert event.causationid == delivered(a_task()).subject
    assert event.startseq is UNSET


async def test_a_steps_answer_is_streamed_on_its_own_subject() -> None:
    """Whoever watches the step sees the words come."""
    stage = offline_stage()
    await stage.service.parts.worker.handle(delivered(a_task()))

    assert isinstance(stage.bus.deltas()[-1], DeltaEnd)
    assert stage.bus.bodies(subjects.delta("default", RUN, TOKEN))


async def test_a_models_usage_is_counted() -> None:
    """Tokens, cost and the one call are in the outcome."""
    stage = stage_with(speaking("words"))
    await stage.service.parts.worker.handle(delivered(a_task()))
    _, body = stage.outcome()

    assert isinstance(body, StepCompleted)
    assert body.output.inline == "words"
    assert body.usage.model_calls == 1
    assert (body.usage.input_tokens, body.usage.output_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("given", "script", "code", "retryable"),
    [
        ({"system": "x"}, [], "invalid_input", False),
        ({"prompt": "x", "responseType": "json"}, [speaking()], "malformed_output", True),
        ({"prompt": "x"}, [[failing("overloaded")]] * 3, "provider_failed", True),
        ({"prompt": "x"}, [[failing("bad_request")]], "provider_failed", False),
        ({"prompt": "x"}, [ZeroDivisionError("secret")], "internal", True),
        ({"prompt": "x"}, [TooLargeError("too large")], "failed", False),
    ],
)
async def test_a_failure_is_typed_and_says_whether_to_retry(
    given: object, script: list[list[object] | Exception], code: str, *, retryable: bool
) -> None:
    """The retry policy finds what it needs; an unforeseen error shows no internals."""
    stage = stage_with(*script)
    verdict = await stage.service.parts.worker.handle(delivered(a_task(given)))
    status, body = stage.outcome()

    assert (verdict, status) == (Ack(), "failed")
    assert isinstance(body, StepFailed)
    assert (body.error.code, body.error.retryable) == (code, retryable)
    assert "secret" not in body.error.message


async def test_no_provider_fails_the_step_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retrying is pointless until somebody configures a provider; the message says how."""
    monkeypatch.setenv("SEGUE_PROVIDERS_OFFLINE", "false")
    stage = offline_stage()
    await stage.service.parts.worker.handle(delivered(a_task()))
    _, body = stage.outcome()

    assert isinstance(body, StepFailed)
    assert (body.error.code, body.error.retryable) == ("no_provider", False)
    assert "SEGUE_PROVIDERS_OFFLINE=true" in body.error.message


async def test_a_store_that_is_away_gives_the_task_back() -> None:
    """Passing trouble is no outcome."""
    stage = stage_with(BusUnavailableError("away"))

    with pytest.raises(BusUnavailableError):
        await stage.service.parts.worker.handle(delivered(a_task()))

    assert stage.bus.stored == {}


@pytest.mark.parametrize(
    "data",
    [
        b"no event",
        frame(RunResumed(), subject="s", source="x", about=RUN, time="t"),
    ],
)
async def test_what_is_no_task_is_dead(data: bytes) -> None:
    """Nobody can ever handle it."""
    verdict = await offline_stage().service.parts.worker.handle(delivered(data))

    assert isinstance(verdict, Dead)
    assert verdict.reason == "undecodable"


async def test_a_retry_waits_for_its_backoff() -> None:
    """A task that comes too early is given back with the rest of the delay."""
    stage = offline_stage()
    task = a_task(not_before_ms=stage.clock.now_ms() + 1_500)

    assert await stage.service.parts.worker.handle(delivered(task)) == Nak(1.5)
    assert stage.bus.stored == {}


async def test_a_fresh_task_is_taken_without_a_look_back() -> None:
    """The usual case costs no read."""
    stage = offline_stage()
    await stage.service.parts.worker.handle(delivered(a_task()))

    assert stage.bus.reads == 0


@pytest.mark.parametrize(("times", "time_ms"), [(2, 1_800_000_000_000), (1, OLD_MS)])
@pytest.mark.parametrize("subject", [OUTCOME, f"{PREFIX}.ended"])
async def test_a_settled_attempt_is_left_alone(subject: str, times: int, time_ms: int) -> None:
    """A task that comes again or late is looked up, and one that is over is just acknowledged."""
    stage = stage_with()
    stage.bus.stored[subject] = b""
    task = delivered(a_task(), times=times, time_ms=time_ms)

    assert await stage.service.parts.worker.handle(task) == Ack()
    assert stage.stored_subjects() == [subject]


async def test_an_attempt_of_a_run_being_cancelled_gets_its_outcome() -> None:
    """The run can end only when nothing is in flight."""
    stage = stage_with()
    stage.bus.stored[f"{PREFIX}.cancel_requested"] = b""
    await stage.service.parts.worker.handle(delivered(a_task(), times=2))

    status, outcome = stage.outcome()
    assert isinstance(outcome, StepCancelled)
    assert (status, outcome.reason) == ("cancelled", "the run is being cancelled")


async def test_a_task_that_comes_again_and_is_wanted_is_done() -> None:
    """A redelivery after a crash is work like any other."""
    stage = stage_with(speaking())
    await stage.service.parts.worker.handle(delivered(a_task(), times=3))

    assert stage.outcome()[0] == "completed"


async def test_a_second_outcome_is_refused_and_that_is_fine() -> None:
    """When two workers finish the same attempt, the first one's word stands."""
    stage = offline_stage()
    stage.bus.stored[OUTCOME] = b"first"

    assert await stage.service.parts.worker.handle(delivered(a_task())) == Ack()
    assert stage.bus.stored[OUTCOME] == b"first"
    assert not [subject for subject in stage.bus.stored if subject.endswith(".completed")]


async def test_a_deadline_bounds_the_work() -> None:
    """A step that hangs is timed out by its worker."""
    stage = stage_with([asyncio.Event()])
    task = a_task(deadline_ms=stage.clock.now_ms())
    await stage.service.parts.worker.handle(delivered(task))

    assert stage.outcome()[0] == "timed_out"


async def working(stage: Stage) -> asyncio.Task[object]:
    """Begin to work on a task, and return once the model is being asked."""
    work = asyncio.create_task(stage.service.parts.worker.handle(delivered(a_task())))
    await until(lambda: present(stage.bus.published))
    return work


async def present(things: object) -> bool:
    """Tell whether there is anything."""
    return bool(things)


@pytest.mark.parametrize(
    "wanted",
    [
        CancelHint(run=RUN),
        CancelHint(run=RUN, step="Sum up", attempt=1),
    ],
)
async def test_a_hint_ends_the_work(wanted: CancelHint) -> None:
    """A cancelled run does not wait for its model."""
    stage = stage_with([asyncio.Event()])
    work = await working(stage)
    await stage.service.parts.cancellations.on_hint(hint(wanted))

    assert await work == Ack()
    assert stage.outcome()[0] == "cancelled"


async def test_a_long_call_looks_whether_it_is_still_wanted() -> None:
    """A hint that was lost is made good by the journal."""
    stage = Stage(
        Settings(ack_wait_s=0.03),
        {"anthropic": FakeModelClient([asyncio.Event()])},
        environ={"ANTHROPIC_API_KEY": "key"},
    )
    work = await working(stage)
    stage.bus.stored[OUTCOME] = b""

    assert await work == Ack()
    assert stage.stored_subjects() == [OUTCOME]


async def test_a_step_that_lasts_is_said_to_have_started() -> None:
    """Watchers learn of it after a quarter of a second, and only then."""
    gate = asyncio.Event()
    stage = stage_with([gate, *speaking()])
    work = await working(stage)
    await stage.clock.advance(0.25)
    started = subjects.step_started(PREFIX, TOKEN, 1)
    await until(lambda: present(started in stage.bus.stored))
    gate.set()
    await work

    assert isinstance(body_of(stage.bus.stored[started]), StepStarted)


async def test_work_that_is_given_back_leaves_no_outcome() -> None:
    """A worker that stops lets another one finish."""
    stage = stage_with([asyncio.Event()])
    work = await working(stage)
    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
    assert stage.bus.stored == {}


async def test_a_missing_payload_fails_the_step_for_good() -> None:
    """An input that is gone will not come back."""

    class NoPayloads:
        async def unwrap(self, value: Value) -> object:
            raise PayloadMissingError("payload abc is not stored")

        async def wrap(self, value: object) -> Value:
            raise AssertionError

    task = delivered(a_task(input=Value(ref=PayloadRef(sha256="abc", size=1))))
    ticket = read_ticket(task.subject, task.data, worker="w")
    step = LlmStep(stage_with().service.parts.router, NoPayloads())
    body = await step.outcome(ticket)

    assert isinstance(body, StepFailed)
    assert (body.error.code, body.error.retryable) == ("payload_missing", False)


def test_the_service_is_ready_once_it_has_its_pool() -> None:
    """Until then a probe says what is missing."""
    stage = offline_stage()

    assert "waiting for the orchestrator" in stage.health.ready()["pool"]
