"""What does a fresh interpreter have loaded after a few lines?"""

import json
import subprocess
import sys


def loaded_after(program: str, *, of: set[str]) -> set[str]:
    """Return which of some modules are loaded once a program has run."""
    lines = f"{program}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", lines], capture_output=True, check=True)
    return of.intersection(json.loads(shown.stdout.splitlines()[-1]))
