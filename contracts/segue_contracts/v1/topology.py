"""The topology: which streams, buckets and consumers exist, and which service may use them?"""

from typing import Final

from segue_contracts.topology import (
    Access,
    Bucket,
    Consumer,
    Layout,
    ObjectBucket,
    Republish,
    Stream,
    Topology,
)
from segue_contracts.v1 import subjects

RUNS: Final = "RUNS"
TIMERS: Final = "TIMERS"
TELEMETRY: Final = "TELEMETRY"
INTAKE: Final = "INTAKE"
DEAD: Final = "DEAD"
ADVISORIES: Final = "ADVISORIES"

WORKFLOWS: Final = "WORKFLOWS"
RUN_KEYS: Final = "RUN_KEYS"
AGENTS: Final = "AGENTS"
SNAPSHOTS: Final = "SNAPSHOTS"
LEASES: Final = "LEASES"
WAITS: Final = "WAITS"
MEMBERS: Final = "MEMBERS"
LAYOUTS: Final = "LAYOUTS"
COMPLETIONS: Final = "COMPLETIONS"
LEDGER: Final = "LEDGER"
PAYLOADS: Final = "PAYLOADS"

TIMER_RELAY: Final = "orchestrator_timers"
INTAKE_RELAY: Final = "orchestrator_intake"
AGENTS_POOL: Final = "agents"
LLM_POOL: Final = "llm"
SHARED_POOLS: Final = frozenset({AGENTS_POOL, LLM_POOL, "connectors"})
"""Pools that serve every namespace; any other pool belongs to one."""

DEFAULT_SHARD_CONSUMERS: Final = 4
LOCAL_SHARD_CONSUMERS: Final = 1
"""Where one orchestrator does all the work, one consumer costs least."""
PIN_GROUP: Final = "owner"
PIN_TIMEOUT_S: Final = 4
"""Longer than an idle owner's pull requests live, so that it keeps its pin."""

_DAY_S = 24 * 3600
_GIB = 1024**3


def shard_layout(count: int = 0, *, fresh: int = DEFAULT_SHARD_CONSUMERS) -> Layout:
    """Return how shard consumers divide the virtual shards among them.

    Args:
        count: How many there shall be; 0 keeps what is stored.
        fresh: How many there are while nothing is stored.
    """
    return Layout(
        whole=Consumer(
            stream=RUNS,
            name="orchestrator",
            filters=subjects.shard_filters(0, subjects.SHARDS - 1),
            ack_policy="all",
            max_ack_pending=20_000,
            pinned_group=PIN_GROUP,
            pinned_timeout_s=PIN_TIMEOUT_S,
        ),
        bucket=LAYOUTS,
        default=fresh,
        count=count,
    )


def shard_consumers(count: int = DEFAULT_SHARD_CONSUMERS) -> tuple[Consumer, ...]:
    """Return `count` consumers that divide the 256 virtual shards among them.

    Raises:
        ValueError: The count is not between 1 and 256.
    """
    return shard_layout().consumers(count)


def pool_consumer(pool: str, *, namespace: str = "default", ack_wait_s: float = 30) -> Consumer:
    """Return the durable of a pool; a pool of users' own reads its namespace only.

    Args:
        pool: The pool's name.
        namespace: The tenant that asks.
        ack_wait_s: Seconds after which a silent worker's task goes to another.
    """
    shared = pool in SHARED_POOLS
    # `~` is no letter of a token, so no two pairs of namespace and pool share a name.
    return Consumer(
        stream=RUNS,
        name=f"pool_{pool}" if shared else f"pool_{namespace}~{pool}",
        filters=(subjects.pool_filter(pool, "*", "*" if shared else namespace),),
        ack_wait_s=ack_wait_s,
        deliver_new=True,
    )


_STREAMS = (
    Stream(
        name=RUNS,
        description="The journal of every run; nothing but the janitor removes from it.",
        subjects=(f"{subjects.PREFIX}.*.run.>",),
        republish=Republish(
            source=f"{subjects.PREFIX}.*.run.>",
            destination=f"{subjects.PREFIX}.{{{{wildcard(1)}}}}.fact.>",
        ),
    ),
    Stream(
        name=TIMERS,
        description="Armed timers of runs, and those that fired.",
        subjects=(f"{subjects.PREFIX}.*.timer.>", f"{subjects.PREFIX}.*.fired.>"),
        schedules=True,
        message_ttl=True,
    ),
    Stream(
        name=TELEMETRY,
        description="What services tell of themselves, for a day.",
        subjects=(f"{subjects.PREFIX}.*.tel.>",),
        max_age_s=_DAY_S,
        max_bytes=_GIB,
    ),
    Stream(
        name=INTAKE,
        description="Events of users' systems, for triggers and waits.",
        subjects=(f"{subjects.PREFIX}.*.in.>",),
        max_age_s=7 * _DAY_S,
        max_bytes=_GIB,
    ),
    Stream(
        name=DEAD,
        description="Messages that could not be handled, whole, with their reason.",
        subjects=(f"{subjects.PREFIX}.*.dead.>",),
        max_age_s=30 * _DAY_S,
        max_bytes=_GIB,
    ),
    Stream(
        name=ADVISORIES,
        description="What the broker tells of its consumers.",
        subjects=("$JS.EVENT.ADVISORY.CONSUMER.>",),
        max_age_s=_DAY_S,
        max_bytes=_GIB // 4,
    ),
)

