"""The catalogue on a real broker: what do names, versions and aliases of workflows mean?"""

import pytest
from support.runs import Runs

from segue_contracts.envelope import encode
from segue_contracts.v1 import registry
from segue_contracts.v1.commands import (
    GetWorkflow,
    ListWorkflows,
    Refused,
    RunAccepted,
    SaveWorkflow,
    SetAlias,
    StartRun,
    ValidateWorkflow,
    WorkflowList,
    WorkflowText,
    WorkflowVersion,
)
from segue_contracts.v1.runs import RunStarted
from segue_contracts.v1.topology import AGENTS, PAYLOADS, RUN_KEYS, RUNS, WORKFLOWS
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.catalogue import Catalogue
from segue_orchestrator.shell.claims import Claims
from segue_orchestrator.shell.definitions import Definitions
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.errors import ConflictError, RefusedError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import Entry, KeyValue
from segue_shared.payloads import Payloads


@pytest.fixture
def name() -> str:
    """A workflow's name of this test alone; of a form that needs escaping."""
    return f"Nightly {SystemIds().unique()}"


def definition(name: str, version: str = "", answer: str = "") -> str:
    """Return a definition that waits for a moment and answers."""
    said = f"version: {version}\n" if version else ""
    return (
        f"name: {name}\n{said}inputs: {{who: world}}\n"
        "steps: [{key: pause, wait: {duration: 1ms}}]\n"
        f"outputs: {{said: '{answer or version} {{{{ who }}}}'}}\n"
    )


async def push(runs: Runs, text: str, alias: str = "") -> WorkflowVersion:
    """Register a definition."""
    request = SaveWorkflow(text=text, file="nightly.yaml", alias=alias)
    saved: WorkflowVersion = await runs.call(registry.SAVE_WORKFLOW, request)
    return saved


async def point(runs: Runs, name: str, alias: str, version: str) -> WorkflowVersion:
    """Let an alias mean a version."""
    request = SetAlias(workflow=name, alias=alias, version=version)
    changed: WorkflowVersion = await runs.call(registry.SET_ALIAS, request)
    return changed


async def refusal(runs: Runs, command: registry.Command, request: object) -> Refused:
    """Return why a command is refused."""
    with pytest.raises(RefusedError) as caught:
        await runs.call(command, request)
    return caught.value.refused


async def test_a_version_never_changes(runs: Runs, name: str) -> None:
    """The same definition again exists; another one is a conflict that names both hashes."""
    first = await push(runs, definition(name, "1.0.0"))
    again = await push(runs, "# a remark\n" + definition(name, "1.0.0"))
    other = SaveWorkflow(text=definition(name, "1.0.0", answer="no"))
    refused = await refusal(runs, registry.SAVE_WORKFLOW, other)

    assert (first.version, first.existing) == ("1.0.0", False)
    assert (again.definition, again.existing) == (first.definition, True)
    assert again.saved_ms == first.saved_ms
    assert refused.code == "conflict"
    assert refused.details["stored"] == first.definition
    assert refused.details["sent"] in refused.message
    assert first.definition in refused.message


async def test_a_definition_without_a_version_is_told_which_is_free(runs: Runs, name: str) -> None:
    """The refusal names the place and the next patch release."""
    request = SaveWorkflow(text=definition(name), file="nightly.yaml")
    fresh = await refusal(runs, registry.SAVE_WORKFLOW, request)
    await push(runs, definition(name, "1.4.9"))
    later = await refusal(runs, registry.SAVE_WORKFLOW, request)
    sloppy = SaveWorkflow(text=definition(name, "'1.5'", answer="x"))
    wrong = await refusal(runs, registry.SAVE_WORKFLOW, sloppy)

    assert fresh.code == "invalid_definition"
    [problem] = fresh.problems
    assert (problem.file, problem.pointer, problem.suggestion) == (
        "nightly.yaml",
        "/version",
        "1.0.0",
    )
    assert (later.problems[0].code, later.problems[0].suggestion) == ("missing_version", "1.4.10")
    assert wrong.problems[0].code == "wrong_value"


