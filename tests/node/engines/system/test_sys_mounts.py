"""Mounting, unmounting, tuning."""

import pytest

from cluster import Draft, Mount, Secret, Table, look, sweeps
from node.engines.system.mount_table import find_mount
from node.engines.system.mounts import MountTypes
from tests.node.auth.world import World

BUILTIN = ["cubbyhole/", "identity/", "sys/"]
UPGRADING = (
    "Upgrading mount from version 1 to version 2. "
    "This mount will be unavailable for a brief period and will resume service shortly."
)
NO_VERSION = 'secrets engine "transit" does not allow setting a version'
TWICE = "token credential backend cannot be instantiated"


@pytest.fixture
def world() -> World:
    world = World(mount_types=MountTypes(secrets=frozenset({"kv", "transit"}), auth=frozenset({"userpass"})))
    world.ask("update", "sys/mounts/m1", M1)
    return world


M1 = {"type": "kv", "description": "first", "config": {"default_lease_ttl": "1h", "max_lease_ttl": "7200s"}}


def _mount(world, path):
    found = look(world.state, Table.MOUNT, Mount, path.encode())
    return None if found is None else found[1]


def test_a_mount_is_described_with_every_key(world):
    """As clients compare it."""
    answer = world.ask("read", "sys/mounts/m1")
    data = dict(answer.data)
    accessor, uuid = data.pop("accessor"), data.pop("uuid")

    assert answer.inject
    assert (accessor[:3], len(accessor), len(uuid), uuid.count("-")) == ("kv_", 11, 36, 4)
    assert data == {
        "config": {"default_lease_ttl": 3600, "force_no_cache": False, "max_lease_ttl": 7200},
        "deprecation_status": "supported",
        "description": "first",
        "external_entropy_access": False,
        "local": False,
        "options": {},
        "plugin_version": "",
        "running_plugin_version": "v0.1.0+builtin",
        "running_sha256": "",
        "seal_wrap": False,
        "type": "kv",
    }


def test_an_auth_method_says_which_tokens_its_logins_make(world):
    """Also where nobody said so: typed clients want it. An engine makes none; both stand in the catalog."""
    world.ask("update", "sys/auth/up", {"type": "userpass"})
    world.ask("update", "sys/auth/batches", {"type": "userpass", "config": {"token_type": "batch"}})
    shown = {name: world.data("read", f"sys/auth/{name}") for name in ("up", "batches")}
    engine = world.data("read", "sys/mounts/m1")

    assert {name: data["config"]["token_type"] for name, data in shown.items()} == {
        "up": "default-service", "batches": "batch",
    }  # fmt: skip
    assert world.data("read", "sys/auth/up/tune")["token_type"] == "default-service"
    assert "token_type" not in engine["config"]
    refused = world.refused("update", "sys/auth/new", {"type": "userpass", "config": {"token_type": "other"}})
    assert refused == (400, "invalid value for 'token_type': other", False)
    assert {data["deprecation_status"] for data in (*shown.values(), engine)} == {"supported"}


def test_the_built_in_mounts_are_always_there(world):
    """With their own settings; auth methods are listed apart."""
    listed = world.ask("read", "sys/mounts")
    auth = world.ask("read", "sys/auth")

    assert listed.inject
    assert auth.inject
    assert list(listed.data) == [*BUILTIN[:2], "m1/", BUILTIN[2]]
    assert (listed.data["sys/"]["type"], listed.data["sys/"]["seal_wrap"]) == ("system", True)
    assert (listed.data["cubbyhole/"]["local"], listed.data["identity/"]["options"]) == (True, None)
    assert listed.data["identity/"]["config"]["passthrough_request_headers"] == ["Authorization"]
    assert "deprecation_status" not in listed.data["sys/"]
    assert list(auth.data) == ["token/"]
    assert auth.data["token/"]["config"]["token_type"] == "default-service"
    assert auth.data["token/"]["accessor"].startswith("auth_token_")


