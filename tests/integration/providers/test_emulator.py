"""The emulator: does it do what its scenarios say, so that a test can rely on it?"""

from typing import Any

import httpx2
import pytest
from support.emulating import Emulated, EmulatorFailedError

HEADERS = {"authorization": "Bearer key-of-mine", "anthropic-version": "2026-10-21"}
BODY = {
    "model": "claude-opus-5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hello"}],
}


def ask(
    emulator: Emulated, scenario: str, *, key: str = "key-of-mine", **changes: object
) -> httpx2.Response:
    """Ask the emulated Claude without any library."""
    headers = {**HEADERS, "authorization": f"Bearer {key}"}
    url = emulator.url(scenario, suffix="/v1/messages")
    return httpx2.post(url, headers=headers, json={**BODY, **changes})


def statuses(emulator: Emulated, scenario: str, times: int) -> list[int]:
    """Ask several times."""
    return [ask(emulator, scenario).status_code for _ in range(times)]


def test_a_flaky_provider_fails_so_often_and_then_answers(emulator: Emulated) -> None:
    """The first requests of a scenario fail, the others do not."""
    assert statuses(emulator, "flaky.503.2", 4) == [503, 503, 200, 200]


def test_a_reset_forgets_requests_and_counts(emulator: Emulated) -> None:
    """After a reset a scenario begins anew, and the log is empty."""
    statuses(emulator, "flaky.529.1+id.reset", 2)
    emulator.reset()

    assert emulator.log() == []
    assert statuses(emulator, "flaky.529.1+id.reset", 2) == [529, 200]


def test_a_switch_changes_what_a_wire_does_from_now_on(emulator: Emulated) -> None:
    """The control plane says what `switch` stands for, for one wire or for all."""
    seen = statuses(emulator, "switch", 1)
    emulator.switch("error.529", wire="anthropic")
    seen += statuses(emulator, "switch", 1)
    emulator.switch("error.500")
    seen += statuses(emulator, "switch", 1)
    emulator.switch("ok", wire="anthropic")
    seen += statuses(emulator, "switch", 1)

    assert seen == [200, 529, 529, 200]


def test_one_key_of_several_can_be_refused(emulator: Emulated) -> None:
    """A fault can hit the requests of one key alone."""
    bad, good = (ask(emulator, "key.bad.401", key=f"key-{name}") for name in ("bad", "good"))

    assert (bad.status_code, good.status_code) == (401, 200)


def test_a_request_without_a_key_is_refused(emulator: Emulated) -> None:
    """Every wire wants a key."""
    url = emulator.url("ok", suffix="/v1/messages")

    assert (
        httpx2.post(url, headers={"anthropic-version": "2023-06-01"}, json=BODY).status_code == 401
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "first message"),
        (
            {"messages": [*BODY["messages"], {"role": "assistant", "content": "I"}]},  # type: ignore[misc]
            "prefill",
        ),
        ({"tool_choice": {"type": "any"}}, "tools must be given"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, "not supported"),
        ({"metadata": {"team": "x"}}, "metadata.team"),
    ],
)
def test_what_claude_refuses_is_refused(
    emulator: Emulated, changes: dict[str, Any], message: str
) -> None:
    """A body that the API would not take is answered with its error."""
    reply = ask(emulator, "ok", **changes)

    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert message in reply.json()["error"]["message"]


def test_calls_without_results_are_refused(emulator: Emulated) -> None:
    """A call must be answered in the turn that follows."""
    use = {"type": "tool_use", "id": "t1", "name": "a", "input": {}}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": "And?"},
    ]

    assert "without `tool_result`" in ask(emulator, "ok", messages=messages).text


def test_an_unknown_scenario_is_an_error(emulator: Emulated) -> None:
    """A misspelt scenario fails loudly, in the path as in a switch."""
    reply = ask(emulator, "okay")

    assert reply.status_code == 404
    assert "no scenario 'okay'" in reply.text
    with pytest.raises(EmulatorFailedError):
        emulator.switch("okay")


def test_the_log_holds_what_was_asked_and_written(emulator: Emulated) -> None:
    """Bodies, and the number of frames, can be read afterwards."""
    ask(emulator, "ok+id.log", stream=True)
    (entry,) = emulator.log(scenario="ok+id.log")

    assert entry["body"]["messages"] == BODY["messages"]
    assert (entry["wire"], entry["operation"], entry["status"]) == ("anthropic", "stream", 200)
    assert entry["frames"] == 11
    assert entry["done_s"] is not None
