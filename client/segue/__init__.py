"""Segue from Python: how does a program start runs, follow them and read their results?"""

from segue.core.events import RunEvent
from segue.sdk import Client, Run, RunFailedError, RunResult
from segue.source import Workflow

__all__ = ["Client", "Run", "RunEvent", "RunFailedError", "RunResult", "Workflow"]
