"""The error tree: would retrying help?

SegueError
├── TransientError            retrying may help: the message is given back with a delay
│   ├── BusUnavailableError   the broker, or whoever should answer, is not there
│   └── TimedOutError         no answer in time; whether it took effect is unknown
└── PermanentError            retrying cannot help: the message goes to the dead letters
    ├── PermissionDeniedError the broker refuses this user the subject
    ├── NotFoundError         what was asked for does not exist
    ├── ConflictError         it exists, but is another
    ├── TooLargeError         it exceeds the broker's limits
    ├── InvalidMessageError   the bytes are not what they should be
    ├── PayloadMissingError   a claim check points at nothing
    ├── DestructiveChangeError the bootstrap would lose data
    └── RefusedError          a service's typed refusal
"""

from segue_contracts.reply import Refused


class SegueError(Exception):
    """Base of every error that Segue raises on purpose."""


class TransientError(SegueError):
    """Retrying may help."""


class PermanentError(SegueError):
    """Retrying cannot help."""


class BusUnavailableError(TransientError):
    """The broker, or whoever should answer, is not there."""


class TimedOutError(TransientError):
    """No answer came in time; whether the request took effect is unknown."""


class PermissionDeniedError(PermanentError):
    """The broker refuses this user the subject."""


class NotFoundError(PermanentError):
    """What was asked for does not exist."""


class ConflictError(PermanentError):
    """It exists, but is another."""


class TooLargeError(PermanentError):
    """It exceeds the broker's limits."""


class InvalidMessageError(PermanentError):
    """The bytes are not what they should be."""


class PayloadMissingError(PermanentError):
    """A claim check points at nothing."""


class DestructiveChangeError(PermanentError):
    """The bootstrap would lose data."""


class RefusedError(PermanentError):
    """A service's typed refusal."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(f"{refused.code}: {refused.message}")
        self.refused = refused
