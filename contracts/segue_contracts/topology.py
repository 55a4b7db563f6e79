"""The vocabulary of a topology: what can a bus consist of, and who may use it?

The kit applies a topology without knowing which one; `segue_contracts.v1.topology` holds ours.
"""

import re
from typing import Literal

import msgspec


class Republish(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker sends on as plain messages once it is stored."""

    source: str
    """Pattern of stored subjects."""
    destination: str
    """Subject template of the copy."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A JetStream stream."""

    name: str
    """UPPER noun."""
    description: str
    """What it is for, in one sentence."""
    subjects: tuple[str, ...]
    """The subjects it stores."""
    max_age_s: int = 0
    """Seconds until a message is dropped; 0 keeps it until something purges it."""
    max_bytes: int = -1
    """Bytes until the oldest messages are dropped; -1 is unbounded."""
    schedules: bool = False
    """Whether messages may be schedules that the broker fires later."""
    message_ttl: bool = False
    """Whether single messages may carry a time to live."""
    republish: Republish | None = None
    """Copy of stored messages for plain subscribers."""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A key-value bucket."""

    name: str
    """UPPER noun."""
    description: str
    """What it is for, in one sentence."""
    history: int = 1
    """Revisions kept of each key."""
    ttl_s: int = 0
    """Seconds until any key disappears; 0 is never."""
    key_ttl: bool = False
    """Whether single keys may carry a time to live."""


class ObjectBucket(msgspec.Struct, frozen=True, kw_only=True):
    """An object store bucket."""

    name: str
    """UPPER noun."""
    description: str
    """What it is for, in one sentence."""


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A durable pull consumer."""

    stream: str
    """The stream it reads."""
    name: str
    """`<service>_<area>`."""
    filters: tuple[str, ...]
    """The subjects it receives."""
    ack_policy: Literal["explicit", "all"] = "explicit"
    """Whether an acknowledgement covers one message or everything before it too."""
    ack_wait_s: float = 30
    """Seconds until an unacknowledged message is delivered again."""
    max_ack_pending: int = -1
    """Messages in flight at most; -1 is unbounded."""
    pinned_group: str = ""
    """Priority group of the `pinned_client` policy; empty for none."""
    pinned_timeout_s: float = 5
    """Seconds of silence after which another client is pinned."""
    deliver_new: bool = False
    """Whether it starts with what comes after its creation."""
    start_sequence: int = 0
    """The first sequence that it receives; 0 for everything, or what is new."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Consumers that divide what one would receive, in a number that changes while they are read.

    Their names hold their number, so that two layouts can exist beside each other.
    """

    whole: Consumer
    """The one that they stand for: the first part of their names, and the filters they divide."""
    bucket: str
    """Where their number is stored, under the name of the whole."""
    default: int
    """How many there are on a fresh broker."""
    count: int = 0
    """How many there shall be; 0 keeps what is stored."""

    @property
    def name(self) -> str:
        """The first part of all names, and the key of the number."""
        return self.whole.name

    def consumers(self, count: int) -> tuple[Consumer, ...]:
        """Return the consumers of a number.

        Raises:
            ValueError: There are more of them than filters, or none.
        """
        filters = self.whole.filters
        if not 1 <= count <= len(filters):
            raise ValueError(f"{self.name} consumers: 1 to {len(filters)}, not {count}")
        bounds = [number * len(filters) // count for number in range(count + 1)]
        return tuple(
            msgspec.structs.replace(
                self.whole,
                name=f"{self.name}_{count}_{number:02d}",
                filters=filters[bounds[number] : bounds[number + 1]],
            )
            for number in range(count)
        )

    def owns(self, consumer: str) -> bool:
        """Tell whether a consumer of the stream belongs to this layout, whatever its number."""
        # Names with one number come from a time when only one layout could exist.
        return re.fullmatch(rf"{re.escape(self.name)}(_\d+)?_\d+", consumer) is not None


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What one service may do on the bus; permissions and docs are generated from it."""

    service: str
    """The service's name."""
    publish: tuple[str, ...] = ()
    """Subjects it publishes."""
    subscribe: tuple[str, ...] = ()
    """Subjects it receives as plain messages."""
    reads: tuple[str, ...] = ()
    """Streams it reads by direct get."""
    consumes: tuple[str, ...] = ()
    """`STREAM.consumer` patterns it pulls from."""
    creates_consumers: tuple[str, ...] = ()
    """`STREAM.consumer` patterns it may create."""
    keys_read: tuple[str, ...] = ()
    """Buckets it reads."""
    keys_write: tuple[str, ...] = ()
    """Buckets it writes."""
    objects: tuple[str, ...] = ()
    """Object buckets it reads and writes."""


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a broker must have, and who may use it."""

    streams: tuple[Stream, ...]
    """All streams."""
    buckets: tuple[Bucket, ...]
    """All key-value buckets."""
    object_buckets: tuple[ObjectBucket, ...]
    """All object buckets."""
    consumers: tuple[Consumer, ...]
    """The consumers of a fresh broker; pool consumers are made on demand."""
    layouts: tuple[Layout, ...] = ()
    """Those of them that divide a stream, in a number that can change."""
    access: tuple[Access, ...]
    """One entry per service."""
    epoch_stream: str = ""
    """The stream whose identity is the cursor's epoch."""
