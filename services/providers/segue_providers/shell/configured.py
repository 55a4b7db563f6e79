"""What is configured: which setup holds now, and when does another take its place?

The file and the files of keys are looked at every second; a bad change is refused and told, and
what held before holds on. A call keeps the setup that it began with.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import structlog

from segue_providers.core.catalogue import Found, Look
from segue_providers.core.configuration import Configuration
from segue_providers.core.configuration_file import parse
from segue_providers.core.fleet import Fleet
from segue_providers.settings import OFFLINE_VARIABLE
from segue_providers.shell.keyring import collect, files
from segue_providers.shell.setup import Connect, Setup, setup_of
from segue_shared.clock import Clock
from segue_shared.settings import InvalidSettingsError

_log = structlog.get_logger()

POLL_S: Final = 1.0
"""Seconds between two looks at the files."""

Signature = tuple[tuple[str, int, int, int], ...]


@runtime_checkable
class Closing(Protocol):
    """A client that holds something of its own."""

    async def close(self) -> None:
        """Give back what is its own; what clients share stays."""
        ...


class Configured:
    """The configuration in use.

    Args:
        file: The configuration's file; empty for the built-in configuration.
        environ: The environment's variables, which hold keys and go over the file.
        offline: Whether the stand-in may answer.
        fleet: Learns which keys there are.
        clock: For the polls.
        connect: Makes clients.
        look: Looks models up in the shipped table.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        *,
        file: str,
        environ: Mapping[str, str],
        offline: bool,
        fleet: Fleet,
        clock: Clock,
        connect: Connect,
        look: Look,
    ) -> None:
        self._file = file
        self._environ = environ
        self._offline = offline
        self._fleet = fleet
        self._clock = clock
        self._connect = connect
        self._look = look
        self._current: Setup | None = None
        self._seen: Signature = ()
        self._users: dict[int, tuple[Setup, int]] = {}
        self.refused: tuple[str, ...] = ()
        """What is wrong with a newer configuration, which is therefore not in use."""

    @property
    def current(self) -> Setup:
        """The setup that holds now.

        Raises:
            RuntimeError: `load` was not called yet.
        """
        if self._current is None:
            raise RuntimeError("nothing is configured before `load`")
        return self._current

    def load(self) -> Setup:
        """Configure for the first time.

        Raises:
            InvalidSettingsError: The configuration is bad; a line for each problem.
        """
        self._seen = self._signature()
        made = self._made()
        if not isinstance(made, Setup):
            raise InvalidSettingsError(made)
        self._use(made)
        return made

    async def check(self) -> bool:
        """Look at the files, and use what they hold if that is new and good.

        Returns:
            Whether another setup holds now.
        """
        seen = self._signature()
        if seen == self._seen:
            return False
        self._seen = seen
        made = await asyncio.to_thread(self._made)
        if not isinstance(made, Setup):
            self._refuse(made)
            return False
        self.refused = made.keyring.problems
        before = self.current
        if _same(before, made):
            return False
        self._use(made)
        _log.info("configuration_changed", digest=made.digest, file=self._file)
        await self._close_unused(before)
        return True

    async def watch(self) -> None:
        """Check every second, for ever."""
        while True:
            await self._clock.sleep(POLL_S)
            await self.check()

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[Setup, None]:
        """Hold on to the current setup; its clients stay open until it is given back."""
        setup = self.current
        self._count(setup, 1)
        try:
            yield setup
        finally:
            self._count(setup, -1)
            if setup is not self._current:
                await self._close_unused(setup)

    async def close(self) -> None:
        """Close all clients."""
        setup, self._current = self._current, None
        if setup is not None:
            await self._close_unused(setup)

    def _made(self) -> Setup | list[str]:
        old = self._current
        configuration = self._parsed()
        if not isinstance(configuration, Configuration):
            return configuration
        keyring = collect(configuration, self._environ, old=None if old is None else old.keyring)
        return setup_of(
            configuration,
            keyring,
            connect=self._connect,
            look=self._look,
            off=_off(configuration, offline=self._offline),
            old=old,
        )

    def _parsed(self) -> Configuration | list[str]:
        if not self._file:
            return parse("", where="built-in configuration", environ=self._environ)
        try:
            text = Path(self._file).read_text(encoding="utf-8")
        except OSError as error:
            return [f"{self._file}: cannot be read ({error.strerror}); check the path"]
        except UnicodeDecodeError:
            return [f"{self._file}: is no UTF-8 text"]
        return parse(text, where=self._file, environ=self._environ)

    def _use(self, setup: Setup) -> None:
        self._current = setup
        self.refused = setup.keyring.problems
        self._fleet.renew(
            setup.fingerprints,
            most={name: one.max_in_flight for name, one in setup.configuration.providers.items()},
        )

    def _refuse(self, problems: list[str]) -> None:
        self.refused = tuple(problems)
        _log.error("configuration_refused", problems=problems, file=self._file)

    def _signature(self) -> Signature:
        """Return what changes when a file does, also when a link to it is exchanged."""
        keys = [] if self._current is None else files(self._current.configuration)
        return tuple(_stat(path) for path in (self._file, *keys) if path)

    def _count(self, setup: Setup, more: int) -> None:
        _, users = self._users.pop(id(setup), (setup, 0))
        if users + more:
            self._users[id(setup)] = (setup, users + more)

    async def _close_unused(self, setup: Setup) -> None:
        """Close the clients of a setup that neither another in use nor the current one has."""
        held = [one for one, _ in self._users.values()]
        if self._current is not None:
            held.append(self._current)
        kept = {id(client) for one in held for client in one.ids.values()}
        for client in setup.ids.values():
            if id(client) not in kept and isinstance(client, Closing):
                await client.close()


def _same(old: Setup, new: Setup) -> bool:
    """Tell whether nothing changed; a key's change counts though the digest has no keys."""
    return old.digest == new.digest and old.fingerprints == new.fingerprints


def _off(configuration: Configuration, *, offline: bool) -> dict[str, Found]:
    if offline:
        return {}
    turned_off = Found(
        obstacle=f"turned off by {OFFLINE_VARIABLE}=false", missing=f"{OFFLINE_VARIABLE}=true"
    )
    providers = configuration.providers.items()
    return {name: turned_off for name, one in providers if one.wire == "offline"}


def _stat(path: str) -> tuple[str, int, int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (path, 0, 0, 0)
    return (path, found.st_ino, found.st_mtime_ns, found.st_size)
