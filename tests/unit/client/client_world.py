"""The world of the commands in tests: what do they touch, and what did they do to it?"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from typer.testing import CliRunner, Result
from unit.client.client_events import RUN, ended, run_event, scheduled, started, step_event
from unit.client.client_facts import FakeFacts

from segue import Client
from segue.cli.app import build
from segue.cli.shell import Shell
from segue.core.stack_record import StackRecord
from segue.stack.stack import StackPlan
from segue.stack.supervised import StackError
from segue_contracts.v1 import commands, steps
from segue_contracts.v1.values import UsageTotals
from segue_shared.errors import BusUnavailableError
from segue_testing.fakes import FakeClock, FakeIds

VALID = """\
name: review
inputs:
  repository: {type: string, required: true}
steps:
  - key: lint
    agent: quality
    with: {repository: "{{ inputs.repository }}"}
outputs:
  report: "{{ steps.lint.output }}"
"""
INVALID = """\
name: review
steps:
  - key: lint
    agnt: quality
  - key: scan
    agent: security
    dependsOn: [lnt]
"""
CONTEXT = ["--context", '{"repository": "."}']
ACCEPTED = commands.RunAccepted(run=RUN, workflow="review", definition="d" * 64, cursor="e1-1")
USAGE = UsageTotals(input_tokens=1_000, output_tokens=234, model_calls=1)


class QuickClock(FakeClock):
    """A fake clock on which nobody waits: sleeping moves it."""

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        await self.advance(seconds)


class FakeStack:
    """A stack that is up, on paper."""

    nats_url = "nats://127.0.0.1:4999"

    def record(self) -> StackRecord:
        """Tell what runs where."""
        return StackRecord(
            pid=7,
            nats_url=self.nats_url,
            gateway_url="http://127.0.0.1:8080",
            pids={"nats": 8, "agents": 9},
            urls={"nats": self.nats_url, "agents": "http://127.0.0.1:9000"},
            durability="fast: in words",
        )


@dataclass
class World:
    """Everything the commands touch, and what they did to it."""

    folder: Path
    facts: FakeFacts = field(default_factory=FakeFacts)
    env: dict[str, str] = field(default_factory=dict)
    listening: bool = True
    connected: list[tuple[str, str]] = field(default_factory=list)
    plans: list[StackPlan] = field(default_factory=list)
    stacks_ended: int = 0
    stack_error: str = ""
    terminal: bool | None = None

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command and return what it did."""
        app = build(self.shell())
        return CliRunner().invoke(app, list(arguments), input=stdin, catch_exceptions=False)

    def shell(self) -> Shell:
        """Return the shell that is this world."""
        return Shell(
            connect=self._connect,
            connect_bus=self._no_bus,
            start_stack=self._stack,
            answers=self._answers,
            clock=QuickClock(1_700_000_000_000),
            env=self.env,
            folder=self.folder,
            out=Console(force_terminal=self.terminal, width=120),
            err=Console(stderr=True, width=120),
        )

    def finished(self, **fields: object) -> None:
        """Let the journal hold a whole run."""
        self.facts.answers["start_run"] = ACCEPTED
        self.facts.store(run_event("started", started()))
        self.facts.store(step_event("lint", scheduled("lint")))
        outcome = steps.StepCompleted(provider="offline", usage=USAGE, notes=["claude has no key"])
        self.facts.store(step_event("lint", outcome))
        self.facts.store(run_event("ended", ended(**fields)))

    @asynccontextmanager
    async def _connect(self, url: str, namespace: str) -> AsyncIterator[Client]:
        self.connected.append((url, namespace))
        if url.endswith(":1"):
            raise BusUnavailableError(f"no broker answers at {url}")
        yield Client(
            self.facts,
            journal=self.facts,
            payloads=self.facts,
            namespace=namespace,
            clock=QuickClock(),
            ids=FakeIds(),
            patience_s=1,
        )

    @asynccontextmanager
    async def _no_bus(self, url: str) -> AsyncIterator[object]:
        raise BusUnavailableError(f"no broker answers at {url}")
        yield

    @asynccontextmanager
    async def _stack(
        self, plan: StackPlan, tell: Callable[[str], None]
    ) -> AsyncIterator[FakeStack]:
        self.plans.append(plan)
        if self.stack_error:
            raise StackError(self.stack_error)
        yield FakeStack()
        self.stacks_ended += 1

    async def _answers(self, _: str) -> bool:
        return self.listening
