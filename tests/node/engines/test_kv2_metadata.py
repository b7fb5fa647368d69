"""KV v2: metadata of paths and the configuration of the mount."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import Secret, Table, look, records
from node.engines.durations import NS
from node.engines.kv2 import KvV2
from node.engines.kv_values import VERSIONS_KEPT_MAX
from node.request import Refusal
from tests.node.engines.fakes import MOUNT_UUID, Bench, plain

KEY = MOUNT_UUID + b"a"

CREATED = "2025-11-24T09:41:00.25Z"

CAS_REQUIRED = "metadata check-and-set parameter required for this call"

CAS_MISMATCH = "metadata check-and-set parameter does not match the current version"

WARNING = '"{}" set to false, but is mandated by backend config. This value will be ignored.'


NEGATIVE = "error converting input for field \"delete_version_after\": cannot provide negative value '-1'"

TOO_MANY_VERSIONS = f"max_versions must be at most {VERSIONS_KEPT_MAX}"

NO_MAP = (
    "error converting input for field \"custom_metadata\": '' expected type 'map[string]interface {}', "
    "got unconvertible type 'string'"
)


@pytest.fixture
def kv() -> Bench:
    return Bench(KvV2())


def put(kv: Bench, count: int = 1, path: str = "a") -> None:
    for number in range(count):
        kv.ask("update", f"data/{path}", {"data": {"k": number}})


def custom_problem(*problems: str) -> str:
    head = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    lines = "".join(f"\t* custom_metadata validation failed: {problem}\n" for problem in problems)
    return f"{head} occurred:\n{lines}\n"


def test_metadata_tell_everything_of_a_path(kv):
    """All eleven fields and the versions that exist."""
    put(kv, 2)
    kv.now_ns += NS
    kv.ask("delete", "data/a")
    kv.ask("update", "metadata/a", {"custom_metadata": {"owner": "me"}, "delete_version_after": "90s"})

    assert kv.data("read", "metadata/a") == {
        "cas_required": False,
        "created_time": CREATED,
        "current_metadata_version": 1,
        "current_version": 2,
        "custom_metadata": {"owner": "me"},
        "delete_version_after": "1m30s",
        "max_versions": 0,
        "metadata_cas_required": False,
        "oldest_version": 0,
        "updated_time": CREATED,
        "versions": {
            "1": {"created_time": CREATED, "deletion_time": "", "destroyed": False},
            "2": {"created_time": CREATED, "deletion_time": "2025-11-24T09:41:01.25Z", "destroyed": False},
        },
    }


def test_metadata_may_come_before_any_version(kv):
    """Then there are none, and data are not found."""
    assert kv.ask("create", "metadata/a", {"max_versions": 3}).empty
    found = kv.data("read", "metadata/a")

    assert (found["current_version"], found["current_metadata_version"], found["versions"]) == (0, 1, {})
    assert kv.plans[-1].draft.expects == [(Table.SECRET, KEY, 0)]
    assert kv.plans[-1].draft.hashes == (kv.sealing.path_hash(KEY),)
    assert len(look(kv.view, Table.SECRET, Secret, KEY)[1].rid) == 8


@pytest.mark.parametrize("body", [None, {}, {"unknown": 1}, {"metadata_cas": 999}])
@pytest.mark.parametrize("operation", ["update", "patch"])
def test_naming_no_setting_changes_nothing(kv, operation, body):
    """204, not even a new metadata version."""
    put(kv)

    assert kv.ask(operation, "metadata/a", body).empty
    assert kv.plans[-1].draft.empty


def test_metadata_writes_count_and_data_writes_do_not(kv):
    """Two counters that do not know each other."""
    put(kv, 2)
    for body in ({"max_versions": 4}, {"cas_required": True}):
        kv.ask("update", "metadata/a", body)
    found = kv.data("read", "metadata/a")

    assert (found["current_version"], found["current_metadata_version"]) == (2, 2)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"max_versions": 901}, TOO_MANY_VERSIONS),
        ({"delete_version_after": "-1s"}, NEGATIVE),
        ({"custom_metadata": "x"}, NO_MAP),
        ({"custom_metadata": {"": "v"}}, custom_problem('length of key "" is 0 but must be 0 < len(key) <= 128')),
        (
            {"custom_metadata": {"k" * 129: "v"}},
            custom_problem(f'length of key "{"k" * 128}" is 129 but must be 0 < len(key) <= 128'),
        ),
        (
            {"custom_metadata": {"k": "v" * 513}},
            custom_problem('length of value for key "k" is 513 but must be 0 < len(value) <= 512'),
        ),
        (
            {"custom_metadata": {"k": None}},
            custom_problem('length of value for key "k" is 0 but must be 0 < len(value) <= 512'),
        ),
        (
            {"custom_metadata": {"k\x01": "v\x02"}},
            custom_problem(
                'key "k\\x01" contains unprintable characters',
                'value for key "k\\x01" contains unprintable characters',
            ),
        ),
        (
            {"custom_metadata": {str(number): "v" for number in range(65)}},
            custom_problem("payload must contain at most 64 keys, provided 65"),
        ),
        (
            {"custom_metadata": {"k": {"deep": 1}}},
            (
                "custom_metadata validation failed: '' expected type 'string', "
                "got unconvertible type 'map[string]interface {}'"
            ),
        ),
    ],
)
def test_wrong_metadata_are_refused(kv, body, text):
    """With Vault's words, and never with a value in them."""
    refusal = kv.refused("update", "metadata/a", body)

    assert (refusal.status, refusal.texts) == (400, (text,))


