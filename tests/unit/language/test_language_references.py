"""References to other workflows: which are unknown when the workflows are known?"""

import pytest

from segue_language import parse

KNOWN = ("report", "report@latest", "report@1.0.0", "report@prod", "plain")


@pytest.mark.parametrize(
    ("reference", "problems"),
    [
        ("report", []),
        ("report@1.0.0", []),
        ("report@prod", []),
        ("plain@prod", []),
        ("me", []),
        ("me@3.0.0", []),
        ("report@1.0.1", [("unknown workflow 'report@1.0.1'", "report@1.0.0")]),
        ("report@beta", [("unknown workflow 'report@beta'", "report")]),
        ("reprot@1.0.0", [("unknown workflow 'reprot'", "report")]),
    ],
)
def test_a_name_that_is_listed_with_versions_is_known_with_those_only(
    reference: str, problems: list[tuple[str, str]]
) -> None:
    """A name alone is known with any selector, and a workflow knows itself."""
    text = f"{{name: me, version: 3.0.0, steps: [{{key: a, workflow: {reference}}}]}}"
    found = parse(text, known_workflows=KNOWN).problems

    assert [(p.message, p.suggestion or "") for p in found] == problems
