"""Segue from Python: how does a program start runs, follow them and read their results?"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from segue.core.events import RunEvent
    from segue.sdk import Client, Run, RunFailedError, RunResult
    from segue.source import Workflow

__all__ = ["Client", "Run", "RunEvent", "RunFailedError", "RunResult", "Workflow"]

_HOMES: Final = {"RunEvent": "segue.core.events", "Workflow": "segue.source"}
_HOME: Final = "segue.sdk"

if not TYPE_CHECKING:  # with it, every name would be one of this module for a type checker

    def __getattr__(name: str) -> object:
        """Load what is asked for, so that the command can load first what makes loading fast."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES.get(name, _HOME)), name)
