"""KV v2: the facts that puts log, and what binds boxes to their place."""

from __future__ import annotations

import pytest

from cluster import EVERYTHING, DamagedError, Secret, Table, look, records, version_key
from node.engines.kv2 import KvV2
from node.engines.kv_values import NUMBER_MAX, VERSIONS_KEPT_MAX
from tests.node.engines.fakes import MOUNT_UUID, START_NS, Bench, FakeSealing


@pytest.fixture
def kv() -> Bench:
    return Bench(KvV2())


def put(kv: Bench, path: str, data: object, **options: object) -> dict:
    return kv.data("update", f"data/{path}", {"data": data, "options": options} if options else {"data": data})


def test_a_put_logs_metadata_and_one_version_under_the_paths_hash(kv):
    """Nothing else, however many versions there are."""
    for number in range(3):
        put(kv, "a", {"k": number})
    draft = kv.plans[-1].draft
    key = MOUNT_UUID + b"a"

    assert draft.expects == [(Table.SECRET, key, 3)]
    assert [(table, name) for table, name, _ in draft.puts] == [
        (Table.SECRET, key),
        (Table.VERSION, version_key(key, 3)),
    ]
    assert (draft.drops, draft.hashes) == ([], (kv.sealing.path_hash(key),))


def test_a_first_put_expects_that_there_is_nothing(kv):
    """Index 0."""
    put(kv, "a", {"k": 1})

    assert kv.plans[-1].draft.expects == [(Table.SECRET, MOUNT_UUID + b"a", 0)]


def test_a_put_that_brings_a_salt_touches_everything():
    """The sealing says so, and the put does not take it back."""
    kv = Bench(KvV2(), sealing=FakeSealing(salted=False))
    put(kv, "a", {"k": 1})
    put(kv, "a", {"k": 2})

    assert kv.plans[0].draft.hashes == (EVERYTHING,)
    assert kv.plans[1].draft.hashes == (kv.sealing.path_hash(MOUNT_UUID + b"a"),)


def test_a_put_draws_once(kv):
    """32 bytes: nonce and rid; two puts share neither."""
    drawn = []
    draw = kv.random
    kv.random = lambda count: drawn.append(count) or draw(count)
    put(kv, "a", {"k": 1})
    put(kv, "a", {"k": 1})
    boxes = [records.decode(records.Version, plan.draft.puts[1][2]).box for plan in kv.plans]

    assert drawn == [32, 32]
    assert boxes[0][:12] != boxes[1][:12]


def test_a_full_window_drops_the_oldest_from_its_own_number(kv):
    """Ten versions stay by default; a put drops exactly those that leave."""
    for number in range(1, 13):
        put(kv, "a", {"k": number})
    key = MOUNT_UUID + b"a"

    assert kv.plans[-1].draft.drops == [(Table.VERSION, version_key(key, 2))]
    assert kv.refused("read", "data/a", None, {"version": "2"}).status == 404
    assert kv.data("read", "data/a", None, {"version": "3"})["data"] == {"k": 3}
    assert len(kv.view.tables[Table.VERSION]) == 10


def test_metadata_fields_of_a_newer_program_survive_a_put(kv):
    """A change keeps what it does not know."""
    put(kv, "a", {"k": 1})
    key = MOUNT_UUID + b"a"
    index, record = kv.view.get(Table.SECRET, key)
    newer = records.encode([*records._plain.decode(record), "from the future"])
    kv.view.tables[Table.SECRET][key] = (index, newer)
    put(kv, "a", {"k": 2})

    assert records._plain.decode(kv.view.get(Table.SECRET, key)[1])[-1] == "from the future"
    assert look(kv.view, Table.SECRET, Secret, key)[1].current == 2


def test_a_recreated_path_never_opens_old_boxes(kv):
    """Each life of a path has its own rid."""
    put(kv, "a", {"k": "old"})
    old = kv.view.get(Table.VERSION, version_key(MOUNT_UUID + b"a", 1))
    kv.ask("delete", "metadata/a")
    assert put(kv, "a", {"k": "new"})["version"] == 1
    kv.view.tables[Table.VERSION][version_key(MOUNT_UUID + b"a", 1)] = old

    with pytest.raises(DamagedError):
        kv.ask("read", "data/a")


@pytest.mark.parametrize(("source", "target"), [("a", "b"), ("b", "a")])
def test_a_box_opens_only_under_its_own_path(kv, source, target):
    """Moved to another, it is damage."""
    put(kv, "a", {"k": "a"})
    put(kv, "b", {"k": "b"})
    versions = kv.view.tables[Table.VERSION]
    key = version_key(MOUNT_UUID + target.encode(), 1)
    versions[key] = versions[version_key(MOUNT_UUID + source.encode(), 1)]

    with pytest.raises(DamagedError):
        kv.ask("read", f"data/{target}")


def test_a_missing_version_is_damage_and_not_an_empty_answer(kv):
    """Metadata never promise what is not there."""
    put(kv, "a", {"k": "a"})
    kv.view.tables[Table.VERSION].clear()

    for path in ("data/a", "metadata/a"):
        with pytest.raises(DamagedError):
            kv.ask("read", path)


def test_version_numbers_end_where_their_key_does(kv):
    """The last one is taken, the next is refused."""
    put(kv, "a", {"k": 1})
    key = MOUNT_UUID + b"a"
    index, record = kv.view.get(Table.SECRET, key)
    almost = records.change(Secret, record, current=NUMBER_MAX - 1, oldest=NUMBER_MAX - 1)
    kv.view.tables[Table.SECRET][key] = (index, almost)

    assert put(kv, "a", {"k": 2})["version"] == NUMBER_MAX
    assert kv.refused("update", "data/a", {"data": {}}).status == 400


def test_answers_hold_no_time_but_the_contexts(kv):
    """The stamp is the leader's."""
    kv.now_ns = START_NS + 1
    assert put(kv, "a", {})["created_time"] == "2025-11-24T09:41:00.250000001Z"


def test_dropping_a_path_fits_a_transaction(kv):
    """However many versions may be kept."""
    kv.ask("update", "config", {"max_versions": -1})
    key = MOUNT_UUID + b"a"
    put(kv, "a", {})
    index, record = kv.view.get(Table.SECRET, key)
    full = records.change(Secret, record, current=5000, oldest=5000 - VERSIONS_KEPT_MAX + 1)
    kv.view.tables[Table.SECRET][key] = (index, full)

    put(kv, "a", {})
    assert len(kv.plans[-1].draft.drops) == 1
    kv.ask("delete", "metadata/a")
    assert len(kv.plans[-1].draft.drops) == VERSIONS_KEPT_MAX + 1
