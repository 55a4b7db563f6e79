"""Replays: what would another definition have decided on a run's history?"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UnsetType

from segue_contracts.cursor import Cursor
from segue_contracts.v1.commands import ReplayDifference, ReplayResult, ReplayRun
from segue_language import content_hash
from segue_orchestrator.core.compiling import compile_plan
from segue_orchestrator.core.decide import decide, remember
from segue_orchestrator.core.entries import JournalEvent
from segue_orchestrator.core.evolve import begin, evolve, take_over, touch_all
from segue_orchestrator.core.inputs import bind_inputs
from segue_orchestrator.core.replay import Track
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import OutputAt
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.checkpoints import Checkpoints, refused
from segue_orchestrator.shell.definitions import Definition
from segue_orchestrator.shell.live import Live, Loader, UnstartableError
from segue_shared.errors import PayloadMissingError
from segue_shared.journal import Journal

MAX_DIFFERENCES: Final = 100
_BREATH: Final = 50
"""Events after which others get a turn."""


class Replays:
    """Decides on recorded histories, and stores nothing."""

    def __init__(
        self,
        admission: Admission,
        *,
        checkpoints: Checkpoints,
        loader: Loader,
        journal: Journal,
    ) -> None:
        self._admission = admission
        self._checkpoints = checkpoints
        self._loader = loader
        self._journal = journal

    async def replay(self, namespace: str, request: ReplayRun) -> ReplayResult:
        """Compare what a run's own definition and another decide after each of its events.

        Raises:
            RefusedError: The run is not known, its first events are no longer kept, or the other
                definition or its inputs are invalid.
        """
        first, *rest = await self._checkpoints.history(namespace, request.run)
        try:
            own = await self._loader.begin(first)
            other = await self._other(namespace, request, first, own)
            return await self._compared(request.run, (own, other), [first, *rest])
        except UnstartableError as error:
            raise refused("conflict", str(error)) from error
        except PayloadMissingError as error:
            raise refused("checkpoint_expired", f"a value of the run is gone: {error}") from error

    async def _other(
        self, namespace: str, request: ReplayRun, first: JournalEvent, own: Live
    ) -> Live:
        """Return the run as it would have begun with the other definition."""
        definition = await self._definition(namespace, request, own.inputs)
        pinned = await self._admission.pinned(namespace, definition)
        state = begin(own.state.run, namespace, first.entry)
        if state is None:
            raise refused("checkpoint_expired", f"the start of run {own.state.run} is gone")
        state.started = msgspec.structs.replace(state.started, children=pinned.children)
        fork = state.started.fork
        if not isinstance(fork, UnsetType):
            settled = await self._loader.payloads.unwrap(fork.settled)
            take_over(state, definition.plan, settled if isinstance(settled, dict) else {})
        touch_all(state, definition.plan)
        inputs = bind_inputs(definition.workflow, own.inputs)
        return Live(state=state, plan=definition.plan, inputs=inputs)

    async def _definition(
        self, namespace: str, request: ReplayRun, inputs: Mapping[str, Any]
    ) -> Definition:
        """Return the other definition, which is not stored, as the run's inputs suit it."""
        ask = partial(self._admission.check, namespace, request.text, file=request.file)
        declared = (await ask(inputs=None)).inputs
        known = {name: value for name, value in inputs.items() if name in declared}
        workflow = await ask(inputs=known)
        return Definition(content_hash(workflow), workflow, compile_plan(workflow))

    async def _compared(
        self, run: str, lives: tuple[Live, Live], events: list[JournalEvent]
    ) -> ReplayResult:
        tracks = Track(), Track()
        epoch = await self._journal.epoch()
        differences: list[ReplayDifference] = []
        for number, event in enumerate(events):
            for live in lives if number else ():
                self._fold(live, event)
            told = [
                await self._told(live, track) for live, track in zip(lives, tracks, strict=True)
            ]
            recorded = [text for text in told[0] if text not in told[1]]
            replayed = [text for text in told[1] if text not in told[0]]
            if recorded or replayed:
                difference = ReplayDifference(
                    cursor=str(Cursor(epoch, event.entry.sequence)),
                    event=".".join(event.entry.event),
                    recorded=recorded,
                    replayed=replayed,
                )
                differences.append(difference)
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
        return ReplayResult(run=run, events=len(events), differences=differences[:MAX_DIFFERENCES])

    def _fold(self, live: Live, event: JournalEvent) -> None:
        self._loader.outputs.remember(event.entry)
        evolve(live.state, live.plan, event.entry)

    async def _told(self, live: Live, track: Track) -> list[str]:
        """Decide as the engine does, and return what is new."""
        outputs: dict[OutputAt, Any] = {}
        while True:
            known = Known(inputs=live.inputs, outputs=outputs)
            decision = decide(live.state, live.plan, known)
            if not decision.needs:
                break
            outputs |= await self._loader.outputs.fetch(decision.needs)
        remember(live.state, decision)
        return track.new(decision.effects)
