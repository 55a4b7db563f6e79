"""Settings: what can be configured about the providers service?"""

from pydantic import Field

from segue_shared.settings import ServiceSettings

OFFLINE_VARIABLE = "SEGUE_PROVIDERS_OFFLINE"


class Settings(ServiceSettings):
    """Settings of the providers service; where keys are is in its configuration."""

    providers_offline: bool = True
    """Whether the offline stand-in may answer."""
    providers_file: str = ""
    """File of the configuration, YAML or JSON; empty for the built-in one alone."""
    providers_concurrency: int = Field(default=16, ge=1, le=1_000)
    """LLM steps worked on at the same time."""
    providers_timeout_s: float = Field(default=120, gt=0)
    """Seconds one request may take when its caller sets no earlier deadline."""
