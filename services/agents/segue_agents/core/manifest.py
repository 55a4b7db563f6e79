"""Manifests: what is an agent, and what is wrong with the file that describes one?"""

from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from segue_contracts.v1.commands import AgentManifest

Token = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

_WRONG_TEXT = "the prompt file is missing or empty; write what the agent is into it"


class ManifestError(ValueError):
    """Manifests that cannot be used; `problems` names everything that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Part(BaseModel):
    """What every part of a manifest is: frozen, camelCase in files, nothing unknown in it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class Action(_Part):
    """One thing an agent can be asked to do."""

    description: Words
    """One sentence for lists."""
    prompt: Words
    """What the model is asked; `{name}` is replaced by the field of that name in the input."""
    tools: tuple[ToolName, ...] = ()
    """The tools it may use; all of the agent's when empty."""


class Limits(_Part):
    """Where the loop ends whatever the model wants."""

    turns: int = Field(default=12, ge=1, le=100)
    """Answers of the model."""
    tool_calls: int = Field(default=40, ge=0, le=500)
    """Calls of tools."""
    seconds: int = Field(default=900, ge=1, le=86_400)
    """Time for one attempt."""


class ModelPreferences(_Part):
    """What the agent would like to be answered by; the step's own wish goes first."""

    name: str = ""
    """An alias or `provider/model`; empty for the router's default."""
    max_tokens: int = Field(default=4_096, ge=1)
    """Length of one answer at most."""


class Manifest(_Part):
    """An agent as its file describes it."""

    name: Token
    """Its name in workflows."""
    version: Version
    """Its semantic version."""
    description: Words
    """One sentence for lists."""
    system: Words
    """Who the agent is: the text of the prompt file."""
    actions: dict[Token, Action] = Field(min_length=1)
    """What it can be asked to do."""
    aliases: tuple[Token, ...] = ()
    """Other names it answers to."""
    tools: tuple[ToolName, ...] = ()
    """The tools it uses."""
    output: Literal["findings", "report"] = "findings"
    """Whether it hands on findings, or one report over the findings of others."""
    limits: Limits = Limits()
    """Where its loop ends."""
    model: ModelPreferences = ModelPreferences()
    """What it would like to be answered by."""

    def tools_of(self, action: Action) -> tuple[str, ...]:
        """Return the tools that an action may use."""
        return action.tools or self.tools

    def published(self) -> AgentManifest:
        """Return what everyone may know of the agent."""
        return AgentManifest(
            name=self.name,
            description=self.description,
            version=self.version,
            actions=sorted(self.actions),
            tools=list(self.tools),
            aliases=list(self.aliases),
        )


def parse_manifest(text: str, *, file: str, system: str) -> Manifest:
    """Read an agent from its file.

    Args:
        text: The file, YAML.
        file: Its name, for problems.
        system: The text of the prompt file beside it.

    Raises:
        ManifestError: It is no manifest; every problem is named with the file and the place.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError((f"{file}: no YAML: {' '.join(str(error).split())}",)) from error
    if not isinstance(document, dict):
        raise ManifestError((f"{file}: a manifest is a mapping with name, version and actions",))
    try:
        manifest = Manifest.model_validate({**document, "system": system})
    except ValidationError as error:
        raise ManifestError(
            tuple(_sentence(file, problem) for problem in error.errors())
        ) from error
    if problems := _foreign_tools(manifest, file):
        raise ManifestError(problems)
    return manifest


def _sentence(file: str, problem: ErrorDetails) -> str:
    place = ".".join(map(str, problem["loc"]))
    said = _WRONG_TEXT if place == "system" else problem["msg"]
    return f"{file}: {place}: {said}"


def _foreign_tools(manifest: Manifest, file: str) -> tuple[str, ...]:
    """Name the tools of actions that the agent itself does not have."""
    return tuple(
        f"{file}: actions.{name}.tools: {tool!r} is not among the agent's tools"
        for name, action in manifest.actions.items()
        for tool in action.tools
        if tool not in manifest.tools
    )