@pytest.mark.parametrize(
    "custom",
    [
        {"k" * 128: "v" * 512},
        {str(number): "v" for number in range(64)},
        {"\u00e9": "\U0001f600 and a blank"},
    ],
)
def test_custom_metadata_at_the_limits_are_kept(kv, custom):
    """The twin."""
    kv.ask("update", "metadata/a", {"custom_metadata": custom})

    assert kv.data("read", "metadata/a")["custom_metadata"] == custom


def test_custom_metadata_become_text(kv):
    """Numbers as written, true as 1."""
    kv.ask("update", "metadata/a", b'{"custom_metadata":{"n":1.10,"t":true,"f":false}}')

    assert kv.data("read", "metadata/a")["custom_metadata"] == {"n": "1.10", "t": "1", "f": "0"}


@pytest.mark.parametrize("body", [{"custom_metadata": {}}, {"custom_metadata": None}])
def test_custom_metadata_are_replaced_whole(kv, body):
    """Empty ones are none."""
    kv.ask("update", "metadata/a", {"custom_metadata": {"a": "1", "b": "2"}})
    kv.ask("update", "metadata/a", {"custom_metadata": {"c": "3"}})
    assert kv.data("read", "metadata/a")["custom_metadata"] == {"c": "3"}

    kv.ask("update", "metadata/a", body)
    assert kv.data("read", "metadata/a")["custom_metadata"] is None


@pytest.mark.parametrize(
    ("patch", "custom"),
    [
        ({"c": "3"}, {"a": "1", "b": "2", "c": "3"}),
        ({"a": None}, {"b": "2"}),
        ({"a": None, "b": None}, None),
        ({"none": None}, {"a": "1", "b": "2"}),
        ({}, {"a": "1", "b": "2"}),
        (None, None),
    ],
)
def test_custom_metadata_are_merged_by_a_patch(kv, patch, custom):
    """Null removes, and null for all removes all."""
    kv.ask("update", "metadata/a", {"custom_metadata": {"a": "1", "b": "2"}})
    kv.ask("patch", "metadata/a", {"custom_metadata": patch})
    found = kv.data("read", "metadata/a")

    assert (found["custom_metadata"], found["current_metadata_version"]) == (custom, 2)


