"""The deployment files: are they as closed as they claim?

What needs an engine (building, starting) is not checked here; schema and lint are.
"""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[3]
SERVICES = {"orchestrator", "agents", "providers", "events", "gateway"}


@pytest.fixture
def compose() -> dict[str, Any]:
    """The compose file with its anchors resolved."""
    loaded: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return loaded


def test_every_service_has_its_container(compose: dict[str, Any]) -> None:
    """The stack is the broker, the bootstrap, and every service of the repository."""
    assert set(compose["services"]) == SERVICES | {"nats", "bootstrap"}
    assert {path.name for path in (ROOT / "services").iterdir() if path.is_dir()} == SERVICES


def test_only_the_gateway_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    """No port of the bus leaves the stack."""
    published = {name: s["ports"] for name, s in compose["services"].items() if "ports" in s}

    assert published == {"gateway": ["127.0.0.1:8080:8080"]}
    assert compose["networks"]["bus"] == {"internal": True}


def test_containers_are_confined(compose: dict[str, Any]) -> None:
    """Every container has a read-only root, no capabilities and no new privileges."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_only_providers_can_reach_the_internet_and_hold_keys(compose: dict[str, Any]) -> None:
    """Keys of model providers go to the one service that needs them."""
    with_keys = {
        name
        for name, service in compose["services"].items()
        if any(key.endswith("_API_KEY") for key in service.get("environment", {}))
    }

    assert with_keys == {"providers"}
    assert {n for n, s in compose["services"].items() if "internet" in s["networks"]} == {
        "providers"
    }


def test_services_start_after_the_topology_is_applied(compose: dict[str, Any]) -> None:
    """The bootstrap runs once the broker is healthy, services once it has completed."""
    for name in SERVICES:
        depends = compose["services"][name]["depends_on"]
        assert depends == {"bootstrap": {"condition": "service_completed_successfully"}}
    bootstrap = compose["services"]["bootstrap"]
    assert bootstrap["depends_on"] == {"nats": {"condition": "service_healthy"}}


@pytest.mark.parametrize("path", ["deploy/nats/nats.conf"])
def test_shipped_servers_pin_the_flags_that_break_clients(path: str) -> None:
    """Every broker configuration that we ship switches both flags off."""
    assert (
        "feature_flags { js_ack_fc_v2: false, js_api_reply_v2: false }" in (ROOT / path).read_text()
    )


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last user of the image is not root."""
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]

    assert users[-1] == "USER 65532:65532"