@pytest.mark.parametrize(
    ("given_type", "options", "expected"),
    [
        ("kv", None, {}),
        ("kv-v1", None, {"version": "1"}),
        ("kv-v2", None, {"version": "2"}),
        ("kv", {"version": 2}, {"version": "2"}),
        ("kv", {"version": "1", "x": True}, {"version": "1", "x": "1"}),
        ("generic", None, {}),
    ],
)
def test_types_and_versions_of_kv(world, given_type, options, expected):
    """Aliases become kv; option values become text."""
    body = {"type": given_type} if options is None else {"type": given_type, "options": options}
    world.ask("update", "sys/mounts/new", body)

    assert (_mount(world, "new/").type, _mount(world, "new/").options) == ("kv", expected)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("m1", {"type": "kv"}, "path is already in use at m1/"),
        ("m1/sub", {"type": "kv"}, "path is already in use at m1/"),
        ("nosuch", {"type": "nosuch"}, "plugin not found in the catalog: nosuch"),
        ("notype", {}, "backend type must be specified as a string"),
        ("sys", {"type": "kv"}, 'cannot mount "sys/"'),
        ("sys/x", {"type": "kv"}, 'cannot mount "sys/x/"'),
        ("auth", {"type": "kv"}, 'cannot mount "auth/"'),
        ("auth/foo", {"type": "kv"}, 'cannot mount "auth/foo/"'),
        ("audit", {"type": "kv"}, 'cannot mount "audit/"'),
        ("cubbyhole", {"type": "kv"}, 'cannot mount "cubbyhole/"'),
        ("identity", {"type": "kv"}, 'cannot mount "identity/"'),
        ("strongroom", {"type": "kv"}, 'cannot mount "strongroom/"'),
        ("cub2", {"type": "cubbyhole"}, 'mount type of "cubbyhole" is not mountable'),
        ("sys2", {"type": "system"}, 'mount type of "system" is not mountable'),
        ("id2", {"type": "identity"}, 'mount type of "identity" is not mountable'),
        ("tok2", {"type": "token"}, 'mount type of "token" is not mountable'),
        ("t", {"type": "transit", "options": {"version": "2"}}, NO_VERSION),
        ("v3", {"type": "kv", "options": {"version": "3"}}, "invalid version provided: a KV mount has version 1 or 2"),
        (
            "bad",
            {"type": "kv", "config": {"default_lease_ttl": "banana"}},
            'unable to parse default TTL of banana: time: invalid duration "banana"',
        ),
        (
            "bad",
            {"type": "kv", "config": {"max_lease_ttl": "1x"}},
            'unable to parse max TTL of 1x: time: unknown unit "x" in duration "1x"',
        ),
        (
            "bad",
            {"type": "kv", "config": {"max_lease_ttl": -1}},
            "unable to parse max TTL of -1: a lease TTL cannot be negative",
        ),
        (
            "bad",
            {"type": "kv", "config": {"default_lease_ttl": "2h", "max_lease_ttl": "1h"}},
            "given default lease TTL greater than given max lease TTL",
        ),
        (
            "bad",
            {"type": "kv", "config": {"default_lease_ttl": "9000h"}},
            "given default lease TTL greater than system max lease TTL of 2764800",
        ),
        ("bad", {"type": "kv", "config": {"listing_visibility": "bogus"}}, "invalid listing_visibility bogus"),
        (
            "bad",
            {"type": "kv", "config": {"token_type": "service"}},
            "'token_type' can only be modified on auth mounts",
        ),
        ("slash/", {"type": "kv"}, "cannot write to a path ending in '/'"),
    ],
)
def test_what_cannot_be_mounted_says_why(world, path, body, text):
    """400, and the table is as before."""
    before = world.count(Table.MOUNT)

    assert world.refused("update", f"sys/mounts/{path}", body) == (400, text, False)
    assert world.count(Table.MOUNT) == before


def test_a_mount_that_would_swallow_another_is_refused(world):
    """In both directions."""
    world.ask("update", "sys/mounts/deep/er", {"type": "kv"})
    world.ask("update", "sys/mounts/deeper", {"type": "kv"})

    assert world.refused("update", "sys/mounts/deep", {"type": "kv"})[1] == "path is already in use at deep/er/"


def test_settings_are_kept_and_shown_where_they_are_set(world):
    """In the description and in the tune."""
    config = {
        "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["a"],
        "passthrough_request_headers": "X-Foo,X-Baz",
        "allowed_response_headers": ["X-Bar"],
        "force_no_cache": True,
    }
    world.ask("update", "sys/mounts/m2", {"type": "kv", "config": config, "local": True})
    shown = {**config, "passthrough_request_headers": ["X-Foo", "X-Baz"]}

    data = world.data("read", "sys/mounts/m2")
    assert data["config"] == {**shown, "default_lease_ttl": 0, "max_lease_ttl": 0}
    assert data["local"] is True
    assert world.data("read", "sys/mounts/m2/tune") == {
        **shown,
        "default_lease_ttl": 2764800,
        "max_lease_ttl": 2764800,
        "description": "",
    }


