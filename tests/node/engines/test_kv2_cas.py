"""KV v2: check-and-set, and patches of data."""

from __future__ import annotations

import pytest

from node.engines.kv2 import KvV2
from tests.node.engines.fakes import Bench, plain

CREATED = "2025-11-24T09:41:00.25Z"

MISMATCH = "check-and-set parameter did not match the current version"

REQUIRED = "check-and-set parameter required for this call"

NOT_PARSED = "error parsing check-and-set parameter"


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


@pytest.mark.parametrize(
    ("current", "cas", "refused"),
    [
        (0, 0, None),
        (0, 1, MISMATCH),
        (0, -1, MISMATCH),
        (1, 1, None),
        (1, 0, MISMATCH),
        (1, 2, MISMATCH),
        (1, -1, MISMATCH),
        (1, "1", None),
        (1, "x", NOT_PARSED),
        (1, 1.5, NOT_PARSED),
        (1, [1], NOT_PARSED),
        (1, {}, NOT_PARSED),
        (1, True, None),
        (0, None, None),
        (1, None, MISMATCH),
        (0, "", None),
    ],
)
def test_check_and_set_compares_the_current_version(kv, current, cas, refused):
    """Zero means that there is no version at all; null counts as zero."""
    for _ in range(current):
        put(kv, "a", {"k": 1})
    body = {"data": {"k": 2}, "options": {"cas": cas}}

    if refused is None:
        assert kv.data("update", "data/a", body)["version"] == current + 1
    else:
        assert kv.refused("update", "data/a", body).texts == (refused,)


def test_the_name_of_cas_is_lower_case(kv):
    """Anything else is ignored, as Vault does."""
    put(kv, "a", {"k": 1})

    assert put(kv, "a", {"k": 2}, CAS=7)["version"] == 2


@pytest.mark.parametrize("write", [("delete", "data/a", None), ("update", "destroy/a", {"versions": [1]})])
def test_check_and_set_counts_deleted_and_destroyed_versions(kv, write):
    """The number does not go back."""
    put(kv, "a", {"k": 1})
    kv.ask(*write)

    assert kv.refused("update", "data/a", {"data": {}, "options": {"cas": 0}}).texts == (MISMATCH,)
    assert put(kv, "a", {"k": 2}, cas=1)["version"] == 2


def test_check_and_set_zero_matches_metadata_without_a_version(kv):
    """Metadata may come first."""
    kv.ask("update", "metadata/a", {"max_versions": 3})

    assert kv.refused("read", "data/a").status == 404
    assert put(kv, "a", {"k": 1}, cas=0)["version"] == 1


@pytest.mark.parametrize("where", ["config", "metadata/a"])
@pytest.mark.parametrize("operation", ["update", "patch"])
def test_check_and_set_is_required_where_mount_or_path_say_so(kv, where, operation):
    """And enough where it is given."""
    put(kv, "a", {"k": 1})
    kv.ask("update", where, {"cas_required": True})

    assert kv.refused(operation, "data/a", {"data": {"k": 2}}).texts == (REQUIRED,)
    assert kv.data(operation, "data/a", {"data": {"k": 2}, "options": {"cas": 1}})["version"] == 2


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ('{"a":1,"b":{"c":2,"d":3},"e":[1,2]}', '{"b":{"c":null,"x":"y"},"n":true}', None),
        ('{"a":1.10,"big":12345678901234567890123}', '{"x":1e3}', '{"a":1.10,"big":12345678901234567890123,"x":1e3}'),
        ('{"a":1}', "{}", '{"a":1}'),
        ('{"a":1}', "null", '{"a":1}'),
        ("null", '{"a":1}', '{"a":1}'),
    ],
)
def test_a_patch_is_merged_into_the_newest_version(kv, before, patch, after):
    """And makes the next one."""
    kv.ask("update", "data/a", f'{{"data":{before}}}'.encode())
    assert kv.data("patch", "data/a", f'{{"data":{patch}}}'.encode()) == version_of(2)
    answer = kv.ask("read", "data/a").data

    expected = after or '{"a":1,"b":{"d":3,"x":"y"},"e":[1,2],"n":true}'
    assert answer.startswith(f'{{"data":{expected},"metadata":'.encode())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "no data provided"),
        ({"data": {"k": 2}, "options": {"cas": 2}}, MISMATCH),
        ({"data": {"k": 2}, "options": {"cas": "x"}}, NOT_PARSED),
        (
            {"data": 5},
            (
                'Field validation failed: error converting input for field "data": '
                "'' expected type 'map[string]interface {}', got unconvertible type 'json.Number'"
            ),
        ),
    ],
)
def test_a_wrong_patch_is_refused(kv, body, text):
    """As a wrong put is."""
    put(kv, "a", {"k": 1})

    assert kv.refused("patch", "data/a", body).texts == (text,)


@pytest.mark.parametrize("prepare", [None, ("update", "metadata/a", {"max_versions": 3})])
def test_a_patch_of_nothing_is_not_found_with_an_empty_body(kv, prepare):
    """A path without metadata, or without a version."""
    if prepare:
        kv.ask(*prepare)
    answer = kv.ask("patch", "data/a", {"data": {"k": 1}})

    assert (answer.raw.status, answer.raw.body, kv.plans[-1].draft.empty) == (404, b"", True)


@pytest.mark.parametrize(
    ("write", "destroyed", "deletion_time"),
    [(("delete", "data/a", None), False, CREATED), (("update", "destroy/a", {"versions": [1]}), True, "")],
)
def test_a_patch_of_a_version_that_is_gone_answers_its_metadata(kv, write, destroyed, deletion_time):
    """404, and nothing changes."""
    put(kv, "a", {"k": 1})
    kv.ask(*write)
    answer = kv.ask("patch", "data/a", {"data": {"k": 2}})

    assert (answer.status, plain(answer)) == (404, version_of(1, deletion_time, destroyed=destroyed))
    assert kv.plans[-1].draft.empty
