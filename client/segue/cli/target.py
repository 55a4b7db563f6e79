"""The target: which bus does a command speak to, and what when there is none?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segue.cli.failures import UsageError
from segue.cli.shell import Shell
from segue.sdk import DEFAULT_URL, Client
from segue.stack.folder import live_record
from segue.stack.stack import StackPlan
from segue_contracts.v1 import subjects
from segue_shared.errors import BusUnavailableError


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the options said."""

    nats_url: str
    """`--nats-url`."""
    namespace: str
    """`--namespace`."""
    folder: Path
    """`--dir`."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A broker, and who named it."""

    url: str
    """Where it is."""
    source: Literal["NATS_URL", "--nats-url", "stack", "default"]
    """Who said so."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A client, and whether its stack goes when the command ends."""

    client: Client
    """The connection."""
    temporary: bool
    """Whether the stack was started for this command."""


def resolve(shell: Shell, target: Target) -> Address:
    """Return the broker: NATS_URL, then --nats-url, then the folder's stack, then the default."""
    if named := shell.env.get("NATS_URL"):
        if target.nats_url not in {"", named}:
            shell.say(f"NATS_URL is set to {named}, so --nats-url is not used")
        return Address(url=named, source="NATS_URL")
    if target.nats_url:
        return Address(url=target.nats_url, source="--nats-url")
    record = live_record(target.folder)
    if record is not None:
        return Address(url=record.nats_url, source="stack")
    return Address(url=DEFAULT_URL, source="default")


@asynccontextmanager
async def client_of(shell: Shell, target: Target) -> AsyncIterator[Client]:
    """Connect to the target's bus for the length of a block.

    Raises:
        BusUnavailableError: No broker answers there.
    """
    _check_namespace(target.namespace)
    address = resolve(shell, target)
    if address.source == "default" and not await shell.answers(address.url):
        raise BusUnavailableError(
            f"no bus is configured and none answers at {address.url}; "
            "start one with 'segue up', or name one with NATS_URL"
        )
    async with shell.connect(address.url, target.namespace) as client:
        yield client


@asynccontextmanager
async def session_of(shell: Shell, target: Target) -> AsyncIterator[Session]:
    """Connect to the target's bus, or start a stack for the block when there is none at all.

    Raises:
        BusUnavailableError: The bus that was named does not answer, or no stack can be started.
    """
    _check_namespace(target.namespace)
    address = resolve(shell, target)
    if address.source != "default" or await shell.answers(address.url):
        async with shell.connect(address.url, target.namespace) as client:
            yield Session(client=client, temporary=False)
        return
    shell.say(
        f"no bus is configured and none answers at {address.url}: "
        f"starting the whole stack in {target.folder} for this run"
    )
    plan = StackPlan(folder=target.folder, namespace=target.namespace)
    async with shell.start_stack(plan, shell.say) as stack:
        shell.say(f"the stack is up; durability {stack.record().durability}")
        async with shell.connect(stack.nats_url, target.namespace) as client:
            yield Session(client=client, temporary=True)
        shell.say("stopping the stack")


def _check_namespace(namespace: str) -> None:
    try:
        subjects.token(namespace)
    except subjects.SubjectError as error:
        raise UsageError(f"--namespace: {error}") from error