def test_tuning_changes_what_it_names(world):
    """And nothing else; "system" gives a time to live back."""
    world.ask(
        "update",
        "sys/mounts/m1/tune",
        {"default_lease_ttl": "90m", "description": "new", "listing_visibility": "hidden"},
    )
    tuned = world.data("read", "sys/mounts/m1/tune")
    world.ask("update", "sys/mounts/m1/tune", {"default_lease_ttl": "system", "max_lease_ttl": "system"})
    back = world.data("read", "sys/mounts/m1/tune")

    assert tuned == {
        "default_lease_ttl": 5400,
        "description": "new",
        "force_no_cache": False,
        "listing_visibility": "hidden",
        "max_lease_ttl": 7200,
    }
    assert (back["default_lease_ttl"], back["max_lease_ttl"], back["description"]) == (2764800, 2764800, "new")


def test_tuning_nothing_proposes_nothing(world):
    """204 all the same."""
    answer = world.ask("update", "sys/mounts/m1/tune", {})

    assert answer.empty
    assert world.plans[-1].draft.empty


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (
            "m1",
            {"default_lease_ttl": "3h"},
            "backend max lease TTL of 7200 would be less than backend default lease TTL of 10800",
        ),
        ("m1", {"max_lease_ttl": "bad"}, 'strconv.ParseInt: parsing "ba": invalid syntax'),
        ("m1", {"max_lease_ttl": "-1h"}, "a lease TTL cannot be negative"),
        ("m1", {"listing_visibility": "x"}, "invalid listing_visibility x"),
        ("m1", {"options": {"version": "3"}}, "invalid version provided: a KV mount has version 1 or 2"),
        ("auth/token", {"options": {"version": "2"}}, 'secrets engine "token" does not allow setting a version'),
        ("auth/token", {"token_type": "batch"}, "'token_type' cannot be set for 'token' or 'ns_token' auth mounts"),
        ("m1", {"token_type": "batch"}, "'token_type' can only be modified on auth mounts"),
        ("none", {"max_lease_ttl": "1h"}, 'tune of path "none/" failed: no mount entry found'),
    ],
)
def test_what_cannot_be_tuned_says_why(world, path, body, text):
    """400, and the mount is as before."""
    before = _mount(world, "m1/")

    assert world.refused("update", f"sys/mounts/{path}/tune", body) == (400, text, False)
    assert _mount(world, "m1/") == before


def test_reads_of_what_is_not_mounted(world):
    """400 with the path; a tune has its own sentence; an auth method is no secrets engine."""
    assert world.refused("read", "sys/mounts/none")[:2] == (400, "No secret engine mount at none/")
    assert world.refused("read", "sys/mounts/slash/")[:2] == (400, "No secret engine mount at slash/")
    assert world.refused("read", "sys/mounts/auth/token")[:2] == (400, "No secret engine mount at auth/token/")
    assert world.refused("read", "sys/auth/none")[:2] == (400, "No auth engine at none/")
    assert world.refused("read", "sys/mounts/none/tune")[:2] == (400, 'cannot fetch sysview for path "none/"')
    assert world.data("read", "sys/mounts/auth/token/tune")["token_type"] == "default-service"


def test_a_kv_mount_is_upgraded_by_one_option_and_never_downgraded(world):
    """What is stored stays where it is; the version never falls, not by leaving it out either."""
    uuid = _mount(world, "m1/").uuid
    answer = world.ask("update", "sys/mounts/m1/tune", {"options": {"version": 2}})
    world.ask("update", "sys/mounts/m1/tune", {"options": {"other": "x"}})

    assert answer.warnings == [UPGRADING]
    assert (_mount(world, "m1/").uuid, _mount(world, "m1/").options) == (uuid, {"version": "2", "other": "x"})
    for version in ("1", ""):
        refused = world.refused("update", "sys/mounts/m1/tune", {"options": {"version": version}})
        assert refused == (400, "cannot downgrade mount from version 2", False)


def test_settings_of_the_engine_in_the_record_survive_a_tune(world):
    """What KV keeps in the mount's configuration is not the tune's."""
    mount = look(world.state, Table.MOUNT, Mount, b"m1/")[1]
    mount.config = {**mount.config, "kv": {"max_versions": 3}}
    draft = Draft()
    draft.put(Table.MOUNT, b"m1/", mount)
    world.apply(draft)
    world.ask("update", "sys/mounts/m1/tune", {"max_lease_ttl": "3h"})

    assert _mount(world, "m1/").config["kv"] == {"max_versions": 3}
    assert "kv" not in world.data("read", "sys/mounts/m1")["config"]


