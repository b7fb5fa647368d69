"""KV v2: deleting, undeleting and destroying versions, and versions that end by themselves."""

from __future__ import annotations

import pytest

from cluster import Secret, Table, Version, look, version_key
from node.engines.durations import NS
from node.engines.kv2 import KvV2
from tests.node.engines.fakes import MOUNT_UUID, START_NS, Bench, plain

KEY = MOUNT_UUID + b"a"
LATER = "2025-11-24T09:41:01.25Z"


@pytest.fixture
def kv() -> Bench:
    """A path with three versions, one second ago."""
    bench = Bench(KvV2())
    for number in (1, 2, 3):
        bench.ask("update", "data/a", {"data": {"k": number}})
    bench.now_ns += NS
    return bench


def states(kv: Bench) -> dict[int, str]:
    """Version → what a reader gets: its value, or why there is none."""
    found = {}
    for number in (1, 2, 3):
        answer = kv.ask("read", "data/a", None, {"version": str(number)})
        metadata = plain(answer)["metadata"]
        if answer.status == 200:
            found[number] = str(plain(answer)["data"]["k"])
        else:
            assert plain(answer)["data"] is None
            found[number] = "destroyed" if metadata["destroyed"] else "deleted"
    return found


def gone(kv: Bench) -> dict[int, int] | None:
    return look(kv.view, Table.SECRET, Secret, KEY)[1].gone


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([("delete", "data/a", None)], {1: "1", 2: "2", 3: "deleted"}),
        ([("update", "delete/a", {"versions": [1, 2]})], {1: "deleted", 2: "deleted", 3: "3"}),
        ([("update", "delete/a", {"versions": "3"})], {1: "1", 2: "2", 3: "deleted"}),
        ([("update", "delete/a", {"versions": ["1", 2]})], {1: "deleted", 2: "deleted", 3: "3"}),
        ([("update", "delete/a", {"versions": [0, -1, 4, 99]})], {1: "1", 2: "2", 3: "3"}),
        ([("update", "destroy/a", {"versions": [1]})], {1: "destroyed", 2: "2", 3: "3"}),
        ([("update", "destroy/a", {"versions": [3, 3, 4]})], {1: "1", 2: "2", 3: "destroyed"}),
        (
            [("delete", "data/a", None), ("update", "undelete/a", {"versions": [3, 1, 9]})],
            {1: "1", 2: "2", 3: "3"},
        ),
        (
            [("update", "destroy/a", {"versions": [1]}), ("update", "undelete/a", {"versions": [1]})],
            {1: "destroyed", 2: "2", 3: "3"},
        ),
        (
            [("update", "destroy/a", {"versions": [1]}), ("update", "delete/a", {"versions": [1]})],
            {1: "destroyed", 2: "2", 3: "3"},
        ),
        (
            [("delete", "data/a", None), ("update", "destroy/a", {"versions": [3]})],
            {1: "1", 2: "2", 3: "destroyed"},
        ),
        (
            [("update", "destroy/a", {"versions": [3]}), ("delete", "data/a", None)],
            {1: "1", 2: "2", 3: "destroyed"},
        ),
    ],
)
def test_versions_are_deleted_undeleted_and_destroyed(kv, requests, expected):
    """Numbers that do not exist are passed over; destroyed is for ever."""
    for request in requests:
        assert kv.ask(*request).empty
        kv.now_ns += 1

    assert states(kv) == expected


@pytest.mark.parametrize(
    "request_",
    [
        ("delete", "data/none", None),
        ("update", "delete/none", {"versions": [1]}),
        ("update", "undelete/none", {"versions": [1]}),
        ("update", "destroy/none", {"versions": [1]}),
        ("update", "undelete/a", {"versions": [1]}),
        ("update", "delete/a", {"versions": [9]}),
        ("update", "destroy/a", {"versions": [9]}),
    ],
)
def test_what_is_so_already_proposes_nothing(kv, request_):
    """204 all the same."""
    assert kv.ask(*request_).empty
    assert kv.plans[-1].draft.empty


def test_doing_it_again_proposes_nothing(kv):
    """And the first deletion time stays."""
    for request in [("delete", "data/a", None), ("update", "destroy/a", {"versions": [1]})]:
        kv.ask(*request)
        kv.now_ns += 1
        kv.ask(*request)

        assert kv.plans[-1].draft.empty
    assert gone(kv) == {3: START_NS + NS, 1: 0}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("delete/a", {}, "No version number provided"),
        ("delete/a", {"versions": []}, "No version number provided"),
        ("undelete/a", {}, "No version number provided"),
        ("undelete/none", None, "No version number provided"),
        ("destroy/a", {}, "no version number provided"),
        ("destroy/a", {"versions": None}, "no version number provided"),
        (
            "delete/a",
            {"versions": ["x"]},
            (
                'Field validation failed: error converting input for field "versions": decoding failed due to the '
                "following error(s):\n\n'[0]' cannot parse value as 'int': strconv.ParseInt: invalid syntax"
            ),
        ),
        ("destroy/a/", {"versions": [1]}, "cannot write to a path ending in '/'"),
    ],
)
def test_requests_without_numbers_are_refused(kv, path, body, text):
    """With Vault's words (destroy begins with a small letter)."""
    refusal = kv.refused("update", path, body)

    assert (refusal.status, refusal.texts) == (400, (text,))


@pytest.mark.parametrize("operation", ["read", "delete", "list", "scan", "patch"])
@pytest.mark.parametrize("area", ["delete", "undelete", "destroy"])
def test_other_verbs_are_not_supported_there(kv, area, operation):
    """405, in Go's wrapping."""
    refusal = kv.refused(operation, f"{area}/a")

    assert (refusal.status, refusal.texts, refusal.wrapped) == (405, ("unsupported operation",), True)


