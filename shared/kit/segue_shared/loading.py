"""Loading: how is a process loaded in less time? It is imported for that, before anything else.

Most of a start is loading libraries, and a fifth of that is for nothing: the garbage collector
looks again and again at objects that stay, and structlog loads rich wherever that is installed, to
draw errors in terminals, which nobody here does. `garbage.collect_from_now_on` ends it.
"""

import gc
import importlib
import sys


def _load_structlog() -> None:
    """Load it as if rich were not installed; others may use that."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails then
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


gc.disable()
_load_structlog()
