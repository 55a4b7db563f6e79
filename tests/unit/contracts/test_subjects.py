"""Subjects: is everything addressed as promised, and can every address be read again?"""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from segue_contracts.v1 import subjects
from segue_contracts.v1.subjects import StepId, SubjectError

RUN = "01k9x3m2v7q8r5t6w1y0z4a2bc"
PREFIX = subjects.run_prefix("default", RUN)

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
ITEMS = st.lists(st.integers(0, subjects.MAX_ITEM), max_size=4).map(tuple)
NAMES = st.from_regex(re.compile(r"[a-z0-9][a-z0-9_-]{0,63}"), fullmatch=True)
RUNS = st.from_regex(re.compile(r"[a-z0-9]{8,40}"), fullmatch=True)
NUMBERS = st.integers(1, 2**53)


def token_of(step: StepId) -> str:
    """Return a step's token; skip keys that are too long when escaped."""
    assume(sum(map(len, map(subjects._escape_character, step.key))) <= subjects.MAX_STEP_TOKEN)
    return subjects.step_token(step)


# Step keys.


@given(KEYS)
@example("_")
@example("lintCode Base_2")
@example("step.scheduled.>*~é\N{PARTY POPPER}")
def test_an_escaped_key_is_one_token_and_reads_back(key: str) -> None:
    """Any key survives as a token of few characters and bounded length."""
    escaped = token_of(StepId(key))
    assert re.fullmatch(r"[a-z0-9_-]+", escaped)
    assert len(escaped) <= subjects.MAX_STEP_TOKEN
    assert subjects.unescape_key(escaped) == key


@given(KEYS, ITEMS)
def test_a_step_token_is_one_token_and_reads_back(key: str, items: tuple[int, ...]) -> None:
    """Map items append their indices to the key's token."""
    step = StepId(key, items)
    token = token_of(step)
    assert re.fullmatch(r"[a-z0-9_~-]+", token)
    assert len(token) <= subjects.MAX_STEP_TOKEN + 10 * len(items)
    assert subjects.parse_step_token(token) == step


@given(st.text("ab_~0159-fZ.é", max_size=12))
def test_a_token_reads_as_a_step_only_when_that_step_has_this_token(text: str) -> None:
    """No two texts are the same step."""
    try:
        step = subjects.parse_step_token(text)
    except SubjectError:
        return
    assert subjects.step_token(step) == text


@pytest.mark.parametrize(
    ("key", "escaped"),
    [
        ("lint-code", "lint-code"),
        ("lint_code", "lint__code"),
        ("lintCode", "lint_43ode"),
        ("lint code", "lint_20code"),
        ("prüfen", "pr_c3_bcfen"),
    ],
)
def test_keys_are_escaped_as_promised(key: str, escaped: str) -> None:
    """Clients in other languages escape the same way."""
    assert subjects.escape_key(key) == escaped


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "1 to 128 characters, this one 0"),
        ("k" * 129, "1 to 128 characters, this one 129"),
        ("é" * 128, "longer than 400 bytes when escaped"),
        ("\ud800", "no valid Unicode text"),
    ],
)
def test_a_key_that_fits_no_token_is_refused(key: str, problem: str) -> None:
    """The error says what is wrong with the key."""
    with pytest.raises(SubjectError, match=problem):
        subjects.escape_key(key)


@pytest.mark.parametrize("escaped", ["", "_", "_zz", "_61", "_5f", "_ff", "A", "a.b", "a~1", "a_"])
def test_what_no_key_escapes_to_is_refused(escaped: str) -> None:
    """Each key has one token, so that other spellings of it are none."""
    with pytest.raises(SubjectError, match="is no step token"):
        subjects.unescape_key(escaped)


@pytest.mark.parametrize("text", ["scan~", "scan~01", "scan~-1", "scan~x", "scan~1234567890", "~1"])
def test_a_foreign_map_item_is_refused(text: str) -> None:
    """An index is a plain number without leading zeros."""
    with pytest.raises(SubjectError):
        subjects.parse_step_token(text)


@pytest.mark.parametrize("index", [-1, subjects.MAX_ITEM + 1])
def test_an_index_that_could_not_be_read_back_is_refused(index: int) -> None:
    """A token is built only if it can be parsed."""
    with pytest.raises(SubjectError, match="map items count from 0 to 999999999"):
        subjects.step_token(StepId("scan", (index,)))


