"""A worker: who serves the pools of the examples, with only nats-py and the standard library?

It does what the steps of this folder ask for: pages are files in the folder `$SHELF`. It says when
it has started, gives signs of life where they are asked for, and stops when nobody wants the
result any more. `../worker.py` is the same in 40 lines, without all that.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

SHELF = Path(os.getenv("SHELF", ".segue/shelf"))
AT_ONCE = 4  # tasks of a pool
TICK_S = 0.1
GUARD = "Nats-Expected-Last-Subject-Sequence"
STORED = (None, 10071)  # the broker's codes for: yours is stored, or another was there first

Given = dict[str, Any]


class CannotError(Exception):
    """A task cannot be done; its code is for policies, its message for people."""

    def __init__(self, code: str, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.failure = {"code": code, "message": message, "retryable": again}


class UnwantedError(Exception):
    """Nobody wants a task's result any more."""


# What can be asked for.


def wrong(name: str, form: str) -> CannotError:
    """Return why a value of a step's `with` cannot be used."""
    problem = f"'{name}' must be {form}: give the step 'with: {{{name}: ...}}'"
    return CannotError("invalid_input", problem, again=False)


def text_of(given: Given, name: str) -> str:
    """Return a text of a step's `with`."""
    if not isinstance(value := given.get(name), str):
        raise wrong(name, "a text")
    return value


def file_of(name: str) -> Path:
    """Return a page's file."""
    if re.fullmatch(r"[a-z0-9-]+(\.md)?", name):
        return SHELF / f"{name.removesuffix('.md')}.md"
    problem = f"a page is called by a-z, 0-9 and hyphens, not {name!r}"
    raise CannotError("invalid_input", problem, again=False)


async def say(given: Given, _attempt: int) -> object:
    """Print a line."""
    print(text_of(given, "text"), flush=True)
    return {"text": given["text"]}


async def count(given: Given, _attempt: int) -> object:
    """Count the words and lines of a text."""
    text = text_of(given, "text")
    return {"words": len(text.split()), "lines": len(text.splitlines())}


async def split(given: Given, _attempt: int) -> object:
    """Divide a text at its headings."""
    parts = re.split(r"^# (.+)\n", text_of(given, "text"), flags=re.MULTILINE)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return {"chapters": [{"heading": heading, "text": text} for heading, text in pairs]}


