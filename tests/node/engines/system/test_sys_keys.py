"""`sys/key-status` and `sys/rotate/config`: numbers of the keyring, and when keys rotate by themselves."""

import msgspec
import pytest

from cluster import Draft, Fact, Table
from node.engines.system.keys import (
    FACT,
    INTERVAL_S,
    OPERATIONS_MAX,
    KeyStatus,
    RotateConfig,
    key_routes,
    rotate_config,
)
from node.engines.system.routes import Router
from tests.node.engines.fakes import START_NS, Bench

DAY_S = 86_400


class Keys:
    def status(self):
        return KeyStatus(3, START_NS, 7)


@pytest.fixture(name="bench")
def _bench():
    return Bench(Router(key_routes(Keys())), mount_path="sys/")


def test_key_status_names_the_active_term_twice(bench):
    """In `data` and at the top level, as clients read it; it is the leader's to answer, and proposes nothing."""
    answer = bench.ask("read", "key-status")

    assert answer.data == {"term": 3, "install_time": "2025-11-24T09:41:00.25Z", "encryptions": 7}
    assert (answer.inject, bench.plans[-1].draft.empty) == (True, True)


def test_the_default_is_ninety_days(bench):
    """Without a word of anybody."""
    expected = {"enabled": True, "interval": INTERVAL_S, "max_operations": OPERATIONS_MAX}

    assert bench.data("read", "rotate/config") == expected
    assert INTERVAL_S == 90 * DAY_S


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"interval": "24h"}, {"interval": DAY_S}),
        ({"interval": DAY_S}, {"interval": DAY_S}),
        ({"interval": 0}, {"interval": 0}),
        ({"enabled": "false"}, {"enabled": False}),
        ({"max_operations": 1_000_000}, {"max_operations": 1_000_000}),
        ({}, {}),
    ],
)
def test_what_is_given_is_kept_and_the_rest_stays(bench, body, changed):
    """A second write changes only what it names."""
    bench.ask("update", "rotate/config", {"max_operations": OPERATIONS_MAX})
    before = bench.data("read", "rotate/config")
    answer = bench.ask("update", "rotate/config", body)

    assert (answer.empty, bench.data("read", "rotate/config")) == (True, before | changed)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"interval": "23h59m"}, "interval must be greater or equal to 24h0m0s"),
        ({"interval": 1}, "interval must be greater or equal to 24h0m0s"),
        ({"max_operations": 999_999}, f"max_operations must be in the range [1000000, {OPERATIONS_MAX}]"),
        ({"max_operations": OPERATIONS_MAX + 1}, f"max_operations must be in the range [1000000, {OPERATIONS_MAX}]"),
        ({"interval": "soon"}, None),
        ({"interval": -DAY_S}, None),
        ({"enabled": "perhaps"}, None),
    ],
)
def test_what_cannot_be_is_refused(bench, body, text):
    """The twin: nothing changes."""
    refusal = bench.refused("update", "rotate/config", body)

    assert refusal.status == 400
    assert text is None or refusal.texts == (text,)


@pytest.mark.parametrize(
    ("config", "age_s", "encryptions", "due"),
    [
        (RotateConfig(), 89 * DAY_S, 0, False),
        (RotateConfig(), 90 * DAY_S, 0, True),
        (RotateConfig(enabled=False), 900 * DAY_S, OPERATIONS_MAX, False),
        (RotateConfig(interval_s=0), 900 * DAY_S, 0, False),
        (RotateConfig(interval_s=0), 1, OPERATIONS_MAX, True),
        (RotateConfig(interval_s=DAY_S), DAY_S, 0, True),
        (RotateConfig(max_operations=1_000_000), 1, 1_000_000, True),
        (RotateConfig(max_operations=1_000_000), 1, 999_999, False),
    ],
)
def test_when_a_term_has_served_its_time(config, age_s, encryptions, due):
    """By age or by use, unless it is switched off."""
    status = KeyStatus(1, START_NS, encryptions)

    assert config.is_due(status, START_NS + age_s * 10**9) is due


def test_a_fact_that_cannot_be_read_says_nothing(bench):
    """The defaults hold, and the next write replaces it."""
    draft = Draft()
    draft.put(Table.FACT, FACT, Fact(time_ns=1, text="x", data=msgspec.msgpack.encode("nonsense")))
    bench.view.apply(draft)
    assert rotate_config(bench.view)[1] == RotateConfig()

    bench.ask("update", "rotate/config", {"interval": "48h"})
    assert bench.data("read", "rotate/config")["interval"] == 2 * DAY_S