def test_a_step_reads_as_its_key_and_items() -> None:
    """People see the key as its author wrote it."""
    assert str(StepId("scanAll", (2, 0))) == "scanAll~2~0"


# Names, shards and runs.


@pytest.mark.parametrize("name", ["", "-a", "_a", "A", "a.b", "a b", "a*", ">", "a" * 65, "a\n"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    """No name can smuggle a wildcard or a separator into a subject."""
    with pytest.raises(SubjectError, match="must be 1 to 64"):
        subjects.token(name)


@pytest.mark.parametrize(
    ("run", "shard"),
    [("01k9x3m2v7q8r5t6w1y0z4a2bc", "0d"), ("aaaaaaaa", "46"), ("zzzzzzzz", "bd")],
)
def test_the_shard_of_a_run_never_changes(run: str, shard: str) -> None:
    """Stored subjects hold the shard, so that another hash would lose runs."""
    assert subjects.shard_of(run) == shard


@pytest.mark.parametrize("run", ["", "short", "UPPERCASE", "a" * 41, "abc.defgh", "abcdefgh\n"])
def test_a_foreign_run_id_is_refused(run: str) -> None:
    """The error names the form of a run's id."""
    with pytest.raises(SubjectError, match="must be 8 to 40 of a-z and 0-9"):
        subjects.run_prefix("default", run)


# Building.


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (subjects.run_all("default", RUN), "segue.v1.default.run.S.R.>"),
        (subjects.run_event("default", RUN, "started"), "segue.v1.default.run.S.R.started"),
        (
            subjects.scheduled(PREFIX, "lint", 2, pool="agents", priority="p1"),
            "segue.v1.default.run.S.R.step.lint.2.scheduled.agents.p1",
        ),
        (
            subjects.dispatch_guard(PREFIX, "lint", 2),
            "segue.v1.default.run.S.R.step.lint.2.scheduled.>",
        ),
        (subjects.step_started(PREFIX, "lint", 2), "segue.v1.default.run.S.R.step.lint.2.started"),
        (subjects.turn(PREFIX, "lint", 2, 7), "segue.v1.default.run.S.R.step.lint.2.turn.7"),
        (subjects.turns(PREFIX, "lint", 2), "segue.v1.default.run.S.R.step.lint.2.turn.*"),
        (subjects.step_beats(PREFIX, "lint", 2), "segue.v1.default.run.S.R.step.lint.2.beat.*"),
        (
            subjects.outcome(PREFIX, "lint", 2, "failed"),
            "segue.v1.default.run.S.R.step.lint.2.outcome.failed",
        ),
        (
            subjects.outcome_guard(PREFIX, "lint", 2),
            "segue.v1.default.run.S.R.step.lint.2.outcome.*",
        ),
        (subjects.facts(), "segue.v1.*.fact.>"),
        (subjects.facts("default"), "segue.v1.default.fact.>"),
        (subjects.facts("default", RUN), "segue.v1.default.fact.S.R.>"),
        (subjects.runs_of("default", "started"), "segue.v1.default.run.*.*.started"),
        (
            subjects.pool_filter("agents", "p0"),
            "segue.v1.*.run.*.*.step.*.*.scheduled.agents.p0",
        ),
        (subjects.timer("default", RUN, 1795255230000), "segue.v1.default.timer.S.R.1795255230000"),
        (subjects.fired("default", RUN, 1795255230000), "segue.v1.default.fired.S.R.1795255230000"),
        (subjects.timers_of("default", RUN), "segue.v1.default.timer.S.R.>"),
        (subjects.timer_cancelled("default", RUN), "segue.v1.default.timer.S.R.cancelled"),
        (
            subjects.command("default", "agents", "list"),
            "segue.v1.default.cmd.agents.list",
        ),
        (subjects.delta("default", RUN, "lint"), "segue.v1.default.delta.R.lint"),
        (subjects.deltas(), "segue.v1.*.delta.*.>"),
        (subjects.deltas("default", RUN), "segue.v1.default.delta.R.>"),
        (subjects.control("default", RUN, "cancel"), "segue.v1.default.ctl.R.cancel"),
        (subjects.controls("cancel"), "segue.v1.*.ctl.*.cancel"),
        (
            subjects.telemetry("default", "providers", "router", "route_decided"),
            "segue.v1.default.tel.providers.router.route_decided",
        ),
        (
            subjects.dead("default", "agents", "undecodable"),
            "segue.v1.default.dead.agents.undecodable",
        ),
    ],
)
def test_subjects_are_built_as_promised(subject: str, expected: str) -> None:
    """Clients in other languages build the same subjects."""
    shard = subjects.shard_of(RUN)
    assert subject.replace(RUN, "R").replace(f".{shard}.", ".S.") == expected


