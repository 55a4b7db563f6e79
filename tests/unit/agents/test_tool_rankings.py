"""Tests: how do complexity, hot spots and outlines rank code?"""

from textwrap import dedent

import pytest

from segue_agents.core.churn import Churn, History, read_churn
from segue_agents.core.complexity import Block, Measured, complexity_metrics, judge_complexity
from segue_agents.core.hotspots import MeasuredFunction, rank_files, rank_functions, score
from segue_agents.core.outlines import (
    FileOutline,
    entry_points,
    judge_outline,
    line_of,
    outline_metrics,
    parts,
    python_entries,
)
from segue_agents.core.python_source import parse
from segue_agents.core.shapes import FunctionShape


def function(*, complexity: int, loops: int = 0, lines: int = 10) -> MeasuredFunction:
    """Make a measured function."""
    shape = FunctionShape(symbol="f", line=7, lines=lines, loops=loops, nesting=loops)
    return MeasuredFunction(shape=shape, complexity=complexity)


def test_functions_with_more_than_ten_paths_are_findings() -> None:
    """Ten are fine; severity grows with the number."""
    blocks = tuple(
        Block(symbol=f"f{paths}", line=paths, complexity=paths) for paths in (10, 11, 21, 31)
    )
    found = judge_complexity({"a.py": Measured(blocks=blocks, maintainability=80.0)})
    assert [(item.line, item.severity) for item in found] == [
        (11, "low"),
        (21, "medium"),
        (31, "high"),
    ]


def test_files_of_low_maintainability_are_findings() -> None:
    """The index decides how bad it is."""
    files = {
        name: Measured(blocks=(), maintainability=index)
        for name, index in (("bad.py", 5.0), ("weak.py", 15.0), ("good.py", 60.0))
    }
    found = judge_complexity(files)
    assert [(item.file, item.severity) for item in found] == [
        ("bad.py", "medium"),
        ("weak.py", "low"),
    ]


def test_complexity_is_summed_up_over_files() -> None:
    """Mean and worst cover every function."""
    blocks = (Block(symbol="a", line=1, complexity=1), Block(symbol="b", line=2, complexity=12))
    metrics = complexity_metrics({"a.py": Measured(blocks=blocks, maintainability=50.0)})
    assert (metrics["mean_complexity"], metrics["max_complexity"]) == (6.5, 12)
    assert complexity_metrics({})["mean_complexity"] == 0.0


def test_history_counts_commits_and_lines_of_each_file() -> None:
    """Binary files count as changed without lines."""
    log = "\x01\0\n3\t1\ta.py\x00-\t-\tlogo.png\0\x01\0\n2\t0\ta.py\0"
    history = read_churn(log)
    assert history.commits == 2
    assert history.files == {
        "a.py": Churn(commits=2, added=5, removed=1),
        "logo.png": Churn(commits=1),
    }


def test_a_hot_function_scores_by_paths_loops_and_size() -> None:
    """10 paths x 2 for two loops x 1.5 for fifty lines."""
    assert score(function(complexity=10, loops=2, lines=50), Churn()) == 30.0


def test_churn_raises_a_score() -> None:
    """What changes often is hotter."""
    steady, busy = Churn(), Churn(commits=15)
    assert score(function(complexity=10), busy) == 2 * score(function(complexity=10), steady)


def test_hot_functions_tell_their_reasons() -> None:
    """The message names every factor."""
    history = History(commits=9, files={"a.py": Churn(commits=3, added=9, removed=2)})
    (found,) = rank_functions({"a.py": [function(complexity=14, loops=2)]}, history)
    assert (found.line, found.severity) == (7, "medium")
    assert "complexity 14, 10 lines, loops nested 2 deep, blocks nested 2 deep" in found.message
    assert "its file changed in 3 commits (+9/-2 lines)" in found.message


def test_simple_functions_are_no_hot_spots() -> None:
    """A score below the lowest band is no finding."""
    assert rank_functions({"a.py": [function(complexity=2)]}, History()) == []


def test_without_history_and_loops_only_the_rest_is_a_reason() -> None:
    """Nothing is claimed that was not seen."""
    (found,) = rank_functions({"a.py": [function(complexity=20)]}, History())
    assert found.message == "f scores 22.0: complexity 20, 10 lines"


