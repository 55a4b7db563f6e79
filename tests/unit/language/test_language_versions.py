"""Versions: are semantic ones told apart and ordered?"""

import pytest

from segue_language.versions import is_semantic, version_key


@pytest.mark.parametrize("version", ["0.0.0", "1.4.0", "10.20.30", "1.0.0-rc.1", "1.0.0-0a-b.x"])
def test_a_semantic_version_is_recognised(version: str) -> None:
    """Three numbers, with a pre-release or without."""
    assert is_semantic(version)


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0-a..b",
        "1.0.0+build",
        "1.0.0 ",
        "1.0.٣",
    ],
)
def test_another_text_is_no_semantic_version(version: str) -> None:
    """It has no place in the order."""
    assert not is_semantic(version)
    with pytest.raises(ValueError, match="is no semantic version: write it like"):
        version_key(version)


def test_a_text_of_any_length_is_refused_quickly() -> None:
    """A version is short."""
    assert not is_semantic("1.0.0-" + "a" * 1_000)


def test_versions_are_ordered_as_the_specification_says() -> None:
    """Numbers as numbers, a pre-release before its release, numbers before texts."""
    ordered = ["0.9.9", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta"]
    ordered += ["1.0.0", "1.0.1-rc.1", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]
    assert sorted(set(ordered), key=version_key) == ordered
