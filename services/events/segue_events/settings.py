"""Settings: what can an operator choose?"""

from pydantic import Field

from segue_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the events service, from the environment."""

    queue_frames: int = Field(default=256, ge=1, description="Frames that wait for one viewer.")
    max_viewers: int = Field(default=10_000, ge=1, description="Streams open at once.")
    heartbeat_s: float = Field(default=15, gt=0, description="Seconds between signs of life.")
    write_timeout_s: float = Field(
        default=30, gt=0, description="Seconds after which a viewer that does not read is gone."
    )
    retry_ms: int = Field(
        default=1_000, ge=1, description="Milliseconds viewers wait before they come back, at least."
    )
