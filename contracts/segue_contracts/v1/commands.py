"""Commands: what may be asked of a service, and what does it answer?

A command is a bare JSON body on `segue.v1.<ns>.cmd.<service>.<verb>`; the answer is a `Reply` that
holds either the result or a typed refusal.
"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.reply import Problem, RefusalCode, Refused, Reply
from segue_contracts.v1.runs import Decision, RunSummary, RunView, StepView, WaitView

__all__ = [
    "AgentList",
    "AgentManifest",
    "ApprovalRecorded",
    "CancelAccepted",
    "CancelRun",
    "CheckRuns",
    "DecideApproval",
    "DiffRuns",
    "EnsurePool",
    "ExtendBudget",
    "ForkRun",
    "GetRun",
    "GetWorkflow",
    "ListAgents",
    "ListRuns",
    "ListWaits",
    "ListWorkflows",
    "PauseRun",
    "PoolReady",
    "Problem",
    "RefusalCode",
    "Refused",
    "ReplayDifference",
    "ReplayResult",
    "ReplayRun",
    "Reply",
    "ResumeRun",
    "ResumeRuns",
    "RunAccepted",
    "RunDiff",
    "RunList",
    "RunState",
    "RunsChecked",
    "RunsResumed",
    "SaveWorkflow",
    "SetAlias",
    "SignalAccepted",
    "SignalRun",
    "StartRun",
    "StepDiff",
    "TerminateRun",
    "ValidateWorkflow",
    "Violation",
    "WaitList",
    "WorkflowList",
    "WorkflowText",
    "WorkflowValid",
    "WorkflowVersion",
]


class StartRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.start_run`: accept a run."""

    text: str = ""
    """The definition as its author wrote it, YAML or JSON."""
    file: str = ""
    """The file's name, for problems."""
    definition: str = ""
    """Instead of `text`: the hash of a stored definition."""
    workflow: str = ""
    """Instead of `text`: a registered workflow, `name`, `name@version` or `name@alias`."""
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
    by: str = ""
    """Who asks."""


