"""`segue workflow push|alias|versions|show`: how are definitions registered and looked up?"""

from collections.abc import Sequence

import msgspec
from rich.table import Table as Grid

from segue.cli.definition import read_definition
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.exits import Exit
from segue_contracts.v1.commands import WorkflowVersion
from segue_shared.clock import rfc3339

_SHOWN_HASH = 12


async def push(shell: Shell, target: Target, *, file: str, alias: str, output: Output) -> Exit:
    """Check a definition here, and register it."""
    definition = read_definition(file)
    definition.valid()
    async with client_of(shell, target) as client:
        saved = await client.workflows.push(definition.text, alias=alias, file=definition.file)
    said = "was registered before" if saved.existing else "is registered"
    return _tell(shell, saved, f"{saved.workflow}@{saved.version} {said}", output=output)


async def set_alias(
    shell: Shell, target: Target, *, workflow: str, alias: str, version: str, output: Output
) -> Exit:
    """Let an alias mean a version."""
    async with client_of(shell, target) as client:
        named = await client.workflows.alias(workflow, alias, version)
    said = f"{workflow}@{alias} means {workflow}@{version} from now on"
    return _tell(shell, named, said, output=output)


async def versions(shell: Shell, target: Target, *, workflow: str, output: Output) -> Exit:
    """List what is registered."""
    async with client_of(shell, target) as client:
        found = await client.workflows.list(workflow)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(found).decode())
    elif found:
        shell.out.print(_grid(found))
    else:
        shell.say("no such workflow is registered; register one with: segue workflow push FILE")
    return Exit.DONE


async def show(shell: Shell, target: Target, *, reference: str, output: Output) -> Exit:
    """Write a definition as YAML."""
    async with client_of(shell, target) as client:
        found = await client.workflows.show(reference)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(found).decode())
    else:
        shell.put(found.text.rstrip("\n"))
    return Exit.DONE


def _tell(shell: Shell, version: WorkflowVersion, said: str, *, output: Output) -> Exit:
    if output is Output.JSON:
        shell.put(msgspec.json.encode(version).decode())
        return Exit.DONE
    shell.put(said)
    if version.aliases:
        shell.say(f"aliases: {', '.join(version.aliases)}")
    return Exit.DONE


def _grid(found: Sequence[WorkflowVersion]) -> Grid:
    grid = Grid("workflow", "version", "aliases", "definition", "registered")
    for one in found:
        grid.add_row(
            one.workflow,
            one.version,
            ", ".join(one.aliases),
            one.definition[:_SHOWN_HASH],
            rfc3339(one.saved_ms)[:19],
        )
    return grid
