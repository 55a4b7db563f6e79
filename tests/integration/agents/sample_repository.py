"""Support: small repositories on disk, for tests of the tools."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

_IDENTITY = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder; texts lose their common indentation."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = dedent(content).encode() if isinstance(content, str) else content
        path.write_bytes(data)
    return root


def git(root: Path, *arguments: str, stdin: str = "") -> str:
    """Run git with an identity of its own and return what it prints."""
    finished = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env=_IDENTITY,
        check=True,
        capture_output=True,
        encoding="utf-8",
        input=stdin,
    )
    return finished.stdout


def sign(root: Path) -> None:
    """Give the last commit a signature, so that git may want to check it."""
    headers, _, message = git(root, "cat-file", "commit", "HEAD").partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = git(
        root,
        *("hash-object", "-t", "commit", "-w", "--stdin"),
        stdin=f"{headers}\n{signature}\n\n{message}",
    )
    git(root, "update-ref", "HEAD", signed.strip())


def commit(root: Path, files: Mapping[str, str | bytes], message: str = "Change") -> Path:
    """Write files and commit them, in a new repository when there is none."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / ".git").exists():
        git(root, "init", "--quiet")
    write(root, files)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return root
