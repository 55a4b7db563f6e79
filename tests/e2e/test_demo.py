"""The demo: does it work from a clean clone, with nothing installed by hand?"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.stack import ROOT, a_repository


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clean clone of this repository in an empty directory."""
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(target)], check=True)
    return target


def path_without_uv() -> str:
    """Return PATH without any folder that holds uv, nor this environment's own."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(f for f in folders if not (Path(f) / "uv").exists() and f)


@pytest.mark.timeout(300)
def test_make_demo_reviews_a_repository_from_a_clean_clone(clone: Path, tmp_path: Path) -> None:
    """`make demo` installs uv and the workspace, reviews the repository, and says where."""
    repository = a_repository(tmp_path / "repository")
    hidden = {"PATH", "VIRTUAL_ENV", "NATS_URL", "UV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment |= {"PATH": path_without_uv()}
    assert shutil.which("uv", path=environment["PATH"]) is None

    done = subprocess.run(
        ["make", "demo", f"REPO={repository}"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = clone / ".segue/code-review.md"
    assert str(report.relative_to(clone)) in done.stdout + done.stderr
    text = report.read_text()
    assert "Provider: offline (no model was called)" in text
    assert "app.py:6" in text
    assert "answered by offline" in done.stdout + done.stderr
    assert "generate-report: completed" in done.stdout
