"""`segue bus`: how does a broker get what Segue needs?"""

from segue.cli.shell import Shell
from segue.cli.target import Target, resolve
from segue.core.exits import Exit
from segue_contracts.v1.topology import topology
from segue_shared import bootstrap


async def apply(shell: Shell, target: Target, *, replicas: int, shard_consumers: int) -> Exit:
    """Make the streams, buckets and consumers that are missing, and update what changed.

    Args:
        shell: What the command touches.
        target: Which bus.
        replicas: Copies of everything.
        shard_consumers: Into how many the journal is divided; 0 leaves it as it is.
    """
    address = resolve(shell, target)
    async with shell.connect_bus(address.url) as bus:
        changes = await bootstrap.apply(bus, topology(shard_consumers), replicas=replicas)
    for change in changes:
        shell.put(f"{change.kind} {change.name} {change.action}")
    if not changes:
        shell.say(f"{address.url} has everything already")
    return Exit.DONE
