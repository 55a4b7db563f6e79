"""Catalogue handlers: how are definitions registered, named and looked up?"""

from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    GetWorkflow,
    ListWorkflows,
    SaveWorkflow,
    SetAlias,
    WorkflowList,
    WorkflowText,
    WorkflowVersion,
)
from segue_language import Workflow, is_semantic, to_yaml, version_key
from segue_orchestrator.shell.admission import Admission, invalid
from segue_orchestrator.shell.catalogue import Catalogue, check_alias
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import RefusedError


class CatalogueHandlers:
    """The commands about registered definitions."""

    def __init__(self, admission: Admission, catalogue: Catalogue) -> None:
        self._admission = admission
        self._catalogue = catalogue

    def register(self, server: CommandServer) -> None:
        """Serve these commands, in all namespaces."""
        for command, handler in (
            (registry.SAVE_WORKFLOW, self.save_workflow),
            (registry.SET_ALIAS, self.set_alias),
            (registry.LIST_WORKFLOWS, self.list_workflows),
            (registry.GET_WORKFLOW, self.get_workflow),
        ):
            server.add(command, subjects.command("*", command.service, command.verb), handler)

    async def save_workflow(self, request: SaveWorkflow, context: Context) -> WorkflowVersion:
        """Register a definition under its name and version."""
        namespace = context.namespace
        workflow = await self._admission.check(
            namespace, request.text, file=request.file, inputs=None
        )
        if request.alias:
            check_alias(workflow.name, request.alias)
        version = await self._version_of(namespace, workflow, file=request.file)
        definition = await self._admission.save(namespace, workflow)
        saved = await self._catalogue.save(
            namespace, workflow.name, version=version, definition=definition.hash
        )
        if not request.alias:
            return saved
        named = await self._catalogue.set_alias(
            namespace, workflow.name, alias=request.alias, version=version
        )
        return WorkflowVersion(
            workflow=named.workflow,
            version=version,
            definition=named.definition,
            aliases=named.aliases,
            saved_ms=named.saved_ms,
            existing=saved.existing,
        )

    async def _version_of(self, namespace: str, workflow: Workflow, *, file: str) -> str:
        """Return the version that a definition is registered as.

        Raises:
            RefusedError: It has none, or one that is not semantic.
        """
        version = workflow.version
        if version is not None and is_semantic(version):
            return version
        known = await self._catalogue.versions(namespace, workflow.name)
        free = _next([one.version for one in known])
        newest = f"; {known[0].version} is the newest so far" if known else ""
        said = "has no version" if version is None else f"has the version {version!r}"
        message = (
            f"the definition {said}, and a registered one needs a semantic version: "
            f"write 'version: {free}'{newest}"
        )
        code = "missing_version" if version is None else "wrong_value"
        raise invalid(
            [
                Problem(
                    code=code,
                    message=message,
                    pointer="/version",
                    file=file or "<definition>",
                    suggestion=free,
                )
            ]
        )

    async def set_alias(self, request: SetAlias, context: Context) -> WorkflowVersion:
        """Let a name mean a version; the same again changes nothing."""
        return await self._catalogue.set_alias(
            context.namespace, request.workflow, alias=request.alias, version=request.version
        )

    async def list_workflows(self, request: ListWorkflows, context: Context) -> WorkflowList:
        """Return what is registered, by name, the newest version first."""
        found = await self._catalogue.versions(context.namespace, request.workflow)
        return WorkflowList(workflows=found)

    async def get_workflow(self, request: GetWorkflow, context: Context) -> WorkflowText:
        """Return a definition in its canonical form."""
        if bool(request.workflow) == bool(request.definition):
            message = "name a definition by one of 'workflow' and 'definition'"
            raise RefusedError(Refused(code="invalid_request", message=message))
        found = await self._admission.find(
            context.namespace, reference=request.workflow, digest=request.definition
        )
        return WorkflowText(
            workflow=found.workflow.name,
            definition=found.hash,
            text=to_yaml(found.workflow),
            version=found.workflow.version or "",
        )


def _next(versions: list[str]) -> str:
    """Return the patch release after the newest of some versions."""
    if not versions:
        return "1.0.0"
    major, minor, patch, *_ = max(map(version_key, versions))
    return f"{major}.{minor}.{patch + 1}"
