"""Do the templates of a definition read only what is there when they are filled?"""

from collections.abc import Collection, Iterator
from typing import Final

from segue_language.expressions import References, references
from segue_language.graph import Upstream
from segue_language.outline import Fields, Outline
from segue_language.paths import STEP_PARTS, Reference
from segue_language.problems import Finding, Path, shown
from segue_language.sites import (
    COMPENSATE,
    EVENT,
    ITEM_NAMES,
    Site,
    key_sites,
    result_sites,
    step_sites,
)
from segue_language.templates import ExpressionError

_ELSEWHERE: Final = {
    **dict.fromkeys(ITEM_NAMES, "is there only under 'forEach', not in 'when' and 'items'"),
    EVENT: "is there only in the 'match' of a wait",
}


def check_templates(
    outline: Outline, upstream: Upstream, index: int, step: Fields
) -> Iterator[Finding]:
    """Yield what is wrong with the templates of a step."""
    key = step.get("key")
    for site in step_sites(step):
        path = ("steps", index, *site.path)
        found = _references(outline, site, path)
        if isinstance(found, Finding):
            yield found
            continue
        yield from _unknown(outline, found, path, site.names)
        if isinstance(key, str) and found.steps:
            yield from _check_upstream(upstream, found, key, path)


def _check_upstream(
    upstream: Upstream, found: References, key: str, path: Path
) -> Iterator[Finding]:
    own = COMPENSATE in path
    for used in sorted(found.steps):
        if used == key and not own:
            message = f"step {shown(key)} uses its own output"
            yield Finding(path=path, code="own_output", message=message)
        elif used != key and not upstream.includes(used, of=key):
            message = f"{shown(used)} may not have run before {shown(key)}; add it to 'dependsOn'"
            yield Finding(path=path, code="not_upstream", message=message)


def _references(outline: Outline, site: Site, path: Path) -> References | Finding:
    try:
        return references(
            site.source,
            steps=outline.keys,
            inputs=outline.inputs,
            values=site.names,
            mode=site.mode,
        )
    except ExpressionError as error:
        return Finding(path=path, code="wrong_expression", message=str(error))


def _unknown(
    outline: Outline, found: References, path: Path, names: Collection[str]
) -> Iterator[Finding]:
    for used in found.unknown:
        message, wrong, candidates = _explained(outline, used, names)
        yield Finding(
            path=path,
            code="unknown_reference",
            message=message,
            wrong=wrong,
            candidates=candidates,
        )


def _explained(
    outline: Outline, used: Reference, names: Collection[str]
) -> tuple[str, str, Collection[str]]:
    head, name = used.parts[0], used.parts[1] if len(used.parts) > 1 else ""
    path = shown(used.text)
    if head == "steps" and name in outline.keys:
        return f"{path}: {STEP_PARTS}, as in steps.{name}.output", "", ()
    if head == "steps" and not name:
        return f"{path}: name the step, as in steps.<key>.output", "", ()
    if head == "steps":
        return f"{path}: unknown step {shown(name)}", name, outline.keys
    if head == "inputs":
        return f"{path}: unknown input {shown(name)}", name, outline.inputs
    if head in _ELSEWHERE:
        return f"{path}: {shown(head)} {_ELSEWHERE[head]}", "", ()
    known = [*outline.keys, *outline.inputs, *names]
    return f"{path}: {shown(head)} is neither a step nor an input", head, known


def check_results(outline: Outline) -> Iterator[Finding]:
    """Yield what is wrong with the templates of the workflow: results see all, keys inputs only."""
    for site in result_sites(outline.document):
        found = _references(outline, site, site.path)
        if isinstance(found, Finding):
            yield found
        else:
            yield from _unknown(outline, found, site.path, site.names)
    for site in key_sites(outline.document):
        found = _references(outline, site, site.path)
        if isinstance(found, Finding):
            yield found
            continue
        yield from _unknown(outline, found, site.path, site.names)
        if found.steps:
            message = "a key can use inputs only: no step has run yet"
            yield Finding(path=site.path, code="not_upstream", message=message)
