"""Refusals: does every error of ours become the refusal that it means?"""

from collections.abc import Iterator, Mapping

import msgspec
import pytest

from segue_contracts.envelope import Message
from segue_contracts.reply import Problem, Refused
from segue_shared import errors, refusals


def all_errors(
    kind: type[errors.SegueError] = errors.SegueError,
) -> Iterator[type[errors.SegueError]]:
    """Return an error class and everything below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from all_errors(below)


EXPECTED = {
    errors.SegueError: "internal",
    errors.TransientError: "unavailable",
    errors.BusUnavailableError: "unavailable",
    errors.TimedOutError: "unavailable",
    errors.PermanentError: "internal",
    errors.PermissionDeniedError: "internal",
    errors.NotFoundError: "not_found",
    errors.ConflictError: "conflict",
    errors.TooLargeError: "too_large",
    errors.InvalidMessageError: "invalid_request",
    errors.PayloadMissingError: "not_found",
    errors.DestructiveChangeError: "conflict",
}


@pytest.mark.parametrize(("kind", "code"), EXPECTED.items())
def test_an_error_becomes_the_refusal_that_it_means(
    kind: type[errors.SegueError], code: str
) -> None:
    """Its sentence goes along, and retrying is advised where it may help."""
    refused = refusals.refusal_of(kind("no run r1"))

    assert refused.code == code
    assert refused.message == "no run r1"
    assert refused.retryable == issubclass(kind, errors.TransientError)


def test_every_error_of_the_kit_is_mapped() -> None:
    """A new error needs a decision about what callers hear."""
    kit = {kind for kind in all_errors() if kind.__module__ == errors.__name__}

    assert kit == {*EXPECTED, errors.RefusedError}


def test_a_refusal_raised_by_a_handler_is_passed_on_as_it_is() -> None:
    """Typed refusals keep their details."""
    refused = Refused(code="invalid_definition", message="step a is unknown", details={"a": "b"})

    assert refusals.refusal_of(errors.RefusedError(refused)) is refused


class Inner(Message, frozen=True, kw_only=True):
    """A nested body in these tests."""

    count: int


class Request(Message, frozen=True, kw_only=True):
    """A request in these tests."""

    run_id: str
    items: tuple[Inner, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


def problem_with(body: bytes) -> Problem:
    """Return what a refusal says of a body."""
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=Request)
    refused = refusals.undecodable("orchestrator.start_run", caught.value)
    assert refused.code == "invalid_request"
    assert refused.message.startswith("orchestrator.start_run: ")
    [problem] = refused.problems
    return problem


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (b"{}", "/runId", "missing_field"),
        (b'{"runId":1}', "/runId", "invalid_field"),
        (b'{"runId":"r","items":[{"count":1},{"count":"x"}]}', "/items/1/count", "invalid_field"),
        (b'{"runId":"r","items":[{}]}', "/items/0/count", "missing_field"),
        (b'{"runId":"r","labels":{"a":1}}', "/labels", "invalid_field"),
        (b"[]", "", "invalid_field"),
        (b"{", "", "malformed"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_its_place(
    body: bytes, pointer: str, code: str
) -> None:
    """The field is named as it is written on the wire."""
    problem = problem_with(body)

    assert (problem.pointer, problem.code) == (pointer, code)
