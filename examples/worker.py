"""A worker: who serves the pool `wordcount`, with only nats-py and the standard library?"""

import asyncio
import json
import os
import time

import nats
from nats.aio.client import Client, Msg

BUS = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
ENSURE = "segue.v1.default.cmd.orchestrator.pool_ensure"
TAKEN = 10071  # the broker's code for: this attempt has an outcome already


def outcome_of(text: object) -> tuple[str, dict[str, object]]:
    """Return the status of an attempt and what is said about it."""
    if isinstance(text, str):
        words = text.lower().split()
        return "completed", {"output": {"inline": {"words": len(words), "unique": len(set(words))}}}
    problem = "'text' must be a text of at most 64 KiB: give the step 'with: {text: ...}'"
    return "failed", {"error": {"code": "invalid_input", "message": problem, "retryable": False}}


async def work(bus: Client, message: Msg) -> None:
    """Publish the outcome of a task unless there is one, then acknowledge the task."""
    event, attempt = json.loads(message.data), message.subject.rsplit(".", 3)[0]
    early_s = event["data"].get("notBeforeMs", 0) / 1000 - time.time()  # noqa: TID251 - stands alone
    if early_s > 0:
        return await message.nak(delay=early_s)
    status, data = outcome_of(event["data"].get("input", {}).get("inline", {}).get("text"))
    event |= {"id": f"{attempt}.outcome.{status}", "type": f"segue.run.step_{status}.v1"}
    event |= {"source": "wordcount", "data": data, "time": time.strftime("%FT%TZ", time.gmtime())}
    only_one = {"Nats-Expected-Last-Subject-Sequence": "0"}
    only_one["Nats-Expected-Last-Subject-Sequence-Subject"] = f"{attempt}.outcome.*"
    stored = await bus.request(event["id"], json.dumps(event).encode(), 5, headers=only_one)
    if json.loads(stored.data).get("error", {}).get("err_code", TAKEN) == TAKEN:
        await message.ack()


async def main() -> None:
    """Work until stopped; whatever is away is waited for."""
    bus = await nats.connect(BUS, max_reconnect_attempts=-1)
    while True:
        try:
            pool = json.loads((await bus.request(ENSURE, b'{"pool": "wordcount"}', 5)).data)
            pull = "$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}".format(**pool["result"])
            while (task := await bus.request(pull, b'{"expires": 5000000000}', 6)).reply:
                await work(bus, task)
        except (nats.errors.Error, LookupError) as reason:
            print(f"waiting: {reason!r}", flush=True)
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
