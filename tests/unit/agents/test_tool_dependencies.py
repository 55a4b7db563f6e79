"""Tests: which dependencies are not bound, and where are they declared?"""

from collections.abc import Mapping

import pytest

from segue_agents.core.dependencies.inventory import Inventory, is_manifest, take_inventory


def inventory(texts: Mapping[str, str], *others: str) -> Inventory:
    """Take the inventory of a repository given as text."""
    return take_inventory(texts, [*texts, *others])


def found(texts: Mapping[str, str], *others: str) -> list[tuple[str, int, str | None]]:
    """Return rule, line and dependency of every finding."""
    return [(item.rule, item.line, item.symbol) for item in inventory(texts, *others).findings]


def bindings(texts: Mapping[str, str]) -> dict[str, str]:
    """Return how each dependency of the only manifest is bound."""
    (manifest,) = inventory(texts).manifests.values()
    return {item.name: item.binding for item in manifest.declared}


REQUIREMENTS = """\
# a comment
-r base.txt
--index-url https://example.org
./local
exact==1.0 ; python_version > "3"
hashed==1.0 \\
    --hash=sha256:00
open
range[extra]>=1,<2  # why
star==1.*
git+https://user:tok3n@example.org/org/tool.git@main#egg=tool
pinned @ https://example.org/p.whl#sha256=00
-e git+https://example.org/org/other.git@0123456789abcdef
!odd
"""


def test_requirements_are_judged_line_by_line() -> None:
    """Lines stay right after continuations; options and local paths are none."""
    assert found({"requirements.txt": REQUIREMENTS}) == [
        ("unpinned", 8, "open"),
        ("unlocked-range", 9, "range"),
        ("unlocked-range", 10, "star"),
        ("moving-reference", 11, "tool"),
    ]


def test_credentials_in_urls_are_not_shown() -> None:
    """A finding never carries user or password."""
    messages = [item.message for item in inventory({"requirements.txt": REQUIREMENTS}).findings]
    assert not any("tok3n" in message for message in messages)
    assert any("git+https://example.org/org/tool.git@main" in message for message in messages)


def test_a_requirement_without_a_name_is_called_by_its_url() -> None:
    """The last part of the address is the best name there is."""
    text = "https://example.org/org/thing.git\nheld==1 \\"
    assert bindings({"requirements/dev.txt": text}) == {"thing": "moving", "held": "exact"}


PYPROJECT = """\
[project]
name = "own-thing"
dependencies = [
  "open",
  "ranged>=1",
  "exact==2",
]
optional-dependencies.more = ["extra"]
[dependency-groups]
dev = ["tool>3", {include-group = "test"}]
"""


def test_a_project_without_a_lock_is_told_so_and_its_loose_dependencies() -> None:
    """Every table of dependencies counts."""
    assert found({"pyproject.toml": PYPROJECT}) == [
        ("no-lock-file", 1, None),
        ("unpinned", 4, "open"),
        ("unlocked-range", 5, "ranged"),
        ("unpinned", 8, "extra"),
        ("unlocked-range", 10, "tool"),
    ]


@pytest.mark.parametrize("lock", ["uv.lock", "a/poetry.lock", "a/b/pdm.lock"])
def test_a_lock_beside_or_above_a_manifest_pins_it(lock: str) -> None:
    """Workspaces lock once at their root."""
    assert found({"a/b/pyproject.toml": PYPROJECT}, lock) == []


def test_a_lock_elsewhere_does_not_count() -> None:
    """Another project's lock pins nothing here."""
    assert found({"a/pyproject.toml": PYPROJECT}, "b/uv.lock")[0][0] == "no-lock-file"


def test_projects_of_the_same_repository_are_no_dependencies() -> None:
    """Members of a workspace depend on each other without versions."""
    member = '[project]\nname = "m"\ndependencies = ["Own_Thing"]\n'
    assert found({"pyproject.toml": PYPROJECT, "m/pyproject.toml": member}, "uv.lock") == []
    assert found({"m/pyproject.toml": member, "pyproject.toml": "[project]\nname=1"})


def test_a_dependency_written_with_escapes_is_placed_on_line_one() -> None:
    """Where the text is not found, the file is named."""
    text = '[project]\ndependencies = ["\\u0061"]\n'
    assert found({"pyproject.toml": text}, "uv.lock") == []
    assert found({"pyproject.toml": text})[1] == ("unpinned", 1, "a")


def test_exact_versions_need_no_lock() -> None:
    """A manifest that pins everything directly is complete."""
    assert found({"pyproject.toml": '[project]\ndependencies = ["a==1"]\n'}) == []


def test_poetry_tables_are_read() -> None:
    """Python itself is no dependency; local paths are bound."""
    text = """
[tool.poetry.dependencies]
python = "^3.11"
star = "*"
caret = "^1.0"
exact = "1.2.3"
table = {version = ">=2", extras = ["x"]}
repo = {git = "https://example.org/r.git"}
commit = {git = "https://example.org/c.git", rev = "abc"}
near = {path = "../near"}
[tool.poetry.group.dev.dependencies]
tool = {extras = ["x"]}
"""
    assert bindings({"pyproject.toml": text}) == {
        "star": "open",
        "caret": "range",
        "exact": "exact",
        "table": "range",
        "repo": "moving",
        "commit": "exact",
        "near": "exact",
        "tool": "open",
    }