async def test_versions_are_listed_by_name_with_the_newest_first(runs: Runs, name: str) -> None:
    """By the order of semantic versions, not of texts, each with its aliases."""
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
        await push(runs, definition(name, version))
    await point(runs, name, "prod", "1.9.0")
    await push(runs, definition(f"{name} b", "1.0.0"), alias="prod")

    one: WorkflowList = await runs.call(registry.LIST_WORKFLOWS, ListWorkflows(workflow=name))
    everything: WorkflowList = await runs.call(registry.LIST_WORKFLOWS, ListWorkflows())

    assert [(w.workflow, w.version, w.aliases) for w in one.workflows] == [
        (name, "2.0.0-rc.1", []),
        (name, "1.10.0", []),
        (name, "1.9.0", ["prod"]),
    ]
    assert [w.aliases for w in everything.workflows if w.workflow == f"{name} b"] == [["prod"]]


async def test_a_reference_means_a_version_an_alias_or_the_newest_release(
    runs: Runs, name: str
) -> None:
    """A pre-release counts only when it is named, or while there is no release."""
    await push(runs, definition(name, "1.0.0-rc.1"))
    early = await runs.start("", workflow=name)
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
        await push(runs, definition(name, version))
    await point(runs, name, "prod", "1.9.0")

    async def said(reference: str) -> str:
        output = await runs.output(await runs.start("", workflow=reference))
        return str(output["said"])

    assert (await runs.output(early))["said"] == "1.0.0-rc.1 world"
    assert await said(name) == "1.10.0 world"
    assert await said(f"{name}@latest") == "1.10.0 world"
    assert await said(f"{name}@2.0.0-rc.1") == "2.0.0-rc.1 world"
    assert await said(f"{name}@prod") == "1.9.0 world"


async def test_an_alias_moves_and_a_run_keeps_what_it_started_with(runs: Runs, name: str) -> None:
    """The same request means another definition afterwards."""
    first = await push(runs, definition(name, "1.0.0"), alias="prod")
    before = await runs.start("", workflow=f"{name}@prod")
    await push(runs, definition(name, "2.0.0"))
    moved = await point(runs, name, "prod", "2.0.0")
    after = await runs.start("", workflow=f"{name}@prod")

    assert first.aliases == moved.aliases == ["prod"]
    assert (await runs.event(before, "started", RunStarted)).definition == first.definition
    assert (await runs.event(after, "started", RunStarted)).definition == moved.definition


class Rivalled(KeyValue):
    """A bucket in which somebody else sets an alias right after it was read."""

    async def get(self, key: str) -> Entry | None:
        """Read, and let the other be first."""
        entry = await super().get(key)
        if ".alias." in key:
            await self.put(key, encode({"version": "1.0.0", "definition": "0" * 64}))
        return entry


@pytest.mark.parametrize("is_set", [False, True])
async def test_of_two_who_move_an_alias_at_once_the_later_hears_of_it(
    runs: Runs, bus: Bus, name: str, *, is_set: bool
) -> None:
    """Whoever loses is refused with the way out, and what the other set stays."""
    await push(runs, definition(name, "1.0.0"), alias="prod" if is_set else "")
    await push(runs, definition(name, "2.0.0"))
    registered = Journal(bus, f"KV_{WORKFLOWS}")
    rivalled = Catalogue(Rivalled(bus, WORKFLOWS), registered, SystemClock())

    with pytest.raises(ConflictError, match="at the same time"):
        await rivalled.set_alias("default", name, alias="prod", version="2.0.0")

    listed: WorkflowList = await runs.call(registry.LIST_WORKFLOWS, ListWorkflows(workflow=name))
    assert [one.version for one in listed.workflows if one.aliases] == ["1.0.0"]


@pytest.mark.parametrize("alias", ["latest", "1.0.0", "Prod", "a@b", ""])
async def test_what_means_something_by_itself_can_be_no_alias(
    runs: Runs, name: str, alias: str
) -> None:
    """The refusal comes before anything is stored."""
    await push(runs, definition(name, "1.0.0"))
    request = SetAlias(workflow=name, alias=alias, version="1.0.0")

    assert (await refusal(runs, registry.SET_ALIAS, request)).code == "invalid_request"


