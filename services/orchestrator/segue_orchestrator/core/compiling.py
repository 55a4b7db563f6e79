"""Compiling: how does a definition become a plan?"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from segue_contracts.v1.subjects import escape_key
from segue_language import Step, Workflow, references
from segue_language.models import Approval, Compensation, LlmCall, Retry, Wait
from segue_orchestrator.core.plan import (
    ApprovalPlan,
    BudgetPlan,
    LeasePlan,
    Limits,
    MapPlan,
    Plan,
    Prompt,
    RetryPlan,
    RetryRule,
    StepKind,
    StepPlan,
    WaitPlan,
)

T = TypeVar("T")

_ITEM = {"item": None, "index": None}


def compile_plan(workflow: Workflow) -> Plan:
    """Return the plan of a valid definition."""
    return _Compiler(workflow).plan()


class _Compiler:
    """Holds what all parts of one definition need."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._tokens = {step.key: escape_key(step.key) for step in workflow.steps}
        self._dependents: dict[str, list[str]] = {key: [] for key in self._tokens}
        self._escalates: dict[str, str] = {}
        for step in workflow.steps:
            for key in step.depends_on:
                self._dependents[key].append(self._tokens[step.key])
            if step.approval is not None and step.approval.escalation is not None:
                target = step.approval.escalation.step
                self._escalates[target] = self._tokens[step.key]
                self._dependents[step.key].append(self._tokens[target])

    def plan(self) -> Plan:
        workflow, tokens = self._workflow, self._tokens
        steps = {tokens[step.key]: self._step(step) for step in workflow.steps}
        undos = {
            tokens[step.key]: self._undo(step, step.compensate)
            for step in workflow.steps
            if step.compensate is not None
        }
        uses, reads = self._output_uses()
        return Plan(
            name=workflow.name,
            steps=steps,
            undos=undos,
            order={token: place for place, token in enumerate(steps)},
            outputs=workflow.outputs,
            output_uses=uses,
            output_reads=reads,
            timeout_ms=workflow.timeout or 0,
            budget=_budget(workflow),
            leases=_leases(workflow),
            undo_on=frozenset(workflow.compensate_on),
        )

    def _output_uses(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if self._workflow.outputs:
            return self._uses(self._workflow.outputs)
        last = tuple(token for key, token in self._tokens.items() if not self._dependents[key])
        return last, last

    def _step(self, step: Step) -> StepPlan:
        call = step.llm
        uses, reads = self._step_uses(step)
        return StepPlan(
            key=step.key,
            token=self._tokens[step.key],
            kind=cast("StepKind", step.kind),
            pool=step.pool or "",
            priority=self._workflow.priority_of(step),
            agent=step.agent or "",
            action=_action(step),
            provider=(step.provider if call is None else call.provider) or "",
            model=(step.model if call is None else call.model) or "",
            reference=step.workflow or "",
            input=step.with_,
            prompt=_prompt(call),
            wait=self._wait(step.wait),
            approval=self._approval(step.approval),
            map=self._map(step),
            when=step.when or "",
            dependencies=tuple(self._tokens[key] for key in step.depends_on),
            dependents=tuple(self._dependents[step.key]),
            uses=uses,
            reads=reads,
            limits=_limits(step),
            retry=_retry(self._workflow.retry_of(step)),
            continue_on_error=step.continue_on_error,
            output_schema=step.output_schema,
            escalates=self._escalates.get(step.key, ""),
            parks_unpaid=_parks_unpaid(self._workflow),
            compensated=step.compensate is not None,
        )

    def _undo(self, step: Step, task: Compensation) -> StepPlan:
        call = task.llm
        templates = [task.with_, *_texts(call)]
        values = {**task.with_, **(_ITEM if step.for_each else {})}
        uses, reads = self._uses(templates, values=values, mode="prompt" if call else "value")
        return StepPlan(
            key=f"{step.key}~undo",
            token=self._tokens[step.key],
            kind=cast("StepKind", task.kind),
            pool=task.pool or "",
            priority=self._workflow.priority_of(step),
            agent=task.agent or "",
            action=task.action or task.uses or "",
            provider=(task.provider if call is None else call.provider) or "",
            model=(task.model if call is None else call.model) or "",
            reference=task.workflow or "",
            input=task.with_,
            prompt=_prompt(call),
            uses=uses,
            reads=reads,
            limits=Limits(attempt_ms=task.timeout or 0),
            retry=_retry(task.retry or self._workflow.retry or Retry()),
            compensates=step.key,
        )

    def _step_uses(self, step: Step) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the tokens of the steps that a step's templates name, and read outputs of."""
        item = _ITEM if step.for_each is not None else {}
        found = [self._uses(step.with_, values=item)]
        if step.when:
            found.append(self._uses(step.when, mode="condition"))
        if step.llm is not None:
            values = {**step.with_, **item}
            found.append(self._uses(_texts(step.llm), values=values, mode="prompt"))
        if step.wait is not None and step.wait.until:
            found.append(self._uses(step.wait.until, values=item))
        if step.approval is not None and step.approval.message:
            found.append(self._uses(step.approval.message, values=item))
        uses, reads = zip(*found, strict=True)
        return _union(uses), _union(reads)

    def _uses(
        self, templates: Any, *, values: Mapping[str, Any] | None = None, mode: Any = "value"
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        known = {"run": None, **(values or {})}
        used = references(
            templates, steps=self._tokens, inputs=self._workflow.inputs, values=known, mode=mode
        )
        return self._sorted(used.steps), self._sorted(used.outputs)

    def _sorted(self, keys: frozenset[str]) -> tuple[str, ...]:
        return tuple(sorted(self._tokens[key] for key in keys))

    def _map(self, step: Step) -> MapPlan | None:
        each = step.for_each
        if each is None:
            return None
        return MapPlan(
            items=each.items, limit=each.max_concurrency or 0, reads=self._uses(each.items)[1]
        )

    def _wait(self, wait: Wait | None) -> WaitPlan | None:
        if wait is None:
            return None
        timeout_ms = wait.timeout or 0
        if wait.duration is not None:
            return WaitPlan(kind="duration", duration_ms=wait.duration, timeout_ms=timeout_ms)
        if wait.until is not None:
            return WaitPlan(kind="until", until=wait.until, timeout_ms=timeout_ms)
        match = wait.match or ""
        named = self._uses(match, values={"event": None}, mode="condition") if match else ((), ())
        return WaitPlan(
            kind="signal" if wait.signal is not None else "event",
            name=wait.signal or wait.event or "",
            match=match,
            match_uses=named[0],
            match_reads=named[1],
            timeout_ms=timeout_ms,
        )

    def _approval(self, approval: Approval | None) -> ApprovalPlan | None:
        if approval is None:
            return None
        escalation = approval.escalation
        return ApprovalPlan(
            message=approval.message or "",
            approvers=approval.approvers,
            quorum=approval.quorum,
            form=approval.form or {},
            timeout_ms=approval.timeout or 0,
            escalate_ms=escalation.after if escalation else 0,
            escalation=self._tokens[escalation.step] if escalation else "",
        )


def _union(sets: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(sorted({token for tokens in sets for token in tokens}))


def _texts(call: LlmCall | None) -> list[str]:
    return [] if call is None else [call.prompt, call.system or ""]


def _prompt(call: LlmCall | None) -> Prompt | None:
    if call is None:
        return None
    return Prompt(prompt=call.prompt, system=call.system or "", response_type=call.response_type)


def _action(step: Step) -> str:
    return step.action or step.uses or ""


def _limits(step: Step) -> Limits:
    more = step.timeouts
    if more is None:
        return Limits(attempt_ms=step.timeout or 0)
    return Limits(
        attempt_ms=step.timeout or 0,
        queue_ms=more.queue or 0,
        start_to_close_ms=more.start_to_close or 0,
        schedule_to_close_ms=more.schedule_to_close or 0,
        heartbeat_ms=more.heartbeat or 0,
    )


def _retry(retry: Retry) -> RetryPlan:
    rule = RetryRule(
        max_attempts=retry.max_attempts,
        delay_ms=retry.delay,
        factor=retry.factor,
        max_delay_ms=retry.max_delay,
    )
    classes = {
        code: RetryRule(
            max_attempts=_given(other.max_attempts, rule.max_attempts),
            delay_ms=_given(other.delay, rule.delay_ms),
            factor=_given(other.factor, rule.factor),
            max_delay_ms=_given(other.max_delay, rule.max_delay_ms),
        )
        for code, other in retry.classes.items()
    }
    return RetryPlan(
        rule=rule,
        classes=classes,
        non_retryable=retry.non_retryable,
        parks=retry.on_exhausted == "park",
    )


def _given(value: T | None, default: T) -> T:
    return default if value is None else value


def _parks_unpaid(workflow: Workflow) -> bool:
    return workflow.budget is None or workflow.budget.on_exceed == "pause"


def _budget(workflow: Workflow) -> BudgetPlan | None:
    budget = workflow.budget
    if budget is None:
        return None
    return BudgetPlan(
        usd=f"{budget.usd or 0:.12f}".rstrip("0").rstrip("."),
        tokens=budget.tokens or 0,
        seconds=budget.seconds or 0,
        parks=_parks_unpaid(workflow),
    )


def _leases(workflow: Workflow) -> tuple[LeasePlan, ...]:
    leases = []
    if (held := workflow.concurrency) is not None:
        leases.append(
            LeasePlan(kind="concurrency", key=held.key, limit=held.limit, policy=held.policy)
        )
    if (rate := workflow.rate) is not None:
        leases.append(LeasePlan(kind="rate", key=rate.key, limit=rate.limit, per_ms=rate.per))
    return tuple(leases)
