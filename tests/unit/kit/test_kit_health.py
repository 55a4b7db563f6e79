"""Health and metrics: is what is wrong told, and are labels few?"""

import threading
import timeit

import pytest

from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.health import Health
from segue_shared.metrics import Metrics
from segue_shared.observer import UNOBSERVED


def test_a_process_without_problems_is_alive_and_ready() -> None:
    """No news is good news."""
    health = Health()
    health.add("bus", lambda: None)

    assert health.live() == {}
    assert health.ready() == {}


def test_a_failing_check_makes_it_unready_but_not_dead() -> None:
    """A broker that is away is no reason for a restart."""
    health = Health()
    health.add("bus", lambda: "the broker is not reachable")

    assert health.ready() == {"bus": "the broker is not reachable"}
    assert health.live() == {}


def test_a_failing_live_check_makes_it_unready_too() -> None:
    """Whoever must be restarted gets no work."""
    health = Health()
    health.add("tasks", lambda: "a loop ended", live=True)

    assert health.live() == {"tasks": "a loop ended"}
    assert health.ready() == {"tasks": "a loop ended"}


def test_a_check_that_breaks_counts_as_failed() -> None:
    """A probe always gets an answer."""
    health = Health()
    health.add("odd", lambda: str(1 // 0))

    assert list(health.ready()) == ["odd"]


def test_a_check_of_the_same_name_replaces_the_first() -> None:
    """Checks are known by their name."""
    health = Health()
    health.add("bus", lambda: "away")
    health.add("bus", lambda: None)

    assert health.ready() == {}


def template(subject: str) -> str:
    """Replace the run of a subject."""
    head, _, event = subject.split(".")
    return f"{head}.<run>.{event}"


def test_messages_are_counted_and_timed_by_template() -> None:
    """A thousand runs make one label."""
    metrics = Metrics("agents", template=template)
    label = {"subject": "run.<run>.started"}
    value = metrics.registry.get_sample_value
    for number in range(3):
        with metrics.message(f"run.r{number}.started", delivered=number):
            assert value("segue_in_flight", label) == 1

    assert value("segue_messages_received_total", label) == 3
    assert value("segue_message_seconds_count", label) == 3
    assert value("segue_message_seconds_bucket", label | {"le": "+Inf"}) == 3
    assert value("segue_redelivered_total", label) == 1
    assert value("segue_in_flight", label) == 0


def test_seconds_are_sorted_into_buckets() -> None:
    """A bucket holds whatever took at most as long as its bound."""
    metrics = Metrics("agents")
    value, spent = metrics.registry.get_sample_value, threading.Event()
    with metrics.message("quick"):
        pass
    with metrics.message("slow"):
        spent.wait(timeout=0.02)

    label = {"subject": "<any>"}
    assert value("segue_message_seconds_bucket", label | {"le": "0.01"}) == 1
    assert value("segue_message_seconds_bucket", label | {"le": "5.0"}) == 2
    assert (value("segue_message_seconds_sum", label) or 0) >= 0.02


def test_a_batch_counts_each_of_its_messages() -> None:
    """Also when they are of several kinds, and some come again."""
    metrics = Metrics("agents", template=template)
    value = metrics.registry.get_sample_value
    started, ended = ({"subject": f"run.<run>.{what}"} for what in ("started", "ended"))
    batch = [a_delivery("run.r1.started"), a_delivery("run.r2.started", 2)]
    with metrics.batch([*batch, a_delivery("run.r1.ended")]):
        assert value("segue_in_flight", started) == 2

    assert value("segue_messages_received_total", started) == 2
    assert value("segue_redelivered_total", started) == 1
    assert value("segue_message_seconds_count", ended) == 1
    assert value("segue_redelivered_total", ended) == 0
    assert value("segue_in_flight", started) == 0


def a_delivery(subject: str, delivered: int = 1) -> Delivery:
    """Return a message as a consumer hands it out."""
    return Delivery(subject, b"", 1, 0, delivered, "", {})


def test_a_message_that_fails_is_no_longer_in_flight() -> None:
    """Counting survives errors."""
    metrics = Metrics("agents", template=template)
    with pytest.raises(ZeroDivisionError), metrics.message("run.r1.started"):
        raise ZeroDivisionError

    label = {"subject": "run.<run>.started"}
    assert metrics.registry.get_sample_value("segue_in_flight", label) == 0


def test_labels_stay_few_whatever_is_published() -> None:
    """Beyond a bound every further kind of subject shares one label."""
    metrics = Metrics("agents", template=str)
    for number in range(1_000):
        metrics.published(f"kind{number}", "stored")

    subjects = {
        sample.labels["subject"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "subject" in sample.labels
    }
    assert len(subjects) <= 257
    rest = {"subject": "<other>", "result": "stored"}
    assert metrics.registry.get_sample_value("segue_published_total", rest) == 1_000 - 256


def test_publishes_and_dead_letters_are_counted_by_what_became_of_them() -> None:
    """Results and reasons are labels."""
    metrics = Metrics("agents", template=template)
    metrics.published("run.r1.ended", "stored")
    metrics.published("run.r2.ended", "refused")
    metrics.dead_letter("undecodable")

    value = metrics.registry.get_sample_value
    for result in ("stored", "refused"):
        labels = {"subject": "run.<run>.ended", "result": result}
        assert value("segue_published_total", labels) == 1
    assert value("segue_dead_letters_total", {"reason": "undecodable"}) == 1


def test_permission_violations_are_counted() -> None:
    """Whichever connection the broker refused something."""
    metrics = Metrics("agents")
    metrics.violation()
    metrics.violation()

    assert metrics.registry.get_sample_value("segue_permission_violations_total") == 2


def test_counting_a_message_costs_next_to_nothing() -> None:
    """Its cost beside the template's is far below that of handling it."""
    metrics = Metrics("agents", template=template)

    def handle() -> None:
        for _ in range(1_000):
            with metrics.message("run.r1.started"):
                pass

    assert min(timeit.repeat(handle, number=1, repeat=30)) / 1_000 < 20e-6


def test_nobody_needs_to_observe() -> None:
    """A bus on its own tells what it does to nobody."""
    with UNOBSERVED.message("a"), UNOBSERVED.batch([]):
        UNOBSERVED.published("a", "stored")
        UNOBSERVED.dead_letter("undecodable")
        UNOBSERVED.violation()

    assert Bus().observer is UNOBSERVED


def test_the_exposition_holds_the_process_and_the_service() -> None:
    """Operators see memory and release beside our own counts."""
    body, content_type = Metrics("agents").exposition()

    text = body.decode()
    assert "process_resident_memory_bytes" in text
    assert 'segue_service_info{service="agents"' in text
    assert content_type.startswith("text/plain")


def test_two_services_in_one_process_have_metrics_of_their_own() -> None:
    """No registry is shared."""
    first, second = Metrics("agents"), Metrics("events")
    first.dead_letter("undecodable")

    labels = {"reason": "undecodable"}
    assert second.registry.get_sample_value("segue_dead_letters_total", labels) is None
