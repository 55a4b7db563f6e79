"""The stack: how do a broker and all services come up together, and go down in order?"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segue.core.broker_conf import DURABILITY_WORDS, EXTERNAL_WORDS, Durability
from segue.core.stack_record import StackRecord
from segue.stack import folder as folders
from segue.stack.addresses import LOOPBACK, NATS_PORT, free_port
from segue.stack.broker import NAME as BROKER
from segue.stack.broker import broker_program
from segue.stack.logfile import RotatingLog
from segue.stack.services import EVENTS, GATEWAY, check_installed, service_programs, url_of
from segue.stack.supervised import Program, StackError, Supervised
from segue_contracts.v1.topology import LOCAL_SHARD_CONSUMERS, topology
from segue_shared import bootstrap
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import SegueError

Tell = Callable[[str], None]

_READY_S: Final = 60.0
_GRACE_S: Final = 12.0
"""Longer than the services' own drain, so that a kill means that one hangs."""
_BROKER_GRACE_S: Final = 10.0
_BUS_WAIT_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """What shall run."""

    folder: Path
    """Where data, logs and the record are kept."""
    nats_url: str = ""
    """A broker that runs already; empty to start one."""
    durability: Durability = "fast"
    """The profile of the broker that is started."""
    namespace: str = "default"
    """The tenant of the services' own."""


class Stack:
    """The processes of one stack."""

    def __init__(self, plan: StackPlan, *, clock: Clock, tell: Tell) -> None:
        self.plan: Final = plan
        self.nats_url = plan.nats_url
        self._clock = clock
        self._tell = tell
        self._members: list[Supervised] = []
        self._up = False

    @property
    def durability(self) -> str:
        """The durability profile, in words."""
        return EXTERNAL_WORDS if self.plan.nats_url else DURABILITY_WORDS[self.plan.durability]

    def record(self) -> StackRecord:
        """Return what runs where, now."""
        urls = {member.program.name: url_of(member.program) for member in self._members}
        pids = {member.program.name: member.pid for member in self._members}
        if BROKER in urls:
            urls[BROKER] = self.nats_url
        return StackRecord(
            pid=os.getpid(),
            nats_url=self.nats_url,
            gateway_url=urls.get(GATEWAY, ""),
            events_url=urls.get(EVENTS, ""),
            pids=pids,
            urls=urls,
            durability=self.durability,
        )

    async def start(self) -> None:
        """Start the broker, apply the topology, start every service, wait until all are healthy.

        Raises:
            StackError: Something does not come up; what did is left for `stop`.
        """
        check_installed()
        if not self.nats_url:
            await self._start_broker()
        await self._apply_topology()
        services = [
            self._supervise(program)
            for program in service_programs(
                self.plan.folder, nats_url=self.nats_url, namespace=self.plan.namespace
            )
        ]
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(service.wait_ready(_READY_S))
        self._up = True
        self._write_record()

    async def stop(self) -> None:
        """Stop the services together, then the broker, which they need to give work back."""
        self._up = False
        services = [member for member in self._members if member.program.name != BROKER]
        brokers = [member for member in self._members if member.program.name == BROKER]
        await asyncio.gather(*(service.stop(_GRACE_S) for service in services))
        await asyncio.gather(*(broker.stop(_BROKER_GRACE_S) for broker in brokers))
        self._members.clear()

    async def _start_broker(self) -> None:
        port = free_port(NATS_PORT)
        program = await broker_program(self.plan.folder, port=port, durability=self.plan.durability)
        self.nats_url = f"nats://{LOOPBACK}:{port}"
        await self._supervise(program).wait_ready(_READY_S)

    async def _apply_topology(self) -> None:
        bus = await Bus.connect(self.nats_url, name="segue-up", max_wait_s=_BUS_WAIT_S)
        try:
            await bootstrap.apply(bus, topology(fresh=LOCAL_SHARD_CONSUMERS))
        finally:
            await bus.close()

    def _supervise(self, program: Program) -> Supervised:
        member = Supervised(
            program,
            log=RotatingLog(self.plan.folder / "logs" / f"{program.name}.log"),
            clock=self._clock,
            tell=self._tell,
            spawned=self._write_record,
        )
        self._members.append(member)
        member.start()
        return member

    def _write_record(self) -> None:
        """Tell other commands what runs where, once everything is up."""
        if self._up:
            folders.write(self.plan.folder, self.record())


@asynccontextmanager
async def running(plan: StackPlan, *, clock: Clock, tell: Tell) -> AsyncIterator[Stack]:
    """Run a stack for the length of a block.

    Args:
        plan: What shall run.
        clock: Time.
        tell: Takes one line whenever something worth knowing happens.

    Raises:
        AlreadyRunningError: Another stack owns the folder.
        StackError: Something does not come up.
    """
    with folders.owned(plan.folder):
        stack = Stack(plan, clock=clock, tell=tell)
        try:
            await _started(stack)
            yield stack
        finally:
            await stack.stop()


async def _started(stack: Stack) -> None:
    try:
        await stack.start()
    except* SegueError as group:
        problems = _sentences(group)
        raise StackError("\n".join(problems)) from group


def _sentences(group: BaseExceptionGroup[SegueError]) -> list[str]:
    sentences: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            sentences += _sentences(error)
        else:
            sentences.append(str(error))
    return sentences
