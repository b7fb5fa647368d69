"""KV v2 data: versions, check-and-set, patches, subkeys, and the facts a put logs."""

from __future__ import annotations

import json

import pytest

from node.engines.kv2 import KvV2
from node.request import RawJson
from tests.node.engines.fakes import Bench, plain

REPLACED = "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [path]"

CREATED = "2025-11-24T09:41:00.25Z"


@pytest.fixture
def kv() -> Bench:
    return Bench(KvV2())


def put(kv: Bench, path: str, data: object, **options: object) -> dict:
    return kv.data("update", f"data/{path}", {"data": data, "options": options} if options else {"data": data})


def version_of(number: int, deletion_time: str = "", *, destroyed: bool = False) -> dict:
    return {
        "created_time": CREATED,
        "custom_metadata": None,
        "deletion_time": deletion_time,
        "destroyed": destroyed,
        "version": number,
    }


def test_each_put_makes_a_version_and_each_version_stays_readable(kv):
    """The newest without a number."""
    assert put(kv, "a", {"k": 1}) == version_of(1)
    assert put(kv, "a", {"k": 2}) == version_of(2)
    assert kv.data("read", "data/a") == {"data": {"k": 2}, "metadata": version_of(2)}
    assert kv.data("read", "data/a", None, {"version": "1"}) == {"data": {"k": 1}, "metadata": version_of(1)}


@pytest.mark.parametrize(("version", "number"), [("0", 2), ("-1", 2), ("", 2), ("1", 1), ("2", 2)])
def test_a_version_that_exists_is_answered(kv, version, number):
    """Zero and less mean the newest."""
    put(kv, "a", {"k": 1})
    put(kv, "a", {"k": 2})

    assert kv.data("read", "data/a", None, {"version": version})["metadata"]["version"] == number


@pytest.mark.parametrize("version", ["3", "99999999999"])
def test_a_version_that_does_not_exist_is_not_found(kv, version):
    """The twin, without any text."""
    put(kv, "a", {"k": 1})
    put(kv, "a", {"k": 2})
    refusal = kv.refused("read", "data/a", None, {"version": version})

    assert (refusal.status, refusal.texts) == (404, ())


@pytest.mark.parametrize("path", ["data/none", "data/", "metadata/none", "subkeys/none"])
def test_a_path_without_metadata_is_not_found(kv, path):
    """Without any text."""
    refusal = kv.refused("read", path)

    assert (refusal.status, refusal.texts) == (404, ())


def test_a_version_that_is_no_number_is_refused(kv):
    """By the field check."""
    refusal = kv.refused("read", "data/a", None, {"version": "x"})

    assert (refusal.status, refusal.texts) == (
        400,
        (
            (
                'Field validation failed: error converting input for field "version": '
                "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax"
            ),
        ),
    )


@pytest.mark.parametrize(
    "data",
    [
        b'{"big":12345678901234567890123,"dec":1.10,"exp":1e3,"neg":-7}',
        b'{ "spaced" : [ 1 , 2 ] }',
        b"{}",
        b"null",
        '{"":"empty key","k.with.dots":1,"u":"\u2028\u00e9\U0001f600"}'.encode(),
    ],
)
def test_data_are_read_as_the_bytes_they_were_written_as(kv, data):
    """Numbers, blanks, null and all."""
    kv.ask("update", "data/a", b'{"data":%b}' % data)
    answer = kv.ask("read", "data/a")

    assert isinstance(answer.data, RawJson)
    assert answer.data.startswith(b'{"data":%b,"metadata":{' % data)
    json.loads(answer.data)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "no data provided"),
        ({}, "no data provided"),
        ({"k": "v"}, "no data provided"),
        (
            {"data": "text"},
            (
                "error converting input for field \"data\": '' expected type 'map[string]interface {}', "
                "got unconvertible type 'string'"
            ),
        ),
        (
            {"data": [1]},
            (
                "error converting input for field \"data\": '[0]' expected type 'map[string]interface {}', "
                "got unconvertible type 'json.Number'"
            ),
        ),
        (
            {"data": {}, "options": "x"},
            (
                "error converting input for field \"options\": '' expected type 'map[string]interface {}', "
                "got unconvertible type 'string'"
            ),
        ),
        (
            {"data": {}, "version": "x"},
            (
                "error converting input for field \"version\": '' cannot parse value as 'int': "
                "strconv.ParseInt: invalid syntax"
            ),
        ),
        (
            b'{"data":{"a":1E+400}}',
            "failed to decode JSON input: the body is not valid JSON or a number does not fit a float64",
        ),
        (
            b"{",
            "failed to decode JSON input: the body is not valid JSON or a number does not fit a float64",
        ),
    ],
)
def test_a_put_without_proper_data_is_refused(kv, body, text):
    """Nothing of the data is in the text."""
    refusal = kv.refused("update", "data/a", body)

    assert (refusal.status, refusal.texts, refusal.wrapped) == (400, (text,), False)


