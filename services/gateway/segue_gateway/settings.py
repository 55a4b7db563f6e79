"""Settings: what can an operator choose?"""

from ipaddress import ip_address
from typing import Literal

from pydantic import Field, model_validator

from segue_shared.settings import ServiceSettings


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(ServiceSettings):
    """Settings of the gateway, from the environment."""

    events_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Where the events service is, for streams; without it streams answer 503."""
    gateway_unauthenticated: Literal["refuse", "allow"] = "refuse"
    """Whether anyone who reaches another interface than loopback may do everything."""
    command_timeout_s: float = Field(default=10.0, gt=0)
    """Seconds that a service gets to answer a command."""
    model_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds that the answer of a model may take."""
    model_silence_s: float = Field(default=10.0, gt=0)
    """Seconds without a sign of life after which a model is no longer waited for."""
    stream_write_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds after which a viewer that does not read is taken for gone."""

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the gateway."""
        return is_loopback(self.http_host)

    @model_validator(mode="after")
    def _stays_on_loopback(self) -> "Settings":
        if not self.local and self.gateway_unauthenticated != "allow":
            raise ValueError(
                f"the gateway has no login yet, and SEGUE_HTTP_HOST={self.http_host} can be reached"
                " from other machines; bind it to 127.0.0.1, or set"
                " SEGUE_GATEWAY_UNAUTHENTICATED=allow where something else keeps strangers out"
            )
        return self
