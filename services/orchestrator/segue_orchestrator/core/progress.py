"""Progress: what follows for one step?"""

import hashlib
from collections.abc import Mapping
from typing import Any

from segue_contracts.v1.steps import StepWaiting
from segue_contracts.v1.subjects import step_text_of
from segue_contracts.v1.values import Failure
from segue_language import ExpressionError, Scope, render, schema_problems, truthy
from segue_orchestrator.core.attempts import SCHEMA_VIOLATION
from segue_orchestrator.core.effects import (
    BeginWait,
    Check,
    Dispatch,
    Effect,
    Fail,
    Join,
    Launch,
    OpenMap,
    Park,
    Resolve,
    Skip,
    StartChild,
    StopChild,
    TimeOut,
)
from segue_orchestrator.core.limits import BUDGET_EXCEEDED, Purse, expired
from segue_orchestrator.core.moments import MomentError, moment_ms
from segue_orchestrator.core.plan import ApprovalPlan, Plan, StepPlan, WaitPlan, undone_token
from segue_orchestrator.core.policies import MAP_CHUNK, MAX_DEPTH, held_delay_ms
from segue_orchestrator.core.room import Held, Room
from segue_orchestrator.core.scopes import NO_SCOPE, MissingError, Scopes, input_of
from segue_orchestrator.core.state import (
    SETTLED,
    MapState,
    RunState,
    StepState,
    Vote,
    WaitState,
    has_open_items,
)

SHOWN_PROBLEMS = 5


