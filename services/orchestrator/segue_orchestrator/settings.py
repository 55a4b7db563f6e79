"""Settings: what can be configured about the orchestrator?"""

from pydantic import Field

from segue_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the orchestrator, from the environment."""

    pool_window: int = Field(default=4096, ge=1)
    """How many tasks may lie before the workers of a pool; the rest wait in their runs."""
    pool_windows: dict[str, int] = Field(default={"agents": 256, "llm": 256, "connectors": 256})
    """The same for pools whose tasks take long, by name."""

    retention_window_s: float = Field(default=7 * 24 * 3600, gt=0)
    """Seconds for which the journal keeps every event at least."""

    janitor_every_s: float = Field(default=600, gt=0)
    """Seconds between two cleanings of the journal, by whichever orchestrator comes first."""