def test_setup_cfg_is_read() -> None:
    """Requirements and extras count."""
    text = "[options]\ninstall_requires =\n  a\n  b>=1\n[options.extras_require]\nx = c==1\n"
    assert found({"setup.cfg": text}) == [
        ("no-lock-file", 1, None),
        ("unpinned", 3, "a"),
        ("unlocked-range", 4, "b"),
    ]
    assert found({"setup.cfg": "[metadata]\nname = x\n"}) == []


def test_node_packages_are_read() -> None:
    """Tags and stars are open, ranges need a lock, local packages are none."""
    text = """{
  "name": "web",
  "dependencies": {
    "any": "*",
    "caret": "^1.2.0",
    "exact": "1.2.3",
    "alias": "npm:real@2.0.0",
    "near": "workspace:*",
    "repo": "github:org/repo",
    "commit": "git+https://example.org/r.git#0123456789"
  },
  "devDependencies": {"tag": "latest"}
}"""
    assert found({"package.json": text}) == [
        ("no-lock-file", 1, None),
        ("unpinned", 4, "any"),
        ("unlocked-range", 5, "caret"),
        ("moving-reference", 9, "repo"),
        ("unpinned", 12, "tag"),
    ]
    assert found({"package.json": text}, "package-lock.json") == []
    assert found({"package.json": '{"name": "x"}'}) == []


def test_a_node_dependency_written_with_escapes_is_placed_on_line_one() -> None:
    """Where the text is not found, the file is named."""
    assert found({"package.json": '{"dependencies": {"\\u0061": "*"}}'})[1][1] == 1


def test_images_are_read() -> None:
    """Own stages, arguments and scratch are no images; a digest is exact."""
    text = """\
FROM python
FROM --platform=linux/amd64 ghcr.io/org/base:1.2 AS build
FROM build
from scratch
FROM node:latest AS web
FROM alpine@sha256:00
RUN true
FROM ${IMAGE}
"""
    assert found({"deploy/Dockerfile": text}) == [
        ("moving-reference", 1, "python"),
        ("image-tag", 2, "ghcr.io/org/base"),
        ("moving-reference", 5, "node"),
    ]


def test_go_modules_need_their_checksums() -> None:
    """Versions are exact by themselves; blocks other than require are none."""
    text = (
        "module x\nrequire example.org/a v1.2.3\nrequire (\n\texample.org/b v0.1.0 // indirect\n)\n"
        "exclude (\n\texample.org/c v1.0.0\n)\n"
    )
    assert bindings({"go.mod": text}) == {"example.org/a": "exact", "example.org/b": "exact"}
    assert found({"go.mod": "module x\n"}) == []


def test_cargo_dependencies_are_read() -> None:
    """Local crates are none; a commit is exact, a branch is not."""
    text = """
[dependencies]
caret = "1.0"
exact = "=1.0.0"
star = "*"
near = { path = "../near" }
shared = { workspace = true }
repo = { git = "https://example.org/r", branch = "main" }
commit = { git = "https://example.org/c", rev = "abc" }
[target.'cfg(unix)'.dev-dependencies]
tool = { version = "2" }
"""
    assert bindings({"Cargo.toml": text}) == {
        "caret": "range",
        "exact": "exact",
        "star": "open",
        "repo": "moving",
        "commit": "exact",
        "tool": "range",
    }
    assert found({"Cargo.toml": "[package]\n"}) == []


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("pyproject.toml", "[project]\nx = = 1", 2),
        ("pyproject.toml", "[project", 1),
        ("Cargo.toml", "a = 1\nb = = 2", 2),
        ("Cargo.toml", "[a", 1),
        ("setup.cfg", "x = 1", 1),
        ("setup.cfg", "[a]\n[a]\n", 2),
        ("package.json", '{\n"a": }', 2),
        ("package.json", "[1]", 1),
        ("package.json", "[" * 100_000, 1),
    ],
)
def test_a_manifest_that_cannot_be_read_is_a_finding(file: str, text: str, line: int) -> None:
    """Broken manifests do not hide the others."""
    (only, *rest) = found({file: text, "requirements.txt": "a\n"})
    assert only == ("syntax", line, None)
    assert rest == [("unpinned", 1, "a")]


def test_dependencies_are_counted_by_ecosystem() -> None:
    """Totals cover every readable manifest."""
    taken = inventory({"requirements.txt": "a==1\nb==1", "Dockerfile": "FROM a@sha256:0"})
    assert taken.metrics() == {
        "manifests": 2,
        "dependencies": 3,
        "dependencies.container": 1,
        "dependencies.python": 2,
    }


def test_other_files_are_no_manifests() -> None:
    """Only known names are read."""
    assert not is_manifest("src/main.py")
    assert take_inventory({"src/main.py": ""}, []).findings == ()