def test_a_delete_by_query_takes_the_newest_version_only(kv):
    """`versions` is no parameter of data/."""
    assert kv.ask("delete", "data/a", None, {"versions": "1,2"}).empty
    assert states(kv) == {1: "1", 2: "2", 3: "deleted"}


def test_a_deleted_version_answers_when_it_was_deleted(kv):
    """404 with the whole envelope, and the value is gone from it."""
    kv.ask("delete", "data/a")
    answer = kv.ask("read", "data/a")

    assert answer.status == 404
    assert plain(answer) == {
        "data": None,
        "metadata": {
            "created_time": "2025-11-24T09:41:00.25Z",
            "custom_metadata": None,
            "deletion_time": LATER,
            "destroyed": False,
            "version": 3,
        },
    }


@pytest.mark.parametrize(("deleted_first", "deletion_time"), [(True, LATER), (False, "")])
def test_a_destroyed_version_keeps_its_times(kv, deleted_first, deletion_time):
    """Created when it was, deleted if it was."""
    if deleted_first:
        kv.ask("delete", "data/a")
        kv.now_ns += NS
    kv.ask("update", "destroy/a", {"versions": [3]})
    metadata = plain(kv.ask("read", "data/a"))["metadata"]

    assert (metadata["created_time"], metadata["deletion_time"], metadata["destroyed"]) == (
        "2025-11-24T09:41:00.25Z",
        deletion_time,
        True,
    )
    assert kv.data("read", "metadata/a")["versions"]["3"] == {
        "created_time": "2025-11-24T09:41:00.25Z",
        "deletion_time": deletion_time,
        "destroyed": True,
    }


def test_destroying_takes_the_box_out_of_the_state(kv):
    """An empty one remains, with the creation time."""
    kv.ask("update", "destroy/a", {"versions": [2]})

    assert look(kv.view, Table.VERSION, Version, version_key(KEY, 2))[1] == Version(created_ns=START_NS)


def test_deleting_logs_no_value(kv):
    """One small metadata record under the path's hash, with the expectation of what was read."""
    kv.ask("update", "delete/a", {"versions": [1, 2, 3]})
    draft = kv.plans[-1].draft

    assert [(table, key) for table, key, _ in draft.puts] == [(Table.SECRET, KEY)]
    assert (draft.drops, draft.expects) == ([], [(Table.SECRET, KEY, 4)])
    assert draft.hashes == (kv.sealing.path_hash(KEY),)


def test_destroying_touches_one_path_only(kv):
    """Its hash says so."""
    kv.ask("update", "destroy/a", {"versions": [1, 2]})
    draft = kv.plans[-1].draft

    assert [key for _, key, _ in draft.puts] == [KEY, version_key(KEY, 1), version_key(KEY, 2)]
    assert draft.hashes == (kv.sealing.path_hash(KEY),)


def test_a_version_is_deleted_from_the_instant_of_its_deletion(kv):
    """Readers at that instant see it deleted, before they do not."""
    kv.ask("update", "metadata/a", {"delete_version_after": "2s"})
    kv.ask("update", "data/a", {"data": {"k": 4}})
    kv.now_ns += 2 * NS - 1
    assert kv.ask("read", "data/a").status == 200

    kv.now_ns += 1
    assert kv.ask("read", "data/a").status == 404


def test_an_undeleted_version_lives_as_long_as_a_new_one(kv):
    """Its end is reckoned from the undelete."""
    kv.ask("update", "metadata/a", {"delete_version_after": "2s"})
    kv.ask("update", "data/a", {"data": {"k": 4}})
    kv.now_ns += 5 * NS
    assert kv.ask("read", "data/a").status == 404

    kv.ask("update", "undelete/a", {"versions": [4]})
    assert kv.data("read", "data/a")["metadata"]["deletion_time"] == "2025-11-24T09:41:08.25Z"
    kv.now_ns += 2 * NS
    assert kv.ask("read", "data/a").status == 404


def test_deleting_brings_a_future_end_forward(kv):
    """A version that would end tomorrow ends now."""
    kv.ask("update", "metadata/a", {"delete_version_after": "1d"})
    kv.ask("update", "data/a", {"data": {"k": 4}})
    assert kv.ask("read", "data/a").status == 200

    kv.ask("delete", "data/a")
    assert plain(kv.ask("read", "data/a"))["metadata"]["deletion_time"] == LATER


def test_marks_of_versions_that_leave_the_window_leave_too(kv):
    """`gone` stays small however long a path lives."""
    kv.ask("update", "metadata/a", {"max_versions": 2})
    kv.ask("update", "delete/a", {"versions": [1, 2, 3]})
    kv.ask("update", "data/a", {"data": {"k": 4}})
    assert gone(kv) == {3: START_NS + NS}

    kv.ask("update", "data/a", {"data": {"k": 5}})
    assert gone(kv) is None
    for path in ("delete/a", "undelete/a", "destroy/a"):
        kv.ask("update", path, {"versions": [3]})
        assert kv.plans[-1].draft.empty


def test_a_destroyed_version_with_an_end_in_the_far_future_still_encodes():
    """The longest duration there is, on both marks."""
    kv = Bench(KvV2())
    kv.ask("update", "metadata/a", {"delete_version_after": "2562047h"})
    kv.ask("update", "data/a", {"data": {}})
    kv.ask("update", "destroy/a", {"versions": [1]})

    assert gone(kv) == {1: -(2**63 - 1)}
    assert plain(kv.ask("read", "data/a"))["metadata"]["deletion_time"] == "2262-04-11T23:47:16.854775807Z"
