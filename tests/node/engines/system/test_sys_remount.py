"""Moving mounts."""

import msgspec
import pytest

from cluster import Draft, Lease, Mount, Table, look, sweeps
from node.engines.kv2 import KvV2
from node.engines.leases import find
from node.engines.system.mounts import MountTypes
from node.engines.system.remount import KEPT_MAX
from node.request import Refusal
from tests.node.auth.world import NS, World


@pytest.fixture
def world() -> World:
    world = World(mount_types=MountTypes(secrets=frozenset({"kv"}), auth=frozenset({"github"})))
    world.engines["kv"] = KvV2(versions_max=10, value_bytes_max=1 << 20)
    for path in ("a", "b/c"):
        world.ask("update", f"sys/mounts/{path}", {"type": "kv-v2"})
    world.ask("update", "sys/auth/gh", {"type": "github"})
    world.ask("update", "a/data/x", {"data": {"k": "v"}})
    return world


def mount_of(world: World, path: str) -> Mount | None:
    found = look(world.state, Table.MOUNT, Mount, path.encode())
    return None if found is None else found[1]


def move(world: World, source: str, target: str, **rest: object):
    return world.ask("update", "sys/remount", {"from": source, "to": target}, **rest)


def test_a_moved_mount_has_everything_it_had(world):
    """Uuid, accessor and secrets; nothing is at the old path any more, and the answer comes when that is so."""
    before = mount_of(world, "a/")
    answer = move(world, "/a", "d/e/")

    assert mount_of(world, "a/") is None
    assert mount_of(world, "d/e/") == before
    assert world.data("read", "d/e/data/x") is not None
    assert world.refused("read", "a/data/x")[0] == 404
    assert (list(answer.data), answer.inject) == (["migration_id"], True)
    assert answer.warnings[0].startswith("Mount move has been queued.")


def test_it_can_be_written_to_and_moved_back(world):
    """Old versions and new ones open at every path the mount comes to."""
    move(world, "a", "d")
    world.ask("update", "d/data/x", {"data": {"k": "w"}})
    move(world, "d", "a")

    for version in ("1", "2"):
        assert world.data("read", "a/data/x", query={"version": version}) is not None


def test_a_move_is_one_transaction(world):
    """The mount is at one of the two paths in every state."""
    move(world, "a", "d")
    draft = world.plans[-1].draft

    assert [key for table, key in draft.drops if table == Table.MOUNT] == [b"a/"]
    assert [key for table, key, _ in draft.puts if table == Table.MOUNT] == [b"d/"]
    assert (Table.MOUNT, b"d/", 0) in draft.expects


def test_an_auth_method_moves_within_its_table(world):
    """By its path below auth/; until when its tokens are void is all that is new."""
    before = mount_of(world, "auth/gh/")
    world.pass_time(1)
    move(world, "auth/gh", "auth/hub")

    assert mount_of(world, "auth/hub/") == msgspec.structs.replace(before, tokens_void_ns=world.now_ns)
    assert list(world.data("read", "sys/auth")) == ["hub/", "token/"]


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("", "d", "both 'from' and 'to' path must be specified as a string"),
        ("a", "/", "both 'from' and 'to' path must be specified as a string"),
        ("none", "d", 'no matching mount at "none/"'),
        ("a/data", "d", 'no matching mount at "a/data/"'),
        ("a", "b/c", 'path in use at "b/c/"'),
        ("a", "b", 'path in use at "b/c/"'),
        ("a", "b/c/d", 'path in use at "b/c/"'),
        ("a", "a", 'path in use at "a/"'),
        ("a", "a/b", 'path in use at "a/"'),
        ("b/c", "b", 'path in use at "b/c/"'),
        ("sys", "d", 'cannot remount "sys/"'),
        ("cubbyhole", "d", 'cannot remount "cubbyhole/"'),
        ("identity", "d", 'cannot remount "identity/"'),
        ("a", "sys/x", 'cannot remount to destination "sys/x/"'),
        ("a", "strongroom", 'cannot remount to destination "strongroom/"'),
        ("a", "audit/x", 'cannot remount to destination "audit/x/"'),
        ("auth/token", "auth/d", 'cannot remount "auth/token/"'),
        ("auth/gh", "auth/token/x", 'cannot remount to destination "auth/token/x/"'),
        ("auth/gh", "auth/token", 'cannot remount to destination "auth/token/"'),
        ("auth/gh", "d", 'cannot remount "auth/gh/": a mount stays among secrets engines or auth methods'),
        ("a", "auth/d", 'cannot remount "a/": a mount stays among secrets engines or auth methods'),
        ("auth/gh", "auth", "an auth mount needs a path"),
        ("a", "d//e", "'to' path must be printable"),
        ("a", "d/../e", "'to' path must be printable"),
        ("a", "./d", "'to' path must be printable"),
        ("a", "..", "'to' path must be printable"),
        ("a", "d\ne", "'to' path must be printable"),
        ("a", "d\x00", "'to' path must be printable"),
        ("a", "d\u200b", "'to' path must be printable"),
        ("a", "d/ ", "'to' path must be printable"),
        ("a", " d", "'to' path must be printable"),
        ("auth/gh", "auth//d", "'to' path must be printable"),
        ("a", "d" * 1024, "'to' path is longer than 1024 bytes"),
        ("a", "\u00e4" * 512, "'to' path is longer than 1024 bytes"),
        ("a", "d" * 5000, "'to' path is longer than 1024 bytes"),
        ("d" * 5000, "a", "'from' path is too long"),
    ],
)
def test_what_cannot_be_moved_is_refused_and_stays(world, source, target, text):
    """Missing, in use, nested, reserved, of the other table."""
    before = sorted(world.state.items(Table.MOUNT))
    status, said, wrapped = world.refused("update", "sys/remount", {"from": source, "to": target})

    assert (status, wrapped) == (400, False)
    assert said.startswith(text)
    assert sorted(world.state.items(Table.MOUNT)) == before