def test_shard_filters_cover_their_range() -> None:
    """Both ends are included, in hexadecimal."""
    assert subjects.shard_filters(9, 10) == ("segue.v1.*.run.09.>", "segue.v1.*.run.0a.>")


# Reading.


@given(NAMES, RUNS, KEYS, NUMBERS, NAMES)
@example("run", RUN, "scheduled", 1, "scheduled")
def test_every_subject_of_a_step_reads_back(
    namespace: str, run: str, key: str, attempt: int, pool: str
) -> None:
    """Whatever the parts are called, the journal's and the fact's subject tell them apart."""
    prefix, step = subjects.run_prefix(namespace, run), token_of(StepId(key))
    told = {
        subjects.scheduled(prefix, step, attempt, pool=pool, priority="p3"): (
            "scheduled",
            (pool, "p3"),
        ),
        subjects.step_started(prefix, step, attempt): ("started", ()),
        subjects.turn(prefix, step, attempt, 4): ("turn", ("4",)),
        subjects.outcome(prefix, step, attempt, "timed_out"): ("outcome", ("timed_out",)),
    }
    for subject, (what, rest) in told.items():
        for found in (subjects.parse_run(subject), subjects.parse_run(subjects.fact_of(subject))):
            assert (found.namespace, found.run) == (namespace, run)
            assert found.shard == subjects.shard_of(run)
            event = subjects.parse_step_event(found.event)
            assert event == subjects.StepEvent(step, attempt, what, rest)


@given(NAMES, RUNS, NAMES)
def test_every_event_of_a_run_reads_back(namespace: str, run: str, event: str) -> None:
    """A run's own event is told by its tokens, and is no step's."""
    assume(event != "step")
    found = subjects.parse_run(subjects.run_event(namespace, run, f"{event}.7"))
    assert found == subjects.RunSubject(namespace, subjects.shard_of(run), run, (event, "7"))
    assert subjects.parse_step_event(found.event) is None


@given(NAMES, RUNS, KEYS, NUMBERS, NAMES)
@example("run", RUN, "scheduled", 1, "scheduled")
def test_a_task_tells_where_its_turns_and_outcome_go(
    namespace: str, run: str, key: str, attempt: int, pool: str
) -> None:
    """A worker derives its subjects from the task it received, whatever the step is called."""
    prefix, step = subjects.run_prefix(namespace, run), token_of(StepId(key))
    task = subjects.scheduled(prefix, step, attempt, pool=pool, priority="p0")
    assert f"{subjects.task_prefix(task)}.turn.1" == subjects.turn(prefix, step, attempt, 1)


@given(NAMES, RUNS, NUMBERS)
def test_a_fired_timer_reads_back(namespace: str, run: str, number: int) -> None:
    """The relay learns the run and the deadline from the subject alone."""
    found = subjects.parse_fired(subjects.fired(namespace, run, number))
    assert found == subjects.TimerSubject(namespace, subjects.shard_of(run), run, number)


@given(NAMES, RUNS, NUMBERS)
def test_a_timer_reads_back(namespace: str, run: str, number: int) -> None:
    """Whoever looks for late timers learns all of them from the subjects alone."""
    subject = subjects.timer(namespace, run, number)
    shard = subjects.shard_of(run)
    assert subjects.parse_timer(subject) == subjects.TimerSubject(namespace, shard, run, number)
    assert subjects.timers().startswith("segue.v1.*.timer.")


def test_the_note_of_a_cancelled_timer_is_no_timer() -> None:
    """It has no deadline."""
    with pytest.raises(SubjectError, match="is no timer"):
        subjects.parse_timer(subjects.timer_cancelled("default", RUN))


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "segue.v1.default.run.00.abcdefgh",
        "segue.v2.default.run.00.abcdefgh.started",
        "segue.v1.default.tel.agents.a.b.c",
    ],
)
def test_a_subject_of_another_kind_is_no_run_event(subject: str) -> None:
    """The error repeats the subject."""
    with pytest.raises(SubjectError, match="is no run event"):
        subjects.parse_run(subject)


