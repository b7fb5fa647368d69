"""KV v1: one object under each path."""

from __future__ import annotations

import pytest

from cluster import DamagedError, Secret, Table, Version, look, records, version_key
from node.engines.kv1 import KvV1
from node.request import Operation, Refusal
from tests.node.engines.fakes import MOUNT_UUID, START_NS, Bench, make_request, plain


@pytest.fixture
def kv() -> Bench:
    return Bench(KvV1())


@pytest.mark.parametrize(
    "raw",
    [
        b'{"k":"v"}',
        b'{"big":12345678901234567890123,"dec":1.10,"exp":1e3,"neg":-0,"long":3.14159265358979323846}',
        b'{"a":"","b":[],"c":{},"d":null,"e":false}',
        '{"a":"<b>&\'</b>","u":"\u2028 \u00e9 \U0001f600","path":"own"}'.encode(),
        b'{ "spaced" : [ 1 , 2 ] }',
    ],
)
def test_an_object_is_read_as_the_bytes_it_was_written_as(kv, raw):
    """Numbers, escapes and blanks included."""
    answer = kv.ask("update", "a", raw)

    assert answer.empty
    assert kv.ask("read", "a").data == raw


def test_a_put_replaces_the_object_whole(kv):
    """Nothing of the old one stays."""
    kv.ask("create", "a", {"k": "v"})
    kv.ask("update", "a", {"other": 1})

    assert kv.data("read", "a") == {"other": 1}


@pytest.mark.parametrize(
    ("operation", "path", "body", "status", "text"),
    [
        ("update", "a", {}, 400, "missing data fields"),
        ("update", "a", None, 400, "missing data fields"),
        ("update", "a/", {"k": "v"}, 400, "cannot write to a path ending in '/'"),
        ("update", "", {"k": "v"}, 400, "cannot write to a path ending in '/'"),
        ("patch", "a", {"k": "v"}, 405, "unsupported operation"),
        ("read", "none", None, 404, None),
        ("read", "dir/", None, 404, None),
        ("list", "none", None, 404, None),
        ("header", "a", None, 405, "unsupported operation"),
    ],
)
def test_what_cannot_be_is_refused(kv, operation, path, body, status, text):
    """With Vault's words, and nothing changes."""
    refusal = kv.refused(operation, path, body)

    assert (refusal.status, refusal.texts) == (status, () if text is None else (text,))
    assert refusal.wrapped == (status == 405)


def test_a_put_to_no_path_at_all_is_refused():
    """A mount path without its slash, as a library may ask."""
    kv = Bench(KvV1(), mount_path="kv")

    assert kv.refused("update", "", {"k": "v"}).texts == ("missing path",)


@pytest.mark.parametrize("raw", [b'{"a":1E+400}', b'{"a":"\xff"}'])
def test_a_value_that_is_not_json_is_refused(kv, raw):
    """Otherwise it could not be spliced into an answer."""
    assert kv.refused("update", "a", raw).status == 400


def test_a_value_beyond_the_limit_is_refused():
    """And one at the limit is not."""
    kv = Bench(KvV1(value_bytes_max=20))

    assert kv.ask("update", "a", b'{"k":"xxxxxxxxxxxx"}').empty
    assert kv.refused("update", "a", b'{"k":"xxxxxxxxxxxxx"}').status == 413


def test_a_deleted_object_is_gone(kv):
    """Deleting again, and deleting what never was, answers the same."""
    kv.ask("update", "a", {"k": "v"})

    assert kv.ask("delete", "a").empty
    assert kv.refused("read", "a").status == 404
    assert kv.ask("delete", "a").empty
    assert kv.plans[-1].draft.empty
    assert kv.ask("delete", "").empty
    assert kv.view.tables[Table.SECRET] == kv.view.tables[Table.VERSION] == {}


@pytest.mark.parametrize("between", [[], ["delete"]])
def test_no_put_opens_the_box_of_another(kv, between):
    """An old version record under new metadata does not open: each put draws its own rid."""
    kv.ask("update", "a", {"k": "old"})
    old_box = kv.view.get(Table.VERSION, version_key(MOUNT_UUID + b"a", 1))
    for operation in between:
        kv.ask(operation, "a")
    kv.ask("update", "a", {"k": "new"})
    kv.view.tables[Table.VERSION][version_key(MOUNT_UUID + b"a", 1)] = old_box

    with pytest.raises(DamagedError):
        kv.ask("read", "a")


@pytest.mark.parametrize(
    ("value", "lease_s"),
    [
        ({"k": "v"}, 2_764_800),
        ({"ttl": "1h", "k": "v"}, 3600),
        ({"ttl": 90}, 90),
        ({"lease": "30m"}, 1800),
        ({"ttl": "10s", "lease": "30m"}, 10),
        ({"ttl": "rubbish"}, 2_764_800),
        ({"ttl": "rubbish", "lease": "30m"}, 2_764_800),
        ({"ttl": -5}, 2_764_800),
        ({"ttl": [1]}, 2_764_800),
        ({"ttl": None}, 2_764_800),
        ({"k": {"ttl": 5}}, 2_764_800),
    ],
)
def test_the_lease_duration_is_the_objects_own_or_the_mounts(kv, value, lease_s):
    """`ttl` before `lease`, both only if they are durations."""
    kv.ask("update", "a", value)
    answer = kv.ask("read", "a")

    assert (answer.lease_duration_s, answer.warnings, answer.renewable, answer.lease_id) == (lease_s, None, False, "")


def test_a_ttl_beyond_the_mounts_maximum_is_capped_with_a_warning(kv):
    """As every lease is."""
    kv.ask("update", "a", {"ttl": "800h"})
    answer = kv.ask("read", "a")

    assert answer.lease_duration_s == 2_764_800
    assert answer.warnings == [
        'TTL of "800h0m0s" exceeded the effective max_ttl of "768h0m0s"; TTL value is capped accordingly'
    ]


def test_the_mounts_own_lease_ttl_counts(kv):
    """Where it is set."""
    kv.ask("update", "a", {"k": "v"})
    context = kv.context()
    context.mount.config = {"default_lease_ttl": 7200, "max_lease_ttl": 3600}
    request = make_request(Operation.READ, "kv/a")

    assert kv.engine.read(context, request, "a").lease_duration_s == 3600


def test_lists_show_one_level_and_scans_all(kv):
    """A name may be a secret and a folder."""
    for path in ("a", "dir/b", "dir/c/d", "dir", "z"):
        kv.ask("update", path, {"k": "v"})

    assert kv.data("list", "") == {"keys": ["a", "dir", "dir/", "z"]}
    assert kv.data("list", "dir") == kv.data("list", "dir/") == {"keys": ["b", "c/"]}
    assert kv.data("scan", "") == {"keys": ["a", "dir", "z", "dir/b", "dir/c/d"]}
    assert kv.data("scan", "dir") == {"keys": ["b", "c/d"]}
    assert kv.data("scan", "none") == {}


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        ({"after": "dir", "limit": "2"}, "[after limit]"),
        ({"limit": "x"}, "[limit]"),
        ({"list": "true"}, None),
    ],
)
def test_lists_take_no_pages_and_say_so(kv, query, warning):
    """Every name is answered all the same."""
    kv.ask("update", "a", {"k": "v"})
    answer = kv.ask("list", "", None, query)

    assert plain(answer) == {"keys": ["a"]}
    assert answer.warnings == (
        None if warning is None else [f"Endpoint ignored these unrecognized parameters: {warning}"]
    )


def test_a_read_warns_of_unknown_parameters_beside_its_own_warnings(kv):
    """Both stay."""
    kv.ask("update", "a", {"ttl": "800h"})

    assert len(kv.ask("read", "a", None, {"version": "1"}).warnings) == 2


def test_existence_tells_create_from_update(kv):
    """Any path of KV v1 has the check."""
    kv.ask("update", "a", {"k": "v"})

    assert kv.engine.exists(kv.context(), "a") is True
    assert kv.engine.exists(kv.context(), "b") is False


@pytest.mark.parametrize(
    ("operation", "write"),
    [
        ("read", False),
        ("list", False),
        ("scan", False),
        ("help", False),
        ("header", False),
        ("create", True),
        ("update", True),
        ("patch", True),
        ("delete", True),
    ],
)
def test_writes_go_to_the_leader(kv, operation, write):
    """Reads stay where they are."""
    assert kv.engine.is_write(Operation(operation), "a") is write


def test_a_put_logs_metadata_and_one_version_under_the_paths_hash(kv):
    """With the expectation of what it read."""
    kv.ask("update", "a", {"k": "v"})
    kv.now_ns += 5
    kv.ask("update", "a", {"k": "w"})
    first, second = (plan.draft for plan in kv.plans)
    key = MOUNT_UUID + b"a"

    assert first.expects == [(Table.SECRET, key, 0)]
    assert second.expects == [(Table.SECRET, key, 2)]
    assert [(table, name) for table, name, _ in second.puts] == [
        (Table.SECRET, key),
        (Table.VERSION, version_key(key, 1)),
    ]
    assert first.hashes == second.hashes == (kv.sealing.path_hash(key),)
    secret = look(kv.view, Table.SECRET, Secret, key)[1]
    assert (secret.current, secret.created_ns, secret.updated_ns) == (1, START_NS, START_NS + 5)
    assert look(kv.view, Table.VERSION, Version, version_key(key, 1))[1].created_ns == START_NS + 5


def test_metadata_without_a_version_are_not_found(kv):
    """As a mount may hold that once was of version 2."""
    kv.view.tables[Table.SECRET][MOUNT_UUID + b"a"] = (1, records.encode(Secret()))

    with pytest.raises(Refusal) as caught:
        kv.ask("read", "a")
    assert caught.value.status == 404
