"""Settings: what can be configured about the orchestrator?"""

from pydantic import Field

from segue_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the orchestrator, from the environment."""

    shard_consumers: int = Field(default=16, ge=1, le=256)
    """How many consumers divide the journal; as the bootstrap made them."""
