"""Workflows: how does a program register definitions, name them and run them by name?

await client.workflows.push(Path("review.yaml"), alias="prod")
run = await client.workflows.start("review@prod", inputs={"repository": "/src"})
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from segue.source import Workflow, text_of
from segue_contracts.v1 import registry
from segue_contracts.v1.commands import (
    GetWorkflow,
    ListWorkflows,
    SaveWorkflow,
    SetAlias,
    StartRun,
    WorkflowList,
    WorkflowText,
    WorkflowVersion,
)

T = TypeVar("T")
R = TypeVar("R")

_HASH_LENGTH = 64


class Ask(Protocol):
    """Sends a command and returns its typed result."""

    async def __call__(self, command: registry.Command, request: object, result: type[T]) -> T:
        """Ask, and ask again while nobody answers."""
        ...


class Workflows(Generic[R]):
    """The registered definitions, and runs of them."""

    def __init__(self, ask: Ask, start: Callable[[StartRun], Awaitable[R]]) -> None:
        self._ask = ask
        self._start = start

    async def push(self, workflow: Workflow, *, alias: str = "", file: str = "") -> WorkflowVersion:
        """Register a definition under its name and version; the same one again is harmless.

        Args:
            workflow: Its text, the path of its file, or the definition as a mapping.
            alias: A name for this version, such as `prod`, set at once.
            file: The file's name, for problems, when `workflow` is its text.

        Raises:
            RefusedError: It is not valid, has no semantic version, or the version is registered
                with another definition (`conflict`).
        """
        text, name = await text_of(workflow)
        request = SaveWorkflow(text=text, file=file or name, alias=alias)
        return await self._ask(registry.SAVE_WORKFLOW, request, WorkflowVersion)

    async def alias(self, workflow: str, alias: str, version: str) -> WorkflowVersion:
        """Let an alias mean a version.

        Raises:
            RefusedError: There is no such version, no alias can be called so, or somebody moved it
                at the same time.
        """
        request = SetAlias(workflow=workflow, alias=alias, version=version)
        return await self._ask(registry.SET_ALIAS, request, WorkflowVersion)

    async def list(self, workflow: str = "") -> Sequence[WorkflowVersion]:
        """Return what is registered, by name, the newest version first.

        Args:
            workflow: Only versions of this workflow; empty for all.
        """
        request = ListWorkflows(workflow=workflow)
        return (await self._ask(registry.LIST_WORKFLOWS, request, WorkflowList)).workflows

    async def show(self, reference: str) -> WorkflowText:
        """Return a definition in its canonical form.

        Args:
            reference: `name`, `name@version`, `name@alias`, or a definition's hash.

        Raises:
            RefusedError: There is none.
        """
        is_hash = len(reference) == _HASH_LENGTH and not set(reference) - set("0123456789abcdef")
        request = GetWorkflow(definition=reference) if is_hash else GetWorkflow(workflow=reference)
        return await self._ask(registry.GET_WORKFLOW, request, WorkflowText)

    async def start(
        self,
        reference: str,
        inputs: Mapping[str, object] | None = None,
        key: str = "",
        *,
        labels: Mapping[str, str] | None = None,
    ) -> R:
        """Start a run of a registered definition, or return the one that the key started before.

        Args:
            reference: `name` for its newest release, `name@version` or `name@alias`.
            inputs: Values for the definition's inputs.
            key: Idempotency key; a fresh one by default.
            labels: Labels for lists and filters.

        Raises:
            RefusedError: Nothing such is registered, the inputs are not valid, or the key belongs
                to another start.
        """
        return await self._start(
            StartRun(
                workflow=reference, inputs=dict(inputs or {}), key=key, labels=dict(labels or {})
            )
        )
