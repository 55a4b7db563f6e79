"""Is a new configuration taken over without dropping a call, and a bad one refused?"""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from unit.providers.routing_support import IdleModelClient, nothing

from segue_providers.core.catalogue import Target
from segue_providers.core.configuration import Configuration, Provider
from segue_providers.core.fleet import Admission, Barred, Fleet
from segue_providers.core.health import Result
from segue_providers.shell.configured import Configured
from segue_providers.shell.keyring import LONGEST, collect, files
from segue_providers.shell.ports import ModelClient
from segue_providers.shell.setup import Setup
from segue_shared.settings import InvalidSettingsError
from segue_testing.fakes import FakeClock

KEY = "sk-secret-secret-secret-1"
OTHER = "sk-secret-secret-secret-2"
SONNET = Target("claude", "claude-sonnet-5-5")


def connect(provider: Provider, key: SecretStr | None) -> ModelClient:
    """Make a fake, or lack the library of one wire."""
    if provider.wire == "gemini":
        raise ModuleNotFoundError("no module", name="google")
    return IdleModelClient(provider, key)


class World:
    """A configuration file, and what is made of it."""

    def __init__(self, folder: Path, text: str | None = None, **environ: str) -> None:
        self.file = folder / "providers.yaml"
        self.fleet = Fleet()
        self.clock = FakeClock()
        if text is not None:
            self.file.write_text(text)
        self.configured = Configured(
            file="" if text is None else str(self.file),
            environ=environ,
            offline=True,
            fleet=self.fleet,
            clock=self.clock,
            connect=connect,
            look=nothing,
        )

    def client(self, setup: Setup, provider: str = "claude") -> IdleModelClient:
        """Return a provider's only client."""
        [client] = setup.clients[provider].values()
        assert isinstance(client, IdleModelClient)
        return client

    def obstacle(self, provider: str) -> str:
        """Return what is in the way of a provider."""
        return self.configured.current.catalogue.entries[provider].found.obstacle

    def admit(self) -> Admission | Barred:
        """Ask whether claude may be called."""
        return self.fleet.admit(SONNET, now_ms=self.clock.now_ms())


def test_keys_make_clients_and_their_lack_is_an_obstacle(tmp_path: Path) -> None:
    """Without a key or a library nothing is made, and the reason names what to do."""
    world = World(tmp_path, ANTHROPIC_API_KEY=KEY, GOOGLE_API_KEY=KEY, OPENAI_API_KEY=" ")

    setup = world.configured.load()

    assert world.client(setup).key == KEY
    assert setup.catalogue.entries["claude"].found.keys == ("env:ANTHROPIC_API_KEY",)
    assert setup.client("claude", "env:ANTHROPIC_API_KEY") is world.client(setup)
    assert world.obstacle("gemini") == "not_configured: install segue-providers[google]"
    assert world.obstacle("openai") == "not_configured: no key (OPENAI_API_KEY)"
    assert setup.keys("openai") == {}
    assert list(setup.keys("offline")) == [""]
    assert world.configured.current is setup


def test_a_provider_that_is_turned_off_says_by_what(tmp_path: Path) -> None:
    """A file's switch and the stand-in's variable are told apart."""
    world = World(tmp_path, "providers: {claude: {enabled: false}}", ANTHROPIC_API_KEY=KEY)
    world.configured._offline = False
    world.configured.load()

    assert world.obstacle("claude") == "turned off by providers.claude.enabled: false"
    assert world.obstacle("offline") == "turned off by SEGUE_PROVIDERS_OFFLINE=false"


def test_a_library_of_our_own_that_is_missing_is_no_obstacle(tmp_path: Path) -> None:
    """A broken adapter is an error of ours, not something to install."""

    def broken(_provider: Provider, _key: SecretStr | None) -> ModelClient:
        raise ModuleNotFoundError("no module", name="segue_providers.nothing")

    world = World(tmp_path, ANTHROPIC_API_KEY=KEY)
    world.configured._connect = broken

    with pytest.raises(ModuleNotFoundError):
        world.configured.load()


def test_a_bad_file_refuses_to_start(tmp_path: Path) -> None:
    """All problems are told; nothing is configured."""
    world = World(tmp_path, "policy: magic\nproviders: {claude: {kind: x}}")

    with pytest.raises(InvalidSettingsError) as refused:
        world.configured.load()

    assert len(refused.value.problems) == 2
    with pytest.raises(RuntimeError, match="before `load`"):
        _ = world.configured.current


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"\xff", "no UTF-8")])
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """A wrong path or an image in place of text is a problem with its file's name."""
    world = World(tmp_path, "")
    world.file.unlink()
    if content is not None:
        world.file.write_bytes(content)

    with pytest.raises(InvalidSettingsError, match=said):
        world.configured.load()


async def test_a_change_is_taken_over_and_calls_in_flight_keep_theirs(tmp_path: Path) -> None:
    """A running call keeps its client open; it is closed when the last of them ends."""
    world = World(tmp_path, "policy: priority", ANTHROPIC_API_KEY=KEY)
    world.configured.load()
    assert not await world.configured.check()
    async with world.configured.lease() as old:
        before = world.client(old)
        world.file.write_text("policy: cost\nproviders: {claude: {priority: 5}}")

        assert await world.configured.check()

        async with world.configured.lease() as new:
            assert new.catalogue.configuration.policy == "cost"
            assert world.client(new) is not before
        async with world.configured.lease() as again:
            assert again is new
        assert old.client("claude", "env:ANTHROPIC_API_KEY") is before
        assert not before.closed.is_set()
    assert before.closed.is_set()
    assert not world.client(new).closed.is_set()
    await world.configured.close()
    assert world.client(new).closed.is_set()


