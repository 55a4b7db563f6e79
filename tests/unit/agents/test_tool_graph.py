"""Tests: what does the import graph of a tree look like?"""

from collections.abc import Mapping
from textwrap import dedent

from segue_agents.core.architecture import (
    WIDE_FAN_OUT,
    ImportGraph,
    build_graph,
    graph_metrics,
    joined_path,
    judge_graph,
)
from segue_agents.core.graph import components, cycles, longest_chain, shortest_cycle
from segue_agents.core.modules import Import, ModuleIndex, import_roots, read_imports
from segue_agents.core.python_source import parse


def graph(files: Mapping[str, str]) -> ImportGraph:
    """Build the graph of a tree given as text."""
    imports = {
        file: read_imports(parse(dedent(text).encode()))
        for file, text in files.items()
        if file.endswith(".py")
    }
    return build_graph(ModuleIndex(imports, import_roots(list(files))), imports)


def edges(files: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return who imports whom when loading."""
    return set(graph(files).loading)


def test_components_come_before_what_they_point_to() -> None:
    """The order is topological."""
    found = components("abcd", {"a": ["b"], "b": ["c"], "c": ["b", "d"]})
    assert found == [{"a"}, {"b", "c"}, {"d"}]


def test_the_largest_cycle_comes_first() -> None:
    """Single nodes are no cycles."""
    found = cycles("abcdef", {"a": "b", "b": "a", "c": "d", "d": "e", "e": "c", "f": "a"})
    assert found == [{"c", "d", "e"}, {"a", "b"}]


def test_a_cycle_is_shown_by_a_shortest_path() -> None:
    """Detours within the component are left out."""
    links = {"a": "bc", "b": "c", "c": "ad", "d": "b"}
    assert shortest_cycle(frozenset("abcd"), links) == ["a", "c", "a"]


def test_the_longest_chain_counts_a_cycle_as_one_link() -> None:
    """Depth is finite in spite of cycles."""
    assert longest_chain("abcd", {"a": "b", "b": "ac", "c": "d"}) == ["a", "c", "d"]
    assert longest_chain((), {}) == []


def test_absolute_imports_lead_to_modules_and_packages() -> None:
    """A name of a package's own module is that module, any other name is the package."""
    found = edges(
        {
            "pkg/__init__.py": "VALUE = 1",
            "pkg/core.py": "",
            "pkg/main.py": "import pkg.core\nfrom pkg import core, VALUE\nfrom pkg.core import *",
        }
    )
    assert found == {("pkg/main.py", "pkg/core.py"), ("pkg/main.py", "pkg/__init__.py")}


def test_relative_imports_climb_by_their_dots() -> None:
    """One dot is the package itself, two its parent."""
    found = edges(
        {
            "pkg/__init__.py": "",
            "pkg/a.py": "",
            "pkg/sub/__init__.py": "from . import b",
            "pkg/sub/b.py": "from .. import a\nfrom ..a import x\nfrom ...far import y",
        }
    )
    assert found == {("pkg/sub/__init__.py", "pkg/sub/b.py"), ("pkg/sub/b.py", "pkg/a.py")}


def test_src_layouts_and_workspaces_are_import_roots() -> None:
    """A member's package is found from another member."""
    found = edges(
        {
            "libs/one/pyproject.toml": "",
            "libs/one/src/one/api.py": "",
            "apps/two/setup.py": "",
            "apps/two/two/run.py": "import one.api",
        }
    )
    assert found == {("apps/two/two/run.py", "libs/one/src/one/api.py")}


def test_scripts_import_what_lies_beside_them() -> None:
    """Two folders with equal names do not mix."""
    found = edges(
        {
            "x/main.py": "import tool",
            "x/tool.py": "",
            "y/main.py": "from tool import z",
            "y/tool.py": "",
        }
    )
    assert found == {("x/main.py", "x/tool.py"), ("y/main.py", "y/tool.py")}


def test_of_two_packages_of_one_name_the_nearer_is_meant() -> None:
    """A workspace may hold two packages called app."""
    found = edges(
        {
            "a/app/__init__.py": "",
            "a/app/db.py": "",
            "a/app/run.py": "import app.db",
            "b/app/__init__.py": "",
            "b/app/db.py": "",
            "b/app/run.py": "import app.db",
        }
    )
    assert found == {("a/app/run.py", "a/app/db.py"), ("b/app/run.py", "b/app/db.py")}


def test_imports_in_functions_and_for_types_are_deferred() -> None:
    """They do not happen when the module is loaded; what else is loaded stays an edge."""
    built = graph(
        {
            "pkg/__init__.py": "",
            "pkg/a.py": """
                import typing
                if typing.TYPE_CHECKING:
                    from pkg import b
                else:
                    from pkg import d
                def f():
                    from pkg import c, d
                """,
            "pkg/b.py": "",
            "pkg/c.py": "",
            "pkg/d.py": "",
        }
    )
    assert set(built.deferred) == {("pkg/a.py", "pkg/b.py"), ("pkg/a.py", "pkg/c.py")}
    assert set(built.loading) == {("pkg/a.py", "pkg/d.py")}


def test_external_packages_are_neither_own_nor_standard() -> None:
    """Only third parties count."""
    built = graph({"pkg/__init__.py": "", "pkg/a.py": "import os, numpy.linalg\nimport pkg.gone"})
    assert built.external == {"numpy"}


def test_a_cycle_is_reported_with_its_path_and_line() -> None:
    """The finding stands at the first import of the path."""
    built = graph(
        {
            "pkg/__init__.py": "",
            "pkg/a.py": "import os\nfrom pkg import b",
            "pkg/b.py": "from pkg import c",
            "pkg/c.py": "from pkg import a",
        }
    )
    found = [item for item in judge_graph(built) if item.rule == "import-cycle"]
    assert [(item.file, item.line, item.severity, item.metric) for item in found] == [
        ("pkg/a.py", 2, "medium", 3.0)
    ]
    assert "pkg.a → pkg.b → pkg.c → pkg.a" in found[0].message


def test_a_cycle_that_deferred_imports_hold_open_is_milder() -> None:
    """It loads, but the modules still need each other."""
    built = graph(
        {
            "pkg/__init__.py": "",
            "pkg/a.py": "def f():\n    from pkg import b",
            "pkg/b.py": "from pkg import a",
        }
    )
    found = [(item.rule, item.severity) for item in judge_graph(built) if "cycle" in item.rule]
    assert found == [("deferred-import-cycle", "low")]
    assert graph_metrics(built)["cycles"] == 0


def test_the_most_depended_on_module_is_named() -> None:
    """Fan-in counts importing modules."""
    built = graph({"base.py": "", "a.py": "import base", "b.py": "import base"})
    (found,) = (item for item in judge_graph(built) if item.rule == "most-depended-on")
    assert (found.file, found.metric) == ("base.py", 2.0)


def test_a_module_that_imports_very_many_is_a_finding() -> None:
    """A wide fan-out is more than information."""
    names = [f"m{number}" for number in range(WIDE_FAN_OUT + 1)]
    files = {f"{name}.py": "" for name in names}
    built = graph({**files, "hub.py": "\n".join(f"import {name}" for name in names)})
    (found,) = (item for item in judge_graph(built) if item.rule == "fan-out")
    assert (found.file, found.severity) == ("hub.py", "low")


def test_metrics_count_modules_edges_and_layers() -> None:
    """The chain shows how deep the layers go."""
    built = graph({"a.py": "import b", "b.py": "import c", "c.py": "import a_lib"})
    assert graph_metrics(built) == {
        "modules": 3,
        "edges": 2,
        "deferred_edges": 0,
        "cycles": 0,
        "layers": 3,
        "external_packages": 1,
    }
    assert built.chain() == ["a", "b", "c"]


def test_long_paths_are_shortened_in_the_middle() -> None:
    """A chain of any length stays readable."""
    shown = joined_path([str(number) for number in range(20)])
    assert shown.endswith("→ 10 → … 8 more … → 19")


def test_a_package_is_called_by_its_folder() -> None:
    """The name of an __init__ file is its package's."""
    index = ModuleIndex(["pkg/__init__.py", "__init__.py"], [])
    assert index.label("pkg/__init__.py") == "pkg"
    assert index.label("__init__.py") == "__init__"


def test_a_module_does_not_import_itself() -> None:
    """A script that shares its name with a package means the package."""
    index = ModuleIndex(["yaml.py"], [])
    assert index.targets("yaml.py", Import(module="yaml", line=1)) == []
