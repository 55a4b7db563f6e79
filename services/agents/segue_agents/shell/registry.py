"""The registry: how do others learn which agents there are?"""

import msgspec
import structlog

from segue_agents.core.catalogue import Catalogue
from segue_agents.shell.ports import AgentBucket
from segue_contracts.envelope import encode
from segue_contracts.v1.commands import AgentList, AgentManifest

_log = structlog.get_logger()


class Registry:
    """The published manifests, by namespace."""

    def __init__(self, bucket: AgentBucket) -> None:
        self._bucket = bucket

    async def publish(self, namespace: str, catalogue: Catalogue) -> None:
        """Write the manifests of a catalogue; what is there already stays as it is."""
        for manifest in catalogue.manifests:
            value = encode(manifest.published())
            key = f"{namespace}.{manifest.name}"
            entry = await self._bucket.get(key)
            if entry is None or entry.value != value:
                await self._bucket.put(key, value)
                _log.info("agent_registered", agent=manifest.name, version=manifest.version)

    async def listed(self, namespace: str) -> AgentList:
        """Return all agents that are registered in a namespace, by name."""
        keys = sorted(await self._bucket.keys(namespace))
        entries = [await self._bucket.get(key) for key in keys]
        return AgentList(agents=[_manifest(entry.value) for entry in entries if entry is not None])


def _manifest(value: bytes) -> AgentManifest:
    return msgspec.json.decode(value, type=AgentManifest)