async def test_a_client_that_stays_the_same_is_kept(tmp_path: Path) -> None:
    """A change elsewhere closes no connection; without a call the old is closed at once."""
    world = World(tmp_path, "policy: priority", ANTHROPIC_API_KEY=KEY)
    first = world.configured.load()
    world.file.write_text("policy: cost")

    assert await world.configured.check()

    assert world.client(world.configured.current) is world.client(first)
    world.file.write_text("policy: cost\nproviders: {claude: {weight: 2}}")
    assert await world.configured.check()
    assert world.client(first).closed.is_set()


async def test_a_bad_change_is_refused_and_the_old_holds(tmp_path: Path) -> None:
    """What is wrong is told until it is mended."""
    world = World(tmp_path, "policy: cost", ANTHROPIC_API_KEY=KEY)
    first = world.configured.load()
    world.file.write_text("policy: magic")

    assert not await world.configured.check()

    assert world.configured.current is first
    [problem] = world.configured.refused
    assert problem.startswith(f"{world.file}:1: policy: ")
    world.file.unlink()
    assert not await world.configured.check()
    assert "cannot be read" in world.configured.refused[0]
    world.file.write_text("policy:    cost")
    assert not await world.configured.check()
    assert world.configured.refused == ()
    assert world.configured.current is first


async def test_a_link_that_is_exchanged_is_a_change(tmp_path: Path) -> None:
    """Mounted configuration is swapped by a link, with the times of its files unchanged."""
    world = World(tmp_path, "")
    world.file.unlink()
    for name in ("old", "new"):
        (tmp_path / name).write_text("policy: cost" if name == "new" else "policy: latency")
    world.file.symlink_to(tmp_path / "old")
    world.configured.load()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    link.rename(world.file)

    assert await world.configured.check()
    assert world.configured.current.configuration.policy == "cost"


async def test_a_key_that_changes_revives_its_provider(tmp_path: Path) -> None:
    """A refused key is replaced in its file, and calls go through again."""
    secret = tmp_path / "key"
    secret.write_text(f"{KEY}\n")
    world = World(tmp_path, f"providers: {{claude: {{keys: [{{file: {secret}}}]}}}}")
    world.configured.load()
    admission = world.admit()
    assert isinstance(admission, Admission)
    world.fleet.record(admission, Result(error="auth"), now_ms=world.clock.now_ms(), jitter=0)
    assert isinstance(world.admit(), Barred)
    assert not await world.configured.check()
    secret.write_text(OTHER)

    assert await world.configured.check()

    assert isinstance(world.admit(), Admission)
    assert world.client(world.configured.current).key == OTHER
    assert await world.configured.check() is False


async def test_a_key_whose_file_is_emptied_is_kept_and_told(tmp_path: Path) -> None:
    """A mount that fails for a moment takes no provider away."""
    secret = tmp_path / "key"
    secret.write_text(KEY)
    world = World(tmp_path, f"providers: {{claude: {{keys: [{{file: {secret}}}]}}}}")
    first = world.configured.load()
    await world.configured.check()
    secret.unlink()

    assert not await world.configured.check()

    assert world.configured.current is first
    assert world.configured.refused == (
        f"{secret}: holds no key any more; the one it held is kept",
    )


async def test_watching_checks_every_second(tmp_path: Path) -> None:
    """Nobody has to ask."""
    world = World(tmp_path, "policy: cost", ANTHROPIC_API_KEY=KEY)
    client = world.client(world.configured.load())
    watch = asyncio.create_task(world.configured.watch())
    try:
        await asyncio.sleep(0)
        world.file.write_text("providers: {claude: {weight: 2}}")
        await world.clock.advance(1)
        await asyncio.wait_for(client.closed.wait(), 5)
    finally:
        watch.cancel()


async def test_closing_before_loading_closes_nothing(tmp_path: Path) -> None:
    """A process that failed to start stops all the same."""
    await World(tmp_path).configured.close()


# Keys and adapters.


def keyed(*sources: dict[str, str]) -> Configuration:
    """Return a configuration of one provider with these keys."""
    return Configuration.model_validate(
        {"providers": {"claude": {"wire": "anthropic", "keys": list(sources)}}}
    )


def test_a_key_that_is_in_two_places_is_one_key(tmp_path: Path) -> None:
    """Two names of one account do not double what may be asked of it."""
    path = tmp_path / "key"
    path.write_text(KEY)
    found = keyed({"env": "A"}, {"env": "B"}, {"file": str(path)}, {"env": "C"})

    ring = collect(found, {"A": KEY, "B": KEY, "C": OTHER})

    assert list(ring.keys["claude"]) == ["env:A", "env:C"]
    assert files(found) == [str(path)]
    assert KEY not in repr(ring)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a\nb", b"x" * (LONGEST + 1)])
def test_a_file_that_holds_no_key_gives_none(tmp_path: Path, content: bytes) -> None:
    """Nothing, bytes, several lines or a whole document is no key."""
    path = tmp_path / "key"
    path.write_bytes(content)

    assert collect(keyed({"file": str(path)}), {}).keys["claude"] == {}