def test_a_patch_cannot_pass_the_number_of_keys(kv):
    """The limit is of what is kept, not of what is sent."""
    kv.ask("update", "metadata/a", {"custom_metadata": {str(number): "v" for number in range(64)}})

    assert kv.refused("patch", "metadata/a", {"custom_metadata": {"more": "v"}}).status == 400
    assert kv.ask("patch", "metadata/a", {"custom_metadata": {"more": "v", "0": None}}).empty


@pytest.mark.parametrize(
    ("patch", "field", "value"),
    [
        ({"max_versions": 5}, "max_versions", 5),
        ({"max_versions": None}, "max_versions", 0),
        ({"max_versions": -1}, "max_versions", VERSIONS_KEPT_MAX),
        ({"cas_required": None}, "cas_required", False),
        ({"cas_required": True}, "cas_required", True),
        ({"delete_version_after": "1h"}, "delete_version_after", "1h0m0s"),
        ({"delete_version_after": None}, "delete_version_after", "0s"),
        ({"metadata_cas_required": True}, "metadata_cas_required", True),
    ],
)
@pytest.mark.parametrize("operation", ["update", "patch"])
def test_settings_are_set_and_cleared(kv, operation, patch, field, value):
    """Null clears, by both verbs; what is not named stays."""
    kv.ask("update", "metadata/a", {"max_versions": 2, "cas_required": True, "delete_version_after": 5})
    before = kv.data("read", "metadata/a")
    kv.ask(operation, "metadata/a", patch)

    assert kv.data("read", "metadata/a") == {**before, field: value, "current_metadata_version": 2}


@pytest.mark.parametrize("body", [{}, {"max_versions": 3}])
def test_a_patch_of_a_missing_path_is_not_found(kv, body):
    """With an empty body, and it makes nothing."""
    answer = kv.ask("patch", "metadata/a", body)

    assert (answer.raw.status, answer.raw.body, kv.plans[-1].draft.empty) == (404, b"", True)


@pytest.mark.parametrize(
    ("metadata_version", "cas", "refused"),
    [
        (0, 0, None),
        (0, 1, CAS_MISMATCH),
        (1, 1, None),
        (1, 0, CAS_MISMATCH),
        (1, 2, CAS_MISMATCH),
        (1, -1, CAS_MISMATCH),
    ],
)
@pytest.mark.parametrize("operation", ["update", "patch"])
def test_metadata_check_and_set_compares_the_metadata_version(kv, operation, metadata_version, cas, refused):
    """Its own counter, not that of the data."""
    put(kv, 3)
    for _ in range(metadata_version):
        kv.ask("update", "metadata/a", {"max_versions": 4})
    body = {"metadata_cas": cas, "max_versions": 5}

    if refused is None:
        assert kv.ask(operation, "metadata/a", body).empty
        assert kv.data("read", "metadata/a")["max_versions"] == 5
    else:
        assert kv.refused(operation, "metadata/a", body).texts == (refused,)


@pytest.mark.parametrize("where", ["config", "metadata/a"])
@pytest.mark.parametrize("operation", ["update", "patch"])
def test_metadata_check_and_set_is_required_where_mount_or_path_say_so(kv, operation, where):
    """And enough where it is given."""
    kv.ask("update", "metadata/a", {"max_versions": 4})
    kv.ask("update", where, {"metadata_cas_required": True})
    current = kv.data("read", "metadata/a")["current_metadata_version"]

    assert kv.refused(operation, "metadata/a", {"max_versions": 5}).texts == (CAS_REQUIRED,)
    assert kv.ask(operation, "metadata/a", {"max_versions": 5, "metadata_cas": current}).empty


def test_metadata_check_and_set_zero_creates(kv):
    """Another number does not."""
    assert kv.refused("update", "metadata/a", {"metadata_cas": 1, "max_versions": 5}).texts == (CAS_MISMATCH,)
    assert kv.ask("update", "metadata/a", {"metadata_cas": 0, "max_versions": 5}).empty


