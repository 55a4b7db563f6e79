"""Masking: is every secret in a text hidden, and nothing else?"""

import pytest
import structlog.testing

from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError
from segue_shared.masking import masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("nats://me:hunter2@broker:4222", "nats://me:[redacted]@broker:4222"),
        ("nats://hunter2@broker:4222", "nats://[redacted]@broker:4222"),
        ("tls://me:12345@broker", "tls://me:[redacted]@broker"),
        ("nats://me:hun/ter@2@broker", "nats://me:[redacted]@broker"),
        ("nats://me:a@one,tls://you:b@two", "nats://me:[redacted]@one,tls://you:[redacted]@two"),
        ("nats://a@one, nats://b@two", "nats://[redacted]@one, nats://[redacted]@two"),
    ],
)
def test_credentials_in_an_address_are_hidden(address: str, shown: str) -> None:
    """Passwords, and tokens that stand alone; the rest of the address stays readable."""
    assert masked(f"at {address}") == f"at {shown}"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080/page?from=me@home",
        "nats://broker:4222,nats://other:4222 asked by me@home",
        "http://[::1]:4222/",
        '{"url":"http://host:80","mail":"me@home"}',
    ],
)
def test_an_address_without_credentials_is_shown_as_it_is(address: str) -> None:
    """A port is no password."""
    assert masked(address) == address


@pytest.mark.parametrize("credentials", ["me:hunter2", "hunter2"])
async def test_an_error_about_a_broker_shows_no_credentials(credentials: str) -> None:
    """Neither its own text, nor what is logged meanwhile."""
    url = f"nats://{credentials}@127.0.0.1:9"

    with structlog.testing.capture_logs() as logged, pytest.raises(BusUnavailableError) as caught:
        await Bus.connect(url, name="test", max_wait_s=0.3)

    assert "[redacted]@127.0.0.1:9" in str(caught.value)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}{logged}"