class Progress:
    """Decides about steps, one at a time."""

    def __init__(
        self,
        state: RunState,
        plan: Plan,
        scopes: Scopes,
        *,
        room: Room,
        purse: Purse | None = None,
    ) -> None:
        self.held: list[Held] = []
        """Steps whose pool has no room."""
        self._seen: set[str] = set()
        self._room = room
        self._state = state
        self._plan = plan
        self._scopes = scopes
        self._purse = purse

    def of(self, token: str) -> list[Effect]:
        """Return what follows for a step or an item; nothing when asked again.

        Raises:
            MissingError: A value is needed that was not fetched yet.
        """
        step = self._plan.find(token)
        if step is None or token in self._seen:
            return []
        self._seen.add(token)
        taken = dict(self._room.taken)
        try:
            return self._of(step, token)
        except MissingError:
            self._room.taken = taken
            raise
        except (ExpressionError, MomentError) as error:
            self._room.taken = taken
            return [Park("expression_failed", f"step {_name(token)}: {error}", step.key)]

    def _of(self, step: StepPlan, token: str) -> list[Effect]:
        current = self._state.step(token)
        match current.status:
            case "pending":
                return self._begin(step, token)
            case "retrying":
                return self._retry(step, token, current)
            case "waiting" if current.wait is not None:
                return self._wait(step, token, current.attempt, current.wait)
            case "checking":
                return self._check(step, token, current)
            case "parked" if current.error is not None:
                return [_parked(step, token, current.error)]
            case "scheduled" | "running":
                return self._in_flight(step, token, current)
            case _:
                return []

    # Beginning.

    def _begin(self, step: StepPlan, token: str) -> list[Effect]:
        if not self._dependencies_settled(step):
            return []
        if step.escalates and (effects := self._hold_escalation(step)) is not None:
            return effects
        if any(self._blocks(needed) for needed in step.dependencies):
            return [Skip(step, "upstream")]
        if step.when and not truthy(step.when, self._scopes.of_step(step, token)):
            return [Skip(step, "condition")]
        if step.map is not None:
            return [self._open_map(step, step.map.items)]
        return self.attempt(step, token, attempt=1)

    def _dependencies_settled(self, step: StepPlan) -> bool:
        steps = self._state.steps
        return all(token in steps and steps[token].status in SETTLED for token in step.dependencies)

    def _blocks(self, token: str) -> bool:
        """Tell whether a settled dependency keeps its dependents from running."""
        step = self._state.step(token)
        if step.status == "skipped":
            return step.reason == "upstream"
        return step.status != "completed" and not self._plan.steps[token].continue_on_error

    def _hold_escalation(self, step: StepPlan) -> list[Effect] | None:
        """Return nothing to do, or a skip, unless the approval has been open for too long."""
        approval = self._state.step(step.escalates)
        if approval.status in SETTLED:
            return [Skip(step, "not_escalated")]
        wait = approval.wait
        due = wait is not None and 0 < wait.asked.escalate_ms <= self._state.now_ms
        return None if due else []

    def attempt(
        self, step: StepPlan, token: str, *, attempt: int, not_before_ms: int = 0
    ) -> list[Effect]:
        """Return the dispatch of an attempt, to whoever does this kind of work."""
        if step.pool and not self._room.take(step.pool):
            self.held.append(Held(token, step.pool, step.priority))
            return []
        scope = self._scopes.of_step(step, token) if step.has_templates else NO_SCOPE
        if step.wait is not None:
            return [self._begin_wait(step, step.wait, token, attempt, scope)]
        if step.approval is not None:
            asked = self._asked(step.approval, scope)
            return [BeginWait(step=step, token=token, attempt=attempt, asked=asked)]
        deadline_ms = self._deadline_ms(step, token, not_before_ms)
        given = input_of(step, scope)
        if step.kind == "workflow":
            return [self._start_child(step, token, attempt, given, deadline_ms)]
        return [
            Dispatch(
                step=step,
                token=token,
                attempt=attempt,
                input=given,
                not_before_ms=not_before_ms,
                deadline_ms=deadline_ms,
                purse=None if step.compensates else self._purse,
            )
        ]

    def _deadline_ms(self, step: StepPlan, token: str, not_before_ms: int) -> int:
        now_ms = self._state.now_ms
        limits, first_ms = step.limits, self._state.step(token).first_ms or now_ms
        ends = [
            max(now_ms, not_before_ms) + limits.attempt_ms if limits.attempt_ms else 0,
            first_ms + limits.schedule_to_close_ms if limits.schedule_to_close_ms else 0,
        ]
        return min((end for end in ends if end), default=0)

    def _retry(self, step: StepPlan, token: str, current: StepState) -> list[Effect]:
        """Return the next attempt, once its backoff is short enough for a worker to keep."""
        left_ms = current.due_ms - self._state.now_ms
        if left_ms > held_delay_ms(step.kind):
            return []
        not_before_ms = current.due_ms if left_ms > 0 else 0
        return self.attempt(step, token, attempt=current.attempt + 1, not_before_ms=not_before_ms)

    # Child runs.

    def _start_child(
        self,
        step: StepPlan,
        token: str,
        attempt: int,
        given: Mapping[str, Any],
        deadline_ms: int,
    ) -> Effect:
        definition = self._state.started.children.get(step.reference)
        if definition is None:
            message = f"workflow {step.reference!r} was not registered when the run began"
            return Park("definition_missing", message, step.key)
        if self._state.started.depth >= MAX_DEPTH:
            message = f"there are {MAX_DEPTH} runs above this one; a workflow may start itself"
            return Park("too_deep", f"{message} without end", step.key)
        return StartChild(
            step=step,
            token=token,
            attempt=attempt,
            run=child_run(self._state.run, token, attempt),
            definition=definition,
            input=given,
            deadline_ms=deadline_ms,
        )

    def _in_flight(self, step: StepPlan, token: str, current: StepState) -> list[Effect]:
        if current.map is not None:
            return self._advance_map(step, current.attempt, current.map)
        if (failure := expired(self._state, step, token)) is not None:
            late = TimeOut(step, token, current.attempt, failure)
            return [late, *self.stop_child(token, failure.message)]
        return self._launch(token, current)

    def stop_child(self, token: str, reason: str, *, at_once: bool = False) -> list[Effect]:
        """Return how the run that is a step's work is stopped, started first if it was not."""
        current = self._state.step(token)
        if not current.child:
            return []
        return [*self._launch(token, current), StopChild(current.child, reason, at_once)]

    def _launch(self, token: str, current: StepState) -> list[Effect]:
        launch = current.launch
        if launch is None:
            return []
        return [
            Launch(
                token=token,
                attempt=current.attempt,
                run=current.child,
                definition=launch.definition,
                workflow=launch.workflow,
                inputs=launch.inputs,
                purse=None if undone_token(token) else self._purse,
            )
        ]

    # Repeated steps.

    def _open_map(self, step: StepPlan, template: object) -> Effect:
        items = render(template, self._scopes.of_items(step))
        if not isinstance(items, list | tuple):
            message = f"step {step.key}: forEach needs a list, and its items are no list"
            return Park("expression_failed", message, step.key)
        return OpenMap(step=step, items=list(items))

    def _advance_map(self, step: StepPlan, attempt: int, repeated: MapState) -> list[Effect]:
        if repeated.failed or repeated.settled == repeated.count:
            # Not all that have begun come one after the other: one between may never have been
            # dispatched, where its owner died, and now it never will be.
            is_seen = repeated.next >= repeated.offered
            is_over = is_seen and not has_open_items(self._state, step.token)
            return [self._close_map(step, attempt, repeated)] if is_over else []
        begun = repeated.open
        limit = step.map.limit if step.map and step.map.limit else repeated.count
        room = min(limit - (begun - repeated.settled), MAP_CHUNK)
        last = min(repeated.count, begun + max(room, 0))
        effects: list[Effect] = []
        for index in range(begun, last):
            token = f"{step.token}~{index}"
            if self._state.step(token).status == "pending":
                effects += self.attempt(step, token, attempt=1)
                if self.held and self.held[-1].token == token:
                    self.held[-1] = Held(step.token, step.pool, step.priority)
                    break
        return effects

    def _close_map(self, step: StepPlan, attempt: int, repeated: MapState) -> Effect:
        if repeated.failed:
            error = self._state.step(repeated.failed).error
            reason = error.message if error else "it was cancelled"
            message = f"item {_name(repeated.failed)}: {reason}"
            details = {"item": _name(repeated.failed), "code": error.code if error else "cancelled"}
            failure = Failure(code="item_failed", message=message, retryable=False, details=details)
            return Fail(step=step, token=step.token, attempt=attempt, error=failure)
        places = tuple(
            self._state.step(f"{step.token}~{index}").output for index in range(repeated.count)
        )
        return Join(step=step, attempt=attempt, places=places)

    # Waits.

    def _begin_wait(
        self, step: StepPlan, wait: WaitPlan, token: str, attempt: int, scope: Scope
    ) -> Effect:
        now_ms = self._state.now_ms
        until_ms = now_ms + wait.duration_ms if wait.kind == "duration" else 0
        if wait.kind == "until":
            until_ms = moment_ms(render(wait.until, scope))
        asked = StepWaiting(
            kind=wait.kind,
            name=wait.name,
            until_ms=until_ms,
            deadline_ms=now_ms + wait.timeout_ms if wait.timeout_ms else 0,
        )
        read: Mapping[str, Any] = {}
        if wait.match:
            inner = self._scopes.of_match(step)
            read = {
                "inputs": inner.inputs,
                "outputs": inner.outputs,
                "states": inner.states,
                "run": inner.values["run"],
            }
        return BeginWait(
            step=step, token=token, attempt=attempt, asked=asked, match=wait.match, scope=read
        )

    def _asked(self, approval: ApprovalPlan, scope: Scope) -> StepWaiting:
        now_ms = self._state.now_ms
        return StepWaiting(
            kind="approval",
            message=str(render(approval.message, scope)) if approval.message else "",
            approvers=list(approval.approvers),
            quorum=approval.quorum,
            form=dict(approval.form),
            deadline_ms=now_ms + approval.timeout_ms if approval.timeout_ms else 0,
            escalate_ms=now_ms + approval.escalate_ms if approval.escalate_ms else 0,
        )

    def _wait(self, step: StepPlan, token: str, attempt: int, wait: WaitState) -> list[Effect]:
        asked, now_ms = wait.asked, self._state.now_ms
        if wait.answer is not None:
            return [Resolve(step=step, token=token, attempt=attempt, at=wait.answer)]
        if wait.votes and (effect := self._voted(step, token, attempt, wait)) is not None:
            return [effect]
        if 0 < asked.until_ms <= now_ms:
            return [Resolve(step=step, token=token, attempt=attempt)]
        if 0 < asked.deadline_ms <= now_ms:
            message = f"step {_name(token)}: nothing came within the time of its wait"
            return [TimeOut(step, token, attempt, Failure(code="wait_timeout", message=message))]
        if 0 < asked.escalate_ms <= now_ms and step.approval and step.approval.escalation:
            return self.of(step.approval.escalation)
        return []

    def _voted(self, step: StepPlan, token: str, attempt: int, wait: WaitState) -> Effect | None:
        """Return what people decided, once it is enough."""
        for vote in wait.votes:
            if vote.decision == "rejected":
                message = f"step {_name(token)}: rejected by {vote.by}"
                message += f": {vote.comment}" if vote.comment else ""
                error = Failure(code="rejected", message=message, retryable=False)
                return Fail(step=step, token=token, attempt=attempt, error=error)
        if len(wait.votes) < wait.asked.quorum:
            return None
        output = {
            "decision": "approved",
            "form": _filled(wait.votes),
            "approvals": [
                {"by": vote.by, "atMs": vote.at_ms, "comment": vote.comment, "form": vote.form}
                for vote in wait.votes
            ],
        }
        return Resolve(step=step, token=token, attempt=attempt, output=output)

    # Results.

    def _check(self, step: StepPlan, token: str, current: StepState) -> list[Effect]:
        value = None if current.output is None else self._scopes.value(current.output)
        problems = schema_problems(step.output_schema or {}, value)
        shown = tuple(str(problem) for problem in problems[:SHOWN_PROBLEMS])
        return [Check(step=step, token=token, attempt=current.attempt, problems=shown)]


def child_run(run: str, token: str, attempt: int) -> str:
    """Return the id of the run that is an attempt's work; the same whoever asks.

    Its first ten characters are its parent's, which order ids by time.
    """
    digest = hashlib.sha256(f"{run}/{token}/{attempt}".encode()).hexdigest()
    return f"{run[:10]}{digest[:16]}"


def _filled(votes: list[Vote]) -> dict[str, object]:
    """Return what all who approved filled in; the last word on a field counts."""
    return {name: value for vote in votes for name, value in vote.form.items()}


def _parked(step: StepPlan, token: str, error: Failure) -> Effect:
    code = "retries_exhausted"
    if error.code in (SCHEMA_VIOLATION, BUDGET_EXCEEDED):
        code = error.code
    elif step.compensates:
        code = "compensation_failed"
    return Park(code, f"step {_name(token)}: {error.message}", step.key)


def _name(token: str) -> str:
    return step_text_of(token)