async def publish(given: Given, _attempt: int) -> object:
    """Put a page on the shelf; twice is the same as once."""
    file = file_of(text_of(given, "name"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text_of(given, "text"))
    return {"file": file.name}


async def withdraw(given: Given, _attempt: int) -> object:
    """Take a page off the shelf; twice is the same as once."""
    file = file_of(text_of(given, "file"))
    file.unlink(missing_ok=True)
    return {"file": file.name}


async def rest(given: Given, _attempt: int) -> object:
    """Take some time."""
    seconds = given.get("seconds")
    if not isinstance(seconds, int | float):
        raise wrong("seconds", "a number")
    await asyncio.sleep(seconds)
    return {"seconds": seconds}


async def rehearse(given: Given, attempt: int) -> object:
    """Give the attempt the answer that the step foresees, so that failures can be watched."""
    answers = given.get("answers")
    if not (isinstance(answers, list) and all(isinstance(one, dict) for one in answers)):
        raise wrong("answers", "a list of mappings")
    answer = answers[min(attempt, len(answers)) - 1] if answers else {}
    if code := answer.get("fail"):
        raise CannotError(code, f"as foreseen for attempt {attempt}")
    return {**answer, "attempt": attempt}


async def send(given: Given, _attempt: int) -> object:
    """Put a letter into the outbox, in place of a mail server."""
    outbox = SHELF / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    letter = {name: text_of(given, name) for name in ("to", "subject", "body")}
    (outbox / f"{len([*outbox.iterdir()])}.json").write_text(json.dumps(letter))
    return {"to": letter["to"], "subject": letter["subject"]}


POOLS: dict[str, dict[str, Callable[[Given, int], Awaitable[object]]]] = {
    "pages": {
        action.__name__: action for action in (say, count, split, publish, withdraw, rest, rehearse)
    },
    "connectors": {"pages.publish": publish, "gmail.send": send},
}


# How it is asked, and answers.


class Task:
    """An attempt that this worker has in its hands."""

    def __init__(self, bus: Client, message: Msg, *, unwanted: set[str]) -> None:
        self.message = message
        self.frame = json.loads(message.data)
        self.asked = self.frame["data"]
        self._bus = bus
        self._unwanted = unwanted
        self._attempt = message.subject.rsplit(".", 3)[0]

    async def tell(self, what: str, kind: str, data: object, *, group: str = "") -> None:
        """Store an event of the attempt unless its group has one, however long it takes."""
        subject = f"{self._attempt}.{what}"
        event = {**self.frame, "id": subject, "source": "examples", "data": data}
        event["type"] = f"segue.run.{kind}.v1"
        event["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        first = {GUARD: "0", f"{GUARD}-Subject": f"{self._attempt}.{group or what}"}
        while True:
            try:
                answer = await self._bus.request(
                    subject, json.dumps(event).encode(), 5, headers=first
                )
            except nats.errors.Error as reason:
                print(f"waiting: {reason!r}", flush=True)
                await asyncio.sleep(1)
                continue
            if json.loads(answer.data).get("error", {}).get("err_code") in STORED:
                return

    async def settle(self) -> None:
        """Work, and say what came of it."""
        early_s = self.asked.get("notBeforeMs", 0) / 1000 - time.time()  # noqa: TID251 - stands alone
        if early_s > 0:
            await self.message.nak(delay=early_s)
            return
        work = asyncio.create_task(self._work())
        try:
            await self._watch(work)
        except UnwantedError as reason:
            work.cancel()
            await self._settled("cancelled", {"reason": str(reason)})
        except CannotError as reason:
            await self._settled("failed", {"error": reason.failure})
        except TimeoutError:
            # The run's own timer has settled the attempt by now, or is about to.
            work.cancel()
        else:
            await self._settled("completed", {"output": {"inline": work.result()}})
        await self.message.ack()

    async def _settled(self, status: str, data: object) -> None:
        await self.tell(f"outcome.{status}", f"step_{status}", data, group="outcome.*")

    async def _work(self) -> object:
        pool, action = self.asked["pool"], self.asked.get("action", "")
        known = POOLS[pool]
        if action not in known:
            problem = f"pool {pool} knows {', '.join(known)}, not {action!r}"
            raise CannotError("unknown_action", problem, again=False)
        given = self.asked.get("input", {}).get("inline")
        if given is None:
            problem = "what a step is given here has at most 64 KiB"
            raise CannotError("invalid_input", problem, again=False)
        return await known[action](given, self.asked["attempt"])

    async def _watch(self, work: asyncio.Task[object]) -> None:
        """Give signs of life until the work is done.

        Raises:
            CannotError: It cannot be done.
            UnwantedError: Its run is being cancelled.
            TimeoutError: It has taken too long.
        """
        began = last = time.monotonic()
        beats, beat_s, limit_s = 0, self.asked.get("heartbeatMs", 3_000) / 3_000, self._limit_s()
        while not (await asyncio.wait({work}, timeout=TICK_S))[0]:
            now = time.monotonic()
            if self.asked["run"] in self._unwanted:
                raise UnwantedError("the run is being cancelled")
            if now - began > limit_s:
                raise TimeoutError
            if not beats or now - last > beat_s:
                last, beats = now, beats + 1
                await self._say_alive(beats)
        work.result()

    async def _say_alive(self, beats: int) -> None:
        """Say that the work has begun, and then that it goes on."""
        await self.message.in_progress()
        if beats == 1:
            await self.tell("started", "step_started", {"worker": "examples"})
        elif "heartbeatMs" in self.asked:
            await self.tell(f"beat.{beats}", "step_beat", {"worker": "examples"})

    def _limit_s(self) -> float:
        """Return after how many seconds the attempt times out."""
        limits = [3_600.0]
        if deadline_ms := self.asked.get("deadlineMs"):
            limits.append(deadline_ms / 1000 - time.time())  # noqa: TID251 - stands alone
        if limit_ms := self.asked.get("startToCloseMs"):
            limits.append(limit_ms / 1000)
        return min(limits)


async def serve(bus: Client, pool: str, unwanted: set[str]) -> None:
    """Settle one task of a pool after the other; whatever is away is waited for."""
    ensure = "segue.v1.default.cmd.orchestrator.pool_ensure"
    while True:
        try:
            answer = await bus.request(ensure, json.dumps({"pool": pool}).encode(), 5)
            ready = json.loads(answer.data)["result"]
            tasks = await bus.jetstream().pull_subscribe_bind(ready["consumer"], ready["stream"])
            try:
                while True:
                    await settle_next(bus, tasks, unwanted)
            finally:
                await tasks.unsubscribe()
        except (nats.errors.Error, LookupError) as reason:
            print(f"waiting: {reason!r}", flush=True)
            await asyncio.sleep(1)


async def settle_next(
    bus: Client, tasks: JetStreamContext.PullSubscription, unwanted: set[str]
) -> None:
    """Settle the next task of a pool, if one comes within seconds."""
    with suppress(nats.errors.TimeoutError):
        for message in await tasks.fetch(1, timeout=5):
            await Task(bus, message, unwanted=unwanted).settle()


async def main() -> None:
    """Serve all pools until stopped."""
    url = os.getenv("NATS_URL", "nats://127.0.0.1:4222")
    bus = await nats.connect(url, max_reconnect_attempts=-1)
    unwanted: set[str] = set()

    async def on_hint(message: Msg) -> None:
        unwanted.add(message.subject.split(".")[4])

    await bus.subscribe("segue.v1.default.ctl.*.cancel", cb=on_hint)
    await asyncio.gather(*(serve(bus, pool, unwanted) for pool in POOLS for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main())
