"""Room: who is next when a pool has no room for all?"""

import pytest

from segue_orchestrator.core.room import AGEING_MS, FairQueue, Queued, Room


def queued(
    run: str, *, priority: str = "p2", namespace: str = "a", workflow: str = "w", since_ms: int = 0
) -> Queued:
    """Return a run that waits."""
    return Queued(
        namespace=namespace, workflow=workflow, run=run, priority=priority, since_ms=since_ms
    )


def order(queue: FairQueue, *, now_ms: int = 0, tasks: int = 1) -> list[str]:
    """Serve a queue until it is empty, and return in which order."""
    served = []
    while (one := queue.pop(now_ms=now_ms)) is not None:
        queue.serve(one, tasks)
        served.append(one.run)
    return served


def filled(*waiting: Queued) -> FairQueue:
    """Return a queue with some runs in it."""
    queue = FairQueue()
    for one in waiting:
        queue.add(one)
    return queue


def test_room_without_a_limit_takes_everything() -> None:
    """Nobody counts what is not limited."""
    room = Room()

    assert all(room.take("p") for _ in range(3))
    assert room.taken == {}


def test_room_ends_where_the_pool_has_none_left() -> None:
    """Each pool is counted for itself."""
    room = Room({"p": 2, "q": 1}.__getitem__)

    assert [room.take(pool) for pool in ("p", "q", "p", "p", "q")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert room.taken == {"p": 2, "q": 1}


def test_the_better_priority_goes_first() -> None:
    """Whoever came when."""
    queue = filled(queued("late", priority="p0", since_ms=9), queued("early", since_ms=1))

    assert order(queue) == ["late", "early"]


def test_waiting_betters_a_priority() -> None:
    """So nobody starves behind a stream of urgent runs."""
    old = queued("old", priority="p3", since_ms=0)
    soon = queued("urgent", priority="p1", since_ms=AGEING_MS)
    late = queued("urgent", priority="p1", since_ms=3 * AGEING_MS)

    assert order(filled(old, soon), now_ms=AGEING_MS) == ["urgent", "old"]
    assert order(filled(old, late), now_ms=3 * AGEING_MS) == ["old", "urgent"]


def test_namespaces_take_turns() -> None:
    """A tenant with many runs does not crowd out one with few."""
    many = [queued(f"m{n}", namespace="many", since_ms=n) for n in range(3)]
    few = [queued(f"f{n}", namespace="few", since_ms=10 + n) for n in range(2)]

    assert order(filled(*many, *few)) == ["m0", "f0", "m1", "f1", "m2"]


def test_workflows_of_a_namespace_take_turns() -> None:
    """Nor does a workflow with many runs."""
    many = [queued(f"m{n}", workflow="many", since_ms=n) for n in range(3)]
    few = [queued("f0", workflow="few", since_ms=10)]

    assert order(filled(*many, *few)) == ["m0", "f0", "m1", "m2"]


def test_a_run_that_waits_again_keeps_its_time() -> None:
    """Being asked to wait twice is no reason to wait longer."""
    queue = filled(queued("a", since_ms=1), queued("b", since_ms=2))
    queue.add(queued("a", since_ms=3, priority="p2"))

    assert len(queue) == 2
    assert order(queue) == ["a", "b"]


def test_what_was_served_is_forgotten_once_nobody_waits() -> None:
    """An old glut is no debt."""
    queue = filled(queued("m", namespace="many"))
    assert order(queue, tasks=100) == ["m"]
    for one in (queued("m2", namespace="many", since_ms=1), queued("f", since_ms=2)):
        queue.add(one)

    assert order(queue) == ["m2", "f"]


@pytest.mark.parametrize("now_ms", [0, 10])
def test_an_empty_queue_has_nobody(now_ms: int) -> None:
    """At any time."""
    assert FairQueue().pop(now_ms=now_ms) is None
