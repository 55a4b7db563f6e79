"""The journal's reads: is what is read whole, whatever happens to the stream meanwhile?"""

from typing import cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from segue_shared.bus import Bus
from segue_shared.journal import Journal

NOT_FOUND = {"Status": "404", "Description": "Message Not Found"}
END = {"Status": "204", "Description": "EOB", "Nats-Num-Pending": "0"}


class Scripted:
    """A connection on which each question has its answers."""

    def __init__(self, *answers: list[Msg]) -> None:
        self.left = list(answers)

    async def exchange(self, subject: str, data: bytes, **options: object) -> list[Msg]:
        """Give the next answers."""
        del subject, data, options
        return self.left.pop(0)


def answer(headers: dict[str, str], data: bytes = b"") -> Msg:
    """Return an answer of the broker."""
    return Msg(cast("Client", None), "_INBOX", "", data, headers)


def held(sequence: int) -> Msg:
    """Return a message of a stream."""
    return answer(
        {
            "Nats-Subject": f"a.{sequence}",
            "Nats-Sequence": str(sequence),
            "Nats-Time-Stamp": "2027-01-15T08:00:00Z",
        },
        b"x",
    )


async def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    """The broker does so when a message is removed that it was about to send."""
    bus = Scripted([held(1), answer(NOT_FOUND)], [held(1), held(3), answer(END)])

    found = await Journal(cast("Bus", bus), "S").last(["a.>"])

    assert [message.sequence for message in found] == [1, 3]


async def test_nothing_found_is_an_answer() -> None:
    """A status without any message says that there is none."""
    bus = Scripted([answer(NOT_FOUND)])

    assert await Journal(cast("Bus", bus), "S").last(["a.>"]) == []