async def test_an_alias_needs_a_version_that_is_there(runs: Runs, name: str) -> None:
    """Nothing is named that does not exist."""
    await push(runs, definition(name, "1.0.0"))
    request = SetAlias(workflow=name, alias="prod", version="1.0.1")
    refused = await refusal(runs, registry.SET_ALIAS, request)

    assert (refused.code, f"{name}@1.0.1" in refused.message) == ("not_found", True)


async def test_a_definition_is_shown_in_its_canonical_form(runs: Runs, name: str) -> None:
    """By a reference or by its hash; the text gives the same definition again."""
    saved = await push(runs, definition(name, "1.0.0"))

    shown: WorkflowText = await runs.call(registry.GET_WORKFLOW, GetWorkflow(workflow=name))
    hashed: WorkflowText = await runs.call(
        registry.GET_WORKFLOW, GetWorkflow(definition=saved.definition)
    )
    again = await push(runs, shown.text)
    unclear = await refusal(runs, registry.GET_WORKFLOW, GetWorkflow())
    unknown = await refusal(runs, registry.GET_WORKFLOW, GetWorkflow(workflow=f"{name}@2.0.0"))

    assert shown == hashed
    assert (shown.workflow, shown.version) == (name, "1.0.0")
    assert (again.definition, again.existing) == (saved.definition, True)
    assert (unclear.code, unknown.code) == ("invalid_request", "not_found")


async def test_the_inputs_of_a_run_by_reference_are_checked(runs: Runs, name: str) -> None:
    """As they are for a text; defaults fill what is not given."""
    await push(runs, definition(name, "1.0.0"))
    request = StartRun(workflow=name, inputs={"whom": 1})
    refused = await refusal(runs, registry.START_RUN, request)
    both = await refusal(
        runs, registry.START_RUN, StartRun(workflow=name, text=definition(name, "1.0.0"))
    )
    run = await runs.start("", workflow=name, inputs={"who": "you"})

    assert [p.pointer for p in refused.problems] == ["/inputs/whom"]
    assert both.code == "invalid_request"
    assert await runs.output(run) == {"said": "1.0.0 you"}


async def test_a_key_stands_for_its_run_after_the_alias_has_moved(runs: Runs, name: str) -> None:
    """What a reference means by now does not matter to a start that was made before."""
    await push(runs, definition(name, "1.0.0"), alias="prod")
    request = StartRun(workflow=f"{name}@prod", key=SystemIds().unique(), inputs={"who": "you"})
    first: RunAccepted = await runs.call(registry.START_RUN, request)
    later = f"{{name: {name}, version: 2.0.0, steps: [{{key: a, wait: {{duration: 1ms}}}}]}}"
    await push(runs, later, alias="prod")
    again: RunAccepted = await runs.call(registry.START_RUN, request)

    assert (again.run, again.definition, again.existing) == (first.run, first.definition, True)


async def test_an_unknown_workflow_is_named_with_its_place(runs: Runs, name: str) -> None:
    """Whether its name or only its version is unknown, with what was probably meant."""
    await push(runs, definition(name, "1.0.0"))
    text = (
        "name: parent\nsteps:\n"
        f"  - {{key: a, workflow: '{name}x'}}\n"
        f"  - {{key: b, workflow: '{name}@1.0.1'}}\n"
        f"  - {{key: c, workflow: '{name}@1.0.0'}}\n"
        "  - {key: d, workflow: parent}\n"
        "  - {key: e, pol: x}\n"
    )
    refused = await refusal(runs, registry.VALIDATE, ValidateWorkflow(text=text, file="p.yaml"))

    unknown = [p for p in refused.problems if p.code == "unknown_workflow"]
    assert [(p.file, p.line, p.suggestion) for p in unknown] == [
        ("p.yaml", 3, name),
        ("p.yaml", 4, f"{name}@1.0.0"),
    ]
    assert "unknown_field" in {p.code for p in refused.problems}
    only = text.replace(f"{name}x", name).replace("pol: x", "pool: x")
    late = await refusal(runs, registry.VALIDATE, ValidateWorkflow(text=only, file="p.yaml"))
    assert [(p.code, p.line) for p in late.problems] == [("unknown_workflow", 4)]
    valid = text.replace(f"{name}x", name).replace("@1.0.1", "@1.0.0").replace("pol: x", "pool: x")
    await runs.call(registry.VALIDATE, ValidateWorkflow(text=valid))