_BUCKETS = (
    Bucket(name=WORKFLOWS, description="Definitions by hash, immutable."),
    Bucket(name=RUN_KEYS, description="Idempotency keys of starts, for ever."),
    Bucket(name=SNAPSHOTS, description="States of long runs, so that old events can go."),
    Bucket(name=LEASES, description="Who holds and who waits for each concurrency key."),
    Bucket(name=WAITS, description="What runs wait for, to be listed and to be found by topic."),
    Bucket(name=AGENTS, description="Manifests of registered agents."),
    Bucket(
        name=MEMBERS,
        description="Live instances of services, each for as long as it says so.",
        key_ttl=True,
    ),
    Bucket(
        name=COMPLETIONS,
        description="Answers of models by the key of their request, so that none is paid twice.",
        key_ttl=True,
    ),
    Bucket(
        name=LEDGER,
        description="What was spent and set aside of each budget and rate limit.",
        key_ttl=True,
    ),
    Bucket(name=LAYOUTS, description="How many consumers divide a stream among them."),
)

_OBJECTS = (ObjectBucket(name=PAYLOADS, description="Values over 64 KiB under their SHA-256."),)

_P = subjects.PREFIX

_ACCESS = (
    Access(
        service="orchestrator",
        publish=(
            f"{_P}.*.run.>",
            f"{_P}.*.timer.>",
            f"{_P}.*.ctl.>",
            f"{_P}.*.tel.orchestrator.>",
            f"{_P}.*.dead.orchestrator.>",
        ),
        subscribe=(f"{_P}.*.cmd.orchestrator.>",),
        reads=(RUNS, TIMERS),
        consumes=(
            f"{RUNS}.orchestrator_*",
            f"{TIMERS}.{TIMER_RELAY}",
            f"{INTAKE}.{INTAKE_RELAY}",
        ),
        creates_consumers=(f"{RUNS}.pool_*",),
        keys_read=(WORKFLOWS, RUN_KEYS, AGENTS, SNAPSHOTS, LEASES, WAITS, MEMBERS, LAYOUTS),
        keys_write=(WORKFLOWS, RUN_KEYS, SNAPSHOTS, LEASES, WAITS, MEMBERS),
        objects=(PAYLOADS,),
    ),
    Access(
        service="agents",
        publish=(
            f"{_P}.*.run.*.*.step.>",
            f"{_P}.*.delta.>",
            f"{_P}.*.cmd.providers.*",
            f"{_P}.*.ctl.*.cancel_call",
            f"{_P}.*.ctl.*.credit",
            f"{_P}.*.cmd.orchestrator.pool_ensure",
            f"{_P}.*.tel.agents.>",
            f"{_P}.*.dead.agents.>",
        ),
        subscribe=(f"{_P}.*.cmd.agents.>", f"{_P}.*.ctl.>"),
        reads=(RUNS,),
        consumes=(f"{RUNS}.pool_{AGENTS_POOL}",),
        keys_read=(AGENTS,),
        keys_write=(AGENTS,),
        objects=(PAYLOADS,),
    ),
    Access(
        service="providers",
        publish=(
            f"{_P}.*.run.*.*.step.>",
            f"{_P}.*.delta.>",
            f"{_P}.*.cmd.orchestrator.pool_ensure",
            f"{_P}.*.tel.providers.>",
            f"{_P}.*.dead.providers.>",
        ),
        subscribe=(f"{_P}.*.cmd.providers.>", f"{_P}.*.ctl.>"),
        reads=(RUNS,),
        consumes=(f"{RUNS}.pool_{LLM_POOL}",),
        keys_read=(COMPLETIONS, LEDGER, MEMBERS),
        keys_write=(COMPLETIONS, LEDGER, MEMBERS),
        objects=(PAYLOADS,),
    ),
    Access(
        service="events",
        publish=(f"{_P}.*.tel.events.>", f"{_P}.*.dead.events.>"),
        subscribe=(f"{_P}.*.fact.>", f"{_P}.*.delta.>"),
        reads=(RUNS,),
    ),
    Access(
        service="gateway",
        publish=(
            f"{_P}.*.cmd.>",
            f"{_P}.*.ctl.*.cancel_call",
            f"{_P}.*.ctl.*.credit",
            f"{_P}.*.tel.gateway.>",
        ),
        subscribe=(f"{_P}.*.delta.*.answer",),
        objects=(PAYLOADS,),
    ),
    Access(
        service="client",
        publish=(f"{_P}.*.cmd.>", f"{_P}.*.in.>"),
        subscribe=(f"{_P}.*.fact.>", f"{_P}.*.delta.>", f"{_P}.*.tel.>"),
        reads=(RUNS,),
        objects=(PAYLOADS,),
    ),
)


def topology(shard_consumer_count: int = 0, *, fresh: int = DEFAULT_SHARD_CONSUMERS) -> Topology:
    """Return everything a broker must have for Segue.

    Args:
        shard_consumer_count: How many consumers divide the virtual shards; 0 keeps what is stored.
        fresh: How many there are while nothing is stored.

    Raises:
        ValueError: The count is not between 1 and 256.
    """
    layout = shard_layout(shard_consumer_count, fresh=fresh)
    relay = Consumer(
        stream=TIMERS,
        name=TIMER_RELAY,
        filters=(f"{subjects.PREFIX}.*.fired.>",),
        max_ack_pending=1_000,
    )
    intake = Consumer(
        stream=INTAKE,
        name=INTAKE_RELAY,
        filters=(f"{subjects.PREFIX}.*.in.>",),
        max_ack_pending=1_000,
        deliver_new=True,
    )
    return Topology(
        streams=_STREAMS,
        buckets=_BUCKETS,
        object_buckets=_OBJECTS,
        consumers=(*layout.consumers(shard_consumer_count or layout.default), relay, intake),
        layouts=(layout,),
        access=_ACCESS,
        epoch_stream=RUNS,
    )
