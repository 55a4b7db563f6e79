"""Is a provider ready exactly when it has its key and its adapter, and is the key kept secret?"""

import pytest
from unit.providers.provider_support import KEYS, FakeModelClient, Stage, asking

from segue_providers.settings import Settings
from segue_providers.shell.ports import ModelClient
from segue_providers.shell.registry import REGISTRY, Entry, connected, providers_of

SECRET = "sk-very-secret-value"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's own keys away."""
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


def test_the_priority_is_claude_gemini_openai_offline() -> None:
    """The order of the registry is the order in which providers are tried."""
    assert [entry.name for entry in REGISTRY] == ["claude", "gemini", "openai", "offline"]


@pytest.mark.parametrize(
    ("variable", "provider"),
    [
        ("ANTHROPIC_API_KEY", "claude"),
        ("GEMINI_API_KEY", "gemini"),
        ("GOOGLE_API_KEY", "gemini"),
        ("OPENAI_API_KEY", "openai"),
    ],
)
def test_a_key_is_read_from_its_vendors_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, provider: str
) -> None:
    """Each provider knows its key by the name that its vendor gave it."""
    monkeypatch.setenv(variable, SECRET)

    assert [one.name for one in providers_of(Settings(), {}) if one.has_key] == [provider]


def test_a_blank_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as compose files make them, configures nothing."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", " ")
    monkeypatch.setenv("OPENAI_API_KEY", "")

    assert not any(one.has_key for one in providers_of(Settings(), {}))


def test_without_keys_only_the_stand_in_is_connected() -> None:
    """Nothing that needs a key is made."""
    assert list(connected(Settings())) == ["offline"]


def test_an_adapter_joins_by_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key and a `connect`, an entry is a usable provider; without the key it is not."""
    client = FakeModelClient()

    def connect(_settings: Settings) -> ModelClient:
        return client

    entry = Entry(
        name="claude",
        key_variable="ANTHROPIC_API_KEY",
        key=lambda settings: settings.anthropic_api_key,
        connect=connect,
    )
    assert connected(Settings(), (entry,)) == {}
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)

    clients = connected(Settings(), (entry,))
    assert clients == {"claude": client}
    [provider] = providers_of(Settings(), clients, (entry,))
    assert (provider.has_key, provider.has_adapter) == (True, True)


async def test_keys_never_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither settings, nor answers, nor what is published or logged holds a key."""
    for key in KEYS:
        monkeypatch.setenv(key, SECRET)
    settings = Settings()
    stage = Stage(settings)
    response = await stage.chat(asking("Hello."))
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(response)]
    shown += [repr(stage.bus.published), repr(stage.service.router.status()), *capsys.readouterr()]

    assert not any(SECRET in text for text in shown)
