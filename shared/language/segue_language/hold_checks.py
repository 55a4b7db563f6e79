"""Can approvals escalate as they say, and are the schemas of a definition schemas?"""

from collections.abc import Iterator, Mapping

from segue_language.durations import DurationError, parse_duration
from segue_language.graph import Upstream
from segue_language.json_schemas import schema_faults
from segue_language.outline import Fields, Outline
from segue_language.problems import Finding, Path, shown


def check_schemas(index: int, step: Fields) -> Iterator[Finding]:
    """Yield what is wrong with the schemas of a step."""
    yield from _check_schema(step.get("outputSchema"), ("steps", index, "outputSchema"))
    approval = step.get("approval")
    if isinstance(approval, Mapping):
        yield from _check_schema(approval.get("form"), ("steps", index, "approval", "form"))


def _check_schema(schema: object, path: Path) -> Iterator[Finding]:
    if not isinstance(schema, Mapping):
        return
    for fault in schema_faults(schema):
        message = f"this is no JSON Schema: {fault.message}"
        yield Finding(path=(*path, *fault.path), code="wrong_schema", message=message)


def check_escalations(outline: Outline, upstream: Upstream) -> Iterator[Finding]:
    """Yield what keeps an approval from escalating to the step it names."""
    escalated: set[str] = set()
    for index, step in outline.steps:
        if "approval" not in step:
            continue
        approval, key = step.get("approval"), step.get("key")
        escalation = approval.get("escalation") if isinstance(approval, Mapping) else None
        if not isinstance(approval, Mapping) or not isinstance(escalation, Mapping):
            continue
        at: Path = ("steps", index, "approval", "escalation")
        yield from _check_after(approval, escalation, (*at, "after"))
        target = escalation.get("step")
        if not isinstance(target, str) or not isinstance(key, str):
            continue
        path = (*at, "step")
        if step.get("forEach") is not None:
            yield _wrong(path, "an approval with 'forEach' is open many times; escalate without it")
        if target in outline.keys:
            yield from _check_target(outline, upstream, (key, target), path)
        else:
            yield _unknown_step(outline, target, path)
        if target in escalated:
            message = f"another approval escalates to {shown(target)} already; give each its own"
            yield _wrong(path, message)
        escalated.add(target)


def _unknown_step(outline: Outline, target: str, path: Path) -> Finding:
    return Finding(
        path=path,
        code="unknown_step",
        message=f"unknown step {shown(target)}",
        wrong=target,
        candidates=outline.keys,
    )


def _wrong(path: Path, message: str) -> Finding:
    return Finding(path=path, code="wrong_escalation", message=message)


def _check_after(approval: Fields, escalation: Fields, path: Path) -> Iterator[Finding]:
    after, limit = _milliseconds(escalation.get("after")), _milliseconds(approval.get("timeout"))
    if after is not None and limit is not None and after >= limit:
        yield _wrong(path, "the approval's 'timeout' ends it before; make 'after' shorter")


def _milliseconds(value: object) -> int | None:
    try:
        return None if value is None else parse_duration(value)
    except DurationError:
        return None


def _check_target(
    outline: Outline, upstream: Upstream, edge: tuple[str, str], path: Path
) -> Iterator[Finding]:
    key, target = edge
    name = shown(target)
    if target == key:
        yield _wrong(path, f"step {name} escalates to itself; name another step")
        return
    if upstream.is_complete and upstream.includes(key, of=target):
        yield _wrong(path, f"{name} waits for the approval; it would not run while that is open")
    elif upstream.is_complete and upstream.includes(target, of=key):
        yield _wrong(path, f"{name} has run before the approval; name a step of its own for it")
    step = outline.step(target)
    if step.get("when") is not None:
        yield _wrong(path, f"{name} has a 'when'; whether it runs is up to the approval alone")
    if step.get("forEach") is not None:
        yield _wrong(path, f"{name} has a 'forEach'; name a step that runs once")


def check_retry(retry: object, path: Path) -> Iterator[Finding]:
    """Yield the codes that a retry repeats and does not repeat."""
    if not isinstance(retry, Mapping):
        return
    classes, never = retry.get("classes"), retry.get("nonRetryable")
    patterns = [text for text in never if isinstance(text, str)] if isinstance(never, list) else []
    for code in classes if isinstance(classes, Mapping) else ():
        for pattern in patterns:
            if code == pattern or (pattern[-1:] == "*" and str(code).startswith(pattern[:-1])):
                message = f"'nonRetryable' has {shown(pattern)}; nothing repeats such a failure"
                yield Finding(
                    path=(*path, "classes", str(code)),
                    code="contradiction",
                    message=message,
                    at_key=True,
                )
