"""Outcomes: what does an agent's step hand on once its conversation is over?"""

from typing import Any, Final

import msgspec

from segue_agents.core.job import Job
from segue_agents.core.report import Review, report_markdown
from segue_agents.core.reports import Report, Source, counts, fit, is_report, sources
from segue_contracts.v1.chat import ToolResult
from segue_contracts.v1.values import Failure, UsageTotals

REPORTS_LIMIT: Final = 40 * 1024
"""Bytes of reports that an output holds, so that the whole stays inline in its event."""


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The step is done."""

    output: dict[str, Any]
    """What it hands on."""
    usage: UsageTotals
    """What it used."""
    provider: str
    """Who answered."""
    model: str
    """The model that answered."""
    notes: tuple[str, ...] = ()
    """What a reader should know."""


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The step cannot be done."""

    failure: Failure
    """Why."""
    usage: UsageTotals = UsageTotals()
    """What it used all the same."""


def concluded(
    job: Job,
    text: str,
    *,
    results: tuple[ToolResult, ...],
    usage: UsageTotals,
    answered: tuple[str, str],
    warnings: tuple[str, ...],
) -> Finish | Fail:
    """Make the outcome of a conversation whose last word is `text`.

    Args:
        job: The attempt.
        text: What the model said in the end.
        results: What tools answered on the way.
        usage: What all turns used.
        answered: The provider and the model of the last answer.
        warnings: What the router said.
    """
    failures = tuple(result for result in results if result.is_error)
    if results and len(failures) == len(results):
        return Fail(failure=_nothing_worked(failures), usage=usage)
    provider, model = answered
    review = _review(job, text, provider=provider, model=model, results=results)
    writes = job.assignment.manifest.output == "report"
    return Finish(
        output=_report_output(review) if writes else _findings_output(job, review),
        usage=usage,
        provider=provider,
        model=model,
        notes=(
            *warnings,
            *_other_branch(job),
            *(f"tool {each.name} failed: {_reason(each)}" for each in failures),
        ),
    )


def _review(
    job: Job, text: str, *, provider: str, model: str, results: tuple[ToolResult, ...]
) -> Review:
    upstream = tuple(sources(job.input))
    seen = bool(job.scene.repository)
    return Review(
        repository=job.scene.repository if seen else _told(job, upstream, "repository"),
        branch=job.scene.branch if seen else _told(job, upstream, "branch"),
        at=job.scene.at,
        provider=provider,
        model=model,
        text=text,
        sources=upstream,
        reports=tuple(_reports_of(results)),
    )


def _reports_of(results: tuple[ToolResult, ...]) -> list[Report]:
    """Return the reports among the results, the last one of a tool that was called again."""
    latest: dict[str, Report] = {}
    for result in results:
        content = None if result.is_error else _decoded(result.content)
        if is_report(content):
            latest.pop(result.name, None)
            latest[result.name] = content
    return list(latest.values())


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _findings_output(job: Job, review: Review) -> dict[str, Any]:
    return {
        "agent": job.assignment.manifest.name,
        "action": job.assignment.action_name,
        **_facts(review),
        "summary": review.text,
        "counts": counts(review.reports),
        "reports": fit(review.reports, REPORTS_LIMIT),
    }


def _report_output(review: Review) -> dict[str, Any]:
    return {
        "report": report_markdown(review),
        **_facts(review),
        "counts": counts(review.reports),
        "agents": [_agent_line(source) for source in review.sources],
    }


def _facts(review: Review) -> dict[str, Any]:
    return {
        "provider": review.provider,
        "model": review.model,
        "repository": review.repository,
        "branch": review.branch,
    }


def _agent_line(source: Source) -> dict[str, Any]:
    return {
        "agent": source.name,
        "provider": source.provider,
        "counts": counts(source.reports),
    }


def _told(job: Job, upstream: tuple[Source, ...], key: str) -> str:
    """Return a fact that this step did not see: from those who did, else as the author says."""
    seen = next((source.facts[key] for source in upstream if key in source.facts), None)
    said = job.input.get(key) if seen is None else seen
    return said if isinstance(said, str) else ""


def _other_branch(job: Job) -> tuple[str, ...]:
    """Tell when the author names another branch than the one that tools looked at."""
    asked, found = job.input.get("branch"), job.scene.branch
    if not job.scene.repository or not asked or asked == found:
        return ()
    said = f"branch {asked} was asked for; the tools looked at what is checked out"
    return (f"{said}: {found or 'no branch'}",)


def _nothing_worked(failures: tuple[ToolResult, ...]) -> Failure:
    reasons = {each.name: _reason(each) for each in failures}
    listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return Failure(code="tool_failed", message=f"no tool worked: {listed}", details=reasons)


def _reason(result: ToolResult) -> str:
    """Return why a call failed, in the words of its result."""
    content = _decoded(result.content)
    said = content.get("error") if isinstance(content, dict) else None
    return str(said or result.content)
