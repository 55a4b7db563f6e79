"""Diffs: how do two runs compare, step by step?"""

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
from msgspec import UnsetType

from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import DiffRuns, RunDiff, StepDiff
from segue_contracts.v1.runs import RunView
from segue_orchestrator.core.diff import step_diffs
from segue_orchestrator.core.view import view_of
from segue_orchestrator.shell.checkpoints import Checkpoints, Folded
from segue_orchestrator.shell.outputs import Outputs
from segue_shared.errors import PayloadMissingError

SHOWN_BYTES: Final = 2 * 1024
"""Bytes of JSON up to which an output is shown."""

SHOWN_TOGETHER_BYTES: Final = 256 * 1024
"""Bytes of JSON that the outputs shown may have in all, so that the answer can be carried."""

READ_BYTES: Final = 1024 * 1024
"""Bytes of JSON up to which outputs are compared as values; larger ones byte by byte."""


class _Output(NamedTuple):
    """An output as it is compared."""

    digest: str = ""
    """The same for equal values; empty for none."""
    size: int = 0
    value: object = None
    """The value itself, when it is small."""


class Diffs:
    """Compares runs."""

    def __init__(self, checkpoints: Checkpoints, outputs: Outputs) -> None:
        self._checkpoints = checkpoints
        self._outputs = outputs

    async def diff(self, namespace: str, request: DiffRuns) -> RunDiff:
        """Compare two runs as they are, or as they were at checkpoints.

        Raises:
            RefusedError: One is not known, or no longer kept.
        """
        first = await self._checkpoints.at(namespace, request.first)
        second = await self._checkpoints.at(namespace, request.second)
        views = [_view(folded) for folded in (first, second)]
        diffs = step_diffs(views[0].steps, views[1].steps)
        bare = [msgspec.structs.replace(view, steps=[]) for view in views]
        steps = await self._with_outputs(diffs, first, second)
        return RunDiff(first=bare[0], second=bare[1], steps=steps)

    async def _with_outputs(
        self, diffs: Iterable[StepDiff], first: Folded, second: Folded
    ) -> list[StepDiff]:
        """Return diffs with the outputs compared, and shown where they differ and are small."""
        steps: list[StepDiff] = []
        left = SHOWN_TOGETHER_BYTES
        for diff in diffs:
            token = subjects.step_token_of(diff.step)
            mine = await self._output(first, token)
            theirs = await self._output(second, token)
            same = _in_both(diff) and mine.digest == theirs.digest
            shared = second.live.state.step(token).shared
            found = msgspec.structs.replace(diff, same_output=same, shared=shared)
            if not same and left >= mine.size + theirs.size:
                left -= mine.size + theirs.size
                found = msgspec.structs.replace(
                    found, first_output=mine.value, second_output=theirs.value
                )
            steps.append(found)
        return steps

    async def _output(self, folded: Folded, token: str) -> _Output:
        at = folded.live.state.step(token).output
        if at is None:
            return _Output()
        if at.ref is not None and at.ref.size > READ_BYTES:
            return _Output(at.ref.sha256)
        try:
            value = (await self._outputs.fetch([at]))[at]
        except PayloadMissingError:
            return _Output(f"gone from {folded.live.state.run}")
        data = msgspec.json.encode(value, order="sorted")
        digest = hashlib.sha256(data).hexdigest()
        return _Output(digest, len(data), value) if len(data) <= SHOWN_BYTES else _Output(digest)


def _view(folded: Folded) -> RunView:
    return view_of(folded.live.state, folded.live.plan, cursor=str(folded.cursor))


def _in_both(diff: StepDiff) -> bool:
    return not (isinstance(diff.first, UnsetType) or isinstance(diff.second, UnsetType))