async def test_references_are_pinned_with_those_below_them_when_a_run_starts(
    runs: Runs, name: str
) -> None:
    """Each means for ever what it meant then; the workflow's own name means this definition."""
    low, middle = f"{name} low", f"{name} middle"
    bottom = await push(runs, definition(low, "1.0.0"), alias="prod")
    between = await push(
        runs,
        f"name: {middle}\nversion: 1.0.0\nsteps:\n"
        f"  - {{key: a, workflow: '{low}@prod'}}\n"
        f"  - {{key: b, pool: POOL, compensate: {{workflow: '{low}@1.0.0'}}}}\n".replace(
            "POOL", runs.pool
        ),
    )
    run = await runs.start(
        "name: top\nsteps:\n"
        f"  - {{key: a, when: 'false', workflow: '{middle}'}}\n"
        "  - {key: b, when: 'false', workflow: top}\n"
    )
    started = await runs.event(run, "started", RunStarted)

    assert started.children == {
        middle: between.definition,
        f"{low}@prod": bottom.definition,
        f"{low}@1.0.0": bottom.definition,
        "top": started.definition,
    }


def older(bus: Bus, missing: str) -> tuple[Admission, Catalogue]:
    """Return admission beside an orchestrator that does not know a construct, and the catalogue."""
    clock, store = SystemClock(), KeyValue(bus, WORKFLOWS)
    catalogue = Catalogue(store, Journal(bus, f"KV_{WORKFLOWS}"), clock)
    admission = Admission(
        bus,
        clock=clock,
        ids=SystemIds(),
        definitions=Definitions(store),
        catalogue=catalogue,
        payloads=Payloads(bus, PAYLOADS),
        journal=Journal(bus, RUNS),
        claims=Claims(KeyValue(bus, RUN_KEYS), clock, window_s=60),
        agents=Journal(bus, f"KV_{AGENTS}"),
        supported=lambda: SUPPORTED - {missing},
    )
    return admission, catalogue


async def test_what_an_older_orchestrator_cannot_run_waits_for_the_upgrade(
    bus: Bus, name: str
) -> None:
    """A text, a registered definition and one far below are refused alike; the rest is accepted."""
    everyone, catalogue = older(bus, "")
    waiting = await everyone.check("default", definition(name, "1.0.0"), file="", inputs=None)
    saved = await everyone.save("default", waiting)
    await catalogue.save("default", name, version="1.0.0", definition=saved.hash)
    behind, _ = older(bus, "wait")
    above = f"{{name: top, steps: [{{key: a, workflow: '{name}'}}]}}"
    requests = (
        StartRun(text=definition(name, "1.0.0")),
        StartRun(workflow=name),
        StartRun(definition=saved.hash),
        StartRun(text=above),
    )

    for request in requests:
        with pytest.raises(RefusedError) as caught:
            await behind.start("default", request)
        refused = caught.value.refused
        assert (refused.code, refused.retryable) == ("unsupported", True)
        assert [problem.pointer for problem in refused.problems] == ["/steps/0/wait"]
        assert "upgraded" in refused.message
    accepted = await behind.start("default", StartRun(text="{name: x, steps: [{key: a, pool: p}]}"))
    assert not accepted.existing


async def test_a_definition_of_a_later_form_is_refused_not_misread(runs: Runs, bus: Bus) -> None:
    """Whoever stored it knew more of the language."""
    digest = "f" * 64
    await KeyValue(bus, WORKFLOWS).put(f"default.{digest}", b'{"name": "x", "novelty": 1}')

    refused = await refusal(runs, registry.START_RUN, StartRun(definition=digest))

    assert (refused.code, digest in refused.message) == ("unsupported", True)