@pytest.mark.parametrize("target", ["d", "d e/f", "d/..e", "\u00e4", "d" * 1023, "\u00e4" * 511])
def test_every_path_that_a_request_can_name_can_be_moved_to(world, target):
    """The twin; what was there is read there, and it can be moved again."""
    move(world, "a", target)

    assert world.data("read", f"{target}/data/x") is not None
    move(world, target, "a")
    assert mount_of(world, "a/") is not None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("d//e", ""),
        ("d/../e", ""),
        ("d\ne", ""),
        ("d ", ""),
        ("d" * 2040, ""),
        ("d" * 2041, "'from' path is too long"),
    ],
)
def test_a_mount_at_a_path_that_no_request_can_name_can_be_moved_away(world, path, text):
    """Whatever put it there; as long as its key leaves room for that of the sweep."""
    draft = Draft()
    draft.expect(Table.MOUNT, f"{path}/".encode(), 0)
    draft.put(Table.MOUNT, f"{path}/".encode(), Mount(uuid=b"u" * 16, type="kv"))
    world.apply(draft)
    if text:
        assert world.refused("update", "sys/remount", {"from": path, "to": "d2"}) == (400, text, False)
    else:
        move(world, path, "d2")

    assert mount_of(world, f"{path}/" if text else "d2/").uuid == b"u" * 16


def test_moving_needs_sudo(world):
    """Update alone is not enough; with sudo it is."""
    world.policy("weak", 'path "sys/remount" { capabilities = ["update"] }')
    world.policy("strong", 'path "sys/remount" { capabilities = ["update", "sudo"] }')
    body = {"from": "a", "to": "d"}

    assert world.refused("update", "sys/remount", body, token=world.make({"policies": ["weak"]}))[0] == 403
    assert move(world, "a", "d", token=world.make({"policies": ["strong"]})).status == 200


def test_leases_of_the_old_path_are_dead(world):
    """Those issued before the move, and those alone."""
    lease = Lease(issued_ns=world.now_ns, path="a/creds/x")
    draft = Draft()
    for name in (b"a/creds/x/1", b"ab/creds/x/1"):
        draft.expect(Table.LEASE, name, 0)
        draft.put(Table.LEASE, name, lease)
    world.apply(draft)
    move(world, "a", "d")

    assert sweeps.lease_is_swept(world.state, b"a/creds/x/1", world.now_ns)
    assert not sweeps.lease_is_swept(world.state, b"a/creds/x/1", world.now_ns + NS)
    assert not sweeps.lease_is_swept(world.state, b"ab/creds/x/1", world.now_ns)
    world.sweep()
    assert world.state.get(Table.LEASE, b"a/creds/x/1") is None
    assert world.state.get(Table.LEASE, b"ab/creds/x/1") is not None


@pytest.mark.parametrize("swept", [False, True])
def test_leases_do_not_come_back_with_the_mount(world, swept):
    """Neither before the sweep nor behind it; those that are made then live."""
    def made(name: str) -> bool:
        lease = Lease(
            token=world.keys.token_hash(world.root), issued_ns=world.now_ns, expires_ns=world.now_ns + 3600 * NS,
            path="a/creds/x", mount=mount_of(world, "a/").uuid,
        )  # fmt: skip
        draft = Draft()
        draft.expect(Table.LEASE, name.encode(), 0)
        draft.put(Table.LEASE, name.encode(), lease)
        world.apply(draft)
        return find(world.state, name, world.now_ns) is not None

    before = made("a/creds/x/1")
    for source, target in (("a", "d"), ("d", "a")):
        world.pass_time(1)
        move(world, source, target)
        if swept:
            world.sweep()
    world.pass_time(1)

    assert (before, find(world.state, "a/creds/x/1", world.now_ns)) == (True, None)
    assert made("a/creds/x/2")


def test_quotas_of_the_mount_move_with_it(world):
    """On the mount and below it; others stay."""
    for name, path in (("whole", "a"), ("below", "a/data/*"), ("other", "b/c")):
        world.ask("update", f"sys/quotas/rate-limit/{name}", {"rate": 5, "path": path})
    move(world, "a", "d")

    paths = [world.data("read", f"sys/quotas/rate-limit/{name}")["path"] for name in ("whole", "below", "other")]
    assert paths == ["d/", "d/data/*", "b/c/"]


def test_the_status_of_a_move_can_be_asked(world):
    """Of one that was made; 404 for any other id."""
    move_id = move(world, "a", "d").data["migration_id"]

    info = {"source_mount": "a/", "target_mount": "d/", "status": "success"}
    assert world.data("read", f"sys/remount/status/{move_id}") == {"migration_id": move_id, "migration_info": info}
    assert world.refused("read", "sys/remount/status/none")[0] == 404


def test_the_oldest_moves_are_forgotten(world):
    """What is kept is bounded."""
    ids = []
    for _ in range(KEPT_MAX // 2 + 1):
        ids.append(move(world, "a", "d").data["migration_id"])
        ids.append(move(world, "d", "a").data["migration_id"])

    known = [move_id for move_id in ids if _is_known(world, move_id)]
    assert known == ids[-KEPT_MAX:]


def _is_known(world, move_id):
    try:
        return bool(world.data("read", f"sys/remount/status/{move_id}"))
    except Refusal:
        return False
