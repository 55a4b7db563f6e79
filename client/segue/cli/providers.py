"""`segue providers`: how do the providers of models stand, and what did they cost?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from rich.table import Table as Grid

from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.display import cost, count, duration
from segue.core.exits import Exit
from segue_contracts.v1.providers import (
    KeyState,
    ModelHealth,
    ProviderChecked,
    ProviderList,
    ProviderState,
    RouteExplained,
    Spending,
)

_NONE = "-"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What would be asked, and how it would be routed."""

    prompt: str
    model: str
    policy: str
    prefer: Sequence[str]


async def status(shell: Shell, target: Target, output: Output) -> Exit:
    """Show every provider with the models that were called lately."""
    async with client_of(shell, target) as client:
        found = await client.models.status()
    if output is Output.JSON:
        return _json(shell, found)
    shell.out.print(_standing(found))
    shell.say(f"policy {found.policy}, configuration {found.configuration[:12]}, {found.instance}")
    if found.refused:
        shell.say("a newer configuration is not in use, since it is wrong:")
    for flaw in found.refused:
        shell.say(f"  {flaw}")
    return Exit.DONE


async def test(shell: Shell, target: Target, provider: str, model: str, output: Output) -> Exit:
    """Call a provider once; a provider that does not answer is a failure."""
    async with client_of(shell, target) as client:
        checked = await client.models.test(provider, model=model)
    if output is Output.JSON:
        _json(shell, checked)
    else:
        shell.put(_checked(checked))
    return Exit.DONE if checked.ok else Exit.RUN_FAILED


async def explain(shell: Shell, target: Target, question: Question, output: Output) -> Exit:
    """Show who would answer, in order, and why not the others."""
    async with client_of(shell, target) as client:
        found = await client.models.explain(
            question.prompt,
            model=question.model,
            policy=question.policy,
            prefer=question.prefer,
        )
    if output is Output.JSON:
        return _json(shell, found)
    shell.out.print(_candidates(found))
    shell.say(f"policy {found.policy}")
    for warning in found.warnings:
        shell.say(warning)
    return Exit.DONE


async def spending(shell: Shell, target: Target, account: str, output: Output) -> Exit:
    """Show what an account has spent and set aside."""
    async with client_of(shell, target) as client:
        found = await client.models.spending(account)
    if output is Output.JSON:
        return _json(shell, found)
    shell.out.print(_spent(found))
    return Exit.DONE


def _json(shell: Shell, found: object) -> Exit:
    shell.put(msgspec.json.encode(found).decode())
    return Exit.DONE


def _standing(found: ProviderList) -> Grid:
    grid = Grid("provider", "state", "model", "breaker", "latency", "first token")
    for name in ("errors", "rpm", "keys"):
        grid.add_column(name)
    for provider in found.providers:
        for row in _rows(provider):
            grid.add_row(*row)
    return grid


def _rows(provider: ProviderState) -> Iterator[tuple[str, ...]]:
    """Yield a row for the default model, and one for each other that was called."""
    default = provider.default_model
    called = {one.model: one for one in provider.models}
    yield (
        provider.name,
        "ready" if provider.available else provider.reason,
        default or _NONE,
        *_figures(called.pop(default, None)),
        _keys(provider.keys),
    )
    for health in called.values():
        yield ("", "", health.model, *_figures(health), "")


def _figures(health: ModelHealth | None) -> tuple[str, ...]:
    if health is None:
        return (_NONE,) * 5
    return (
        health.breaker,
        _measured(health.latency_ms),
        _measured(health.first_token_ms),
        f"{health.error_rate:.0%}",
        f"{health.requests_per_minute:.1f}",
    )


def _measured(milliseconds: float) -> str:
    return duration(round(milliseconds)) if milliseconds else _NONE


def _keys(keys: Sequence[KeyState]) -> str:
    if not keys:
        return _NONE
    usable = sum(key.usable for key in keys)
    why = [f"{key.ref} {key.reason}" for key in keys if not key.usable]
    return ", ".join((f"{usable} of {len(keys)}", *why))


def _checked(checked: ProviderChecked) -> str:
    who = f"{checked.provider}/{checked.model}" if checked.model else checked.provider
    took = duration(round(checked.total_ms))
    if checked.ok:
        return f"{who} answers, {took}, {cost(checked.cost.usd)}"
    return f"{who} failed with {checked.error}, {took}: {checked.message}"


def _candidates(found: RouteExplained) -> Grid:
    grid = Grid("", "provider", "model", "score", "reason")
    for place, one in enumerate(found.candidates, start=1):
        score = f"{one.score:.4g}" if one.eligible else _NONE
        mark = str(place) if one.eligible else _NONE
        grid.add_row(mark, one.provider, one.model or _NONE, score, one.reason)
    return grid


def _spent(found: Spending) -> Grid:
    grid = Grid("account", "", "spent", "set aside", "limit")
    limit = cost(found.limit_usd) if found.limit_usd else _NONE
    grid.add_row(
        found.account or "the namespace",
        "US dollars",
        cost(found.settled_usd),
        cost(found.reserved_usd),
        limit,
    )
    grid.add_row(
        "",
        "tokens",
        count(found.settled_tokens),
        count(found.reserved_tokens),
        count(found.limit_tokens) if found.limit_tokens else _NONE,
    )
    return grid
