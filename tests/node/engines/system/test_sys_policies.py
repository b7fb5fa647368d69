"""ACL policies over the API, the old paths too."""

import base64

import pytest

from cluster import Policy, Table, look
from node.policy import builtin
from tests.node.auth.world import START_NS, World

TEXT = 'path "x/*" { capabilities = ["read", "list"] }'
ACL = "sys/policies/acl"


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    "text",
    [TEXT, '{"path":{"y":{"capabilities":["update"]}}}', "# comment only", "{}", 'path "x" { }'],
)
def test_a_policy_reads_back_as_its_author_wrote_it(world, text):
    """Exactly name and policy: clients compare the whole object."""
    answer = world.ask("update", f"{ACL}/a", {"policy": text})

    assert answer.empty
    assert world.data("read", f"{ACL}/a") == {"name": "a", "policy": text}


def test_base64_is_stored_as_the_text_behind_it(world):
    """So that what is read can be read."""
    world.ask("update", f"{ACL}/b64", {"policy": base64.b64encode(TEXT.encode()).decode()})

    assert world.data("read", f"{ACL}/b64")["policy"] == TEXT


def test_writing_again_replaces_and_counts(world):
    """The version is kept beside the text."""
    world.policy("a", TEXT)
    world.pass_time(1)
    world.policy("a", 'path "y" { policy = "read" }')
    record = look(world.state, Table.POLICY, Policy, b"a")[1]

    assert (record.version, record.modified_ns, record.text) == (2, START_NS + 10**9, 'path "y" { policy = "read" }')


@pytest.mark.parametrize("name", ["UPPER", "uPPer"])
def test_names_are_lower_case_wherever_they_come_from(world, name):
    """Written, read, deleted; the writer is told."""
    answer = world.ask("update", f"{ACL}/{name}", {"policy": TEXT})

    assert answer.warnings == ["policy name was converted to upper"]
    assert world.data("read", f"{ACL}/{name}")["name"] == "upper"
    world.ask("delete", f"{ACL}/{name}")
    assert world.refused("read", f"{ACL}/upper") == (404, "", False)


@pytest.mark.parametrize("name", ["root", "ROOT", " root", "Root ", "response-wrapping", "Response-Wrapping"])
@pytest.mark.parametrize("path", [ACL, "sys/policy"])
def test_built_in_policies_are_nobodys_to_change(world, name, path):
    """However they are spelt (CVE-2025-54996, CVE-2025-64761)."""
    plain = name.strip().lower()

    updated = world.refused("update", f"{path}/{name}", {"policy": TEXT})
    deleted = world.refused("delete", f"{path}/{name}")

    assert updated == (400, f'cannot update "{plain}" policy', False)
    assert deleted == (400, f'cannot delete "{plain}" policy', False)
    assert look(world.state, Table.POLICY, Policy, plain.encode()) is None


def test_the_default_policy_can_be_edited_and_not_deleted(world):
    """Every token has it."""
    world.policy("default", TEXT)

    assert world.data("read", f"{ACL}/default")["policy"] == TEXT
    assert world.refused("delete", f"{ACL}/default") == (400, "cannot delete default policy", False)


@pytest.mark.parametrize(
    ("name", "text"),
    [("root", ""), ("response-wrapping", builtin.RESPONSE_WRAPPING_TEXT), ("default", builtin.DEFAULT_TEXT)],
)
def test_built_in_policies_can_be_read(world, name, text):
    """Root has no text."""
    assert world.data("read", f"{ACL}/{name}") == {"name": name, "policy": text}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "'policy' parameter not supplied or empty"),
        ({"policy": ""}, "'policy' parameter not supplied or empty"),
        ({"rules": TEXT}, "'policy' parameter not supplied or empty"),
        (
            {"policy": 'path "x" { capabilities = ["fly"] }'},
            'failed to parse policy: path "x": invalid capability "fly"',
        ),
        (
            {"policy": 'path "x/+*" { capabilities = ["read"] }'},
            "failed to parse policy: path \"x/+*\": invalid use of wildcards ('+*' is forbidden)",
        ),
        (
            {"policy": "nonsense = 1"},
            'failed to parse policy: 1 error occurred:\n\t* invalid key "nonsense" on line 1\n\n',
        ),
    ],
)
def test_what_cannot_be_read_is_not_stored(world, body, text):
    """400 with the place of the mistake."""
    assert world.refused("update", f"{ACL}/t", body) == (400, text, False)
    assert look(world.state, Table.POLICY, Policy, b"t") is None


@pytest.mark.parametrize("name", ["x" * 513, " "])
def test_names_are_bounded(world, name):
    """400 instead of a record that cannot be stored."""
    assert world.refused("update", f"{ACL}/{name}", {"policy": TEXT})[0] == 400


def test_lists_are_sorted_with_root_last(world):
    """Response-wrapping is hidden; names may hold slashes and spaces; the plain read is refused."""
    for name in ("b", "a", "sub/dir", "sp ace"):
        world.policy(name, TEXT)
    names = ["a", "b", "default", "sp ace", "sub/dir", "root"]
    old = world.ask("read", "sys/policy")

    assert world.ask("list", f"{ACL}/").data == {"keys": names}
    assert (old.data, old.inject) == ({"keys": names, "policies": names}, True)
    assert world.ask("list", "sys/policy/").data == old.data
    assert world.refused("read", ACL) == (405, "unsupported operation", True)


def test_deleting_what_is_not_there_is_no_error(world):
    """204 twice."""
    world.policy("a", TEXT)
    answers = [world.ask("delete", f"{ACL}/a") for _ in range(2)]

    assert [answer.empty for answer in answers] == [True, True]
    assert world.plans[-1].draft.empty


def test_the_old_path_calls_the_text_rules(world):
    """And warns where it is written under that name."""
    warned = world.ask("update", "sys/policy/old", {"rules": TEXT})
    silent = world.ask("update", "sys/policy/old", {"policy": 'path "x" { policy = "write" }'})
    read = world.ask("read", "sys/policy/old")

    assert warned.warnings == ["'rules' is deprecated, please use 'policy' instead"]
    assert silent.empty
    assert (read.data, read.inject) == ({"name": "old", "rules": 'path "x" { policy = "write" }'}, True)
    assert world.refused("read", "sys/policy/none") == (404, "", False)


def test_a_policy_that_goes_is_felt_at_once(world):
    """The token that named it has nothing from it; one that is written grants at once."""
    world.policy("p", 'path "sys/mounts" { capabilities = ["read"] }')
    raw_token = world.make({"policies": ["p"]})
    before = world.ask("read", "sys/mounts", token=raw_token).status
    world.ask("delete", f"{ACL}/p")
    denied = world.refused("read", "sys/mounts", token=raw_token)
    world.policy("p", 'path "sys/mounts" { capabilities = ["read"] }')

    assert (before, denied) == (200, (403, "permission denied", True))
    assert world.ask("read", "sys/mounts", token=raw_token).status == 200
