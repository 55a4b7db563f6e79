"""The inventory: which files are manifests, and what do they say together?"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from posixpath import basename, dirname

from msgspec import Struct

from segue_agents.core.dependencies.compiled import read_cargo, read_go
from segue_agents.core.dependencies.container import read_dockerfile
from segue_agents.core.dependencies.declared import (
    MalformedError,
    Manifest,
    judge_manifest,
    malformed,
)
from segue_agents.core.dependencies.node import read_package
from segue_agents.core.dependencies.python import (
    project_name,
    read_pyproject,
    read_requirements,
    read_setup_cfg,
)
from segue_agents.core.findings import Finding

_REQUIREMENTS = ("requirements*.txt", "*-requirements.txt", "requirements/*.txt")
_DOCKERFILES = ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile")


class Inventory(Struct, frozen=True, kw_only=True):
    """What the manifests of a repository say."""

    manifests: Mapping[str, Manifest]
    """The readable ones, by file."""
    findings: tuple[Finding, ...]
    """What is not bound, not locked or not readable."""

    def metrics(self) -> dict[str, float | int | str]:
        """Count manifests and dependencies, also for each ecosystem."""
        counts: Counter[str] = Counter()
        for manifest in self.manifests.values():
            counts[manifest.ecosystem] += len(manifest.declared)
        return {
            "manifests": len(self.manifests),
            "dependencies": sum(counts.values()),
            **{f"dependencies.{name}": count for name, count in sorted(counts.items())},
        }


def is_manifest(file: str) -> bool:
    """Tell whether a file declares dependencies in a form that is read here."""
    return _reader(file) is not None


def take_inventory(texts: Mapping[str, str], present: Iterable[str]) -> Inventory:
    """Read every manifest and judge what it declares.

    Args:
        texts: The content of each manifest.
        present: All files of the repository, lock files among them.
    """
    files = frozenset(present)
    own = frozenset(
        project_name(text) for file, text in texts.items() if basename(file) == "pyproject.toml"
    )
    manifests: dict[str, Manifest] = {}
    findings: list[Finding] = []
    for file, text in texts.items():
        try:
            manifests[file] = _read(file, text, own)
        except MalformedError as error:
            findings.append(malformed(file, error))
            continue
        locked = is_locked(file, manifests[file].locks, files)
        findings.extend(judge_manifest(file, manifests[file], locked=locked))
    return Inventory(manifests=manifests, findings=tuple(findings))


def is_locked(file: str, locks: Iterable[str], files: frozenset[str]) -> bool:
    """Tell whether a lock file lies beside a manifest or in a folder above it."""
    folder = dirname(file)
    folders = {folder, ""}
    while folder:
        folder = dirname(folder)
        folders.add(folder)
    names = tuple(locks)
    return any(f"{above}/{name}".strip("/") in files for above in folders for name in names)


def _read(file: str, text: str, own: frozenset[str]) -> Manifest:
    if basename(file) == "pyproject.toml":
        return read_pyproject(text, own=own)
    reader = _reader(file)
    return reader(text) if reader else Manifest(ecosystem="other")


def _reader(file: str) -> Callable[[str], Manifest] | None:
    name = basename(file)
    tail = "/".join(file.split("/")[-2:])
    if any(fnmatchcase(part, pattern) for part in (name, tail) for pattern in _REQUIREMENTS):
        return read_requirements
    if any(fnmatchcase(name, pattern) for pattern in _DOCKERFILES):
        return read_dockerfile
    return {
        "pyproject.toml": read_pyproject,
        "setup.cfg": read_setup_cfg,
        "package.json": read_package,
        "go.mod": read_go,
        "Cargo.toml": read_cargo,
    }.get(name)
