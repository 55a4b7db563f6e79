"""Tests: which files of a repository do tools see?"""

import os
from pathlib import Path

import pytest
from integration.agents.sample_repository import commit, git, sign, write

from segue_agents.shell import workspace as limits
from segue_agents.shell.git import recent_history
from segue_agents.shell.workspace import Workspace, WorkspaceError


async def test_a_path_that_does_not_exist_is_refused() -> None:
    """The error names the path and the way out."""
    with pytest.raises(WorkspaceError, match="'/no/such/place' does not exist; name a folder"):
        await Workspace.open("/no/such/place")


async def test_a_path_with_a_null_byte_is_refused() -> None:
    """No path of this form exists."""
    with pytest.raises(WorkspaceError, match="does not exist"):
        await Workspace.open("a\0b")


async def test_a_file_is_no_repository(tmp_path: Path) -> None:
    """A repository is a folder."""
    write(tmp_path, {"a.py": ""})
    with pytest.raises(WorkspaceError, match="is a file; name its folder"):
        await Workspace.open(str(tmp_path / "a.py"))


async def test_git_says_which_files_belong_to_a_repository(tmp_path: Path) -> None:
    """Ignored files are out; files not yet added are in."""
    commit(tmp_path, {"a.py": "", ".gitignore": "made/\n", "build/kept.py": ""})
    write(tmp_path, {"made/b.py": "", "new.py": ""})
    opened = await Workspace.open(str(tmp_path))
    assert opened.git
    assert opened.files == (".gitignore", "a.py", "build/kept.py", "new.py")


async def test_a_plain_folder_is_walked_without_what_tools_made(tmp_path: Path) -> None:
    """Caches, environments, fetched packages and build output are no source."""
    made = (".git/x", ".segue/x", ".venv/x", "a/node_modules/x", "build/x", "a/__pycache__/x")
    write(tmp_path, {**dict.fromkeys(made, ""), "a/b.py": "", "env/pyvenv.cfg": "", "env/c.py": ""})
    opened = await Workspace.open(str(tmp_path))
    assert not opened.git
    assert opened.files == ("a/b.py",)


async def test_a_folder_that_git_ignores_is_walked(tmp_path: Path) -> None:
    """A repository of another kind may lie inside of one."""
    commit(tmp_path, {".gitignore": "inner/\n"})
    write(tmp_path, {"inner/a.py": ""})
    assert (await Workspace.open(str(tmp_path / "inner"))).files == ("a.py",)


async def test_binary_and_large_files_are_known_but_not_read(tmp_path: Path) -> None:
    """A lock file counts by its name even when it is too large to read."""
    write(tmp_path, {"logo.png": b"\x89PNG\0", "uv.lock": b"#" * 1_100_000, "a.py": ""})
    opened = await Workspace.open(str(tmp_path))
    assert opened.files == ("a.py",)
    assert opened.names == {"a.py", "logo.png", "uv.lock"}
    assert opened.notes == ("1 files of more than 1 MiB were left out",)


async def test_symbolic_links_do_not_lead_out(tmp_path: Path) -> None:
    """Neither a linked file nor a linked folder is listed, with git and without."""
    outside = write(tmp_path / "outside", {"secret.py": "password = 'x'"})
    root = commit(tmp_path / "root", {"a.py": ""})
    (root / "file.py").symlink_to(outside / "secret.py")
    (root / "folder").symlink_to(outside)
    assert (await Workspace.open(str(root))).files == ("a.py",)
    git(root, "add", "--all")
    assert (await Workspace.open(str(root))).files == ("a.py",)
    plain = write(tmp_path / "plain", {"a.py": ""})
    (plain / "folder").symlink_to(outside)
    assert (await Workspace.open(str(plain))).files == ("a.py",)


async def test_a_tracked_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    """The index may still name files that now lie elsewhere."""
    outside = write(tmp_path / "outside", {"b.py": "x"})
    root = commit(tmp_path / "root", {"a.py": "", "sub/b.py": ""})
    (root / "sub" / "b.py").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(outside)
    assert (await Workspace.open(str(root))).files == ("a.py",)


@pytest.mark.parametrize("file", ["../outside/secret.py", "link.py", "folder/secret.py"])
async def test_reading_outside_of_the_root_is_refused(tmp_path: Path, file: str) -> None:
    """Neither dots nor links lead out."""
    outside = write(tmp_path / "outside", {"secret.py": "x"})
    root = write(tmp_path / "root", {"a.py": "text"})
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "folder").symlink_to(outside)
    opened = await Workspace.open(str(root))
    with pytest.raises(WorkspaceError, match="outside the repository or behind a symbolic link"):
        opened.read(file)
    assert opened.read("a.py") == b"text"


async def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would never end, and a missing file has nothing to read."""
    os.mkfifo(tmp_path / "pipe.py")
    opened = await Workspace.open(str(tmp_path))
    assert opened.names == frozenset()
    with pytest.raises(WorkspaceError, match=r"pipe.py: is no plain file"):
        opened.read("pipe.py")
    with pytest.raises(WorkspaceError, match=r"gone.py: cannot be read"):
        opened.read("gone.py")


async def test_very_many_files_are_cut_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is said, not hidden."""
    monkeypatch.setattr(limits, "MAX_FILES", 3)
    write(tmp_path, {f"{number}.py": "" for number in range(5)})
    opened = await Workspace.open(str(tmp_path))
    assert len(opened.files) == 3
    assert opened.notes == ("only the first 3 files of the repository were looked at",)


async def test_names_that_are_not_utf8_are_left_out_with_a_note(tmp_path: Path) -> None:
    """They could not travel in JSON."""
    write(tmp_path, {"a.py": "", "\udcff.py": ""})
    opened = await Workspace.open(str(tmp_path))
    assert opened.files == ("a.py",)
    assert opened.notes == ("files whose names are not UTF-8 were left out",)


async def test_the_configuration_of_a_repository_runs_nothing(tmp_path: Path) -> None:
    """Hooks, monitors, filters and signature checks of a stranger stay off."""
    root = commit(tmp_path / "root", {"a.py": "x = 1\n", ".gitattributes": "*.py diff=evil"})
    trap = write(tmp_path, {"trap.sh": f"#!/bin/sh\ntouch {tmp_path}/sprung\n"}) / "trap.sh"
    trap.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "gpg.program",
    ):
        git(root, "config", name, str(trap))
    git(root, "config", "log.showSignature", "true")
    sign(root)
    await Workspace.open(str(root))
    history, _ = await recent_history(root, timeout_s=10)
    assert history.commits == 1
    assert not (tmp_path / "sprung").exists()


async def test_history_counts_the_commits_of_each_file(tmp_path: Path) -> None:
    """Paths are relative to the folder asked for, names may hold anything."""
    commit(tmp_path, {"sub/a b\té.py": "1\n", "other.py": ""})
    commit(tmp_path, {"sub/a b\té.py": "1\n2\n"})
    history, note = await recent_history(tmp_path / "sub", timeout_s=10)
    assert note == ""
    assert {file: (item.commits, item.added) for file, item in history.files.items()} == {
        "a b\té.py": (2, 2)
    }


async def test_a_repository_without_commits_has_no_history(tmp_path: Path) -> None:
    """That is a note, not an error."""
    git(tmp_path, "init", "--quiet")
    _, note = await recent_history(tmp_path, timeout_s=10)
    assert note == "there is no git history; how often files change is unknown"
