"""The attempt: how is a task carried from its input to its outcome?"""

import asyncio
from collections.abc import Mapping
from typing import assert_never

import msgspec

from segue_agents.core.catalogue import Assignment, Catalogue
from segue_agents.core.job import Job, Scene
from segue_agents.core.loop import (
    CallModel,
    CallTools,
    State,
    Turn,
    answered,
    decide,
    evolve,
    unanswered,
    worked,
)
from segue_agents.core.outcome import Fail, Finish
from segue_agents.shell.model import ModelCaller
from segue_agents.shell.ports import Bench, Toolbox
from segue_agents.shell.tool_runner import ToolRunner
from segue_agents.shell.turn_log import TurnLog
from segue_contracts.v1.values import Failure
from segue_worker.ports import PayloadStore, Superseded
from segue_worker.ticket import Ticket

Result = Finish | Fail | Superseded


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that attempts are carried out with."""

    catalogue: Catalogue
    """The agents there are."""
    toolbox: Toolbox
    """The tools there are."""
    payloads: PayloadStore
    """Inputs and outputs of any size."""
    turns: TurnLog
    """The journal of conversations."""
    model: ModelCaller
    """Who answers."""
    tools: ToolRunner
    """Who runs tools."""


class Attempt:
    """One attempt at a step, from reading its input to its result."""

    def __init__(self, ticket: Ticket, equipment: Equipment) -> None:
        self._ticket = ticket
        self._with = equipment

    async def run(self) -> Result:
        """Carry it out.

        Raises:
            SegueError: Something it needs is not there; the error says whether it may come back.
        """
        task = self._ticket.task
        assignment = self._with.catalogue.assign(task.agent, task.action)
        if isinstance(assignment, Failure):
            return Fail(failure=assignment)
        given = await self._with.payloads.unwrap(task.input)
        if not isinstance(given, Mapping | None):
            return Fail(failure=_invalid("the step's input must be an object with named fields"))
        seconds = assignment.manifest.limits.seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._carry_out(assignment, given or {})
        except TimeoutError:
            sentence = f"the agent did not finish within its {seconds} seconds"
            failure = Failure(code="time_limit", message=sentence, retryable=False)
            return Fail(failure=failure, usage=self._ticket.spent.usage)

    async def _carry_out(self, assignment: Assignment, given: Mapping[str, object]) -> Result:
        names = assignment.manifest.tools_of(assignment.action)
        bench = await self._with.toolbox.bind(names, given)
        state = State(job=self._job(assignment, given, bench))
        for turn in await self._with.turns.read(self._ticket):
            state = evolve(state, turn)
        return await self._converse(state, bench)

    def _job(self, assignment: Assignment, given: Mapping[str, object], bench: Bench) -> Job:
        task = self._ticket.task
        return Job(
            place=self._ticket.place,
            assignment=assignment,
            input=given,
            tools=tuple(spec.offer() for spec in bench.specs.values()),
            scene=Scene(
                repository=bench.repository, branch=bench.branch, at=self._ticket.event.time
            ),
            provider=task.provider,
            model=task.model,
        )

    async def _converse(self, state: State, bench: Bench) -> Result:
        while True:
            self._ticket.spent.usage = state.usage
            turn = await self._next(state, bench)
            if not isinstance(turn, Turn):
                return turn
            if not await self._with.turns.append(self._ticket, turn):
                return Superseded()
            state = evolve(state, turn)

    async def _next(self, state: State, bench: Bench) -> Turn | Finish | Fail:
        """Do what the loop decides; it ends with something else than a turn."""
        match decide(state):
            case CallModel(request):
                answer = await self._with.model.ask(self._ticket, request)
                if isinstance(answer, Failure):
                    return unanswered(state, answer)
                return answered(state, answer)
            case CallTools(calls) as wanted:
                results = await self._with.tools.run(
                    self._ticket, bench, calls, turn=state.turns + 1
                )
                return worked(state, wanted, results)
            case Finish() | Fail() as over:
                return over
            case never:
                assert_never(never)


def _invalid(message: str) -> Failure:
    return Failure(code="invalid_input", message=message, retryable=False)
