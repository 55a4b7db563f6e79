"""Standing: how does a command read where a run stands, and change it?"""

from collections.abc import Callable, Sequence

import msgspec

from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_orchestrator.core.control import ControlError, Saying
from segue_orchestrator.shell.live import Live, Loader, UnknownRunError, UnstartableError
from segue_orchestrator.shell.writer import Writer
from segue_shared.bus import Bus
from segue_shared.errors import RefusedError
from segue_shared.ids import Ids

Decide = Callable[[Live], Sequence[Saying]]
"""What a command adds to a run's journal, given where the run stands."""


class Changed(msgspec.Struct, frozen=True):
    """A run after a command."""

    live: Live
    """The run, folded with what the command said."""
    said: bool
    """Whether the command said anything."""


class Standing:
    """Runs as commands see them."""

    def __init__(self, bus: Bus, loader: Loader, writer: Writer, ids: Ids) -> None:
        self._bus = bus
        self._ids = ids
        self._loader = loader
        self._writer = writer

    async def of(self, namespace: str, run: str, *, at_least: int = 0) -> Live:
        """Return where a run stands, with at least the event of a sequence.

        Raises:
            RefusedError: There is no such run, or it cannot be read.
        """
        try:
            return await self._loader.load(namespace, run, at_least=at_least)
        except (UnknownRunError, subjects.SubjectError) as error:
            message = f"no run {run!r} in namespace {namespace}; 'segue workflow list' shows them"
            raise RefusedError(Refused(code="not_found", message=message)) from error
        except UnstartableError as error:
            raise RefusedError(Refused(code="conflict", message=str(error))) from error

    async def change(self, namespace: str, run: str, decide: Decide) -> Changed:
        """Add to a run's journal what is decided on its newest state.

        Whoever finds that another event was first reads again and decides again.

        Raises:
            RefusedError: There is no such run, or what was asked cannot be done to it.
        """
        said, live = False, await self.of(namespace, run)
        while sayings := _decided(decide, live):
            newest, lost = live.state.last_seq, False
            for saying in sayings:
                sequence = await self._say(namespace, run, saying)
                said, lost = said or sequence > 0, lost or not sequence
                newest = max(newest, sequence)
            # What was lost to another event is in the journal, after all that was folded.
            live = await self.of(namespace, run, at_least=newest if not lost else newest + 1)
            if not lost:
                break
        return Changed(live, said)

    async def _say(self, namespace: str, run: str, saying: Saying) -> int:
        """Store an event and return its sequence; 0 when another has its place."""
        subject = subjects.run_event(namespace, run, saying.event)
        # What the command is called makes its event differ from that of one that says the same.
        cause = f"command/{self._ids.unique()}"
        data = self._writer.framed(subject, saying.body, about=run, causation=cause)
        stored = await self._bus.create(subject, data)
        if stored.created:
            return stored.sequence
        # The first try may have been stored although its answer was lost.
        there = await self._loader.journal.newest(subject)
        return there.sequence if there is not None and there.data == data else 0


def _decided(decide: Decide, live: Live) -> Sequence[Saying]:
    try:
        return decide(live)
    except ControlError as error:
        raise RefusedError(error.refused) from error
