"""`segue contracts`: what travels on the bus, and in which form?"""

import json
from pathlib import Path

import msgspec
from rich.table import Table as Grid

from segue.cli.failures import UsageError
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.core.exits import Exit
from segue_contracts.schema import UnknownTypeError, catalogue, schema_of, schemas
from segue_shared.errors import NotFoundError


async def list_all(shell: Shell, output: Output) -> Exit:
    """List every message with its subject and what it says."""
    entries = catalogue()
    if output is Output.JSON:
        shell.put(msgspec.json.encode(entries).decode())
        return Exit.DONE
    if not shell.out.is_terminal:
        for entry in entries:
            shell.put(f"{entry.name}\t{entry.kind}\t{entry.subject}\t{entry.description}")
        return Exit.DONE
    grid = Grid("name", "kind", "subject", "description")
    for entry in entries:
        grid.add_row(entry.name, entry.kind, entry.subject, entry.description)
    shell.out.print(grid)
    return Exit.DONE


async def show(shell: Shell, name: str) -> Exit:
    """Write the JSON Schema of one message."""
    try:
        schema = schema_of(name)
    except UnknownTypeError as error:
        raise NotFoundError(f"{error}; list them with: segue contracts list") from error
    shell.put(json.dumps(schema, indent=2, ensure_ascii=False))
    return Exit.DONE


async def write_schemas(shell: Shell, folder: Path) -> Exit:
    """Write every JSON Schema into a folder, one file per message."""
    found = schemas()
    try:
        for name, schema in found.items():
            _write(folder / f"{name}.json", schema)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    shell.say(f"{len(found)} schemas written to {folder}")
    return Exit.DONE


def _write(path: Path, schema: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
