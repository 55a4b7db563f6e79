"""The report: how does a review read as Markdown?"""

from collections.abc import Mapping

import msgspec

from segue_agents.core.findings import SEVERITIES
from segue_agents.core.reports import Report, Source, counts, number_of

OFFLINE = "offline"
"""The provider that answers when no model can be called."""


MAX_LISTED = 5
"""How many findings of each tool the last part shows."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a report is made of."""

    repository: str
    """The repository's path; empty when nobody named it."""
    branch: str
    """The branch that was looked at; empty when there is none."""
    at: str
    """When the review was scheduled, RFC 3339."""
    provider: str
    """Who wrote the text."""
    model: str
    """The model that wrote it."""
    text: str
    """What was written."""
    sources: tuple[Source, ...]
    """What the agents before handed on."""
    reports: tuple[Report, ...]
    """What the tools of this step returned."""


def report_markdown(review: Review) -> str:
    """Return the whole report: a header with the facts, the text, and what it rests on."""
    parts = (_header(review), review.text.strip(), _appendix(review.sources))
    return "\n\n".join(part for part in parts if part) + "\n"


def provider_line(provider: str, model: str) -> str:
    """Return the line that says who answered."""
    if provider == OFFLINE:
        return f"Provider: {OFFLINE} (no model was called)"
    return f"Provider: {provider} ({model})" if model else f"Provider: {provider}"


def _header(review: Review) -> str:
    name = review.repository.rstrip("/").rpartition("/")[2]
    lines = [
        f"# Review of {name or 'the given results'}",
        "",
        f"- Repository: {_code(review.repository) or 'not named'}",
        f"- Branch: {_code(review.branch) or 'none'}",
        f"- Date: {review.at or 'unknown'}",
        f"- {provider_line(review.provider, review.model)}",
    ]
    return "\n".join(lines)


def _appendix(sources: tuple[Source, ...]) -> str:
    if not sources:
        return ""
    severities = " | ".join(severity.capitalize() for severity in SEVERITIES)
    lines = [
        "## Results by agent",
        "",
        f"| Agent | Provider | Tools | {severities} | Not shown |",
        f"|---|---|---|{'---:|' * (len(SEVERITIES) + 1)}",
        *map(_row, sources),
    ]
    return "\n\n".join(("\n".join(lines), *map(_section, sources)))


def _section(source: Source) -> str:
    """Return what each tool of an agent found first, so that no agent's word is drowned."""
    lines = [f"### {_cell(source.name)}", ""]
    for report in source.reports:
        lines.append(f"- **{_cell(report.get('tool', '?'))}**: {_cell(report.get('summary', ''))}")
        lines += [f"  - {_finding(finding)}" for finding in report["findings"][:MAX_LISTED]]
    return "\n".join(lines)


def _finding(finding: Mapping[str, object]) -> str:
    place = f"`{_cell(finding.get('file', '?'))}:{number_of(finding.get('line'))}`"
    return f"{_cell(finding.get('severity', '?'))} {place} {_cell(finding.get('message', ''))}"


def _row(source: Source) -> str:
    tools = ", ".join(str(report.get("tool", "?")) for report in source.reports)
    found = counts(source.reports)
    dropped = sum(number_of(report.get("truncated")) for report in source.reports)
    cells = (source.name, source.provider or "not said", tools, *found.values(), dropped)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|") or "none"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