@pytest.mark.parametrize("name", ["cas_required", "metadata_cas_required"])
@pytest.mark.parametrize("operation", ["update", "patch"])
def test_a_path_cannot_take_back_what_the_mount_requires(kv, operation, name):
    """It is stored with a warning, and the mount's word counts; without the mount's there is no warning."""
    put(kv)
    assert kv.ask(operation, "metadata/a", {name: False}).empty

    kv.ask("update", "config", {name: True})
    answer = kv.ask(operation, "metadata/a", {name: False, "metadata_cas": 1})
    assert (answer.status, answer.data, answer.warnings) == (200, None, [WARNING.format(name)])


def test_warnings_of_a_path_and_of_its_parameters_stand_together(kv):
    """Both kinds in one answer."""
    kv.ask("update", "config", {"cas_required": True})
    answer = kv.ask("update", "metadata/a", {"cas_required": False, "x": 1})

    assert answer.warnings == [
        WARNING.format("cas_required"),
        "Endpoint ignored these unrecognized parameters: [x]",
    ]


def test_deleting_metadata_drops_every_version_there_is(kv):
    """From the oldest on, under the path's hash; the next put is version 1."""
    put(kv, 12)
    assert kv.ask("delete", "metadata/a").empty
    draft = kv.plans[-1].draft

    assert len(draft.drops) == 11
    assert (draft.puts, draft.hashes) == ([], (kv.sealing.path_hash(KEY),))
    assert kv.view.tables[Table.SECRET] == kv.view.tables[Table.VERSION] == {}
    assert kv.refused("read", "metadata/a").status == 404
    assert kv.ask("delete", "metadata/a").empty
    assert kv.plans[-1].draft.empty
    put(kv)
    assert kv.data("read", "data/a")["metadata"]["version"] == 1


def test_metadata_fields_of_a_newer_program_survive(kv):
    """A change keeps what it does not know."""
    put(kv)
    index, record = kv.view.get(Table.SECRET, KEY)
    kv.view.tables[Table.SECRET][KEY] = (index, records.encode([*records._plain.decode(record), "newer"]))
    kv.ask("update", "metadata/a", {"max_versions": 5})
    kv.ask("update", "delete/a", {"versions": [1]})

    assert records._plain.decode(kv.view.get(Table.SECRET, KEY)[1])[-1] == "newer"


@given(st.dictionaries(st.text(max_size=140), st.text(max_size=520) | st.none(), max_size=70))
def test_custom_metadata_are_refused_or_kept_exactly(custom):
    """A model of the limits agrees."""
    kv = Bench(KvV2())
    fine = len(custom) <= 64 and all(
        0 < len(name.encode()) <= 128
        and text is not None
        and 0 < len(text.encode()) <= 512
        and (name + text).isprintable()
        for name, text in custom.items()
    )
    try:
        kv.ask("update", "metadata/a", {"custom_metadata": custom})
    except Refusal:
        assert not fine
    else:
        assert fine
        assert kv.data("read", "metadata/a")["custom_metadata"] == (custom or None)


def test_no_text_of_a_refusal_holds_a_value(kv):
    """A secret in a wrong place comes back to nobody."""
    marker = "planted-marker"
    bodies = [
        {"custom_metadata": {"k": f"{marker}\x01"}},
        {"custom_metadata": {"k": marker * 50}},
        {"custom_metadata": {"k": [marker]}},
        {"custom_metadata": marker},
        {"max_versions": marker},
        {"cas_required": marker},
        {"metadata_cas": marker},
    ]
    for body in bodies:
        assert marker not in repr(kv.refused("update", "metadata/a", body).texts)
    for path, body in [("data/a", {"data": marker}), ("data/a", {"data": {}, "options": {"cas": marker}})]:
        refusal = kv.refused("update", path, body)
        assert marker not in repr(refusal.texts) + repr(refusal) + str(refusal)


def test_existing_metadata_keep_their_times(kv):
    """Settings are no update of the secret."""
    put(kv)
    kv.now_ns += NS
    kv.ask("update", "metadata/a", {"max_versions": 3})
    found = kv.data("read", "metadata/a")

    assert (found["created_time"], found["updated_time"]) == (CREATED, CREATED)
    assert plain(kv.ask("read", "metadata/a"))["max_versions"] == 3
