"""Admission: how does a request become a run, once and for ever?"""

import asyncio
import hashlib
from functools import partial
from typing import Any, Final

import msgspec

import segue_language as language
from segue_contracts.cursor import Cursor
from segue_contracts.envelope import encode
from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import AgentManifest, RunAccepted, StartRun
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunStarted
from segue_language import Workflow, parse
from segue_orchestrator.core.inputs import bind_inputs, input_problems
from segue_orchestrator.core.messages import SOURCE
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.shell.definitions import Definition, Definitions
from segue_shared.bus import Bus, Stored
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import RefusedError, TooLargeError
from segue_shared.ids import Ids
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads

_PARSED_INLINE: Final = 32 * 1024
"""Characters of a definition up to which it is parsed at once, in about 0.1 s."""


class _Claim(msgspec.Struct, frozen=True):
    """What an idempotency key stands for."""

    run: str
    hash: str
    """SHA-256 over definition and inputs."""


class Admission:
    """Validates definitions and starts runs."""

    def __init__(  # noqa: PLR0913 - the ports of admission
        self,
        bus: Bus,
        *,
        clock: Clock,
        ids: Ids,
        definitions: Definitions,
        payloads: Payloads,
        journal: Journal,
        run_keys: KeyValue,
        agents: Journal,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._definitions = definitions
        self._payloads = payloads
        self._journal = journal
        self._run_keys = run_keys
        self._agents = agents

    async def check(
        self, namespace: str, text: str, *, file: str, inputs: dict[str, Any] | None
    ) -> Workflow:
        """Return the definition of a text.

        Raises:
            RefusedError: It is invalid; the refusal carries all problems at once.
        """
        known = await self.known_agents(namespace)
        ask = partial(
            parse,
            text,
            file=file or "<definition>",
            known_agents=known,
            inputs=inputs,
            supported=SUPPORTED,
        )
        # A large YAML text takes seconds; the shards must not wait for it.
        parsed = await asyncio.to_thread(ask) if len(text) > _PARSED_INLINE else ask()
        if parsed.workflow is None:
            raise _invalid([_as_problem(problem) for problem in parsed.problems])
        return parsed.workflow

    async def known_agents(self, namespace: str) -> frozenset[str]:
        """Return the names and aliases of all registered agents."""
        stored = await self._agents.last([f"$KV.AGENTS.{namespace}.>"])
        manifests = [msgspec.json.decode(m.data, type=AgentManifest) for m in stored if m.data]
        return frozenset(name for m in manifests for name in (m.name, *m.aliases))

    async def start(self, namespace: str, request: StartRun) -> RunAccepted:
        """Accept a run; the same key returns the same run.

        Raises:
            RefusedError: The definition is invalid or unknown, or the key stands for another run.
        """
        definition = await self._definition(namespace, request)
        inputs = bind_inputs(definition.workflow, request.inputs)
        run = await self._claim(namespace, request.key, definition.hash, inputs)
        stored = await self._started(namespace, run, definition, inputs, request)
        return await self._accepted(namespace, run, definition, stored)

    async def _definition(self, namespace: str, request: StartRun) -> Definition:
        """Return what shall run: a text that is checked and stored, or one stored before."""
        if request.definition:
            return await self._stored(namespace, request)
        workflow = await self.check(
            namespace, request.text, file=request.file, inputs=request.inputs
        )
        try:
            return await self._definitions.save(namespace, workflow)
        except TooLargeError as error:
            raise RefusedError(Refused(code="too_large", message=str(error))) from error

    async def _stored(self, namespace: str, request: StartRun) -> Definition:
        definition = await self._definitions.load(namespace, request.definition)
        if definition is None:
            message = f"no definition {request.definition} is stored; send its text instead"
            raise RefusedError(Refused(code="not_found", message=message))
        problems = input_problems(definition.workflow, request.inputs)
        if found := sorted(problems, key=lambda problem: problem.pointer):
            raise _invalid(found)
        return definition

    async def _claim(self, namespace: str, key: str, digest: str, inputs: dict[str, Any]) -> str:
        """Return the run id that a key stands for, a new one when it stands for none."""
        run = self._ids.run_id(self._clock.now_ms())
        if not key:
            return run
        content = hashlib.sha256(digest.encode() + msgspec.json.encode(inputs, order="sorted"))
        claim = _Claim(run, content.hexdigest())
        name = f"{namespace}.{hashlib.sha256(key.encode()).hexdigest()}"
        if await self._run_keys.create(name, encode(claim)) is not None:
            return run
        entry = await self._run_keys.get(name)
        first = msgspec.json.decode(entry.value, type=_Claim) if entry else claim
        if first.hash != claim.hash:
            message = (
                f"key {key!r} started run {first.run} with another definition or other inputs; "
                "use a new key for a new run"
            )
            raise RefusedError(
                Refused(code="conflict", message=message, details={"run": first.run})
            )
        return first.run

    async def _started(
        self,
        namespace: str,
        run: str,
        definition: Definition,
        inputs: dict[str, Any],
        request: StartRun,
    ) -> Stored:
        """Store the run's first event; harmless when it is there."""
        subject = subjects.run_event(namespace, run, "started")
        body = RunStarted(
            workflow=definition.workflow.name,
            definition=definition.hash,
            inputs=await self._payloads.wrap(inputs),
            key=request.key,
            labels=request.labels,
        )
        time = rfc3339(self._clock.now_ms())
        data = frame(body, subject=subject, source=SOURCE, about=run, time=time)
        return await self._bus.create(subject, data)

    async def _accepted(
        self, namespace: str, run: str, definition: Definition, stored: Stored
    ) -> RunAccepted:
        sequence = stored.sequence
        if not stored.created:
            subject = subjects.run_event(namespace, run, "started")
            sequence = (await self._journal.last([subject]))[0].sequence
        return RunAccepted(
            run=run,
            workflow=definition.workflow.name,
            definition=definition.hash,
            cursor=str(Cursor(await self._journal.epoch(), sequence - 1)),
            existing=not stored.created,
        )


def _invalid(problems: list[Problem]) -> RefusedError:
    count = len(problems)
    message = f"the definition has {count} problem{'s' if count != 1 else ''}"
    return RefusedError(Refused(code="invalid_definition", message=message, problems=problems))


def _as_problem(problem: language.Problem) -> Problem:
    return Problem(
        message=problem.message,
        code=problem.code,
        pointer=problem.pointer,
        file=problem.file,
        line=problem.line,
        column=problem.column,
        suggestion=problem.suggestion or "",
    )
