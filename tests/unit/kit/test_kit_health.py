"""Health and metrics: is what is wrong told, and are labels few?"""

import pytest

from segue_shared.health import Health
from segue_shared.metrics import Metrics


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
    for number in range(3):
        with metrics.message(f"run.r{number}.started", delivered=number):
            assert metrics.registry.get_sample_value("segue_in_flight") == 1

    label = {"subject": "run.<run>.started"}
    value = metrics.registry.get_sample_value
    assert value("segue_messages_received_total", label) == 3
    assert value("segue_message_seconds_count", label) == 3
    assert value("segue_redelivered_total") == 1
    assert value("segue_in_flight") == 0


def test_a_message_that_fails_is_no_longer_in_flight() -> None:
    """Counting survives errors."""
    metrics = Metrics("agents", template=template)
    with pytest.raises(ZeroDivisionError), metrics.message("run.r1.started"):
        raise ZeroDivisionError

    assert metrics.registry.get_sample_value("segue_in_flight") == 0


def test_publishes_and_dead_letters_are_counted_by_what_became_of_them() -> None:
    """Results and reasons are labels."""
    metrics = Metrics("agents", template=template)
    metrics.published("run.r1.ended", "stored")
    metrics.dead_letter("undecodable")

    value = metrics.registry.get_sample_value
    labels = {"subject": "run.<run>.ended", "result": "stored"}
    assert value("segue_published_total", labels) == 1
    assert value("segue_dead_letters_total", {"reason": "undecodable"}) == 1


def test_permission_violations_are_summed_over_connections() -> None:
    """Each connection counts its own."""
    metrics = Metrics("agents")
    metrics.count_violations(lambda: 2)
    metrics.count_violations(lambda: 3)

    assert metrics.registry.get_sample_value("segue_permission_violations_total") == 5


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
