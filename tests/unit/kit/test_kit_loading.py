"""Does a service load no more than it needs before it is ready?"""

import subprocess
import sys

from support.loaded import loaded_after


def test_logs_are_loaded_without_a_terminal_to_draw_in() -> None:
    """Structlog is loaded as if rich were not installed."""
    found = loaded_after("import segue_shared.loading", of={"structlog", "rich"})

    assert found == {"structlog"}


def test_who_needs_rich_has_it_all_the_same() -> None:
    """It is hidden from structlog only."""
    found = loaded_after("import segue_shared.loading, rich", of={"rich"})

    assert found == {"rich"}


def test_garbage_is_collected_once_all_is_loaded() -> None:
    """The collector pauses while a process loads, and what is there by then is passed over."""
    program = (
        "import gc, segue_shared.loading\n"
        "from segue_shared.garbage import collect_from_now_on\n"
        "before = gc.isenabled()\n"
        "collect_from_now_on()\n"
        "print(before, gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert shown.stdout == b"False True True\n"


def test_what_speaks_http_is_loaded_with_the_first_connection() -> None:
    """A server that listens has loaded neither HTTP nor WebSocket."""
    program = (
        "import asyncio\n"
        "from segue_shared.health import Health\n"
        "from segue_shared.http import HttpServer\n"
        "from segue_shared.metrics import Metrics\n"
        "async def listen():\n"
        "    metrics = Metrics('x')\n"
        "    server = HttpServer(host='127.0.0.1', port=0, health=Health(), metrics=metrics)\n"
        "    await server.start()\n"
        "    await server.stop(1)\n"
        "asyncio.run(listen())"
    )

    assert loaded_after(program, of={"h11", "httptools", "websockets"}) == set()
