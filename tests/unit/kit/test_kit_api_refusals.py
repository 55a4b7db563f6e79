"""Refusals of JetStream: which pass by themselves?"""

import pytest

from segue_shared.consumers import raise_refusal
from segue_shared.errors import PermanentError, TransientError


@pytest.mark.parametrize("code", [10008, 10023, 10047, 10104])
def test_a_broker_without_leader_or_room_may_be_asked_again(code: int) -> None:
    """A run whose pool cannot be made now is not parked for it."""
    answer = {"error": {"code": 503, "err_code": code, "description": "not now"}}
    with pytest.raises(TransientError, match="consumer x: not now"):
        raise_refusal(answer, "consumer x")


def test_a_configuration_that_is_refused_stays_refused() -> None:
    """Repeating it would help nobody."""
    answer = {"error": {"code": 400, "err_code": 10052, "description": "invalid subject"}}
    with pytest.raises(PermanentError, match="invalid subject"):
        raise_refusal(answer, "stream x")


def test_a_consumer_setting_that_cannot_be_changed_stays_refused() -> None:
    """JetStream has one code for that and for a consumer that it could not store."""
    description = "ack policy can not be updated"
    answer = {"error": {"code": 500, "err_code": 10012, "description": description}}
    with pytest.raises(PermanentError, match=description):
        raise_refusal(answer, "consumer x")
