"""The stack's folder: who owns `.segue/`, and what does it tell other commands?

Ownership is a lock on `.segue/stack.lock` that the kernel releases when the owner dies, so a record
left behind by a killed stack is recognised without guessing from process ids.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from segue.core.stack_record import RecordError, StackRecord, read_record, write_record
from segue_shared.errors import ConflictError

DEFAULT: Final = ".segue"
_RECORD: Final = "stack.json"
_LOCK: Final = "stack.lock"


class AlreadyRunningError(ConflictError):
    """Another stack owns the folder."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own the folder for the length of a block; its record disappears with it.

    Raises:
        AlreadyRunningError: Another process owns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _lock(lock, fcntl.LOCK_EX):
            raise AlreadyRunningError(_who(folder))
        try:
            yield
        finally:
            (folder / _RECORD).unlink(missing_ok=True)
    finally:
        os.close(lock)


def live_record(folder: Path) -> StackRecord | None:
    """Return the record of the stack that runs in a folder; None when none does."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _lock(lock, fcntl.LOCK_SH):
            return None
        return read_record((folder / _RECORD).read_bytes())
    except (FileNotFoundError, RecordError):
        # It is just starting, or just ending.
        return None
    finally:
        os.close(lock)


def is_owned(folder: Path) -> bool:
    """Tell whether a stack runs in a folder, or is just starting or ending."""
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            return not _lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)
    return False


def write(folder: Path, record: StackRecord) -> None:
    """Write the record; a reader sees the old one or the new one, never half of one."""
    fresh = folder / f"{_RECORD}.new"
    fresh.write_bytes(write_record(record))
    fresh.replace(folder / _RECORD)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _who(folder: Path) -> str:
    with suppress(FileNotFoundError, RecordError):
        record = read_record((folder / _RECORD).read_bytes())
        return f"a stack is already running in {folder} (process {record.pid}, {record.nats_url})"
    return f"a stack is already running in {folder}"
