"""Settings: what can be configured about the providers service?"""

from pydantic import AliasChoices, Field, SecretStr

from segue_shared.settings import ServiceSettings

OFFLINE_VARIABLE = "SEGUE_PROVIDERS_OFFLINE"


class Settings(ServiceSettings):
    """Settings of the providers service; keys keep the names their vendors gave them."""

    providers_offline: bool = True
    """Whether the offline stand-in may answer."""
    providers_concurrency: int = Field(default=16, ge=1, le=1_000)
    """LLM steps worked on at the same time."""
    providers_timeout_s: float = Field(default=120, gt=0)
    """Seconds one request may take when its caller sets no earlier deadline."""
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    """Key of the provider `claude`."""
    gemini_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("GEMINI_API_KEY", "GOOGLE_API_KEY")
    )
    """Key of the provider `gemini`."""
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    """Key of the provider `openai`."""
