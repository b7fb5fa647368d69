"""KV v2: the configuration of the mount, and how many versions stay for how long."""

from __future__ import annotations

import pytest

from cluster import Mount, Table, records
from node.engines.durations import NS
from node.engines.kv2 import KvV2
from node.engines.kv_config import KvConfig
from node.engines.kv_values import INSTANT_NS_MAX, VERSIONS_KEPT_MAX
from tests.node.engines.fakes import START_NS, Bench

NO_INT = (
    'Field validation failed: error converting input for field "max_versions": '
    "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax"
)

NO_DURATION = (
    'Field validation failed: error converting input for field "delete_version_after": time: invalid duration "banana"'
)

NO_BOOL = (
    'Field validation failed: error converting input for field "cas_required": '
    "'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax"
)


TOO_MANY_VERSIONS = f"max_versions must be at most {VERSIONS_KEPT_MAX}"


@pytest.fixture
def kv() -> Bench:
    return Bench(KvV2())


def put(kv: Bench, count: int = 1, path: str = "a") -> None:
    for number in range(count):
        kv.ask("update", f"data/{path}", {"data": {"k": number}})


@pytest.mark.parametrize(
    ("mount_max", "path_max", "puts", "oldest", "kept"),
    [
        (0, 0, 9, 0, range(1, 10)),
        (0, 0, 10, 1, range(1, 11)),
        (0, 0, 12, 3, range(3, 13)),
        (2, 0, 3, 2, range(2, 4)),
        (2, 4, 7, 4, range(4, 8)),
        (4, 2, 7, 4, range(4, 8)),
        (0, 1, 3, 3, range(3, 4)),
        (-1, 0, 12, 0, range(1, 13)),
    ],
)
def test_the_larger_number_of_versions_stays(kv, mount_max, path_max, puts, oldest, kept):
    """Of path and mount; ten where neither says."""
    kv.ask("update", "config", {"max_versions": mount_max})
    kv.ask("update", "metadata/a", {"max_versions": path_max})
    put(kv, puts)
    found = kv.data("read", "metadata/a")

    assert (found["oldest_version"], sorted(map(int, found["versions"]))) == (oldest, list(kept))
    assert len(kv.view.tables[Table.VERSION]) == len(kept)


def test_lowering_max_versions_trims_at_the_next_put(kv):
    """Not before."""
    put(kv, 7)
    kv.ask("update", "metadata/a", {"max_versions": 2})
    assert len(kv.view.tables[Table.VERSION]) == 7

    put(kv)
    found = kv.data("read", "metadata/a")
    assert (found["oldest_version"], sorted(found["versions"])) == (7, ["7", "8"])
    assert len(kv.plans[-1].draft.drops) == 6


def test_a_fresh_mount_has_no_settings(kv):
    """And answers at once."""
    assert kv.data("read", "config") == {
        "cas_required": False,
        "delete_version_after": "0s",
        "max_versions": 0,
        "metadata_cas_required": False,
    }


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"max_versions": 2}, "max_versions", 2),
        ({"max_versions": "7"}, "max_versions", 7),
        ({"max_versions": -1}, "max_versions", VERSIONS_KEPT_MAX),
        ({"max_versions": 0}, "max_versions", 0),
        ({"cas_required": True}, "cas_required", True),
        ({"cas_required": "true"}, "cas_required", True),
        ({"metadata_cas_required": 1}, "metadata_cas_required", True),
        ({"delete_version_after": "3h25m19s"}, "delete_version_after", "3h25m19s"),
        ({"delete_version_after": 90}, "delete_version_after", "1m30s"),
        ({"delete_version_after": "-1s"}, "delete_version_after", "-1s"),
        ({"delete_version_after": "-5h"}, "delete_version_after", "-1s"),
        ({"delete_version_after": "0s"}, "delete_version_after", "0s"),
    ],
)
def test_the_mount_is_configured_one_setting_at_a_time(kv, body, field, value):
    """The others stay."""
    kv.ask("update", "config", {"max_versions": 5, "delete_version_after": "1h"})
    before = kv.data("read", "config")
    assert kv.ask("update", "config", body).empty

    assert kv.data("read", "config") == {**before, field: value}


@pytest.mark.parametrize(
    ("operation", "body", "status", "text"),
    [
        ("update", {"delete_version_after": "banana"}, 400, NO_DURATION),
        ("update", {"max_versions": "x"}, 400, NO_INT),
        ("update", {"max_versions": 901}, 400, TOO_MANY_VERSIONS),
        ("update", {"cas_required": "perhaps"}, 400, NO_BOOL),
        ("delete", None, 405, "unsupported operation"),
        ("patch", {"max_versions": 3}, 405, "unsupported operation"),
    ],
)
def test_a_wrong_configuration_is_refused(kv, operation, body, status, text):
    """With Vault's words."""
    refusal = kv.refused(operation, "config", body)

    assert (refusal.status, refusal.texts) == (status, (text,))


@pytest.mark.parametrize("body", [None, {}, {"unknown": 1}])
def test_a_configuration_that_names_nothing_changes_nothing(kv, body):
    """204."""
    assert kv.ask("update", "config", body).empty
    assert kv.plans[-1].draft.empty


def test_the_configuration_lives_in_the_mount_record_beside_its_other_settings(kv):
    """Touching everything, because every put of the mount depends on it."""
    index, record = kv.view.get(Table.MOUNT, b"kv/")
    kv.view.tables[Table.MOUNT][b"kv/"] = (index, records.change(Mount, record, config={"max_lease_ttl": 60}))
    kv.ask("update", "config", {"max_versions": 2})
    draft = kv.plans[-1].draft

    assert kv.mount.config == {"max_lease_ttl": 60, "kv": {"max_versions": 2}}
    assert (draft.expects, draft.hashes) == ([(Table.MOUNT, b"kv/", 1)], ())


@pytest.mark.parametrize(
    ("mount_s", "path_s", "after_s"),
    [(0, 0, 0), (60, 0, 60), (0, 30, 30), (60, 30, 30), (30, 60, 30), (-1, 0, 0), (-1, 30, 0)],
)
def test_the_smaller_end_of_mount_and_path_counts(kv, mount_s, path_s, after_s):
    """A negative one of the mount switches both off."""
    kv.ask("update", "config", {"delete_version_after": mount_s})
    kv.ask("update", "metadata/a", {"delete_version_after": path_s})
    answer = kv.data("update", "data/a", {"data": {}})
    kv.now_ns += after_s * NS

    assert bool(answer["deletion_time"]) == bool(after_s)
    assert kv.ask("read", "data/a").status == (404 if after_s else 200)


def test_an_end_never_passes_what_an_instant_can_hold():
    """292 years are the longest duration, and now is not 1970."""
    config = KvConfig(delete_version_after_s=9_000_000_000)

    assert config.deletion_ns(START_NS, 0) == INSTANT_NS_MAX
