"""The topology: does every stream, consumer and permission fit the others?"""

from fnmatch import fnmatchcase

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.pattern import overlap
from segue_contracts.topology import Access, Consumer
from segue_contracts.v1 import subjects
from segue_contracts.v1.channels import CHANNEL_OF, CHANNELS, Channel, fact_channels
from segue_contracts.v1.registry import COMMANDS, EVENTS, OUTCOME_OF, TYPE_OF
from segue_contracts.v1.service_state import state_event
from segue_contracts.v1.topology import (
    AGENTS_POOL,
    LLM_POOL,
    pool_consumer,
    shard_consumers,
    topology,
)

BUS = topology()
RUN = "01k9x3m2v7q8r5t6w1y0z4a2bc"
STREAMS = {stream.name: stream for stream in BUS.streams}
EPHEMERAL = (
    subjects.facts(),
    subjects.deltas(),
    *map(subjects.controls, ("cancel", "cancel_call", "credit")),
)
"""What is neither stored nor a command."""

PUBLISH = [(access.service, pattern) for access in BUS.access for pattern in access.publish]
SUBSCRIBE = [(access.service, pattern) for access in BUS.access for pattern in access.subscribe]
POOLS = (pool_consumer(AGENTS_POOL), pool_consumer(LLM_POOL), pool_consumer("gpu"))


def exists(pattern: str) -> bool:
    """Return whether anything of ours travels where a pattern matches."""
    stored = [subject for stream in BUS.streams for subject in stream.subjects]
    asked = [subjects.command("*", command.service, command.verb) for command in COMMANDS]
    return any(overlap(pattern, known) for known in (*stored, *asked, *EPHEMERAL))


@pytest.mark.parametrize(("service", "pattern"), PUBLISH + SUBSCRIBE)
def test_every_permission_is_for_something_that_exists(service: str, pattern: str) -> None:
    """A pattern matches a stream, a command or an ephemeral subject."""
    assert exists(pattern), service


def test_a_permission_for_nothing_would_be_found() -> None:
    """The check above tells existing subjects from others."""
    assert not exists("segue.v1.*.cmd.nobody.*")
    assert not exists("segue.v1.*.runs.>")


@pytest.mark.parametrize("access", BUS.access, ids=lambda access: access.service)
def test_every_consumer_and_bucket_of_a_service_exists(access: Access) -> None:
    """What a service pulls, reads and writes is in the topology or made on demand."""
    consumers = [f"{consumer.stream}.{consumer.name}" for consumer in (*BUS.consumers, *POOLS)]
    for pattern in (*access.consumes, *access.creates_consumers):
        assert any(fnmatchcase(name, pattern) for name in consumers), pattern
    assert set(access.reads) <= STREAMS.keys()
    assert {*access.keys_read, *access.keys_write} <= {bucket.name for bucket in BUS.buckets}
    assert set(access.objects) <= {bucket.name for bucket in BUS.object_buckets}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.verb)
def test_every_command_is_answered_by_its_service_alone(command: msgspec.Struct) -> None:
    """One service may subscribe, and somebody may ask."""
    subject = subjects.command("default", *msgspec.structs.astuple(command)[:2])
    assert [service for service, pattern in SUBSCRIBE if overlap(pattern, subject)] == [
        msgspec.structs.astuple(command)[0]
    ]
    assert any(overlap(pattern, subject) for _, pattern in PUBLISH)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_every_producer_may_publish_on_its_channel(channel: Channel) -> None:
    """The documented producers have the permission."""
    allowed = {service for service, pattern in PUBLISH if overlap(pattern, channel.address)}
    assert set(channel.producers) <= allowed


def test_every_event_has_a_channel_and_a_type() -> None:
    """The registry and the channels name the same bodies."""
    assert set(CHANNEL_OF) == set(EVENTS.values())
    assert {TYPE_OF[body] for body in CHANNEL_OF} == set(EVENTS)


