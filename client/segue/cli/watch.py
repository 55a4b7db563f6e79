"""Watching: how does a run show itself while it goes on?"""

from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from segue.core.display import cost, count, duration, plural
from segue.core.events import RunEvent
from segue.core.lines import line
from segue.core.table import Row, Table, fold, visible
from segue_contracts.v1.values import UsageTotals
from segue_shared.clock import Clock

_STYLES: Final = {
    "pending": "dim",
    "scheduled": "cyan",
    "running": "bold blue",
    "completed": "green",
    "failed": "bold red",
    "timed_out": "bold red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "skipped": "dim",
    "paused": "yellow",
    "parked": "yellow",
}
_COLUMNS: Final = ("step", "state", "agent", "attempt", "time", "tokens", "cost", "provider")
_NUMERIC: Final = frozenset({"attempt", "time", "tokens", "cost"})
_CHROME_LINES: Final = 8
_REFRESH_HZ: Final = 8
_LEAST_ROWS: Final = 5


class Watcher(Protocol):
    """Something that shows a run while it goes on."""

    table: Table

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave what was shown, and end."""
        ...

    def show(self, event: RunEvent) -> None:
        """Take one more event in."""
        ...


class LiveTable:
    """A table that is redrawn in place, for a terminal."""

    def __init__(self, table: Table, *, run: str, console: Console, clock: Clock) -> None:
        self.table = table
        self._run = run
        self._console = console
        self._clock = clock
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=_REFRESH_HZ
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draw the last state and leave it."""
        self._live.stop()

    def show(self, event: RunEvent) -> None:
        """Take one more event in; it is drawn with the next refresh."""
        self.table = fold(self.table, event)

    def _render(self) -> RenderableType:
        rows = max(_LEAST_ROWS, self._console.height - _CHROME_LINES)
        return render(self.table, run=self._run, now_ms=self._clock.now_ms(), limit=rows)


class PlainLines:
    """One line per durable event, for a pipe or a log."""

    def __init__(self, table: Table, *, console: Console) -> None:
        self.table = table
        self._console = console

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    def show(self, event: RunEvent) -> None:
        """Write the event's line at once."""
        self.table = fold(self.table, event)
        self._console.file.write(line(event) + "\n")
        self._console.file.flush()


class Silent:
    """Shows nothing, and still knows the table."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    def show(self, event: RunEvent) -> None:
        """Take one more event in."""
        self.table = fold(self.table, event)


def render(table: Table, *, run: str, now_ms: int, limit: int) -> RenderableType:
    """Return the table as Rich draws it.

    Args:
        table: What is known.
        run: The run's id.
        now_ms: Unix milliseconds, for what still goes on.
        limit: How many rows fit.
    """
    grid = Grid(title=_title(table, run, now_ms), title_justify="left", expand=False)
    for column in _COLUMNS:
        grid.add_column(column, justify="right" if column in _NUMERIC else "left", no_wrap=True)
    rows, hidden = visible(table.rows, limit)
    for row in rows:
        grid.add_row(*_cells(row, now_ms))
    parts: list[RenderableType] = [grid]
    if hidden:
        parts.append(Text(f"… and {plural(hidden, 'step')} more that are settled", style="dim"))
    parts += [Text(f"note: {note}", style="yellow") for note in table.notes]
    return Group(*parts)


def summary(table: Table, *, run: str, now_ms: int) -> str:
    """Return the closing line of a run."""
    used = table.usage
    parts = [plural(len(table.rows), "step"), f"{count(_tokens(used))} tokens", cost(used.cost_usd)]
    by = f", answered by {', '.join(table.providers)}" if table.providers else ""
    took = duration(_elapsed(table, now_ms))
    return f"run {run} {table.status} in {took}: {', '.join(parts)}{by}"


def _title(table: Table, run: str, now_ms: int) -> Text:
    title = Text.assemble(
        (table.workflow or "run", "bold"), f"  {run}  ", _state(table.status), style="not italic"
    )
    return title.append(f"  {duration(_elapsed(table, now_ms))}")


def _cells(row: Row, now_ms: int) -> tuple[RenderableType, ...]:
    used = row.usage
    state = _state(row.state)
    if row.detail:
        state.append(f" ({row.detail[:60]})", style="not bold")
    return (
        Text(row.step),
        state,
        Text(row.agent),
        str(row.attempt or ""),
        duration(row.duration_ms(now_ms)) if row.scheduled_ms else "",
        count(_tokens(used)) if _tokens(used) else "",
        cost(used.cost_usd) if used.model_calls else "",
        Text(row.provider),
    )


def _state(state: str) -> Text:
    return Text(state.replace("_", " "), style=_STYLES.get(state, ""))


def _elapsed(table: Table, now_ms: int) -> int:
    return (table.ended_ms or now_ms) - table.started_ms if table.started_ms else 0


def _tokens(usage: UsageTotals) -> int:
    return usage.input_tokens + usage.output_tokens
