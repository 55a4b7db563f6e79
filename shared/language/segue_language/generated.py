"""Generated files: what follows from the language, and is what is committed still that?"""

import json
from pathlib import Path
from typing import Final

from segue_language.reference import page
from segue_language.schema import definition_schema

FOLDER: Final = Path("docs/reference")


def files() -> dict[Path, str]:
    """Return the text of every generated file by its path in the repository."""
    return {
        FOLDER / "workflow.schema.json": _json(definition_schema()),
        FOLDER / "workflow.draft-07.schema.json": _json(definition_schema("draft-07")),
        FOLDER / "workflow-language.md": page(),
    }


def stale(root: Path) -> list[Path]:
    """Return the files that are missing or differ.

    Args:
        root: The repository.
    """
    return [path for path, text in files().items() if _read(root / path) != text]


def write(root: Path) -> list[Path]:
    """Bring all generated files up to date; return those that were not.

    Args:
        root: The repository.
    """
    expected, changed = files(), stale(root)
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(expected[path], encoding="utf-8")
    return changed


def _json(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
