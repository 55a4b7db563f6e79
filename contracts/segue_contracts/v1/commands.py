"""Commands: what may be asked of a service, and what does it answer?

A command is a bare JSON body on `segue.v1.<ns>.cmd.<service>.<verb>`; the answer is a `Reply` that
holds either the result or a typed refusal.
"""

from typing import Any

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.reply import Problem, RefusalCode, Refused, Reply
from segue_contracts.v1.runs import RunSummary

__all__ = [
    "AgentList",
    "AgentManifest",
    "CancelAccepted",
    "CancelRun",
    "EnsurePool",
    "GetRun",
    "ListAgents",
    "ListRuns",
    "PoolReady",
    "Problem",
    "ProviderList",
    "ProviderState",
    "ProvidersStatus",
    "RefusalCode",
    "Refused",
    "Reply",
    "RunAccepted",
    "RunList",
    "StartRun",
    "ValidateWorkflow",
    "WorkflowValid",
]


class StartRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.start_run`: accept a run."""

    text: str = ""
    """The definition as its author wrote it, YAML or JSON."""
    file: str = ""
    """The file's name, for problems."""
    definition: str = ""
    """Instead of `text`: the hash of a stored definition."""
    inputs: dict[str, Any] = {}
    """Values for the definition's inputs."""
    key: str = ""
    """Idempotency key: the same key returns the same run, for ever."""
    labels: dict[str, str] = {}
    """Labels for lists and filters."""


class RunAccepted(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.start_run`."""

    run: str
    """The run's id."""
    workflow: str
    """The definition's name."""
    definition: str
    """The definition's hash."""
    cursor: str
    """Follow the stream from here to miss nothing."""
    existing: bool = False
    """Whether the key had started this run before."""


class ValidateWorkflow(Message, frozen=True, kw_only=True):
    """Command `orchestrator.validate`: check a definition, start nothing."""

    text: str
    """The definition as its author wrote it, YAML or JSON."""
    file: str = ""
    """The file's name, for problems."""
    inputs: dict[str, Any] | UnsetType = UNSET
    """Values for the inputs, when they shall be checked too."""


class WorkflowValid(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.validate`."""

    workflow: str
    """The definition's name."""
    definition: str
    """The hash it would be stored under."""
    steps: int
    """How many steps it has."""


class CancelRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.cancel_run`: stop a run, cooperatively."""

    run: str
    """The run's id."""
    reason: str = ""
    """Why, for people."""


class CancelAccepted(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.cancel_run`."""

    run: str
    """The run's id."""
    already_ended: bool = False
    """Whether it was over before."""


class GetRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.get_run`, answered with a `RunView`."""

    run: str
    """The run's id."""


class ListRuns(Message, frozen=True, kw_only=True):
    """Command `orchestrator.list_runs`."""

    limit: int = 50
    """How many of the newest runs to return, 1 to 500."""
    status: str = ""
    """Only runs in this state; empty for all."""


class RunList(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.list_runs`, newest first."""

    runs: list[RunSummary]
    """The runs."""


class EnsurePool(Message, frozen=True, kw_only=True):
    """Command `orchestrator.pool_ensure`: make the durable consumer of a pool."""

    pool: str
    """The pool's name."""


class PoolReady(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.pool_ensure`: what a worker needs to pull tasks."""

    stream: str
    """The stream to pull from."""
    consumer: str
    """The durable consumer to pull from."""
    ack_wait_s: float
    """Acknowledge, or send in-progress, within this many seconds."""


class AgentManifest(Message, frozen=True, kw_only=True):
    """What an agent is and can do, as stored in the bucket `AGENTS`."""

    name: str
    """Its name in workflows."""
    description: str
    """One sentence."""
    version: str
    """Its semantic version."""
    actions: list[str] = []
    """The actions it knows."""
    tools: list[str] = []
    """The tools it uses."""
    aliases: list[str] = []
    """Other names it answers to."""


class ListAgents(Message, frozen=True, kw_only=True):
    """Command `agents.list`."""


class AgentList(Message, frozen=True, kw_only=True):
    """Result of `agents.list`."""

    agents: list[AgentManifest]
    """All registered agents, by name."""


class ProvidersStatus(Message, frozen=True, kw_only=True):
    """Command `providers.status`."""


class ProviderState(Message, frozen=True, kw_only=True):
    """One provider as the router sees it."""

    name: str
    """Its configured name."""
    available: bool
    """Whether a call could go there now."""
    reason: str = ""
    """Why not."""


class ProviderList(Message, frozen=True, kw_only=True):
    """Result of `providers.status`, in order of priority."""

    providers: list[ProviderState]
    """All providers."""
