"""Settings: are they read from the environment, and are mistakes told by their variable?"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from segue_shared.settings import InvalidSettingsError, ServiceSettings, load

SetVariable = Callable[[str, str], None]


class Settings(ServiceSettings):
    """Settings of a service in these tests."""

    concurrency: int = Field(default=8, ge=1)
    limits: list[int] = Field(default=[])
    provider_key: SecretStr | None = Field(default=None, validation_alias="PROVIDER_KEY")


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> SetVariable:
    """Set a variable in an environment that holds none of ours."""
    for name in os.environ:
        if name.startswith(("SEGUE_", "OTEL_")):
            monkeypatch.delenv(name)
    return monkeypatch.setenv


def problems_of(kind: type[ServiceSettings]) -> list[str]:
    """Return what is wrong with the environment."""
    with pytest.raises(InvalidSettingsError) as caught:
        load(kind)
    return caught.value.problems


def test_an_empty_environment_gives_the_defaults(variable: SetVariable) -> None:
    """Nothing needs to be set for a service on its own machine."""
    settings = load(Settings)

    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.namespace == "default"
    assert settings.http_port == 0
    assert settings.ready_file is None


def test_every_field_is_read_from_its_variable(variable: SetVariable) -> None:
    """The variable of a field is its name in capitals after SEGUE_, a subclass's too."""
    variable("SEGUE_NATS_URL", "nats://one:4222,tls://two:4222")
    variable("SEGUE_HTTP_PORT", "8080")
    variable("SEGUE_LOG_LEVEL", "DEBUG")
    variable("SEGUE_READY_FILE", "/tmp/ready.json")
    variable("SEGUE_CONCURRENCY", "3")

    settings = load(Settings)

    assert settings.nats_url == "nats://one:4222,tls://two:4222"
    assert settings.http_port == 8080
    assert settings.log_level == "debug"
    assert settings.ready_file == Path("/tmp/ready.json")
    assert settings.concurrency == 3


def test_an_empty_variable_counts_as_not_set(variable: SetVariable) -> None:
    """A deployment may pass a variable on without a value."""
    variable("SEGUE_READY_FILE", "")

    assert load(Settings).ready_file is None


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
)
def test_the_collector_of_spans_is_named_as_opentelemetry_does(
    variable: SetVariable, name: str
) -> None:
    """Nothing is recorded without it."""
    assert load(Settings).otlp_endpoint == ""

    variable(name, "http://collector:4318")

    assert load(Settings).otlp_endpoint == "http://collector:4318"


@pytest.mark.parametrize("value", [None, ""])
def test_an_instance_without_a_name_is_named_after_its_process(
    variable: SetVariable, value: str | None
) -> None:
    """Two processes on one machine never share a name."""
    if value is not None:
        variable("SEGUE_INSTANCE", value)

    assert load(Settings).instance.endswith(f"-{os.getpid()}")


def test_settings_cannot_be_changed(variable: SetVariable) -> None:
    """Settings are read once."""
    settings = load(Settings)

    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "http_port", 1)  # noqa: B010 - the type checker knows it fails


def test_all_problems_are_told_at_once_each_with_its_variable(variable: SetVariable) -> None:
    """One line per problem, so that one correction suffices."""
    variable("SEGUE_HTTP_PORT", "eighty")
    variable("SEGUE_CONCURRENCY", "0")
    variable("SEGUE_NATS_URL", "http://broker")
    variable("SEGUE_NKEY_SEED_FILE", "/nowhere/seed")

    problems = problems_of(Settings)

    assert [problem.partition(":")[0] for problem in problems] == [
        "SEGUE_NATS_URL",
        "SEGUE_NKEY_SEED_FILE",
        "SEGUE_HTTP_PORT",
        "SEGUE_CONCURRENCY",
    ]
    assert "nats://127.0.0.1:4222" in problems[0]
    assert all("\n" not in problem for problem in problems)


def test_a_problem_of_a_list_names_the_item(variable: SetVariable) -> None:
    """The place inside a value is told too."""
    variable("SEGUE_LIMITS", '[1, "x"]')

    [problem] = problems_of(Settings)

    assert problem.startswith("SEGUE_LIMITS.1: ")


def test_text_that_is_not_json_is_told_by_its_variable(variable: SetVariable) -> None:
    """A list in the environment is written as JSON."""
    variable("SEGUE_LIMITS", "[1,")

    assert problems_of(Settings) == [
        "SEGUE_LIMITS: its text is not the JSON that this setting needs"
    ]


def test_a_problem_never_shows_the_value(variable: SetVariable) -> None:
    """A secret in the wrong variable does not reach the terminal."""
    variable("SEGUE_HTTP_PORT", "sk-very-secret")
    variable("SEGUE_NATS_URL", "user:sk-very-secret@broker")

    assert "sk-very-secret" not in "".join(problems_of(Settings))


def test_settings_in_text_hide_credentials(variable: SetVariable) -> None:
    """Neither the broker's address nor a key is part of the text of settings."""
    variable("SEGUE_NATS_URL", "nats://user:hunter2@broker:4222")
    variable("PROVIDER_KEY", "sk-very-secret")

    settings = load(Settings)

    assert settings.provider_key is not None
    assert settings.provider_key.get_secret_value() == "sk-very-secret"
    assert "hunter2" not in repr(settings)
    assert "sk-very-secret" not in repr(settings)