@pytest.mark.parametrize(
    "event",
    [("started",), ("step", "lint"), ("step", "lint", "x", "started"), ("step", "lint", "²", "a")],
)
def test_an_unknown_form_is_no_step_event(event: tuple[str, ...]) -> None:
    """Forms of a newer version are passed over."""
    assert subjects.parse_step_event(event) is None


@pytest.mark.parametrize("number", ["", "x", "-1", "٣", "²"])
def test_a_fired_timer_has_a_plain_number(number: str) -> None:
    """Only digits of ASCII are a deadline."""
    with pytest.raises(SubjectError, match="is no fired timer"):
        subjects.parse_fired(f"segue.v1.default.fired.00.{RUN}.{number}")


@pytest.mark.parametrize(
    "subject",
    [f"{PREFIX}.started", subjects.turn(PREFIX, "lint", 1, 1), "scheduled", "a.scheduled.b"],
)
def test_what_is_no_task_has_no_task_prefix(subject: str) -> None:
    """The error repeats the subject."""
    with pytest.raises(SubjectError, match="is no task"):
        subjects.task_prefix(subject)


def test_only_the_journal_has_facts() -> None:
    """Nothing else is republished."""
    with pytest.raises(SubjectError, match="is no journal subject"):
        subjects.fact_of(subjects.delta("default", RUN, "lint"))


# Templates for metrics.


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (subjects.run_event("acme", RUN, "started"), "run.<shard>.<run>.started"),
        (subjects.run_event("acme", RUN, "signal.gh-4417"), "run.<shard>.<run>.signal"),
        (
            subjects.scheduled(PREFIX, "lint", 3, pool="agents", priority="p1"),
            "run.<shard>.<run>.step.<key>.<attempt>.scheduled.agents.p1",
        ),
        (
            subjects.fact_of(subjects.turn(PREFIX, "lint", 3, 12)),
            "fact.<shard>.<run>.step.<key>.<attempt>.turn",
        ),
        (
            subjects.outcome(PREFIX, "lint", 3, "completed"),
            "run.<shard>.<run>.step.<key>.<attempt>.outcome.completed",
        ),
        (subjects.timer("acme", RUN, 5), "timer.<shard>.<run>.<n>"),
        (subjects.fired("acme", RUN, 5), "fired.<shard>.<run>.<n>"),
        (subjects.delta("acme", RUN, "lint"), "delta.<run>.<what>"),
        (subjects.control("acme", RUN, "cancel"), "ctl.<run>.<what>"),
        (subjects.command("acme", "agents", "list"), "cmd.agents.list"),
        (
            subjects.telemetry("acme", "providers", "router", "route_decided"),
            "tel.providers.router.route_decided",
        ),
        (subjects.dead("acme", "agents", "undecodable"), "dead.agents.undecodable"),
    ],
)
def test_a_template_keeps_no_ids(subject: str, expected: str) -> None:
    """Metric labels stay few: tenants, runs, steps, numbers and signals are gone."""
    assert subjects.template(subject) == f"segue.v1.<ns>.{expected}"


@pytest.mark.parametrize("subject", ["", "orders.17.paid", "segue.v1.acme.in.orders.17"])
def test_a_foreign_subject_has_one_template(subject: str) -> None:
    """Users' own subjects never become labels."""
    assert subjects.template(subject) == "<other>"


def test_a_childs_end_lies_in_its_parents_journal() -> None:
    """It is built and told apart like any run event."""
    prefix = subjects.run_prefix("default", RUN)

    place = subjects.parse_run(subjects.child_ended(prefix, "c0ffee00"))

    assert (place.run, place.event) == (RUN, ("child", "c0ffee00", "ended"))


@pytest.mark.parametrize(
    "subject",
    ["segue.v1.default.in", "segue.v1.default.run.00.x.started", "orders.paid", "segue.v1.a.tel.b"],
)
def test_what_no_users_system_sent_is_no_intake(subject: str) -> None:
    """Only a namespace and a topic make one."""
    with pytest.raises(subjects.SubjectError, match="no event of a user's system"):
        subjects.parse_intake(subject)


def test_an_intake_keeps_its_topic_whole() -> None:
    """A topic may have several tokens."""
    place = subjects.parse_intake(subjects.intake("default", "orders.paid.eu"))

    assert (place.namespace, place.topic) == ("default", "orders.paid.eu")
