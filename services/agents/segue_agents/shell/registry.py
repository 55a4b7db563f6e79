"""The registry: how do others learn which agents there are?"""

import msgspec
import structlog

from segue_agents.core.catalogue import Catalogue
from segue_agents.shell.ports import AgentBucket
from segue_contracts.envelope import encode
from segue_contracts.v1.commands import AgentList, AgentManifest

_log = structlog.get_logger()


class Registry:
    """The published manifests of one namespace."""

    def __init__(self, bucket: AgentBucket, *, namespace: str) -> None:
        self._bucket = bucket
        self._namespace = namespace

    async def publish(self, catalogue: Catalogue) -> None:
        """Write the manifests of a catalogue; what is there already stays as it is."""
        for manifest in catalogue.manifests:
            value = encode(manifest.published())
            key = f"{self._namespace}.{manifest.name}"
            entry = await self._bucket.get(key)
            if entry is None or entry.value != value:
                await self._bucket.put(key, value)
                _log.info("agent_registered", agent=manifest.name, version=manifest.version)

    async def listed(self) -> AgentList:
        """Return all registered agents, by name."""
        entries = [await self._bucket.get(key) for key in await self._bucket.keys(self._namespace)]
        agents = [
            msgspec.json.decode(entry.value, type=AgentManifest)
            for entry in entries
            if entry is not None
        ]
        return AgentList(agents=sorted(agents, key=lambda agent: agent.name))
