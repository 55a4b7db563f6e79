"""Pins: which definitions may a run and the runs below it start, fixed when it begins?"""

from typing import Final

import msgspec

from segue_contracts.reply import Refused
from segue_language import Workflow
from segue_orchestrator.shell.catalogue import Catalogue
from segue_orchestrator.shell.definitions import Definition, Definitions
from segue_shared.errors import RefusedError

MAX_PINS: Final = 500
"""References that a run and the runs below it may use in all."""


class Pinned(msgspec.Struct, frozen=True):
    """What the references of a run mean for ever."""

    children: dict[str, str]
    """Hash by reference."""
    definitions: tuple[Definition, ...]
    """The definition itself and those meant."""


class Pins:
    """Resolves references, and those of what they mean."""

    def __init__(self, catalogue: Catalogue, definitions: Definitions) -> None:
        self._catalogue = catalogue
        self._definitions = definitions

    async def of(self, namespace: str, root: Definition) -> Pinned:
        """Return what the references of a definition, and of all below it, mean now.

        The name of the definition itself means this very definition.

        Raises:
            RefusedError: One means nothing, or there are too many.
        """
        waiting = sorted(references_of(root.workflow))
        if not waiting:
            return Pinned({}, (root,))
        own = own_references(root.workflow)
        children: dict[str, str] = {}
        found = {root.hash: root}
        while waiting:
            reference = waiting.pop()
            if reference in children:
                continue
            definition = root if reference in own else await self._get(namespace, reference)
            children[reference] = definition.hash
            if definition.hash not in found:
                found[definition.hash] = definition
                waiting += sorted(references_of(definition.workflow))
            _check_count(len(children))
        return Pinned(children, tuple(found.values()))

    async def unknown(self, namespace: str, root: Workflow) -> bool:
        """Tell whether a reference of a definition itself means nothing."""
        others = references_of(root) - own_references(root)
        for reference in sorted(others):
            if await self._catalogue.resolve(namespace, reference) is None:
                return True
        return False

    async def _get(self, namespace: str, reference: str) -> Definition:
        digest = await self._catalogue.resolve(namespace, reference)
        definition = digest and await self._definitions.load(namespace, digest)
        if not definition:
            raise RefusedError(unregistered(reference))
        return definition


def unregistered(reference: str) -> Refused:
    """Return the refusal of a reference that means nothing."""
    message = (
        f"no workflow {reference!r} is registered; 'segue workflow versions' shows what is, and "
        "'segue workflow push FILE' registers one"
    )
    return Refused(code="not_found", message=message)


def references_of(workflow: Workflow) -> set[str]:
    """Return the references that the steps of a definition, and what undoes them, use."""
    steps = workflow.steps
    used = {step.workflow for step in steps if step.workflow}
    return used | {
        step.compensate.workflow for step in steps if step.compensate and step.compensate.workflow
    }


def own_references(root: Workflow) -> set[str]:
    """Return the references by which a definition means itself."""
    return {root.name, f"{root.name}@{root.version}"} if root.version else {root.name}


def _check_count(count: int) -> None:
    if count > MAX_PINS:
        message = f"the workflows below this one use more than {MAX_PINS} references; use fewer"
        raise RefusedError(Refused(code="too_large", message=message))
