"""Settings: what can an operator choose?"""

from pydantic import Field

from segue_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the events service, from the environment."""

    queue_frames: int = Field(default=256, ge=1)
    """Frames that wait for one viewer before deltas give way, and then the viewer."""
    max_viewers: int = Field(default=10_000, ge=1)
    """Streams open at once."""
    heartbeat_s: float = Field(default=15.0, gt=0)
    """Seconds between signs of life on a stream."""
    write_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds after which a viewer that does not read is taken for gone."""
    retry_ms: int = Field(default=1_000, ge=1)
    """Milliseconds that viewers wait at least before they come back."""
