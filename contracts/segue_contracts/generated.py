"""Generated files: what follows from the contracts, and is what is committed still that?"""

import json
from pathlib import Path
from typing import Any, Final

from segue_contracts import asyncapi, reference
from segue_contracts.compatibility import breaks, without_prose
from segue_contracts.schema import schemas

SCHEMAS: Final = Path("contracts/schemas/v1")
ASYNCAPI: Final = Path("contracts/asyncapi.json")
REFERENCE: Final = Path("docs/reference/contracts.md")
BASELINE: Final = Path("contracts/baseline/v1.json")


def files() -> dict[Path, str]:
    """Return the text of every generated file by its path in the repository."""
    found = {SCHEMAS / f"{name}.json": _json(schema) for name, schema in schemas().items()}
    found[ASYNCAPI] = _json(asyncapi.document())
    found[REFERENCE] = reference.page()
    return found


def stale(root: Path) -> list[Path]:
    """Return the files that are missing, differ, or belong to no message any more.

    Args:
        root: The repository.
    """
    expected = files()
    surplus = _committed_schemas(root) - expected.keys()
    return sorted(surplus | {path for path, text in expected.items() if _read(root / path) != text})


def write(root: Path) -> list[Path]:
    """Bring all generated files up to date; return those that were not.

    Args:
        root: The repository.
    """
    expected, changed = files(), stale(root)
    for path in changed:
        if path in expected:
            _write(root / path, expected[path])
        else:
            (root / path).unlink()
    return changed


def accept(root: Path) -> list[str]:
    """Make the current schemas the baseline; return what that breaks.

    Args:
        root: The repository.
    """
    broken = broken_since_baseline(root) if (root / BASELINE).exists() else []
    baseline = {name: without_prose(schema) for name, schema in sorted(schemas().items())}
    _write(root / BASELINE, _json(baseline))
    return broken


def broken_since_baseline(root: Path) -> list[str]:
    """Return what breaks for speakers of the accepted schemas, a sentence each.

    Args:
        root: The repository.
    """
    return breaks(json.loads((root / BASELINE).read_text("utf-8")), schemas())


def _committed_schemas(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in (root / SCHEMAS).glob("*.json")}


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
