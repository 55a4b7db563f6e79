"""Admission: how does a request become a run, once and for ever?"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

import segue_language as language
from segue_contracts.cursor import Cursor
from segue_contracts.reply import Problem, Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import AgentManifest, RunAccepted, StartRun
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunStarted
from segue_language import Parsed, Workflow, parse, unsupported
from segue_orchestrator.core.entries import read, started_of
from segue_orchestrator.core.inputs import bind_inputs, input_problems
from segue_orchestrator.core.messages import SOURCE
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.shell.catalogue import Catalogue
from segue_orchestrator.shell.claims import Claim, Claims, Held
from segue_orchestrator.shell.definitions import Definition, Definitions
from segue_orchestrator.shell.pins import Pinned, Pins, unregistered
from segue_shared.bus import Bus, Stored
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import BusUnavailableError, RefusedError, TooLargeError
from segue_shared.ids import Ids
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads

_PARSED_INLINE: Final = 32 * 1024
"""Characters of a definition up to which it is parsed at once, in about 0.1 s."""


def _all_supported() -> frozenset[str]:
    return SUPPORTED


class Admission:
    """Validates definitions and starts runs."""

    def __init__(  # noqa: PLR0913 - the ports of admission
        self,
        bus: Bus,
        *,
        clock: Clock,
        ids: Ids,
        definitions: Definitions,
        catalogue: Catalogue,
        payloads: Payloads,
        journal: Journal,
        claims: Claims,
        agents: Journal,
        supported: Callable[[], frozenset[str]] = _all_supported,
        own: frozenset[str] = SUPPORTED,
    ) -> None:
        """Make admission.

        Args:
            bus: Where runs are started.
            clock: The time.
            ids: Names of new runs.
            definitions: Where definitions lie.
            catalogue: What references to them mean.
            payloads: Where large inputs lie.
            journal: The journal of runs.
            claims: What idempotency keys stand for.
            agents: The registered agents.
            supported: Returns what every live orchestrator can run.
            own: What this one can.
        """
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._definitions = definitions
        self._catalogue = catalogue
        self._payloads = payloads
        self._journal = journal
        self._claims = claims
        self._agents = agents
        self._supported = supported
        self._own = own
        self._pins = Pins(catalogue, definitions)

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
            supported=self._own,
        )
        workflow = (await _parsed(text, ask)).workflow
        if workflow is None or await self._pins.unknown(namespace, workflow):
            # Only now, for it reads the whole catalogue: all problems at once, with their places.
            registered = await self._catalogue.references(namespace)
            parsed = await _parsed(text, partial(ask, known_workflows=registered))
            if parsed.workflow is None:
                raise invalid([_as_problem(problem) for problem in parsed.problems])
            workflow = parsed.workflow
        self._gate(workflow)
        return workflow

    def _gate(self, workflow: Workflow) -> None:
        """Refuse what an orchestrator that is still live could not run.

        Raises:
            RefusedError: There is such a construct.
        """
        missing = unsupported(workflow, self._supported())
        if missing:
            problems = [_as_problem(problem) for problem in missing]
            message = (
                f"workflow {workflow.name!r} uses what an older orchestrator that is "
                "still live does not know; try again once every one is upgraded"
            )
            refused = Refused(
                code="unsupported", message=message, retryable=True, problems=problems
            )
            raise RefusedError(refused)

    async def known_agents(self, namespace: str) -> frozenset[str]:
        """Return the names and aliases of all registered agents."""
        stored = await self._agents.last([f"$KV.AGENTS.{namespace}.>"])
        manifests = [msgspec.json.decode(m.data, type=AgentManifest) for m in stored if m.data]
        return frozenset(name for m in manifests for name in (m.name, *m.aliases))

    async def pinned(self, namespace: str, definition: Definition) -> Pinned:
        """Return what the references of a definition, and of all below it, mean from now on.

        Raises:
            RefusedError: One means nothing, or needs what cannot be run everywhere.
        """
        pinned = await self._pins.of(namespace, definition)
        for below in pinned.definitions:
            self._gate(below.workflow)
        return pinned

    async def start(self, namespace: str, request: StartRun) -> RunAccepted:
        """Accept a run; the same key returns the same run.

        Raises:
            RefusedError: The definition is invalid or unknown, or the key stands for another run.
        """
        by_name = _content(f"workflow:{request.workflow}", request.inputs)
        if request.workflow:
            # A reference may mean another definition by now; the run is the same.
            again = await self.repeated(namespace, request.key, content=by_name)
            if again is not None:
                return again
        definition = await self.definition(namespace, request)
        pinned = await self.pinned(namespace, definition)
        inputs = bind_inputs(definition.workflow, request.inputs)
        body = RunStarted(
            workflow=definition.workflow.name,
            definition=definition.hash,
            inputs=await self._payloads.wrap(inputs),
            key=request.key,
            labels=request.labels,
            children=pinned.children,
        )
        content = by_name if request.workflow else _content(definition.hash, inputs)
        return await self.accept(namespace, body, content=content)

    async def accept(self, namespace: str, body: RunStarted, *, content: bytes) -> RunAccepted:
        """Store a run's first event; its key stands for this run and this content for ever.

        Args:
            namespace: The run's tenant.
            body: The event.
            content: What was asked for; the same key with another content is a conflict.

        Raises:
            RefusedError: The key stands for another run, or for one that may have been forgotten.
        """
        run = self._ids.run_id(self._clock.now_ms())
        if not body.key:
            stored = await self._started(namespace, run, body)
            return await self._accepted(run, body, stored.sequence)
        held = await self._claims.take(namespace, body.key, run=run, content=content)
        if not held.is_new and (again := await self._again(namespace, held)) is not None:
            return again
        self._claims.check_age(body.key, held)
        run = held.claim.run
        stored = await self._started(namespace, run, body)
        if not stored.created:
            return await self._told(namespace, held)
        await self._claims.settle(
            held, sequence=stored.sequence, workflow=body.workflow, definition=body.definition
        )
        return await self._accepted(run, body, stored.sequence)

    async def repeated(self, namespace: str, key: str, *, content: bytes) -> RunAccepted | None:
        """Return the run that a key has started before; None when it is not known to have.

        Raises:
            RefusedError: It started one of another content.
        """
        held = await self._claims.find(namespace, key, content=content) if key else None
        return None if held is None else await self._again(namespace, held)

    async def _again(self, namespace: str, held: Held) -> RunAccepted | None:
        """Return the run of a claim if it is known to be started; note that where it was not."""
        claim = held.claim
        if claim.sequence:
            return await self._known(claim)
        found = await self._first(namespace, claim.run)
        if found is None:
            return None
        sequence, body = found
        await self._claims.settle(
            held, sequence=sequence, workflow=body.workflow, definition=body.definition
        )
        return await self._accepted(claim.run, body, sequence, existing=True)

    async def _told(self, namespace: str, held: Held) -> RunAccepted:
        """Return the run of a claim whose first event is stored."""
        again = await self._again(namespace, held)
        if again is None:
            raise BusUnavailableError(f"the start of run {held.claim.run} cannot be read yet")
        return again

    async def _first(self, namespace: str, run: str) -> tuple[int, RunStarted] | None:
        """Return the first event of a run with its sequence; None when it is not kept."""
        for stored in await self._journal.last([subjects.run_event(namespace, run, "started")]):
            event = read(
                stored.subject, stored.data, sequence=stored.sequence, time_ms=stored.time_ms
            )
            if (body := started_of(event)) is not None:
                return stored.sequence, body
        return None

    async def definition(self, namespace: str, request: StartRun) -> Definition:
        """Return what shall run: a text that is checked and stored, or one stored before.

        Raises:
            RefusedError: It is invalid or unknown, or its inputs are not valid.
        """
        if sum(map(bool, (request.text, request.definition, request.workflow))) > 1:
            message = "a run has one of 'text', 'definition' and 'workflow'; send one of them"
            raise RefusedError(Refused(code="invalid_request", message=message))
        if request.definition or request.workflow:
            return await self._stored(namespace, request)
        workflow = await self.check(
            namespace, request.text, file=request.file, inputs=request.inputs
        )
        return await self.save(namespace, workflow)

    async def save(self, namespace: str, workflow: Workflow) -> Definition:
        """Store a definition; the same content is stored once.

        Raises:
            RefusedError: It is too large.
        """
        try:
            return await self._definitions.save(namespace, workflow)
        except TooLargeError as error:
            raise RefusedError(Refused(code="too_large", message=str(error))) from error

    async def _stored(self, namespace: str, request: StartRun) -> Definition:
        definition = await self.find(
            namespace, reference=request.workflow, digest=request.definition
        )
        problems = input_problems(definition.workflow, request.inputs)
        if found := sorted(problems, key=lambda problem: problem.pointer):
            raise invalid(found)
        return definition

    async def find(self, namespace: str, *, reference: str = "", digest: str = "") -> Definition:
        """Return a stored definition by a reference to it, or by its hash.

        Raises:
            RefusedError: There is none.
        """
        if reference:
            found = await self._catalogue.resolve(namespace, reference)
            if found is None:
                raise RefusedError(unregistered(reference))
            digest = found
        try:
            definition = await self._definitions.load(namespace, digest)
        except ValueError as error:
            message = f"this orchestrator cannot read definition {digest}; upgrade it: {error}"
            raise RefusedError(Refused(code="unsupported", message=message)) from error
        if definition is None:
            message = f"no definition {digest} is stored; send its text instead"
            raise RefusedError(Refused(code="not_found", message=message))
        return definition

    async def _started(self, namespace: str, run: str, body: RunStarted) -> Stored:
        """Store the run's first event; harmless when it is there."""
        subject = subjects.run_event(namespace, run, "started")
        time = rfc3339(self._clock.now_ms())
        data = frame(body, subject=subject, source=SOURCE, about=run, time=time)
        return await self._bus.create(subject, data)

    async def _accepted(
        self, run: str, body: RunStarted, sequence: int, *, existing: bool = False
    ) -> RunAccepted:
        return RunAccepted(
            run=run,
            workflow=body.workflow,
            definition=body.definition,
            cursor=str(Cursor(await self._journal.epoch(), sequence - 1)),
            existing=existing,
        )

    async def _known(self, claim: Claim) -> RunAccepted:
        return RunAccepted(
            run=claim.run,
            workflow=claim.workflow,
            definition=claim.definition,
            cursor=str(Cursor(await self._journal.epoch(), claim.sequence - 1)),
            existing=True,
        )


async def _parsed(text: str, ask: Callable[[], Parsed]) -> Parsed:
    """Parse; a large YAML text takes seconds, for which the shards must not wait."""
    return await asyncio.to_thread(ask) if len(text) > _PARSED_INLINE else ask()


def _content(what: str, inputs: dict[str, Any]) -> bytes:
    return what.encode() + msgspec.json.encode(inputs, order="sorted")


def invalid(problems: list[Problem]) -> RefusedError:
    """Return the refusal of a definition that has problems."""
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
