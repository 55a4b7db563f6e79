"""Fixtures of the client's tests."""

from pathlib import Path

import pytest
from unit.client.client_world import INVALID, VALID, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with a bus, in a folder with two definitions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "valid.yaml").write_text(VALID)
    (tmp_path / "invalid.yaml").write_text(INVALID)
    return World(tmp_path)
