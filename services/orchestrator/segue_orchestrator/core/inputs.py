"""Inputs: what does a run read, given a definition's declarations and the caller's values?"""

from collections.abc import Iterator, Mapping
from typing import Any

from segue_contracts.reply import Problem
from segue_contracts.v1.values import Failure
from segue_language import Workflow
from segue_language.models import has_type


def bind_inputs(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every declared input with its given value, else its default."""
    return {
        name: given.get(name, declared.default)
        for name, declared in workflow.inputs.items()
        if name in given or not declared.must_be_given
    }


def input_problems(workflow: Workflow, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with values for the inputs of a stored definition."""
    for name in given.keys() - workflow.inputs.keys():
        yield _problem("unknown_input", name, "is no input of this workflow")
    for name, declared in workflow.inputs.items():
        if name not in given:
            if declared.must_be_given:
                yield _problem("missing_input", name, "is required")
        elif declared.type and given[name] is not None and not has_type(given[name], declared.type):
            yield _problem("wrong_type", name, f"must be of type {declared.type}")


def refused_inputs(workflow: Workflow, given: Mapping[str, Any]) -> Failure | None:
    """Return why a child run cannot begin with what its step gives it; None when it can."""
    found = sorted(input_problems(workflow, given), key=lambda problem: problem.pointer)
    if not found:
        return None
    said = "; ".join(problem.message for problem in found)
    message = f"workflow {workflow.name!r} refuses its inputs: {said}"
    return Failure(
        code="invalid_inputs",
        message=message,
        retryable=False,
        details={"workflow": workflow.name},
    )


def _problem(code: str, name: str, what: str) -> Problem:
    return Problem(code=code, message=f"input {name!r} {what}", pointer=f"/inputs/{name}")
