"""sys/health: the code says the state, and a parameter that cannot be read is refused in every state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.request import Refusal
from node.status import Status


def status_of(**state: Any) -> Status:
    """The status of a member in a state; by default uninitialised."""
    defaults: dict[str, Any] = {
        "initialised": True,
        "sealed": False,
        "is_leader": False,
        "leader_id": "n1",
        "replica": None,
        "clock": SimpleNamespace(wall_ns=lambda: 1_700_000_000_000_000_000),
        "clock_skew_s": 0.0,
        "settings": SimpleNamespace(profile="production"),
    }
    return Status(cast("Any", SimpleNamespace(**defaults | state)), cast("Any", None))


UNINITIALISED = {"initialised": False, "sealed": True}
SEALED = {"sealed": True}
ACTIVE = {"is_leader": True}
STANDBY: dict[str, Any] = {}
LEADERLESS = {"leader_id": None}


@pytest.mark.parametrize(
    ("state", "query", "code"),
    [
        (UNINITIALISED, {}, 501),
        (UNINITIALISED, {"uninitcode": "299"}, 299),
        (UNINITIALISED, {"standbyok": "true"}, 501),
        (SEALED, {}, 503),
        (SEALED, {"sealedcode": "298"}, 298),
        (SEALED, {"perfstandbyok": "true"}, 503),
        (ACTIVE, {}, 200),
        (ACTIVE, {"activecode": "250"}, 250),
        (ACTIVE, {"standbyok": "0"}, 200),
        (STANDBY, {}, 429),
        (STANDBY, {"standbycode": "251"}, 251),
        (STANDBY, {"standbyok": "true"}, 200),
        (STANDBY, {"standbyok": "", "activecode": "250"}, 250),
        (STANDBY, {"standbyok": "false"}, 429),
        (STANDBY, {"perfstandbyok": "true"}, 200),
        (STANDBY, {"performancestandbycode": "473"}, 473),
        (LEADERLESS, {}, 474),
        (LEADERLESS, {"standbyok": "true"}, 474),
    ],
)
def test_the_code_says_the_state(state: dict[str, Any], query: dict[str, str], code: int):
    """Each state has its code, and its parameter changes it."""
    assert status_of(**state).health(query).status == code


@pytest.mark.parametrize("state", [UNINITIALISED, SEALED, ACTIVE, STANDBY, LEADERLESS])
@pytest.mark.parametrize(
    "query",
    [
        {"standbyok": "x"},
        {"perfstandbyok": "maybe"},
        {"activecode": "x"},
        {"sealedcode": "99"},
        {"uninitcode": "1000"},
        {"standbycode": ""},
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused_in_every_state(state: dict[str, Any], query: dict[str, str]):
    """A load balancer with a wrong line learns it on the first day, not when its node is sealed."""
    with pytest.raises(Refusal) as refused:
        status_of(**state).health(query)
    assert refused.value.status == 400
