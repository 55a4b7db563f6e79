"""Manifests: which files describe an agent, and how are mistakes told?"""

import pytest

from segue_agents.core.manifest import ManifestError, parse_manifest

GOOD = """
name: quality
version: 1.2.0
description: Looks at code.
aliases: [code-quality]
tools: [lint_code, measure_complexity]
limits: {turns: 3, toolCalls: 5, seconds: 60}
model: {name: fast, maxTokens: 100}
actions:
  lint-codebase: {description: Lint it., prompt: "Lint {repository}.", tools: [lint_code]}
  measure: {description: Measure it., prompt: Measure.}
"""


def test_a_manifest_is_read_with_all_its_parts() -> None:
    """Names in the file are camelCase, and the prompt file becomes the system text."""
    manifest = parse_manifest(GOOD, file="quality.yaml", system="You look at code.")

    assert (manifest.name, manifest.version) == ("quality", "1.2.0")
    assert (
        manifest.limits.turns,
        manifest.limits.tool_calls,
        manifest.limits.seconds,
    ) == (3, 5, 60)
    assert (manifest.model.name, manifest.model.max_tokens) == ("fast", 100)
    assert manifest.system == "You look at code."


def test_limits_have_defaults() -> None:
    """A manifest without limits ends after 12 answers and 40 tool calls."""
    text = "{name: a, version: 1.0.0, description: A., actions: {go: {description: G, prompt: P}}}"

    limits = parse_manifest(text, file="a.yaml", system="A").limits

    assert (limits.turns, limits.tool_calls) == (12, 40)


def test_an_action_without_tools_may_use_all_of_the_agent() -> None:
    """Only an action that lists tools is restricted to them."""
    manifest = parse_manifest(GOOD, file="quality.yaml", system="S")

    assert manifest.tools_of(manifest.actions["lint-codebase"]) == ("lint_code",)
    assert manifest.tools_of(manifest.actions["measure"]) == ("lint_code", "measure_complexity")


def test_what_is_published_holds_no_prompts() -> None:
    """Everyone may know names, actions, tools and aliases."""
    published = parse_manifest(GOOD, file="quality.yaml", system="S").published()

    assert published.actions == ["lint-codebase", "measure"]
    assert published.tools == ["lint_code", "measure_complexity"]
    assert published.aliases == ["code-quality"]


def test_all_problems_of_a_file_are_named_at_once() -> None:
    """Each problem says the file and the place inside it."""
    text = "{name: Bad Name, version: one, color: red, actions: {go: {description: G}}}"

    with pytest.raises(ManifestError) as raised:
        parse_manifest(text, file="bad.yaml", system="")

    places = {problem.split(": ")[1] for problem in raised.value.problems}
    assert {"name", "version", "color", "description", "system", "actions.go.prompt"} == places
    assert all(problem.startswith("bad.yaml: ") for problem in raised.value.problems)


def test_a_missing_prompt_file_is_said_in_words() -> None:
    """The author learns which file to write."""
    with pytest.raises(ManifestError, match=r"quality\.yaml: system: the prompt file is missing"):
        parse_manifest(GOOD, file="quality.yaml", system="  ")


def test_a_tool_of_an_action_must_be_one_of_the_agent() -> None:
    """An action cannot reach past its agent."""
    text = GOOD.replace("tools: [lint_code]}", "tools: [lint_code, rm]}")

    with pytest.raises(ManifestError, match=r"actions\.lint-codebase\.tools: 'rm' is not among"):
        parse_manifest(text, file="quality.yaml", system="S")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{name: [", "bad.yaml: no YAML"), ("- a list", "bad.yaml: a manifest is a mapping")],
)
def test_a_file_of_another_form_is_refused(text: str, said: str) -> None:
    """Neither broken YAML nor another document is a manifest."""
    with pytest.raises(ManifestError, match=said):
        parse_manifest(text, file="bad.yaml", system="S")
