"""A call: how does one request get from provider to provider until one answers?"""

import asyncio
from collections.abc import Iterable
from typing import Final

from msgspec import UnsetType, structs

from segue_contracts.v1.chat import CallAttempt, ChatRequest, ChatResponse, Hedge
from segue_contracts.v1.deltas import Delta, PartStart
from segue_providers.core.attempts import all_failed, answered_by, settled
from segue_providers.core.catalogue import Target
from segue_providers.core.continuing import can_continue, continued, joined, text_of
from segue_providers.core.retrying import Failed, Step, step_after
from segue_providers.core.routing import Decision, after
from segue_providers.shell.deltas import DeltaStream
from segue_providers.shell.hedging import Hedges, first_to_speak
from segue_providers.shell.lines import BarredError, Line, Lines
from segue_providers.shell.ports import ModelCallError
from segue_providers.shell.tries import BY_KEY, Tell, Tries
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError

HEARTBEAT_S: Final = 5.0
"""Seconds between two signs to watchers that a provider is still being waited for."""


class Call:
    """One routed request; it ends with an answer or a refusal, and its stream with one of both.

    Args:
        request: What is asked.
        decision: How it was routed; somebody can serve.
        lines: The way to providers.
        deltas: Who watches.
        hedges: How much may be hedged.
        clock: For pauses.
    """

    def __init__(
        self,
        request: ChatRequest,
        decision: Decision,
        *,
        lines: Lines,
        deltas: DeltaStream,
        hedges: Hedges,
        clock: Clock,
    ) -> None:
        self._request = request
        self._asked = request
        self._decision = decision
        self._lines = lines
        self._deltas = deltas
        self._hedges = hedges
        self._clock = clock
        self._deadline = 0.0
        self._visited: set[Target] = set()
        self._tries_here = 0
        self._said = ""
        configured = lines.catalogue.configuration.max_attempts
        self._most = min(request.route.max_attempts or configured, configured)

    async def run(self, *, seconds: float, tell: Tell) -> ChatResponse:
        """Ask the providers in order.

        Args:
            seconds: How long all of it may take.
            tell: Tells of each try.

        Raises:
            RefusedError: None of them answered.
        """
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + seconds
        tries = Tries(self._lines, tell=tell, deadline=self._deadline)
        beats = loop.create_task(self._beat()) if self._deltas.watched else None
        try:
            response = await self._answer(tries)
        except ModelCallError as error:
            await tries.follow("gives up")
            await self._deltas.fail(error.error, str(error), retry_after_s=error.retry_after_s)
            refused = all_failed(
                tries.records, error.error, str(error), retry_after_s=error.retry_after_s
            )
            raise RefusedError(refused) from error
        except asyncio.CancelledError:
            await self._deltas.fail("cancelled", "the call was given up")
            raise
        except Exception:
            await self._deltas.fail("server_error", "the providers service broke down on it")
            raise
        finally:
            if beats is not None:
                beats.cancel()
        await self._deltas.end(response)
        return response

    async def _answer(self, tries: Tries) -> ChatResponse:
        target = self._decision.targets[0]
        while True:
            try:
                opened = await tries.open(target, self._asked)
                self._tries_here += 1
                line = await self._first_word(opened, tries)
                record = await self._whole(line, tries)
            except ModelCallError as error:
                target = await self._next(target, error, tries)
            else:
                return self._response(line, record, tries)

    async def _first_word(self, line: Line, tries: Tries) -> Line:
        """Wait for the first word of an answer; a try that says none is closed."""
        hedge = self._hedge()
        if hedge is not None:
            return await first_to_speak(
                line,
                tries,
                hedge=hedge,
                lines=self._lines,
                another=lambda: self._another(line, tries),
            )
        try:
            await line.attempt.begin()
        except ModelCallError as error:
            await tries.failed(line, error)
            raise
        except BaseException:
            await tries.given_up(line, "given up")
            raise
        return line

    async def _whole(self, line: Line, tries: Tries) -> CallAttempt:
        """Read an answer to its end."""
        try:
            await line.attempt.finish(self._show)
        except ModelCallError as error:
            await tries.failed(line, error)
            raise
        except BaseException:
            await tries.given_up(line, "given up")
            raise
        return await tries.won(line)

    def _hedge(self) -> Hedge | None:
        """Return when another provider may be asked beside the first; None for never.

        Tools that a provider runs have effects, so that calls with them are never hedged.
        """
        hedge = self._request.route.hedge
        if isinstance(hedge, UnsetType) or any(one.kind == "server" for one in self._request.tools):
            return None
        share = self._lines.catalogue.configuration.hedge_share
        return hedge if self._hedges.allowed(share) else None

    async def _another(self, line: Line, tries: Tries) -> Line | None:
        """Open a second line to another provider; None when there is none."""
        first = line.attempt.target.provider
        visited = {one for one in self._decision.targets if one.provider == first} | self._visited
        target = after(self._decision, "timeout_first_token", visited)
        if target is None:
            return None
        self._visited.add(target)
        try:
            second = await tries.open(target, self._asked)
        except ModelCallError:
            return None
        self._hedges.hedged()
        return second

    async def _next(self, target: Target, error: ModelCallError, tries: Tries) -> Target:
        """Return whom to ask next, once it may be asked.

        Raises:
            ModelCallError: Nobody; it is the error that was given.
        """
        if not self._may_go_on(error, tries):
            raise error
        if error.error in BY_KEY and tries.has_other_key(target.provider) and _was_asked(error):
            await tries.follow(f"next: another key of {target.provider}")
            return target
        following = after(self._decision, error.error, {*self._visited, target})
        step = self._step(target, error, tries, others=following is not None)
        if step.what == "stop":
            raise error
        if step.what == "next" and following is not None:
            self._visited.add(target)
            self._tries_here = 0
            target = following
            await tries.follow(f"next: {following.provider}")
        else:
            await tries.follow(f"again in {step.wait_s:.2f} s")
            if step.wait_s:
                await self._clock.sleep(step.wait_s)
            tries.forgive(target.provider)
        if not self._said:
            await self._deltas.restart(error.error)
        return target

    def _step(self, target: Target, error: ModelCallError, tries: Tries, *, others: bool) -> Step:
        settings = self._lines.catalogue.entries[target.provider].settings
        asked = _was_asked(error)
        failed = Failed(
            error=error.error,
            retry_after_s=error.retry_after_s,
            tries_here=self._tries_here if asked else 1,
            retries_here=settings.max_retries if asked else 1,
            tries_left=self._most - len(tries.records),
            others=others,
            left_s=self._deadline - asyncio.get_running_loop().time(),
        )
        return step_after(failed, draw=self._lines.draw())

    def _may_go_on(self, error: ModelCallError, tries: Tries) -> bool:
        """Go on unless an answer was shown that must stand."""
        if not self._deltas.shown:
            return True
        match self._request.stream.on_break:
            case "restart":
                return True
            case "continue" if _was_asked(error) and can_continue(self._request, tries.said):
                self._said += text_of(tries.said)
                self._asked = continued(self._request, self._said)
                return True
            case "continue":
                return bool(self._said)
            case _:
                return False

    async def _show(self, deltas: Iterable[Delta]) -> None:
        """Show more of an answer; what is gone on with belongs to the part that was begun."""
        if self._said:
            deltas = [one for one in deltas if not (isinstance(one, PartStart) and one.index == 0)]
        await self._deltas.show(deltas)

    def _response(self, line: Line, record: CallAttempt, tries: Tries) -> ChatResponse:
        assembly = line.attempt.assembly
        message = assembly.message()
        answer = answered_by(
            line.attempt.target,
            assembly,
            record,
            message=joined(self._said, message) if self._said else message,
            key=line.admission.key,
        )
        return settled(
            structs.replace(answer, warnings=[*answer.warnings, *tries.warnings]),
            self._request,
            decision=self._decision,
            tries=tries.records,
            first_ms=line.attempt.first_ms,
            total_ms=self._deltas.elapsed_ms,
        )

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(HEARTBEAT_S)
            await self._deltas.beat()


def _was_asked(error: ModelCallError) -> bool:
    """Tell whether a provider failed, rather than that none could be asked."""
    return not isinstance(error, BarredError)
