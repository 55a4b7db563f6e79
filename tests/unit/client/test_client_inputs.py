"""Tests of `--context`, the report, restarts, the broker's file and exit codes: pure rules."""

from typing import get_args

import pytest

from segue.core.broker_conf import render
from segue.core.exits import Exit, of_end, of_refusal
from segue.core.inputs import ContextError, absolute_repository, parse_context
from segue.core.report import report_of
from segue.core.restarts import RestartPolicy
from segue.core.stack_record import RecordError, StackRecord, read_record, write_record
from segue_contracts.reply import RefusalCode


def test_a_context_is_a_json_object() -> None:
    """Values of every JSON type arrive as they are."""
    assert parse_context('{"a": 1, "b": [true, null]}') == {"a": 1, "b": [True, None]}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{repository: .}", "--context:1:2: expecting property name"),
        ('{"a": 1,\n "b" 2}', "--context:2:6: expecting ':' delimiter"),
        ("", "--context:1:1: expecting value"),
        ("[1]", "--context:1:1: must be a JSON object such as {}, not a list"),
        ("true", "not true or false"),
        ("null", "not null"),
        ("3", "not a number"),
        ('"x"', "not a string"),
        ('{"a":\n NaN}', "--context:2:2: NaN is no JSON number"),
        ("[" * 100_000, "--context:1:1: nested too deeply"),
    ],
)
def test_a_context_that_is_no_json_object_is_refused_with_its_place(text: str, place: str) -> None:
    """The message names source, line and column."""
    with pytest.raises(ContextError) as caught:
        parse_context(text)

    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("given", "absolute"),
    [
        (".", "/home/me/project"),
        ("../other", "/home/me/other"),
        ("/srv/repo", "/srv/repo"),
        ("https://example.org/repo.git", "https://example.org/repo.git"),
        ("git@example.org:me/repo.git", "git@example.org:me/repo.git"),
    ],
)
def test_a_relative_repository_is_meant_from_where_the_command_runs(
    given: str, absolute: str
) -> None:
    """The services run elsewhere, so the path is made absolute; addresses stay."""
    context: dict[str, object] = {"repository": given, "branch": "."}

    assert absolute_repository(context, folder="/home/me/project") == {
        "repository": absolute,
        "branch": ".",
    }


def test_a_context_without_a_repository_path_stays_as_it_is() -> None:
    """Other inputs, and a repository that is no text, are not touched."""
    for context in ({"x": "."}, {"repository": 3}, {"repository": ""}):
        assert absolute_repository(dict(context), folder="/f") == context


@pytest.mark.parametrize(
    ("output", "report"),
    [
        ("# whole", "# whole"),
        ({"title": "t", "report": "# r"}, "# r"),
        ({"report": {"provider": "offline", "report": "# inner"}}, "# inner"),
        ({"n": 1, "text": "first", "more": "second"}, "first"),
        ({"n": 1}, None),
        (["a"], None),
        (None, None),
    ],
)
def test_the_report_is_the_output_of_that_name_else_the_first_text(
    output: object, report: str | None
) -> None:
    """Also when a step's whole output was passed on as the report."""
    assert report_of(output) == report


def test_waits_between_restarts_double_up_to_a_limit() -> None:
    """A process that cannot start does not spin."""
    policy = RestartPolicy(first_s=0.5, longest_s=15)

    assert [policy.delay_s(n) for n in (1, 2, 3, 6, 5_000)] == [0.5, 1.0, 2.0, 15.0, 15.0]


def test_a_process_that_was_stable_starts_counting_anew() -> None:
    """One crash a day is not a crash loop."""
    policy = RestartPolicy(stable_s=30)

    assert [policy.crashes(5, 29.9), policy.crashes(5, 30.0)] == [6, 1]


def test_the_broker_is_bound_to_loopback_and_syncs_as_the_profile_says() -> None:
    """Only `fsync` syncs each message."""
    fast = render(port=4333, store_dir="/data/nats", durability="fast")
    fsync = render(port=4333, store_dir="/data/nats", durability="fsync")

    assert 'host: "127.0.0.1"' in fast
    assert "port: 4333" in fast
    assert "js_ack_fc_v2: false" in fast
    assert "sync_interval" not in fast
    assert 'sync_interval: "always"' in fsync


def test_a_stack_record_survives_its_file() -> None:
    """What is written is what is read."""
    record = StackRecord(pid=7, nats_url="nats://127.0.0.1:4222", pids={"agents": 8})

    assert read_record(write_record(record)) == record


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"pid": "x"}'])
def test_a_file_that_is_no_stack_record_is_told(data: bytes) -> None:
    """Half a file is not taken for a record."""
    with pytest.raises(RecordError):
        read_record(data)


def test_every_refusal_has_an_exit_code() -> None:
    """A new refusal code cannot be forgotten."""
    assert {of_refusal(code) for code in get_args(RefusalCode)} <= set(Exit)


def test_only_a_completed_run_is_a_success() -> None:
    """Failed and cancelled runs end a command with 1."""
    assert [of_end(s) for s in ("completed", "failed", "cancelled")] == [0, 1, 1]
