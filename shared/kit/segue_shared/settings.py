"""Settings: what does every service read from its environment, and how are mistakes told?"""

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX: Final = "SEGUE_"
"""What the name of every variable begins with."""

_SCHEMES: Final = ("nats://", "tls://", "ws://", "wss://")
_FIELD_IN_TEXT: Final = re.compile(r'field "(\w+)"')

S = TypeVar("S", bound="ServiceSettings")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]


class ServiceSettings(BaseSettings):
    """What every service reads; a service adds its own fields in a subclass."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    nats_url: str = Field(default="nats://127.0.0.1:4222", repr=False)
    """The broker's address, or several separated by commas; it may hold credentials."""
    namespace: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """The tenant that is meant when none is named."""
    nkey_seed_file: str | None = None
    """File with the NKey seed of this service's user; none for an open broker."""
    inbox_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?$")
    """Where answers arrive, when the user's permissions prescribe it."""
    http_host: str = "127.0.0.1"
    """The interface on which health, metrics and the service's own pages are served."""
    http_port: int = Field(default=0, ge=0, le=65535)
    """Its port; 0 takes any free one."""
    log_level: LogLevel = "info"
    """The least level that is written."""
    instance: str = Field(default="", validate_default=True)
    """Which one of the service this is; host name and process id when empty."""
    drain_s: float = Field(default=10.0, gt=0)
    """Seconds that running work gets to finish after SIGTERM."""
    ack_wait_s: float = Field(default=30.0, gt=0)
    """Seconds after which the broker gives a silent worker's task to another."""
    otlp_endpoint: str = Field(
        default="",
        repr=False,
        validation_alias=AliasChoices(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
    )
    """Where spans go; OpenTelemetry reads the variable itself, none are recorded without it."""
    ready_file: Path | None = None
    """Where a small JSON file tells process id and address once the service is ready."""

    @field_validator("nats_url")
    @classmethod
    def _names_brokers(cls, value: str) -> str:
        for address in value.split(","):
            if not address.strip().startswith(_SCHEMES):
                raise ValueError("each address must look like 'nats://127.0.0.1:4222'")
        return value

    @field_validator("nkey_seed_file")
    @classmethod
    def _can_be_read(cls, value: str | None) -> str | None:
        if value is not None and not os.access(value, os.R_OK):
            raise ValueError(f"no file that can be read at {value}")
        return value

    @field_validator("instance")
    @classmethod
    def _names_itself(cls, value: str) -> str:
        return value or f"{socket.gethostname()}-{os.getpid()}"


class InvalidSettingsError(ValueError):
    """The environment does not make valid settings; one line per problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(kind: type[S]) -> S:
    """Read a service's settings from the environment.

    Raises:
        InvalidSettingsError: With one line per problem that names its variable, never its value.
    """
    try:
        return kind()
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        raise InvalidSettingsError([_problem(detail, kind) for detail in details]) from None
    except SettingsError as error:
        raise InvalidSettingsError([_unreadable(error)]) from None


def _problem(detail: ErrorDetails, kind: type[ServiceSettings]) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return f"settings: {message}"
    first, *rest = map(str, detail["loc"])
    prefix = PREFIX if first in kind.model_fields else ""
    return f"{'.'.join((prefix + first.upper(), *rest))}: {message}"


def _unreadable(error: SettingsError) -> str:
    """Return the problem of a variable whose text is not the JSON that its field needs."""
    match = _FIELD_IN_TEXT.search(str(error))
    name = f"{PREFIX}{match[1].upper()}" if match else "settings"
    return f"{name}: its text is not the JSON that this setting needs"
