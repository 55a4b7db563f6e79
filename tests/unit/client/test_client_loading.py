"""Does the command start without what it does not need, and does the SDK have its names?"""

import pytest
from support.loaded import loaded_after

import segue


def test_the_command_loads_no_language_and_no_http() -> None:
    """Only the commands that read definitions, or look at pages, load what that takes."""
    unwanted = {"segue_language", "pydantic", "jinja2", "ruamel.yaml", "httpx"}
    program = "import segue.cli.app\nfrom segue.cli.shell import system_shell\n"

    assert loaded_after(f"{program}segue.cli.app.build(system_shell())", of=unwanted) == set()


def test_every_name_of_the_sdk_is_there() -> None:
    """Names are loaded when they are asked for."""
    assert all(getattr(segue, name).__module__ for name in segue.__all__ if name != "Workflow")
    assert segue.Workflow


def test_a_name_that_the_sdk_lacks_is_an_attribute_error() -> None:
    """The error names it, as that of any module does."""
    with pytest.raises(AttributeError, match="'segue' has no attribute 'nothing'"):
        _ = segue.nothing  # type: ignore[attr-defined]  # that is the point