@pytest.mark.parametrize(("path", "mount_path"), [("data/", "kv/"), ("data/x/", "kv/"), ("metadata/x/", "kv/")])
def test_a_write_to_a_folder_is_refused(kv, path, mount_path):
    """With Vault's words."""
    assert kv.refused("update", path, {"data": {}}).texts == ("cannot write to a path ending in '/'",)


@pytest.mark.parametrize(
    ("body", "warnings"),
    [
        ({"data": {}, "unknown": 1}, ["Endpoint ignored these unrecognized parameters: [unknown]"]),
        ({"data": {}, "b": 1, "a": 1}, ["Endpoint ignored these unrecognized parameters: [a b]"]),
        ({"data": {}, "options": {"more": 1}}, None),
        ({"data": {}, "options": None}, None),
        ({"data": {}, "version": 9}, None),
        (
            {"data": {}, "path": "x"},
            [
                REPLACED,
            ],
        ),
    ],
)
def test_unknown_fields_are_warned_of(kv, body, warnings):
    """And the put is made."""
    answer = kv.ask("update", "data/a", body)

    assert (answer.warnings, plain(answer)["version"]) == (warnings, 1)


def test_unknown_parameters_of_a_read_are_warned_of(kv):
    """Not of one that knows them all."""
    put(kv, "a", {"k": 1})

    assert kv.ask("read", "data/a", None, {"x": "1"}).warnings == [
        "Endpoint ignored these unrecognized parameters: [x]"
    ]
    assert kv.ask("read", "data/a", None, {"version": "1"}).warnings is None


def test_values_beyond_the_limit_are_refused_also_when_a_patch_makes_them():
    """And one at the limit is not."""
    kv = Bench(KvV2(value_bytes_max=20))

    put(kv, "a", {"k": "xxxxxxxxxxx"})
    assert kv.refused("update", "data/a", {"data": {"k": "xxxxxxxxxxxxxx"}}).status == 413
    assert kv.refused("patch", "data/a", {"data": {"more": "y"}}).status == 413


def test_subkeys_show_the_shape_of_a_version_with_its_metadata(kv):
    """Depth and version are parameters."""
    put(kv, "a", {"k": "v", "n": {"m": [1], "e": {}}})

    assert kv.data("read", "subkeys/a") == {
        "subkeys": {"k": None, "n": {"e": None, "m": None}},
        "metadata": version_of(1),
    }
    shallow = kv.data("read", "subkeys/a", None, {"depth": "1", "version": "1"})
    assert shallow["subkeys"] == {"k": None, "n": None}
    assert kv.refused("read", "subkeys/a", None, {"version": "9"}).status == 404
    assert kv.refused("read", "subkeys/a", None, {"depth": "x"}).status == 400


def test_subkeys_of_a_deleted_version_are_null(kv):
    """404 with the metadata, as for data."""
    put(kv, "a", {"k": "v"})
    kv.ask("delete", "data/a")
    answer = kv.ask("read", "subkeys/a")

    assert (answer.status, plain(answer)) == (404, {"subkeys": None, "metadata": version_of(1, CREATED)})
