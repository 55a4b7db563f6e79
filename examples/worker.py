"""A worker: who serves the pool `wordcount`, with only nats-py and the standard library?"""

import asyncio
import json
import os
import time

import nats

ENSURE = "segue.v1.default.cmd.orchestrator.pool_ensure"
GUARD = "Nats-Expected-Last-Subject-Sequence"
TAKEN = 10071  # the broker's code for: this attempt has an outcome already


def outcome_of(given: dict[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    """Return the status of an attempt and what is said about it."""
    if isinstance(text := given.get("inline", {}).get("text"), str):
        return "completed", {"output": {"inline": {"words": len(text.split())}}}
    problem = "'text' must be a text of at most 64 KiB: give the step 'with: {text: ...}'"
    return "failed", {"error": {"code": "invalid_input", "message": problem, "retryable": False}}


async def main() -> None:
    """Settle one task after the other until stopped; whatever is away is waited for."""
    bus = await nats.connect(os.getenv("NATS_URL", "nats://127.0.0.1"), max_reconnect_attempts=-1)
    while True:
        try:
            pool = json.loads((await bus.request(ENSURE, b'{"pool": "wordcount"}', 5)).data)
            pull = "$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}".format(**pool["result"])
            wait = b'{"expires": 5000000000}'  # nanoseconds
            while (task := await bus.request(pull, wait, 6, old_style=True)).reply:
                attempt, event = task.subject.rsplit(".", 3)[0], json.loads(task.data)
                early_s = event["data"].get("notBeforeMs", 0) / 1000 - time.time()  # noqa: TID251 - stands alone
                if early_s > 0:
                    await task.nak(delay=early_s)
                    continue
                status, data = outcome_of(event["data"].get("input", {}))
                event |= {"id": f"{attempt}.outcome.{status}", "data": data, "source": "wordcount"}
                event["type"] = f"segue.run.step_{status}.v1"
                event["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                first = {GUARD: "0", f"{GUARD}-Subject": f"{attempt}.outcome.*"}
                sent = bus.request(event["id"], json.dumps(event).encode(), 5, headers=first)
                refused = json.loads((await sent).data).get("error")
                if not refused or refused["err_code"] == TAKEN:
                    await task.ack()
        except (nats.errors.Error, LookupError) as reason:
            print(f"waiting: {reason!r}", flush=True)
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
