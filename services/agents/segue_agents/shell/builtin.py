"""Built-in agents: which ones does this release bring along?"""

from importlib.resources import files
from importlib.resources.abc import Traversable

from segue_agents.core.manifest import Manifest, ManifestError, parse_manifest


def builtin_manifests() -> tuple[Manifest, ...]:
    """Read the agents of the package; see `read_manifests`."""
    return read_manifests(files("segue_agents") / "builtin")


def read_manifests(folder: Traversable) -> tuple[Manifest, ...]:
    """Read every `<name>.yaml` of a folder, each with the prompt in `<name>.md` beside it.

    Raises:
        ManifestError: Some are wrong; all problems of all files are named.
    """
    manifests: list[Manifest] = []
    problems: list[str] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            try:
                manifests.append(_read(folder, entry))
            except ManifestError as error:
                problems += error.problems
    if problems:
        raise ManifestError(tuple(problems))
    return tuple(manifests)


def _read(folder: Traversable, entry: Traversable) -> Manifest:
    prompt = folder / f"{entry.name.removesuffix('.yaml')}.md"
    system = prompt.read_text("utf-8") if prompt.is_file() else ""
    return parse_manifest(entry.read_text("utf-8"), file=entry.name, system=system)
