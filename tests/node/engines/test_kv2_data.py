"""KV v2 data: versions, check-and-set, patches, subkeys, and the facts a put logs."""

from __future__ import annotations

import json

import pytest

from cluster import EVERYTHING, DamagedError, Secret, Table, look, records, version_key
from node.engines.kv2 import KvV2
from node.engines.kv_values import NUMBER_MAX, VERSIONS_KEPT_MAX
from node.request import RawJson
from tests.node.engines.fakes import MOUNT_UUID, START_NS, Bench, FakeOverlay, FakeSealing, plain

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
                (
                    "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: "
                    "[path]"
                )
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


def test_256_puts_through_an_overlay_give_consecutive_versions(kv):
    """Each decision reads the proposals before it; readers of applied state see none of them."""
    put(kv, "a", {"k": 0})
    applied = kv.view
    kv.view = FakeOverlay(applied)

    numbers = [put(kv, "a", {"k": number})["version"] for number in range(256)]
    assert numbers == list(range(2, 258))
    assert look(applied, Table.SECRET, Secret, MOUNT_UUID + b"a")[1].current == 1
    expected = [plan.draft.expects[0][2] for plan in kv.plans[1:]]
    assert expected == sorted(set(expected))


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
