"""Runs: how does a test drive runs on a real orchestrator, and see what becomes of them?"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Raw
from support.wait import until

from segue_contracts.envelope import Message, decode_event, encode
from segue_contracts.payload import Value
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import GetRun, RunAccepted, StartRun
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunEnded, RunView
from segue_contracts.v1.steps import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepStarted,
)
from segue_contracts.v1.topology import RUNS
from segue_contracts.v1.values import Failure
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_shared.journal import Journal

B = TypeVar("B", bound=Message)
Outcome = StepCompleted | StepFailed | StepCancelled
Answer = Callable[[StepScheduled], Awaitable[Outcome]]


class Desk:
    """The worker of a test's pool: it answers as the test says, and remembers its tasks."""

    def __init__(self) -> None:
        self.tasks: list[StepScheduled] = []
        self.stopped: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set when workers were told to stop working on a run."""
        self._answers: dict[str, Answer] = {}
        self._gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def steps(self) -> list[str]:
        """The steps of the tasks that came, in order."""
        return [task.step for task in self.tasks]

    def on(self, step: str, answer: Answer) -> None:
        """Answer the tasks of a step in this way instead of with their own input."""
        self._answers[step] = answer

    def hold(self, step: str) -> None:
        """Keep the tasks of a step until they are let go."""

        async def held(task: StepScheduled) -> Outcome:
            await self._gates[step].wait()
            return await echo(task)

        self.on(step, held)

    def release(self, step: str) -> None:
        """Let the tasks of a step go."""
        self._gates[step].set()

    def until_stopped(self, step: str) -> None:
        """Keep the tasks of a step until workers are told to stop, and give them up then."""

        async def given_up(task: StepScheduled) -> Outcome:
            await self.stopped[task.run].wait()
            return StepCancelled(reason="told to stop")

        self.on(step, given_up)

    def fail(self, step: str, code: str = "boom", *, times: int = 1_000) -> None:
        """Let the first attempts of a step fail."""

        async def flaky(task: StepScheduled) -> Outcome:
            if task.attempt <= times:
                return StepFailed(error=Failure(code=code, message=f"{task.step} broke"))
            return await echo(task)

        self.on(step, flaky)

    async def serve(self, task: StepScheduled) -> Outcome:
        """Answer a task."""
        self.tasks.append(task)
        return await self._answers.get(task.step, echo)(task)

    async def came(self, step: str, *, times: int = 1) -> StepScheduled:
        """Wait for a task of a step and return the latest."""

        async def ask() -> list[StepScheduled]:
            found = [task for task in self.tasks if task.step == step]
            return found if len(found) >= times else []

        return (await until(ask))[-1]


async def echo(task: StepScheduled) -> StepCompleted:
    """Complete a task with what it was given."""
    return StepCompleted(output=task.input)


class Runs:
    """The runs of one test."""

    def __init__(self, bus: Bus, pool: str, desk: Desk) -> None:
        self.bus = bus
        self.pool = pool
        self.desk = desk
        self._journal = Journal(bus, RUNS)

    async def call(self, command: registry.Command, request: object) -> Any:
        """Send a command, waiting for the orchestrator to come up."""
        subject = subjects.command("default", command.service, command.verb)

        async def ask() -> object | None:
            try:
                return await self.bus.call(subject, request, command.result, timeout_s=5)
            except TransientError:
                return None

        return await until(ask)

    async def start(self, text: str, **fields: Any) -> str:
        """Start a run of a definition in which POOL stands for the test's pool."""
        request = StartRun(text=text.replace("POOL", self.pool), **fields)
        accepted: RunAccepted = await self.call(registry.START_RUN, request)
        return accepted.run

    async def event(self, run: str, event: str, kind: type[B]) -> B:
        """Wait for an event of a run and return its body."""
        subject = subjects.run_event("default", run, event)
        [stored] = await until(lambda: self._journal.last([subject]))
        body = registry.decode(decode_event(stored.data))
        assert isinstance(body, kind)
        return body

    async def ended(self, run: str) -> RunEnded:
        """Wait for a run's end and return it."""
        return await self.event(run, "ended", RunEnded)

    async def error(self, run: str) -> Failure:
        """Wait for a run's end and return why it did not complete."""
        end = await self.ended(run)
        assert isinstance(end.error, Failure)
        return end.error

    async def output(self, run: str) -> Any:
        """Wait for a run's end and return its small output."""
        end = await self.ended(run)
        assert end.status == "completed", end
        assert isinstance(end.output, Value)
        return end.output.inline

    async def story(self, run: str) -> list[str]:
        """Return a run's events so far, in order, without the pools of dispatches."""
        stored = await self._journal.last([subjects.run_all("default", run)])
        events = [subjects.parse_run(message.subject).event for message in stored]
        return [".".join(event[:4] if "scheduled" in event else event) for event in events]

    async def view(self, run: str) -> RunView:
        """Return where a run stands."""
        view: RunView = await self.call(registry.GET_RUN, GetRun(run=run))
        return view

    async def is_at(self, run: str, status: str) -> RunView:
        """Wait until a run is in a state and return its view."""

        async def ask() -> RunView | None:
            view = await self.view(run)
            return view if view.status == status else None

        view = await until(ask)
        assert view is not None
        return view

    async def say_started(self, task: StepScheduled) -> None:
        """Say for a worker that it has begun a task."""
        prefix = subjects.run_prefix(task.namespace, task.run)
        token = subjects.step_token_of(task.step)
        subject = subjects.step_started(prefix, token, task.attempt)
        await self.put(subject, StepStarted(worker="test"), about=task.run)

    async def put(self, subject: str, body: Message, *, about: str) -> None:
        """Store an event."""
        data = frame(
            body, subject=subject, source="tests", about=about, time="2026-01-01T00:00:00Z"
        )
        await self.bus.create(subject, data)

    async def publish(self, topic: str, event: object) -> None:
        """Publish an event of a user's system."""
        await self.bus.append(subjects.intake("default", topic), encode(event))


def inline(value: object) -> Value:
    """Return a small value as it travels."""
    return Value(inline=Raw(encode(value)))
