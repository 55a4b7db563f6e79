"""The services: how is each one run on this machine?"""

import importlib.util
import sys
from pathlib import Path
from typing import Final

import msgspec

from segue.stack.addresses import LOOPBACK, free_port
from segue.stack.supervised import Program, StackError

GATEWAY: Final = "gateway"
EVENTS: Final = "events"
NAMES: Final = ("orchestrator", "agents", "providers", EVENTS, GATEWAY)
_GATEWAY_PORT: Final = 8080


class Ready(msgspec.Struct, frozen=True):
    """What a service writes into its ready file."""

    service: str
    """Its name."""
    pid: int
    """Its process id."""
    url: str = ""
    """Where it answers."""


def check_installed() -> None:
    """Check that every service can be run by this interpreter.

    Raises:
        StackError: Some cannot; the message says what to install.
    """
    absent = [name for name in NAMES if importlib.util.find_spec(f"segue_{name}") is None]
    if absent:
        raise StackError(
            f"not installed: {', '.join(absent)}; install them with pip install 'segue[stack]'"
        )


def service_programs(folder: Path, *, nats_url: str, namespace: str) -> list[Program]:
    """Return how every service is run; each has one port for as long as the stack lives.

    Args:
        folder: The stack's folder.
        nats_url: The broker.
        namespace: The tenant.
    """
    # Ports are chosen once, so that a service that dies comes back where its clients look for it.
    ports = {name: free_port(_GATEWAY_PORT if name == GATEWAY else 0) for name in NAMES}
    ready = folder / "ready"
    ready.mkdir(exist_ok=True)
    programs = []
    for name, port in ports.items():
        env = {
            "SEGUE_NATS_URL": nats_url,
            "SEGUE_NAMESPACE": namespace,
            "SEGUE_HTTP_HOST": LOOPBACK,
            "SEGUE_HTTP_PORT": str(port),
            "SEGUE_READY_FILE": str(ready / f"{name}.json"),
        }
        if name == GATEWAY:
            env["SEGUE_EVENTS_URL"] = f"http://{LOOPBACK}:{ports[EVENTS]}"
        programs.append(_program(name, env, ready / f"{name}.json"))
    return programs


def url_of(program: Program) -> str:
    """Return where a service answers; empty for the broker."""
    port = program.env.get("SEGUE_HTTP_PORT")
    return f"http://{LOOPBACK}:{port}" if port else ""


def _program(name: str, env: dict[str, str], ready_file: Path) -> Program:
    ready_file.unlink(missing_ok=True)

    async def ready(pid: int) -> bool:
        told = read_ready(ready_file)
        return told is not None and told.pid == pid

    argv = (sys.executable, "-m", f"segue_{name}")
    return Program(name=name, argv=argv, ready=ready, env=env)


def read_ready(path: Path) -> Ready | None:
    """Return what a ready file tells; None when it is absent or half written."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ready)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
