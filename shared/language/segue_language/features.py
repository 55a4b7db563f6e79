"""Which constructs does a workflow use that an engine may not run yet?"""

from collections.abc import Callable, Iterator
from typing import Final

from segue_language.models import DEFAULT_PRIORITY, KINDS, Step, Workflow
from segue_language.problems import Finding, Path, Problem, pointer

_ON_FAILURE: Final = ("failed",)
_STEP: Final[dict[str, Callable[[Step], bool]]] = {
    "when": lambda step: step.when is not None,
    "timeout": lambda step: step.timeout is not None,
    "timeouts": lambda step: step.timeouts is not None,
    "retry": lambda step: step.retry is not None,
    "continueOnError": lambda step: step.continue_on_error,
    "priority": lambda step: step.priority is not None,
    "outputSchema": lambda step: step.output_schema is not None,
    "forEach": lambda step: step.for_each is not None,
    "compensate": lambda step: step.compensate is not None,
}
_WORKFLOW: Final[dict[str, tuple[str, Callable[[Workflow], bool]]]] = {
    "runTimeout": ("timeout", lambda workflow: workflow.timeout is not None),
    "retry": ("retry", lambda workflow: workflow.retry is not None),
    "priority": ("priority", lambda workflow: workflow.priority != DEFAULT_PRIORITY),
    "compensate": ("compensateOn", lambda workflow: workflow.compensate_on != _ON_FAILURE),
    "budget": ("budget", lambda workflow: workflow.budget is not None),
    "concurrency": ("concurrency", lambda workflow: workflow.concurrency is not None),
    "rate": ("rate", lambda workflow: workflow.rate is not None),
    "outputs": ("outputs", lambda workflow: bool(workflow.outputs)),
}

FEATURES: Final = frozenset({*KINDS, *_STEP, *_WORKFLOW})
"""Everything an engine can declare: kinds, and constructs by their field; `runTimeout` is the
workflow's `timeout`, and `compensate` its `compensateOn`, too."""


def missing_features(workflow: Workflow, supported: frozenset[str]) -> Iterator[Finding]:
    """Yield a finding for each construct that would not be executed."""
    for feature, (name, is_used) in _WORKFLOW.items():
        if feature not in supported and is_used(workflow):
            yield _finding((name,), name)
    for index, step in enumerate(workflow.steps):
        if step.kind not in supported:
            yield _finding(("steps", index, step.kind), step.kind)
        for feature, uses in _STEP.items():
            if feature not in supported and uses(step):
                yield _finding(("steps", index, feature), feature)


def _finding(path: Path, name: str) -> Finding:
    message = f"'{name}' is valid, but this engine cannot run it yet"
    return Finding(path=path, code="unsupported", message=message, at_key=True)


def unsupported(
    workflow: Workflow, supported: frozenset[str], *, file: str = "<definition>"
) -> tuple[Problem, ...]:
    """Return a problem for each kind and construct an engine cannot run, so that none is ignored.

    Args:
        workflow: A valid definition.
        supported: What the engine runs, out of `FEATURES`.
        file: The name that problems give the definition.
    """
    return tuple(
        Problem(
            file=file,
            line=0,
            column=0,
            pointer=pointer(finding.path),
            code=finding.code,
            message=finding.message,
        )
        for finding in missing_features(workflow, supported)
    )
