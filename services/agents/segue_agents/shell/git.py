"""Git: what does a repository that nobody vouches for say about its files and its past?"""

from pathlib import Path

from segue_agents.core.churn import COMMIT_MARK, History, read_churn
from segue_agents.shell.process import ProcessError, ProcessTimedOutError, run_process

COMMITS = 500
"""Commits of the past that are looked at."""

_SAFE_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}

# A repository's own configuration may name programs to run. These settings outrank it.
_SAFE_OPTIONS = (
    "--no-pager",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.pager=cat",
    "-c", "core.attributesFile=/dev/null",
    "-c", "log.mailmap=false",
    "-c", "diff.external=",
    "-c", "protocol.allow=never",
    "-c", "safe.directory=*",
)  # fmt: skip


async def git(root: Path, *arguments: str, timeout_s: float) -> bytes:
    """Run a reading git command.

    Raises:
        ProcessError: Git is missing or refuses, for instance because there is no repository.
        ProcessTimedOutError: It took too long.
    """
    argv = ["git", *_SAFE_OPTIONS, *arguments]
    finished = await run_process(argv, cwd=root, timeout_s=timeout_s, environment=_SAFE_ENVIRONMENT)
    if finished.code and not finished.truncated:
        complaint = finished.stderr.decode(errors="replace").strip().splitlines()
        raise ProcessError(f"git {arguments[0]}: {complaint[0] if complaint else finished.code}")
    return finished.stdout


async def tracked_files(root: Path, *, timeout_s: float) -> list[str] | None:
    """List the files that git knows or would add; None where there is no repository."""
    try:
        listed = await git(
            root,
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            timeout_s=timeout_s,
        )
    except ProcessError:
        return None
    names = listed.decode(errors="surrogateescape").split("\0")
    return sorted({name for name in names if name})


async def recent_history(root: Path, *, timeout_s: float) -> tuple[History, str]:
    """Read which files the last commits changed; and a note when that is not possible."""
    try:
        log = await git(
            root,
            "log",
            f"-n{COMMITS}",
            "-z",
            "--numstat",
            "--no-merges",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-show-signature",
            "--relative",
            f"--format=%x{ord(COMMIT_MARK):02x}",
            timeout_s=timeout_s,
        )
    except ProcessTimedOutError:
        return (
            History(),
            "the git history takes too long to read; how often files change is unknown",
        )
    except ProcessError:
        return History(), "there is no git history; how often files change is unknown"
    return read_churn(log.decode(errors="surrogateescape")), ""
