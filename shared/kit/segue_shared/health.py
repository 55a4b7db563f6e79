"""Health: is this process alive, and may it get work?

Alive means that a restart would not help; ready means that it can do its work now.
"""

from collections.abc import Callable
from typing import Final

import structlog

Check = Callable[[], str | None]
"""Returns None when all is fine, else one sentence that says what is not."""

_log = structlog.get_logger()


class Health:
    """The checks of one process."""

    def __init__(self) -> None:
        self._live: Final[dict[str, Check]] = {}
        self._ready: Final[dict[str, Check]] = {}

    def add(self, name: str, check: Check, *, live: bool = False) -> None:
        """Add a check, or replace the one of this name.

        Args:
            name: What is checked, in one word.
            check: Cheap and synchronous; it is asked with every probe.
            live: Whether a failure means that the process must be restarted.
        """
        (self._live if live else self._ready)[name] = check

    def live(self) -> dict[str, str]:
        """Return what is wrong with the process itself, by check; empty when it is alive."""
        return _failing(self._live)

    def ready(self) -> dict[str, str]:
        """Return what keeps it from working, by check; empty when it is ready."""
        return _failing(self._live | self._ready)


def _failing(checks: dict[str, Check]) -> dict[str, str]:
    results = {name: _ask(name, check) for name, check in checks.items()}
    return {name: problem for name, problem in results.items() if problem is not None}


def _ask(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception:  # noqa: BLE001 - a check that breaks is a failed check, and is logged
        _log.exception("check_failed", check=name)
        return "the check itself failed; the log says why"
