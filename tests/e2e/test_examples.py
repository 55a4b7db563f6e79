"""The examples: does every construct of the language do what its example says it does?

An example tells its story in comments: commands behind `$`, and what is to be seen between them.
"""

import asyncio
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from anyio.from_thread import start_blocking_portal
from msgspec import UnsetType
from support.wait import until
from typer.testing import CliRunner

from segue import Client
from segue.cli.app import build as build_cli
from segue.cli.shell import Shell, system_shell
from segue_agents import app as agents
from segue_agents.settings import Settings as AgentsSettings
from segue_contracts.v1 import subjects
from segue_contracts.v1.runs import RunView
from segue_contracts.v1.topology import RUNS
from segue_language import parse, unsupported
from segue_orchestrator import app as orchestrator
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.settings import Settings as OrchestratorSettings
from segue_providers import app as providers
from segue_providers.settings import Settings as ProvidersSettings
from segue_shared.bus import Bus
from segue_shared.journal import Journal
from segue_testing.broker import Broker
from segue_testing.services import serving

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "examples/constructs"
PAGES: Final = ("write-a-workflow", "handle-failures", "limit-runs")
PATIENCE_S: Final = 30.0

SEEN = re.compile(r"(?P<run>RUN\d*)(\.(?P<step>\S+))? is (?P<status>\w+)(: (?P<more>.+))?")
EXECUTE: Final = ["workflow", "execute"]


class Example(NamedTuple):
    """A definition, and what its comments say about it."""

    file: Path
    story: list[str]


def story_of(text: str) -> list[str]:
    """Return the lines of a story: commands, and what is to be seen."""
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    return [line for line in lines if line.startswith("$ ") or SEEN.fullmatch(line)]


def examples() -> list[Example]:
    """Return all examples; a JSON file tells its story in a text beside it."""
    files = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("*.json")])
    texts = [file.with_suffix(".txt") if file.suffix == ".json" else file for file in files]
    return [
        Example(file, story_of(text.read_text())) for file, text in zip(files, texts, strict=True)
    ]


class Stack:
    """Everything that the examples need, and how a test looks at it."""

    def __init__(self, bus: Bus, client: Client) -> None:
        self._bus = bus
        self._client = client

    async def publish(self, subject: str, data: str) -> None:
        """Publish an event of a user's system."""
        await self._bus.append(subject, data.encode())

    async def state(self, run: str, step: str, status: str) -> tuple[str, object]:
        """Wait until a run or a step is in a state; return why, and with which output."""

        async def ask() -> RunView | None:
            view = await self._client.run(run).status()
            found = {one.step: one.status for one in view.steps}.get(step) if step else view.status
            stuck = view.ended_ms or view.status == "parked"
            assert found == status or not stuck, f"{step or run} is {found}: {view.error}"
            return view if found == status else None

        view = await until(ask, patience_s=PATIENCE_S)
        assert view is not None
        why = "" if isinstance(view.error, UnsetType) else view.error.message
        return why, await self._client.read(view.output)

    async def held(self, run: str) -> None:
        """Wait until a run has been told to wait for others."""
        subject = subjects.run_event("default", run, "held.*")
        await until(lambda: Journal(self._bus, RUNS).last([subject]), patience_s=PATIENCE_S)

    async def has_agents(self) -> None:
        """Wait until agents have registered."""
        await until(self._agents, patience_s=PATIENCE_S)

    async def _agents(self) -> bool:
        return bool((await self._client.list_agents()).agents)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Stack]:
    """Run the services of a stack for the length of a block."""
    quick: dict[str, Any] = {"nats_url": url, "ack_wait_s": 2, "drain_s": 2}
    async with (
        serving(
            orchestrator.NAME,
            OrchestratorSettings(**quick),
            orchestrator.build,
            requires=orchestrator.REQUIRES,
        ),
        serving("providers", ProvidersSettings(**quick), providers.build),
        serving("agents", AgentsSettings(**quick), agents.build),
        Client.connect(url, patience_s=PATIENCE_S) as client,
    ):
        bus = await Bus.connect(url, name="test", max_wait_s=10)
        stack = Stack(bus, client)
        await stack.has_agents()
        yield stack
        await bus.close()


