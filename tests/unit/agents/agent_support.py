"""Support: a small agent and its jobs, for tests of the agents service."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from segue_agents.core.calls import ToolArgs, ToolSpec
from segue_agents.core.catalogue import Assignment
from segue_agents.core.job import Job, Scene
from segue_agents.core.manifest import Action, Limits, Manifest
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatResponse,
    Cost,
    Part,
    Stop,
    StopReason,
    Text,
    ToolCall,
    Usage,
)
from segue_contracts.v1.subjects import StepId
from segue_worker.place import Place

RUN = "run00000000000000000000001"
AT = "2026-05-04T10:00:00.000Z"


class LookArgs(ToolArgs, frozen=True, forbid_unknown_fields=True):
    """What the tools of tests take."""

    limit: int = 40


LOOK = ToolSpec(name="look", description="Looks.", args=LookArgs)
SMELL = ToolSpec(name="smell", description="Smells.", args=LookArgs)


def a_manifest(
    *,
    name: str = "quality",
    output: Literal["findings", "report"] = "findings",
    limits: Limits | None = None,
    tools: tuple[str, ...] = ("look", "smell"),
) -> Manifest:
    """Return an agent with one action, `review`."""
    return Manifest(
        name=name,
        version="1.0.0",
        description="Looks at code.",
        system="You look at code.",
        aliases=(f"{name}-alias",),
        tools=tools,
        output=output,
        limits=limits or Limits(turns=4, tool_calls=3),
        actions={"review": Action(description="Look.", prompt="Look at {repository}.")},
    )


def a_job(
    given: Mapping[str, object] | None = None, *, manifest: Manifest | None = None, **more: Any
) -> Job:
    """Return a job of that agent."""
    chosen = manifest or a_manifest()
    return Job(
        place=Place(namespace="default", run=RUN, step=StepId("scan"), attempt=1),
        assignment=Assignment(chosen, chosen.actions["review"], "review"),
        input={"repository": "/src/app"} if given is None else given,
        tools=(LOOK.offer(), SMELL.offer()),
        scene=Scene(repository="/src/app", branch="main", at=AT),
        **more,
    )


def says(text: str, **more: Any) -> ChatResponse:
    """Return an answer in words."""
    return answers(Text(text=text), **more)


def calls(*names: str, args: str = "{}") -> ChatResponse:
    """Return an answer that asks for tools; ids count from `c1`."""
    parts = [ToolCall(id=f"c{n}", name=name, args_json=args) for n, name in enumerate(names, 1)]
    return answers(*parts, stop="tool_use")


def answers(
    *parts: Part, stop: StopReason = "end", provider: str = "claude", warnings: tuple[str, ...] = ()
) -> ChatResponse:
    """Return an answer made of parts; each uses 10 tokens in, 5 out, and costs a cent."""
    return ChatResponse(
        provider=provider,
        message=ChatMessage(role="assistant", parts=list(parts)),
        stop=Stop(reason=stop),
        model_served=f"{provider}-large",
        usage=Usage(input_total=10, output_total=5),
        cost=Cost(usd="0.01"),
        warnings=list(warnings),
    )


def a_finding(severity: str = "high", line: int = 3, **more: Any) -> dict[str, Any]:
    """Return a finding as JSON."""
    return {
        "tool": "look",
        "rule": "X1",
        "severity": severity,
        "message": "bad",
        "file": "app.py",
        "line": line,
        **more,
    }


def a_report(*findings: dict[str, Any], tool: str = "look", **more: Any) -> dict[str, Any]:
    """Return a tool's report as JSON."""
    return {"tool": tool, "summary": "It is bad.", "findings": list(findings), **more}


def json_of(value: object) -> str:
    """Return a value as JSON text."""
    return msgspec.json.encode(value).decode()
