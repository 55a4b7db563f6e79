"""Does reading a definition load only what it takes?"""

import pytest
from support.loaded import loaded_after

LIBRARIES = {"jinja2", "ruamel.yaml"}
STEP = '{"key": "a", "agent": "x", "with": {"y": "%s"}}'


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        (f'{{"name": "w", "steps": [{STEP % "{{inputs.y}}"}]}}', set()),
        (f'{{"name": "w", "steps": [{STEP % "{{1 + 1}}"}]}}', {"jinja2"}),
        (f"name: w\nsteps:\n  - {STEP % 1}", {"ruamel.yaml"}),
    ],
)
def test_a_library_is_loaded_with_the_first_text_that_needs_it(text: str, loaded: set[str]) -> None:
    """JSON takes no reader of YAML, and paths take no sandbox."""
    program = f"import segue_language\nsegue_language.parse({text!r})"

    assert loaded_after(program, of=LIBRARIES) == loaded