class Terminal(Shell):
    """Keeps what commands write, apart from what the services in this process log."""

    def __init__(self, url: str) -> None:
        around = system_shell()
        super().__init__(
            connect=around.connect,
            connect_bus=around.connect_bus,
            start_stack=around.start_stack,
            env={"NATS_URL": url},
        )
        self.lines: Final[list[str]] = []
        """What was written, data and everything else."""

    def put(self, text: str) -> None:
        """Keep data."""
        self.lines.append(text)

    def say(self, text: str) -> None:
        """Keep a remark."""
        self.lines.append(text)


class Stage:
    """Plays the stories of examples, as a person at a terminal would."""

    def __init__(self, url: str, portal: Any, stack: Stack) -> None:
        self._url = url
        self._portal = portal
        self._stack = stack

    def play(self, story: list[str]) -> None:
        """Do and see what a story says, line by line."""
        runs: dict[str, str] = {}
        for line in story:
            if line.startswith("$ "):
                self._do(line.removeprefix("$ "), runs)
            else:
                self._see(line, runs)

    def _do(self, command: str, runs: dict[str, str]) -> None:
        program, *words = [runs.get(word, word) for word in shlex.split(command)]
        if program == "nats":
            _, subject, data = words
            self._portal.call(self._stack.publish, subject, data)
            return
        assert program == "segue", command
        said = self._segue(words)
        if words[:2] == EXECUTE:
            runs[f"RUN{len(runs) + 1}" if runs else "RUN"] = said[0].split()[1]

    def _segue(self, words: list[str]) -> list[str]:
        terminal = Terminal(self._url)
        result = CliRunner().invoke(build_cli(terminal), words, catch_exceptions=False)
        assert result.exit_code == 0, terminal.lines
        return terminal.lines

    def _see(self, line: str, runs: dict[str, str]) -> None:
        seen = SEEN.fullmatch(line)
        assert seen is not None
        run, status, more = runs[seen["run"]], seen["status"], seen["more"]
        if status == "held":
            self._portal.call(self._stack.held, run)
            return
        why, output = self._portal.call(self._stack.state, run, seen["step"] or "", status)
        if more and status == "completed":
            assert output == json.loads(more)
        elif more:
            assert more in why


@pytest.fixture(scope="module")
def stage(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running stack with the examples' worker."""
    shelf = tmp_path_factory.mktemp("shelf")
    worker = subprocess.Popen(
        [sys.executable, str(FOLDER / "pages_worker.py")],
        env={"NATS_URL": broker.url, "SHELF": str(shelf)},
        stdout=subprocess.DEVNULL,
    )
    try:
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(running(broker.url)) as stack,
        ):
            yield Stage(broker.url, portal, stack)
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.file.stem)
def test_an_example_does_what_its_comments_say(stage: Stage, example: Example) -> None:
    """Each command of its story works, and each state is seen."""
    stage.play(example.story)


@pytest.mark.parametrize("construct", sorted(SUPPORTED))
def test_each_construct_that_the_engine_runs_has_an_example(construct: str) -> None:
    """An engine without it would refuse one of the examples."""
    definitions = [parse(example.file.read_text()).workflow for example in examples()]

    assert any(
        unsupported(workflow, SUPPORTED - {construct}) for workflow in definitions if workflow
    )


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.file.stem)
def test_an_example_says_how_it_ends(example: Example) -> None:
    """Its story begins with a command and ends with the state of a run."""
    first, *_, last = example.story

    assert first.startswith("$ segue workflow ")
    assert SEEN.fullmatch(last)


def test_the_list_of_examples_is_whole() -> None:
    """Every file of the folder has its line in the list."""
    listed = re.findall(r"^\| \[`(.+?)`\]", (FOLDER / "README.md").read_text(), re.MULTILINE)
    files = {file.name for file in FOLDER.iterdir() if file.is_file()}

    assert sorted(listed) == sorted(files - {"README.md"})


@pytest.mark.parametrize("page", PAGES)
def test_the_definitions_of_a_how_to_are_valid(page: str) -> None:
    """Whoever copies one can run it."""
    text = (ROOT / f"docs/howto/{page}.md").read_text()
    definitions = re.findall(r"^```yaml\n(.+?)^```", text, re.MULTILINE | re.DOTALL)

    assert definitions
    for definition in definitions:
        assert parse(definition).problems == ()


def test_the_python_form_runs_as_a_program(
    stage: Stage, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program builds its definition from data, and gets the outputs back."""
    assert stage
    spec = importlib.util.spec_from_file_location("python_form", FOLDER / "python_form.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.setenv("NATS_URL", broker.url)

    outputs = asyncio.run(program.main())

    assert outputs == {"news": "news.md", "about": "about.md", "long": None}
