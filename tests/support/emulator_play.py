"""The emulator's faults: how does a scenario change the reply of any wire?"""

import asyncio
import json

from support.emulator_http import Connection, chunk, head_bytes, shredded, whole_bytes
from support.emulator_log import Entry
from support.emulator_scenario import Scenario
from support.emulator_script import script_of
from support.emulator_wire import Asked, Fault, Reply, Wire

_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "transfer-encoding": "chunked",
    "cache-control": "no-cache",
}
_IN_BAND = Fault(status=529, message="Overloaded in the middle")
_COMMENT = b": keep-alive\n\n"


class Play:
    """One reply, with whatever the scenario does to it."""

    def __init__(
        self, connection: Connection, wire: Wire, scenario: Scenario, entry: Entry
    ) -> None:
        self._connection = connection
        self._wire = wire
        self._scenario = scenario
        self._entry = entry

    async def fail(self, fault: Fault) -> bool:
        """Refuse the request; returns whether the connection may serve another."""
        return await self._reply(self._wire.error(fault))

    async def other(self, asked: Asked) -> bool:
        """Answer what is no call of a model."""
        body = self._wire.other(asked, self._entry.operation)
        return await self._reply(self._json(body))

    async def whole(self, asked: Asked) -> bool:
        """Answer at once."""
        script = script_of(self._scenario, asked, self._wire)
        reply = self._json(self._wire.whole(script))
        cut = next((name for name in ("abort", "eof", "stall") if self._scenario.has(name)), None)
        if cut is not None:
            return await self._half(reply, cut)
        if self._scenario.has("malformed"):
            reply = Reply(status=200, body=reply.body[:-2], headers=reply.headers)
        if self._scenario.has("error-after") or self._scenario.has("preamble-error"):
            reply = Reply(status=200, body=self._wire.error(_IN_BAND).body, headers=reply.headers)
        await self._connection.pause((self._scenario.number("slow") or 0) / 1000)
        return await self._reply(reply)

    async def stream(self, asked: Asked) -> bool:
        """Answer bit by bit."""
        frames = self._wire.frames(script_of(self._scenario, asked, self._wire))
        self._entry.status = 200
        headers = {**_STREAM_HEADERS, **self._wire.reply_headers()}
        await self._connection.write(head_bytes(200, headers))
        for place, frame in enumerate(frames):
            if (kept := await self._interrupt(place)) is not None:
                return kept
            await self._frame(place, frame)
        if (kept := await self._interrupt(len(frames))) is not None:
            return kept
        return await self._end()

    async def _end(self) -> bool:
        await self._connection.write(b"0\r\n\r\n")
        self._entry.done()
        return True

    async def _interrupt(self, place: int) -> bool | None:
        """Do what is to happen instead of the frame at a place; None when nothing is."""
        scenario = self._scenario
        if place == scenario.number("error-after") or (
            place == self._wire.preamble and scenario.has("preamble-error")
        ):
            await self._connection.write(chunk(self._wire.in_band_error(_IN_BAND)))
            return await self._end()
        if place == scenario.number("abort"):
            await self._connection.reset()
            return False
        if place == scenario.number("eof"):
            return await self._end()
        if place == scenario.number("stall"):
            await self._connection.pause(None)
        return None

    async def _frame(self, place: int, frame: bytes) -> None:
        scenario = self._scenario
        if place == scenario.number("malformed"):
            frame = _malformed(frame)
        if scenario.has("comments"):
            frame = _COMMENT + frame
        if scenario.has("crlf"):
            frame = frame.replace(b"\n", b"\r\n")
        if (pause_ms := scenario.number("slow")) is not None:
            await self._connection.pause(pause_ms / 1000)
        for piece in shredded(frame) if scenario.has("split-utf8") else (frame,):
            self._entry.waiting = True
            await self._connection.write(chunk(piece))
            self._entry.waiting = False
            await asyncio.sleep(0)
        self._entry.frames += 1

    def _json(self, body: object) -> Reply:
        return Reply(
            status=200,
            body=json.dumps(body, ensure_ascii=False).encode(),
            headers={"content-type": "application/json", **self._wire.reply_headers()},
        )

    async def _reply(self, reply: Reply) -> bool:
        self._entry.status = reply.status
        await self._connection.write(whole_bytes(reply.status, reply.headers, reply.body))
        self._entry.done()
        return True

    async def _half(self, reply: Reply, cut: str) -> bool:
        """Write half of a reply; at a clean end nothing tells the client how much is missing."""
        known = {} if cut == "eof" else {"content-length": str(len(reply.body))}
        headers = {**reply.headers, **known, "connection": "close"}
        half = reply.body[: len(reply.body) // 2]
        self._entry.status = reply.status
        await self._connection.write(head_bytes(reply.status, headers) + half)
        if cut == "abort":
            await self._connection.reset()
        if cut == "stall":
            await self._connection.pause(None)
        return False


def _malformed(frame: bytes) -> bytes:
    """Cut the JSON of a frame in the middle, so that the frame itself stays whole."""
    start = frame.index(b"data:") + len(b"data: ")
    return frame[: (start + len(frame)) // 2].rstrip() + b"\n\n"
