"""The choice: which nats-server do tests use, and why?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

VARIABLE: Final = "SEGUE_TEST_BROKER"
"""The environment variable that chooses: `auto`, `binary` or `docker`."""

_MODES: Final = ("auto", "binary", "docker")


class EngineError(Exception):
    """No container engine answers, or it cannot run the image."""


class Engine(Protocol):
    """A container engine."""

    def version(self) -> str:
        """Return the version of the server in the image.

        Raises:
            EngineError: No engine answers, or it cannot run the image.
        """
        ...


class BrokerChoiceError(ValueError):
    """What was asked for cannot be had."""


@dataclass(frozen=True, kw_only=True)
class BrokerChoice:
    """A kind of nats-server, and why it was chosen."""

    kind: Literal["binary", "docker"]
    """How it is run: as a process, or in a container."""
    version: str
    """The server's version, such as `v2.15.1`."""
    why: str
    """A few words."""

    def __str__(self) -> str:
        how = "from the bundled binary" if self.kind == "binary" else "in a container"
        return f"nats-server {self.version} {how} ({self.why})"


def choose(mode: str, *, engine: Engine, binary_version: Callable[[], str]) -> BrokerChoice:
    """Choose the nats-server of tests.

    Args:
        mode: `auto` takes a container when an engine can run one, else the binary.
        engine: The container engine; asked only when it may matter.
        binary_version: Returns the version of the bundled binary.

    Raises:
        BrokerChoiceError: The mode is none of the three, or wants an engine that does not work.
    """
    if mode not in _MODES:
        raise BrokerChoiceError(f"{VARIABLE} is {mode!r}; use one of {', '.join(_MODES)}")
    if mode == "binary":
        return BrokerChoice(kind="binary", version=binary_version(), why=f"{VARIABLE}=binary")
    try:
        version = engine.version()
    except EngineError as error:
        if mode == "docker":
            raise BrokerChoiceError(
                f"{VARIABLE} is 'docker', but {error}; start an engine, or use 'binary'"
            ) from error
        return BrokerChoice(kind="binary", version=binary_version(), why=str(error))
    why = f"{VARIABLE}=docker" if mode == "docker" else "a container engine answers"
    return BrokerChoice(kind="docker", version=version, why=why)
