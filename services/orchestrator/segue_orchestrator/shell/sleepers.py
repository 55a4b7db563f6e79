"""Sleepers: which runs outlive their start, which the journal has let go of?"""

from typing import Final

from segue_contracts.v1 import subjects
from segue_orchestrator.shell.snapshots import Snapshots
from segue_shared.journal import Journal

_AT_ONCE: Final = 500


class Sleepers:
    """Runs that are known by their snapshots only."""

    def __init__(self, journal: Journal, snapshots: Snapshots) -> None:
        self._journal = journal
        self._snapshots = snapshots

    async def of(self, namespace: str, *, after: str = "", before: str = "") -> list[str]:
        """Return the ids of a namespace's sleepers between two ids, the oldest first.

        Ids tell the time; an empty one is no bound.
        """
        kept = {run for owner, run in await self._snapshots.keys() if owner == namespace}
        runs = sorted(run for run in kept if run > after and (not before or run < before))
        sleeping: list[str] = []
        for begin in range(0, len(runs), _AT_ONCE):
            starts = {
                subjects.run_event(namespace, run, "started"): run
                for run in runs[begin : begin + _AT_ONCE]
            }
            held = {message.subject for message in await self._journal.last(list(starts))}
            sleeping += [run for subject, run in starts.items() if subject not in held]
        return sleeping
