"""The broker of tests: is it chosen as asked, and is told why?"""

import socket
from pathlib import Path

import pytest

from segue_testing.binary import BinaryBroker, binary_version
from segue_testing.choice import BrokerChoiceError, Engine, EngineError, choose
from segue_testing.container import DockerEngine
from segue_testing.server import config


class FakeEngine:
    """A container engine that works, or has a problem."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.asked = 0

    def version(self) -> str:
        """Return the version in the image."""
        self.asked += 1
        if self.problem:
            raise EngineError(self.problem)
        return "v2.15.9"


def chosen(mode: str, engine: Engine) -> str:
    """Return what is chosen, in words."""
    return str(choose(mode, engine=engine, binary_version=lambda: "v2.15.1"))


def test_a_container_is_preferred_when_an_engine_can_run_it() -> None:
    """The image is what others deploy."""
    shown = chosen("auto", FakeEngine())

    assert shown == "nats-server v2.15.9 in a container (a container engine answers)"


def test_the_binary_stands_in_when_no_engine_can() -> None:
    """Whatever the problem is, it is told."""
    shown = chosen("auto", FakeEngine("the engine cannot run nats: no space"))

    assert shown == (
        "nats-server v2.15.1 from the bundled binary (the engine cannot run nats: no space)"
    )


def test_the_binary_is_used_when_asked_for() -> None:
    """The engine is not even looked for."""
    engine = FakeEngine()

    assert chosen("binary", engine) == (
        "nats-server v2.15.1 from the bundled binary (SEGUE_TEST_BROKER=binary)"
    )
    assert engine.asked == 0


def test_a_container_is_used_when_asked_for() -> None:
    """And the header says who asked."""
    assert chosen("docker", FakeEngine()) == (
        "nats-server v2.15.9 in a container (SEGUE_TEST_BROKER=docker)"
    )


def test_a_container_that_cannot_be_had_is_an_error() -> None:
    """Nothing else is taken in its place."""
    with pytest.raises(BrokerChoiceError, match=r"no engine; start an engine, or use 'binary'"):
        chosen("docker", FakeEngine("no engine"))


def test_another_word_is_an_error_that_names_the_three() -> None:
    """A typing mistake does not choose."""
    with pytest.raises(BrokerChoiceError, match=r"'podman'; use one of auto, binary, docker"):
        chosen("podman", FakeEngine())


def test_an_engine_that_does_not_listen_is_told_before_anything_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without an engine costs nothing."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")

    with pytest.raises(EngineError, match="no container engine answers"):
        DockerEngine().version()


def test_an_engine_that_answers_nonsense_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody listens, but the image cannot be run there."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")

    with pytest.raises(EngineError, match=r"cannot run nats:2\.15-alpine"):
        DockerEngine().version()


def test_the_bundled_binary_tells_its_version() -> None:
    """As its own flag does."""
    assert binary_version().startswith("v2.")


def test_both_kinds_are_configured_alike() -> None:
    """Only where they listen and store differs."""
    one = config(host="127.0.0.1", port=1, store="/a", extra="debug: true")
    other = config(host="127.0.0.2", port=2, store="/b", extra="debug: true")

    assert one.splitlines()[3:] == other.splitlines()[3:]
    assert "debug: true" in one


def test_a_broker_whose_port_is_taken_says_so(tmp_path: Path) -> None:
    """Also when who has it greets like a nats-server."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = BinaryBroker(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(TimeoutError, match="address already in use"):
            broker.start()
        broker.close()