PREFIX = subjects.run_prefix("default", RUN)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("run.started", subjects.run_event("default", RUN, "started")),
        ("run.signal_received", subjects.run_event("default", RUN, "signal.gh-1")),
        ("run.ended", subjects.run_event("default", RUN, "ended")),
        (
            "run.step_scheduled",
            subjects.scheduled(PREFIX, "lint", 1, pool="agents", priority="p2"),
        ),
        ("run.step_started", subjects.step_started(PREFIX, "lint", 1)),
        ("run.turn_completed", subjects.turn(PREFIX, "lint", 1, 1)),
        *(
            (TYPE_OF[body].removeprefix("segue.").removesuffix(".v1"), subject)
            for body, status in OUTCOME_OF.items()
            for subject in [subjects.outcome(PREFIX, "lint", 1, status)]
        ),
        ("step.delta", subjects.delta("default", RUN, "lint")),
        ("ctl.cancel", subjects.control("default", RUN, "cancel")),
        (
            "tel.service_state_changed",
            state_event(
                service="agents", instance="agents-1", state="ready", namespace="default", time=""
            )[0],
        ),
        (
            "tel.route_decided",
            subjects.telemetry("default", "providers", "router", "route_decided"),
        ),
        ("dead_letter", subjects.dead("default", "agents", "undecodable")),
        ("timer", subjects.timer("default", RUN, 1)),
        ("timer", subjects.timer_cancelled("default", RUN)),
        ("fired", subjects.fired("default", RUN, 1)),
        ("fact.ended", subjects.fact_of(subjects.run_event("default", RUN, "ended"))),
    ],
)
def test_a_built_subject_belongs_to_its_channel_alone(name: str, subject: str) -> None:
    """Documented addresses are those that are built."""
    channels = (*CHANNELS, *fact_channels())
    assert [channel.name for channel in channels if overlap(channel.address, subject)] == [name]


@given(st.integers(1, subjects.SHARDS))
def test_shard_consumers_divide_all_shards(count: int) -> None:
    """Every shard belongs to exactly one consumer, whatever their number."""
    consumers = shard_consumers(count)
    filters = [pattern for consumer in consumers for pattern in consumer.filters]
    assert filters == list(subjects.shard_filters(0, subjects.SHARDS - 1))
    names = [f"orchestrator_{count}_{number:02d}" for number in range(count)]
    assert [consumer.name for consumer in consumers] == names
    sizes = {len(consumer.filters) for consumer in consumers}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [0, 257])
def test_an_impossible_number_of_shard_consumers_is_refused(count: int) -> None:
    """The error names the bounds."""
    with pytest.raises(ValueError, match=f"1 to 256, not {count}"):
        shard_consumers(count)


def test_a_shared_pool_serves_every_namespace() -> None:
    """One durable serves our own agents for all tenants."""
    consumer = pool_consumer("agents", namespace="acme")
    assert consumer.name == "pool_agents"
    assert consumer.filters == ("segue.v1.*.run.*.*.step.*.*.scheduled.agents.*",)


def test_a_users_pool_serves_its_namespace_only() -> None:
    """Workers of one tenant never receive another's tasks."""
    consumer = pool_consumer("gpu", namespace="acme", ack_wait_s=60)
    assert (consumer.name, consumer.ack_wait_s) == ("pool_acme~gpu", 60)
    assert consumer.filters == ("segue.v1.acme.run.*.*.step.*.*.scheduled.gpu.*",)


def test_no_two_pools_share_a_name() -> None:
    """Where the namespace ends and the pool begins is never a matter of reading."""
    one = pool_consumer("b_c", namespace="a")
    other = pool_consumer("c", namespace="a_b")

    assert one.name != other.name


@pytest.mark.parametrize("consumer", [*BUS.consumers, *POOLS], ids=lambda consumer: consumer.name)
def test_every_consumer_filters_what_its_stream_stores(consumer: Consumer) -> None:
    """No filter waits for what never comes."""
    stored = STREAMS[consumer.stream].subjects
    assert all(any(overlap(one, other) for other in stored) for one in consumer.filters)


def test_no_two_streams_store_the_same_message() -> None:
    """The broker refuses overlapping streams."""
    stored = [subject for stream in BUS.streams for subject in stream.subjects]
    overlapping = [
        (one, other)
        for number, one in enumerate(stored)
        for other in stored[number + 1 :]
        if overlap(one, other)
    ]
    assert overlapping == []


def test_the_journal_republishes_facts() -> None:
    """The copy's subject is what watchers subscribe to."""
    republish = STREAMS["RUNS"].republish
    assert republish is not None
    copy = republish.destination.replace("{{wildcard(1)}}", "default")
    assert republish.source == STREAMS["RUNS"].subjects[0]
    assert copy == subjects.facts("default")
    assert BUS.epoch_stream == "RUNS"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "*.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a", "a.>", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b.c", False),
        ("a.<id>.c", "a.b.c", True),
        ("a.<id>.c", "a.b.d", False),
    ],
)
def test_patterns_overlap_when_one_subject_fits_both(
    one: str, other: str, *, expected: bool
) -> None:
    """Wildcards and names stand for tokens, a final `>` for one or more."""
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected
