"""KV v2: lists, scans, paging, wrong paths and verbs, existence."""

from __future__ import annotations

import json

import pytest

from node.engines.kv2 import KvV2
from node.request import Operation
from tests.node.engines.fakes import Bench, plain

PATHS = ("a", "b", "a/x", "a/y", "a/deep/er/z", "c/d", "Z", "0", "\u00e9", "a-b", "a.b", "a b")
ROOT = "Non-listing operations on the root of a K/V v2 mount are not supported."
INVALID = (
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. "
    "If using the OpenBao CLI, use 'bao kv {}' for this operation."
)
TOP = ["0", "Z", "a", "a b", "a-b", "a.b", "a/", "b", "c/", "\u00e9"]


@pytest.fixture
def kv() -> Bench:
    bench = Bench(KvV2())
    for path in PATHS:
        bench.ask("update", f"data/{path}", {"data": {"k": path}})
    return bench


@pytest.mark.parametrize(
    ("path", "query", "keys"),
    [
        ("metadata", {}, TOP),
        ("metadata/", {}, TOP),
        ("metadata/a", {}, ["deep/", "x", "y"]),
        ("metadata/a/", {}, ["deep/", "x", "y"]),
        ("metadata/a/deep", {}, ["er/"]),
        ("metadata", {"list": "true"}, TOP),
        ("metadata", {"after": "a", "limit": "3"}, ["a b", "a-b", "a.b"]),
        ("metadata", {"limit": "2"}, ["0", "Z"]),
        ("metadata", {"limit": "0"}, TOP),
        ("metadata", {"limit": "-1"}, TOP),
        ("metadata", {"after": "zzz"}, ["\u00e9"]),
        ("metadata", {"after": "a/"}, ["b", "c/", "\u00e9"]),
    ],
)
def test_a_list_shows_one_level_in_pages(kv, path, query, keys):
    """Sorted bytewise, folders with their slash, no warning for what it knows."""
    answer = kv.ask("list", path, None, query)

    assert (plain(answer), answer.warnings) == ({"keys": keys}, None)


@pytest.mark.parametrize(
    ("path", "query"), [("metadata/none", {}), ("metadata/b", {}), ("metadata", {"after": "\uffff"})]
)
def test_a_list_of_nothing_is_not_found(kv, path, query):
    """Without any text."""
    refusal = kv.refused("list", path, None, query)

    assert (refusal.status, refusal.texts) == (404, ())


def test_a_limit_that_is_no_number_is_refused(kv):
    """By the field check."""
    assert kv.refused("list", "metadata", None, {"limit": "x"}).status == 400


@pytest.mark.parametrize(
    ("path", "query", "keys"),
    [
        (
            "metadata",
            {},
            ["0", "Z", "a", "a b", "a-b", "a.b", "b", "\u00e9", "a/x", "a/y", "c/d", "a/deep/er/z"],
        ),
        ("metadata/a", {"limit": "2"}, ["x", "y", "deep/er/z"]),
    ],
)
def test_a_scan_shows_every_path_level_by_level(kv, path, query, keys):
    """And takes no limit."""
    assert kv.data("scan", path, None, query) == {"keys": keys}


@pytest.mark.parametrize("path", ["metadata/none", "detailed-metadata/none"])
def test_a_scan_of_nothing_is_an_empty_object(kv, path):
    """200, unlike a list."""
    assert kv.data("scan", path) == {}


def test_a_deleted_version_keeps_its_path_in_lists_and_deleted_metadata_do_not(kv):
    """Folders go with their last path."""
    kv.ask("delete", "data/b")
    assert kv.data("list", "metadata")["keys"] == TOP

    kv.ask("delete", "metadata/b")
    kv.ask("delete", "metadata/c/d")
    assert kv.data("list", "metadata")["keys"] == [name for name in TOP if name not in {"b", "c/"}]


@pytest.mark.parametrize(("operation", "keys"), [("list", ["deep/", "x", "y"]), ("scan", ["x", "y", "deep/er/z"])])
def test_detailed_metadata_tell_of_each_name(kv, operation, keys):
    """A folder without a secret of its name has nothing to tell."""
    found = kv.data(operation, "detailed-metadata/a")

    assert (found["keys"], sorted(found["key_info"])) == (keys, sorted(keys))
    for name, info in found["key_info"].items():
        expected = {} if name.endswith("/") else kv.data("read", f"metadata/a/{name}")
        assert info == expected


def test_detailed_metadata_of_a_folder_tell_of_the_secret_of_its_name(kv):
    """And they come in pages, too."""
    found = kv.data("list", "detailed-metadata", None, {"after": "a", "limit": "5"})

    assert found["keys"] == ["a b", "a-b", "a.b", "a/", "b"]
    assert found["key_info"]["a/"] == kv.data("read", "metadata/a")
    assert kv.refused("list", "detailed-metadata/none").status == 404


@pytest.mark.parametrize(
    ("operation", "path", "warning"),
    [
        ("read", "foo", INVALID.format("get")),
        ("read", "", INVALID.format("get")),
        ("read", "foo/bar", INVALID.format("get")),
        ("read", "config/", INVALID.format("get")),
        ("read", "subkeys", INVALID.format("get")),
        ("update", "foo", INVALID.format("put")),
        ("create", "foo", INVALID.format("put")),
        ("patch", "foo", INVALID.format("patch")),
        ("delete", "foo", INVALID.format("delete")),
        ("delete", "", INVALID.format("delete")),
        ("list", "", INVALID.format("list")),
        ("list", "foo", INVALID.format("list")),
        ("list", "config", INVALID.format("list")),
        ("scan", "foo", INVALID.format("scan")),
        ("read", "data", ROOT),
        ("read", "metadata", ROOT),
        ("update", "metadata", ROOT),
        ("update", "data", ROOT),
        ("delete", "data", ROOT),
        ("update", "delete", ROOT),
        ("update", "undelete", ROOT),
        ("update", "destroy", ROOT),
    ],
)
def test_a_path_the_engine_does_not_have_is_not_found_with_a_hint(kv, operation, path, warning):
    """An envelope with a warning, which the command lines show."""
    answer = kv.ask(operation, path, {} if operation in {"update", "create", "patch"} else None)

    assert (answer.status, answer.data, answer.warnings) == (404, None, [warning])
    if operation in {"update", "create", "patch", "delete"}:
        assert kv.plans[-1].draft.empty


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("list", "data"),
        ("list", "data/a"),
        ("scan", "data"),
        ("list", "subkeys/a"),
        ("update", "subkeys/a"),
        ("delete", "subkeys/a"),
        ("read", "detailed-metadata/a"),
        ("update", "detailed-metadata/a"),
        ("delete", "detailed-metadata/a"),
        ("header", "data/a"),
        ("header", "foo"),
        ("help", "data/a"),
    ],
)
def test_a_verb_the_path_does_not_have_is_not_supported(kv, operation, path):
    """405, in Go's wrapping."""
    refusal = kv.refused(operation, path, {} if operation == "update" else None)

    assert (refusal.status, refusal.texts, refusal.wrapped) == (405, ("unsupported operation",), True)


@pytest.mark.parametrize(
    ("path", "exists"),
    [
        ("data/a", True),
        ("data/none", False),
        ("data/a/deep", False),
        ("metadata/a", True),
        ("metadata/none", False),
        ("detailed-metadata/a", True),
        ("delete/a", None),
        ("undelete/a", None),
        ("destroy/a", None),
        ("subkeys/a", None),
        ("config", None),
        ("data", None),
        ("foo", None),
        ("", None),
    ],
)
def test_existence_is_that_of_metadata(kv, path, exists):
    """Where there is no check, POST is always an update."""
    assert kv.engine.exists(kv.context(), path) is exists


@pytest.mark.parametrize(
    ("prepare", "exists"),
    [
        (("delete", "data/a"), True),
        (("update", "destroy/a", {"versions": [1]}), True),
        (("delete", "metadata/a"), False),
    ],
)
def test_a_path_exists_as_long_as_its_metadata_do(kv, prepare, exists):
    """Deleted and destroyed versions count."""
    kv.ask(*prepare)

    assert kv.engine.exists(kv.context(), "data/a") is exists


@pytest.mark.parametrize("operation", list(Operation))
def test_writes_go_to_the_leader(kv, operation):
    """And nothing else does."""
    expected = operation in {Operation.CREATE, Operation.UPDATE, Operation.PATCH, Operation.DELETE}

    assert kv.engine.is_write(operation, "data/a") is expected


def test_a_read_without_a_query_and_one_with_an_empty_parameter_are_the_same(kv):
    """The short way and the long way give the same bytes."""
    short = kv.ask("read", "data/a/x").data
    long = kv.ask("read", "data/a/x", None, {"version": ""}).data

    assert short == long
    assert json.loads(short)["data"] == {"k": "a/x"}