def test_files_of_other_languages_rank_by_their_changes() -> None:
    """Files that hardly change are left out."""
    churn = {"a.go": Churn(commits=5), "b.go": Churn(commits=1, added=1)}
    found = rank_files({"a.go": 30, "b.go": 900}, History(commits=6, files=churn))
    assert [(item.file, item.metric) for item in found] == [("a.go", 25.0)]


def test_one_commit_is_singular() -> None:
    """Messages read well."""
    history = History(commits=1, files={"a.py": Churn(commits=1, added=1)})
    (found,) = rank_functions({"a.py": [function(complexity=30)]}, history)
    assert "1 commit (+1/-0 lines)" in found.message


@pytest.mark.timeout(10)
def test_a_package_at_the_root_is_a_part_of_its_own() -> None:
    """A tree whose top folder is itself a package has an end, and its parts have names."""
    named = parts(["__init__.py", "a.py", "pkg/__init__.py", "pkg/b.py", "other/c.py"])

    assert named == {
        "__init__.py": ".",
        "a.py": ".",
        "pkg/__init__.py": ".",
        "pkg/b.py": ".",
        "other/c.py": "other",
    }


def test_an_outline_sums_parts_and_languages() -> None:
    """A package is one part, a folder of scripts another; data is none."""
    files = {
        "pkg/__init__.py": FileOutline(lines=1),
        "pkg/sub/__init__.py": FileOutline(lines=2),
        "pkg/sub/a.py": FileOutline(lines=1500),
        "web/deep/app.ts": FileOutline(lines=40),
        "run.sh": FileOutline(lines=5),
        "notes.txt": FileOutline(lines=7),
    }
    found = judge_outline(files)
    sizes = {item.symbol: item.metric for item in found if item.rule == "part"}
    assert sizes == {"pkg": 1503.0, "web": 40.0, ".": 5.0}
    assert [item.file for item in found if item.rule == "large-file"] == ["pkg/sub/a.py"]
    assert outline_metrics(files) == {
        "files": 6,
        "lines": 1555,
        "lines.Python": 1503,
        "lines.Shell": 5,
        "lines.TypeScript": 40,
    }


def test_entry_points_become_findings() -> None:
    """An outline says where execution starts."""
    (found,) = (
        item
        for item in judge_outline({"a.txt": FileOutline(lines=1, entries=((3, "starts"),))})
        if item.rule == "entry-point"
    )
    assert (found.line, found.message) == (3, "starts")


def test_a_project_names_its_commands() -> None:
    """Scripts of a pyproject.toml are entry points."""
    text = '[project]\nname = "x"\n[project.scripts]\nseek = "x.cli:main"\n'
    assert entry_points("pyproject.toml", text) == [(4, "the command seek runs x.cli:main")]
    assert entry_points("pyproject.toml", "[broken") == []


def test_a_node_package_names_its_entries() -> None:
    """Main, bin and the start script are entry points."""
    text = '{\n"main": "a.js",\n"scripts": {\n"start": "node a.js --token x"}}'
    assert entry_points("web/package.json", text) == [
        (2, "the package names its main"),
        (4, "the script start runs it"),
    ]
    assert entry_points("package.json", "{") == []
    assert entry_points("package.json", "[]") == []


def test_images_and_compiled_programs_have_entry_points() -> None:
    """Each language has its own way to start."""
    assert entry_points("Dockerfile", "FROM x\nCMD run") == [(2, "the image starts here")]
    assert entry_points("cmd/a.go", "package main\nfunc main() {")[0][0] == 2
    assert entry_points("src/main.rs", "fn main() {")[0][0] == 1
    assert entry_points("notes.txt", "fn main() {") == []


def test_python_files_start_as_scripts_or_modules() -> None:
    """A guard for main is an entry point; other conditions are not."""
    text = dedent("""
        if x: ...
        if x == "__main__": ...
        if __name__ == "__main__":
            run()
        """)
    assert python_entries("a.py", parse(text.encode())) == [(4, "runs as a script")]
    assert python_entries("pkg/__main__.py", parse(b"")) == [(1, "runs with python -m")]


def test_a_text_that_does_not_occur_is_looked_for_on_line_one() -> None:
    """A place is always valid."""
    assert line_of("a\nb", "c") == 1