def test_disabling_is_one_small_fact_and_a_new_mount_sees_nothing_of_the_old(world):
    """2,000 secrets are unreachable at once and swept later; the same path has a new uuid."""
    old = _mount(world, "m1/").uuid
    for start in range(0, 2_000, 500):
        draft = Draft()
        for number in range(start, start + 500):
            draft.put(Table.SECRET, old + b"s%d" % number, Secret(current=0, rid=b"r" * 8))
        world.apply(draft)
    world.ask("delete", "sys/mounts/m1")
    draft = world.plans[-1].draft
    world.ask("update", "sys/mounts/m1", {"type": "kv"})
    new = _mount(world, "m1/").uuid
    waiting = world.state.get(Table.SWEEP, sweeps.sweep_key("mount", old)) is not None
    world.sweep()

    assert (len(draft.puts), len(draft.drops)) == (1, 1)
    assert waiting
    assert new != old
    assert world.state.list(new) == []
    assert world.state.get(Table.SECRET, old + b"s7") is None


@pytest.mark.parametrize("path", ["none", "m1/sub"])
def test_disabling_what_is_not_mounted_is_no_error(world, path):
    """204 and nothing proposed."""
    assert world.ask("delete", f"sys/mounts/{path}").empty
    assert world.plans[-1].draft.empty


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mounts/sys", 'cannot unmount "sys/"'),
        ("mounts/cubbyhole", 'cannot unmount "cubbyhole/"'),
        ("mounts/identity", 'cannot unmount "identity/"'),
        ("mounts/auth/token", 'cannot unmount "auth/token/"'),
        ("auth/token", "token credential backend cannot be disabled"),
    ],
)
def test_what_every_cluster_has_cannot_be_disabled(world, path, text):
    """400, and it is still there."""
    before = world.count(Table.MOUNT)

    assert world.refused("delete", f"sys/{path}") == (400, text, False)
    assert world.count(Table.MOUNT) == before


def test_auth_methods_are_mounted_below_auth(world):
    """Their table is its own: the same name may stand in both."""
    world.ask("update", "sys/auth/m1", {"type": "userpass", "description": "d", "config": {"token_type": "service"}})
    data = world.data("read", "sys/auth/m1")

    assert _mount(world, "auth/m1/").accessor.startswith("auth_userpass_")
    assert (data["type"], data["config"]["token_type"]) == ("userpass", "service")
    assert world.refused("update", "sys/auth/m1/x", {"type": "userpass"})[1] == "path is already in use at m1/"
    assert world.refused("update", "sys/auth/t", {"type": "token"})[1] == TWICE
    assert world.refused("update", "sys/auth/k", {"type": "kv"})[1] == "plugin not found in the catalog: kv"
    world.ask("delete", "sys/auth/m1")
    assert _mount(world, "auth/m1/") is None
    assert _mount(world, "m1/") is not None


def test_mounting_an_auth_method_needs_sudo(world):
    """Update alone is not enough there; with sudo it is."""
    world.policy("plain", 'path "sys/auth/x" { capabilities = ["update"] }')
    world.policy("mighty", 'path "sys/auth/y" { capabilities = ["update", "sudo"] }')
    plain, mighty = world.make({"policies": ["plain"]}), world.make({"policies": ["mighty"]})

    assert world.refused("update", "sys/auth/x", {"type": "userpass"}, token=plain) == (403, "permission denied", True)
    assert world.ask("update", "sys/auth/y", {"type": "userpass"}, token=mighty).empty


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("m1/a/b", "m1/"),
        ("m1/", "m1/"),
        ("m1", "m1/"),
        ("m1x/a", None),
        ("M1/a", None),
        ("auth/token/create", "auth/token/"),
        ("auth/nosuch/login", None),
        ("sys/mounts", "sys/"),
        ("sys", "sys/"),
        ("", None),
        ("/", None),
    ],
)
def test_a_path_belongs_to_the_longest_mount_by_whole_segments(world, path, expected):
    """Case counts."""
    found = find_mount(world.state, path)

    assert (None if found is None else found[0]) == expected


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        ("list", "sys/mounts/", (404, "unsupported path", True)),
        ("delete", "sys/mounts", (405, "unsupported operation", True)),
        ("update", "sys/mounts", (405, "unsupported operation", True)),
        ("read", "sys/nosuch", (404, "unsupported path", True)),
        ("read", "m9/a", (404, 'no handler for route "m9/a". route entry not found.', False)),
    ],
)
def test_what_is_not_there(world, operation, path, expected):
    """In Vault's words."""
    assert world.refused(operation, path) == expected
