"""The graph: is everything in an order in which it can run?"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.graph import Graph, GraphError, Upstream, cycle_text, cycles, peel
from segue_language.models import Workflow


def workflow(*steps: dict[str, object], **fields: object) -> Workflow:
    """Build a workflow of agent steps."""
    listed = [{"agent": "x", **step} for step in steps]
    return Workflow.model_validate({"name": "review", "steps": listed, **fields})


DIAMOND = workflow(
    {"key": "sum", "dependsOn": ["left", "right"], "with": {"a": "{{ left.x }} {{start.y}}"}},
    {"key": "left", "dependsOn": ["start"]},
    {"key": "right", "dependsOn": ["start", "start"], "when": "start.go"},
    {"key": "start", "with": {"path": "{{inputs.path}}"}},
    inputs={"path": "."},
)


def test_levels_hold_what_can_run_at_the_same_time() -> None:
    """A level needs only the ones before."""
    assert Graph.of(DIAMOND).levels == (("start",), ("left", "right"), ("sum",))


def test_the_order_puts_each_step_after_what_it_depends_on() -> None:
    """It is a topological order."""
    assert Graph.of(DIAMOND).order == ("start", "left", "right", "sum")


def test_dependents_mirror_dependencies() -> None:
    """A dependency named twice counts once."""
    graph = Graph.of(DIAMOND)
    assert graph.dependencies["right"] == ("start",)
    assert graph.dependents == {
        "start": ("left", "right"),
        "left": ("sum",),
        "right": ("sum",),
        "sum": (),
    }


def test_references_name_the_steps_whose_outputs_are_used() -> None:
    """Templates and conditions count, inputs do not."""
    assert Graph.of(DIAMOND).references == {
        "sum": {"left", "start"},
        "left": set(),
        "right": {"start"},
        "start": set(),
    }


def test_upstream_and_downstream_reach_everything_in_between() -> None:
    """Directly or not."""
    graph = Graph.of(DIAMOND)
    assert graph.upstream("sum") == {"left", "right", "start"}
    assert graph.downstream("start") == {"left", "right", "sum"}


def test_a_cycle_is_refused_with_its_path() -> None:
    """The path leads back to where it begins."""
    circular = workflow({"key": "a", "dependsOn": ["b"]}, {"key": "b", "dependsOn": ["a"]})
    with pytest.raises(GraphError, match="a -> b -> a"):
        Graph.of(circular)


def test_an_unknown_dependency_is_refused() -> None:
    """A graph has no loose ends."""
    with pytest.raises(GraphError, match="'a' depends on 'b', which does not exist"):
        Graph.of(workflow({"key": "a", "dependsOn": ["b"]}))


def test_a_repeated_key_is_refused() -> None:
    """Keys name steps."""
    with pytest.raises(GraphError, match="two steps have the key 'a'"):
        Graph.of(workflow({"key": "a"}, {"key": "a"}))


def test_each_of_several_cycles_is_found() -> None:
    """What only hangs on a cycle is no part of it."""
    edges = {"a": ["b"], "b": ["a"], "c": ["a", "d"], "d": ["e"], "e": ["d"], "f": []}
    assert cycles(edges) == (("a", "b", "a"), ("d", "e", "d"))


def test_a_long_cycle_is_written_without_its_middle() -> None:
    """A message stays readable."""
    text = cycle_text([f"s{number}" for number in range(1_000)])
    assert "…" in text
    assert text.endswith("-> s999")
    assert len(text) < 300


edges_strategy = st.integers(min_value=1, max_value=12).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(min_value=0, max_value=size - 1), max_size=3),
        min_size=size,
        max_size=size,
    )
)


@given(edges_strategy)
def test_what_is_not_in_an_order_is_in_or_behind_a_cycle(listed: list[list[int]]) -> None:
    """Every graph is either ordered completely or has a true cycle."""
    edges = {str(key): [str(other) for other in others] for key, others in enumerate(listed)}
    levels, left = peel(edges)
    seen: set[str] = set()
    for level in levels:
        assert all(seen.issuperset(edges[key]) for key in level)
        seen.update(level)
    assert seen | left == set(edges)
    assert bool(left) == bool(cycles(edges))
    for cycle in cycles(edges):
        assert cycle[0] == cycle[-1]
        assert all(b in edges[a] for a, b in pairwise(cycle))


@given(edges_strategy)
def test_the_quick_answer_about_upstream_is_the_slow_one(listed: list[list[int]]) -> None:
    """The bit sets say what a walk says."""
    edges = {
        str(key): [str(other) for other in others if other < key]
        for key, others in enumerate(listed)
    }
    steps: list[dict[str, object]] = [
        {"key": k, "dependsOn": others} for k, others in edges.items()
    ]
    graph = Graph.of(workflow(*steps))
    upstream = Upstream(edges)
    for of in edges:
        found = {key for key in edges if upstream.includes(key, of=of)}
        assert found == graph.upstream(of)


def test_where_a_cycle_hides_the_order_everything_counts_as_upstream() -> None:
    """One mistake does not raise others."""
    upstream = Upstream({"a": ["b"], "b": ["a"], "c": []})
    assert not upstream.is_complete
    assert upstream.includes("a", of="b")
    assert upstream.includes("c", of="a")


def test_names_of_a_map_and_of_a_prompt_are_no_references() -> None:
    """`item` belongs to the map, `{code}` to the step's own values."""
    graph = Graph.of(
        workflow(
            {"key": "a"},
            {"key": "b", "forEach": "{{a}}", "with": {"x": "{{item.name}}"}, "dependsOn": ["a"]},
            {
                "key": "code",
                "agent": None,
                "with": {"a": 1},
                "llm": {"prompt": "{a} {code} {{b}}", "system": "{nobody}"},
                "dependsOn": ["b"],
            },
        )
    )
    assert graph.references == {"a": set(), "b": {"a"}, "code": {"b", "code"}}