class CancelAccepted(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.cancel_run`."""

    run: str
    """The run's id."""
    already_ended: bool = False
    """Whether it was over before."""


class TerminateRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.terminate_run`: end a run at once, without waiting for its work."""

    run: str
    """The run's id."""
    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asks."""


class PauseRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.pause_run`: schedule nothing new; what is in flight finishes."""

    run: str
    """The run's id."""
    reason: str = ""
    """Why, for people."""
    by: str = ""
    """Who asks."""


class ResumeRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.resume_run`: let a paused or parked run go on."""

    run: str
    """The run's id."""
    reason: str = ""
    """What was mended, for people."""
    by: str = ""
    """Who asks."""


class RunState(Message, frozen=True, kw_only=True):
    """Result of commands that change where a run stands."""

    run: str
    """The run's id."""
    status: str
    """Where it stands after the command."""
    changed: bool = True
    """Whether the command changed anything."""


class ResumeRuns(Message, frozen=True, kw_only=True):
    """Command `orchestrator.resume_runs`: let all parked or paused runs of a kind go on."""

    status: Literal["parked", "paused"] = "parked"
    """Which runs."""
    code: str = ""
    """Only those parked for this reason; empty for all."""
    workflow: str = ""
    """Only runs of this workflow; empty for all."""
    limit: int = 100
    """How many at most, 1 to 1000."""
    reason: str = ""
    """What was mended, for people."""
    by: str = ""
    """Who asks."""
    dry: bool = False
    """Only tell which runs it would be."""


class RunsResumed(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.resume_runs`."""

    runs: list[str]
    """The runs that go on, or would."""
    more: bool = False
    """Whether further runs fit the filter."""


class SignalRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.signal_run`: send a run a named signal; it is kept until waited for."""

    run: str
    """The run's id."""
    name: str
    """The signal's name."""
    payload: Any = None
    """What it carries."""
    key: str = ""
    """Idempotency key: the same key is the same signal."""
    by: str = ""
    """Who sends it."""


class SignalAccepted(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.signal_run`."""

    run: str
    """The run's id."""
    signal: str
    """The signal's id."""
    existing: bool = False
    """Whether the key had sent it before."""


class DecideApproval(Message, frozen=True, kw_only=True):
    """Command `orchestrator.decide_approval`: approve or reject what a step waits for."""

    run: str
    """The run's id."""
    step: str
    """The step's key, with the index of its item where it has one, `review~3`."""
    decision: Decision
    """What is decided."""
    by: str
    """Who decides."""
    form: dict[str, Any] = {}
    """What the approval's form asks for."""
    comment: str = ""
    """A remark for the record."""


class ApprovalRecorded(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.decide_approval`."""

    run: str
    """The run's id."""
    step: str
    """The step's key."""
    existing: bool = False
    """Whether this person had decided before; the first word counts."""
    missing: int = 0
    """How many approvals are still missing."""


class ExtendBudget(Message, frozen=True, kw_only=True):
    """Command `orchestrator.extend_budget`: allow a run more; one parked for it goes on."""

    run: str
    """The run's id."""
    usd: str = "0"
    """US dollars more, as a decimal string."""
    tokens: int = 0
    """Tokens more."""
    seconds: float = 0
    """Seconds more."""
    by: str = ""
    """Who allows it."""
    key: str = ""
    """Idempotency key: the same key allows it once."""


class ListWaits(Message, frozen=True, kw_only=True):
    """Command `orchestrator.list_waits`: who waits for what?"""

    run: str = ""
    """Only this run; empty for all."""
    kind: str = ""
    """Only waits of this kind; empty for all."""
    name: str = ""
    """Only waits for this signal, topic or lease."""
    limit: int = 100
    """How many at most, 1 to 1000."""


class WaitList(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.list_waits`, the longest waiting first."""

    waits: list[WaitView]
    """The waits."""


class ForkRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.fork_run`: start a run that shares what another has finished."""

    run: str = ""
    """The run to fork; may be left out beside `cursor`'s `<run>@<cursor>`."""
    at: list[str] = []
    """Keys of steps that run again, with everything downstream of them; empty for what has not
    completed at `cursor`."""
    cursor: str = ""
    """The position to fork from; empty for the newest."""
    outputs: dict[str, Any] = {}
    """Outputs given instead of running a step, by its key."""
    text: str = ""
    """Another definition to go on with, as its author wrote it."""
    file: str = ""
    """The file's name, for problems."""
    inputs: dict[str, Any] = {}
    """Inputs that differ from the forked run's."""
    key: str = ""
    """Idempotency key."""
    labels: dict[str, str] = {}
    """Labels of the new run, beside those of the forked one."""


class DiffRuns(Message, frozen=True, kw_only=True):
    """Command `orchestrator.diff_runs`: compare two runs step by step."""

    first: str
    """A run's id."""
    second: str
    """The other run's id."""


class StepDiff(Message, frozen=True, kw_only=True):
    """One step of two runs."""

    step: str
    """The step's key."""
    first: StepView | UnsetType = UNSET
    """The step in the first run; absent when it has none."""
    second: StepView | UnsetType = UNSET
    """The step in the second run."""
    same_output: bool = False
    """Whether both have the same output."""
    shared: bool = False
    """Whether the second took it over from another run, so that it was not done again."""
    first_ms: int = 0
    """How long it took in the first run, milliseconds."""
    second_ms: int = 0
    """How long it took in the second."""
    first_output: Any = None
    """The first run's output, when small and different."""
    second_output: Any = None
    """The second run's."""


class RunDiff(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.diff_runs`."""

    first: RunView
    """The first run, without steps."""
    second: RunView
    """The second run, without steps."""
    steps: list[StepDiff]
    """All steps of either, those of the first in its order, then the others."""


class ReplayRun(Message, frozen=True, kw_only=True):
    """Command `orchestrator.replay_run`: what would another definition have decided?"""

    run: str
    """The run whose history is replayed."""
    text: str
    """The other definition, as its author wrote it."""
    file: str = ""
    """The file's name, for problems."""


class ReplayDifference(Message, frozen=True, kw_only=True):
    """A place in a history where two definitions decide differently."""

    cursor: str
    """After this event."""
    event: str
    """The event, such as `step.scan.1.outcome.completed`."""
    recorded: list[str]
    """What the run's own definition decides there and the other does not."""
    replayed: list[str]
    """What the other decides there and the run's own does not."""


class ReplayResult(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.replay_run`."""

    run: str
    """The run's id."""
    events: int
    """How many events were replayed."""
    differences: list[ReplayDifference]
    """Where the two differ, the first 100."""


class CheckRuns(Message, frozen=True, kw_only=True):
    """Command `orchestrator.check_runs`: hold journals against the engine's invariants."""

    run: str = ""
    """Only this run; empty for all that the journal holds."""
    after: str = ""
    """Go on after this run, as `RunsChecked.next` said."""
    limit: int = 200
    """How many runs at most, 1 to 1000."""


class Violation(Message, frozen=True, kw_only=True):
    """An invariant that a journal does not keep."""

    run: str
    """The run's id."""
    invariant: str
    """Which one, such as `one_outcome_per_attempt`."""
    message: str
    """What is wrong, with the place."""


class RunsChecked(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.check_runs`."""

    checked: int
    """How many runs were checked."""
    events: int
    """How many events they have."""
    violations: list[Violation]
    """What was found."""
    next: str = ""
    """Go on after this run; empty when all were checked."""


class SaveWorkflow(Message, frozen=True, kw_only=True):
    """Command `orchestrator.save_workflow`: register a definition under its name and version."""

    text: str
    """The definition as its author wrote it."""
    file: str = ""
    """The file's name, for problems."""
    alias: str = ""
    """Name this version at once, such as `prod`."""


class SetAlias(Message, frozen=True, kw_only=True):
    """Command `orchestrator.set_alias`: let a name such as `prod` mean a version."""

    workflow: str
    """The workflow's name."""
    alias: str
    """The alias, lower-case letters, digits and hyphens, beginning with a letter."""
    version: str
    """The version that it shall mean."""


class WorkflowVersion(Message, frozen=True, kw_only=True):
    """A registered definition."""

    workflow: str
    """The workflow's name."""
    version: str
    """Its semantic version."""
    definition: str
    """Its hash."""
    aliases: list[str] = []
    """The aliases that mean it."""
    saved_ms: int = 0
    """When it was registered, Unix milliseconds."""
    existing: bool = False
    """Whether it was registered before."""


class ListWorkflows(Message, frozen=True, kw_only=True):
    """Command `orchestrator.list_workflows`."""

    workflow: str = ""
    """Only versions of this workflow; empty for all."""


class WorkflowList(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.list_workflows`, by name, newest version first."""

    workflows: list[WorkflowVersion]
    """All registered versions."""


class GetWorkflow(Message, frozen=True, kw_only=True):
    """Command `orchestrator.get_workflow`."""

    workflow: str = ""
    """A reference, `name`, `name@version` or `name@alias`."""
    definition: str = ""
    """Instead: a definition's hash."""


class WorkflowText(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.get_workflow`."""

    workflow: str
    """The workflow's name."""
    definition: str
    """The definition's hash."""
    text: str
    """Its canonical form as YAML."""
    version: str = ""
    """Its version, when it has one."""


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
    workflow: str = ""
    """Only runs of this workflow; empty for all."""
    before: str = ""
    """Only runs older than this one; for the next page."""


class RunList(Message, frozen=True, kw_only=True):
    """Result of `orchestrator.list_runs`, newest first."""

    runs: list[RunSummary]
    """The runs."""
    next: str = ""
    """Ask with this as `before` for older ones, if there are any; empty when there are none."""


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
