"""Settings: what can be configured about the agents service?"""

from pydantic import Field

from segue_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the agents service, from the environment with the prefix `SEGUE_`."""

    concurrency: int = Field(default=8, ge=1, le=1_000)
    """Tasks worked on at the same time."""
    tool_concurrency: int = Field(default=4, ge=1, le=256)
    """Tools running at the same time, over all tasks."""
    model_timeout_s: float = Field(default=120, gt=0)
    """Seconds one call to a model may take before it is asked again."""
    model_silence_s: float = Field(default=10, gt=0)
    """Seconds without a sign of life after which the providers are asked again."""
    settled_check_s: float = Field(default=10, gt=0)
    """Seconds between two looks of a long attempt at whether it is still wanted."""
