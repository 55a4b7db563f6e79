"""Are idle and failing providers checked, no more often than they should be?"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr
from unit.providers.routing_support import IdleModelClient, called, nothing

from segue_providers.core.breaker import OPEN_MS
from segue_providers.core.catalogue import Target
from segue_providers.core.configuration import Provider
from segue_providers.core.fleet import Admission, Fleet
from segue_providers.core.health import Result
from segue_providers.shell.configured import Configured
from segue_providers.shell.ports import ModelCallError, ModelClient
from segue_providers.shell.prober import Prober
from segue_providers.shell.telling import Telling
from segue_testing.fakes import FakeClock

SONNET = Target("claude", "claude-sonnet-5-5")
DOWN = Result(error="transport")


class ProbedClient(IdleModelClient):
    """A client whose check does what the test says."""

    def __init__(self, provider: Provider, key: SecretStr | None) -> None:
        super().__init__(provider, key)
        self.fails: BaseException | None = None
        self.hangs = False
        self.checks = 0
        self.checked: asyncio.Queue[int] = asyncio.Queue()

    async def probe(self) -> None:
        """Answer, fail or hang."""
        self.checks += 1
        self.checked.put_nowait(self.checks)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails


class FakeTelling:
    """Notes that breakers were told of."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def breakers(self, fleet: Fleet) -> None:
        """Note who changed."""
        self.told += fleet.turned()


class World:
    """Claude with one key, and a prober."""

    def __init__(self, folder: Path, **fields: object) -> None:
        file = folder / "providers.yaml"
        told = ", ".join(f"{name}: {value}" for name, value in fields.items())
        file.write_text(f"providers: {{claude: {{{told}}}}}")
        self.fleet, self.clock = Fleet(), FakeClock()
        self.configured = Configured(
            file=str(file),
            environ={"ANTHROPIC_API_KEY": "sk-secret"},
            offline=True,
            fleet=self.fleet,
            clock=self.clock,
            connect=self._connect,
            look=nothing,
        )
        self.configured.load()
        self.telling = FakeTelling()
        self.prober = Prober(
            self.configured,
            self.fleet,
            clock=self.clock,
            draw=lambda: 0.5,
            limit_s=0.01,
            telling=cast("Telling", self.telling),
        )

    def _connect(self, provider: Provider, key: SecretStr | None) -> ModelClient:
        client = ProbedClient(provider, key)
        if provider.wire == "anthropic":
            self.client = client
        return client

    async def open(self) -> None:
        """Let claude's breaker open, and the time of its first probe come."""
        called(self.fleet, SONNET, *[DOWN] * 5, now_ms=self.clock.now_ms())
        await self.clock.advance(OPEN_MS / 1000)

    def state(self) -> str:
        """Return the state of claude's breaker."""
        breaker = self.fleet.breaker(SONNET)
        return "" if breaker is None else breaker.state(self.clock.now_ms())


async def test_nobody_is_checked_without_being_asked_for(tmp_path: Path) -> None:
    """A check is a call that a vendor counts, so it is off unless configured."""
    world = World(tmp_path)

    assert await world.prober.check() is None
    assert world.client.checks == 0


async def test_an_idle_provider_is_checked_when_its_time_has_come(tmp_path: Path) -> None:
    """`probe_s` after the last call, and after the last check."""
    world = World(tmp_path, probe_s=60)

    assert await world.prober.check() == SONNET
    assert await world.prober.check() is None
    await world.clock.advance(60)
    called(world.fleet, SONNET, now_ms=world.clock.now_ms())
    assert await world.prober.check() is None
    await world.clock.advance(60)
    assert await world.prober.check() == SONNET
    assert world.client.checks == 2


async def test_a_half_open_model_is_checked_before_a_caller_has_to_try(tmp_path: Path) -> None:
    """A check that succeeds counts as its first probe; real calls must follow."""
    world = World(tmp_path)
    await world.open()

    assert await world.prober.check() == SONNET
    assert await world.prober.check() is None
    assert (world.client.checks, world.state()) == (1, "half_open")


@pytest.mark.parametrize(
    "arrange",
    [
        lambda client: setattr(client, "fails", ModelCallError("transport", "no route")),
        lambda client: setattr(client, "hangs", True),
    ],
    ids=["fails", "hangs"],
)
async def test_a_check_that_fails_keeps_callers_away(
    tmp_path: Path, arrange: Callable[[ProbedClient], None]
) -> None:
    """An unreachable or silent provider stays open for longer."""
    world = World(tmp_path)
    await world.open()
    arrange(world.client)

    assert await world.prober.check() == SONNET
    assert world.state() == "open"
    assert world.telling.told


async def test_a_check_finds_a_refused_key(tmp_path: Path) -> None:
    """The key is dead before a caller meets it; the breaker has nothing to say."""
    world = World(tmp_path, probe_s=60)
    world.client.fails = ModelCallError("auth", "invalid key")
    await world.prober.check()

    [state] = world.fleet.key_states("claude", now_ms=world.clock.now_ms())
    assert (state.usable, state.reason) == (False, "auth")
    await world.clock.advance(60)
    assert await world.prober.check() is None
    assert world.client.checks == 1


async def test_a_check_that_is_cancelled_holds_no_place(tmp_path: Path) -> None:
    """Stopping the service in the middle of a check loses no probe."""
    world = World(tmp_path)
    await world.open()
    world.client.hangs = True
    world.prober = Prober(
        world.configured,
        world.fleet,
        clock=world.clock,
        draw=lambda: 0.5,
        telling=cast("Telling", world.telling),
    )
    check = asyncio.create_task(world.prober.check())
    await asyncio.wait_for(world.client.checked.get(), 5)
    check.cancel()
    await asyncio.wait([check])

    assert check.cancelled()
    assert isinstance(world.fleet.admit(SONNET, now_ms=world.clock.now_ms()), Admission)


async def test_watching_checks_at_its_pace(tmp_path: Path) -> None:
    """One check a second at most, for ever."""
    world = World(tmp_path, probe_s=1)
    watch = asyncio.create_task(world.prober.watch())
    try:
        for expected in (1, 2):
            await asyncio.sleep(0)
            await world.clock.advance(1)
            assert await asyncio.wait_for(world.client.checked.get(), 5) == expected
    finally:
        watch.cancel()
