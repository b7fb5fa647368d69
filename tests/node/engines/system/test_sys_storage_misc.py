"""Members, and the small answers of what there is not; the facts a cluster begins with."""

import pytest

from cluster import Draft, Mount, Policy, Table, records
from node.engines.system.bootstrap import bootstrap_records
from node.engines.system.mounts import bootstrap_records as from_mounts
from node.policy import builtin
from tests.node.auth.world import START_NS, World


@pytest.mark.parametrize(("leader", "leads"), [("n2", [False, True, False]), (None, [False, False, False])])
def test_the_configuration_shows_every_member(leader, leads):
    """Sorted; the index is where the newest was written; a learner is no voter."""
    world = World(leader=leader)
    for node_id, role in (("n2", "voter"), ("n1", "voter"), ("n3", "learner")):
        draft = Draft()
        draft.put(Table.MEMBER, node_id.encode(), records.Member(peer_address=f"{node_id}:8201", role=role))
        index = world.apply(draft)
    config = world.data("read", "sys/storage/raft/configuration")["config"]

    assert config["index"] == index
    assert [server["leader"] for server in config["servers"]] == leads
    assert config["servers"][2] == {
        "address": "n3:8201",
        "leader": False,
        "node_id": "n3",
        "protocol_version": "3",
        "voter": False,
    }


def test_what_there_is_not():
    """No replication between clusters, no cross-origin requests, and neither can be switched on."""
    world = World()

    assert world.data("read", "sys/replication/status", token=None) == {"mode": "disabled"}
    assert world.data("read", "sys/config/cors") == {"enabled": False}
    assert world.refused("update", "sys/config/cors", {"enabled": True})[0] == 400


@pytest.mark.parametrize("path", ["sys/leases/nothing", "sys/wrapping/nothing", "sys/nothing"])
def test_what_is_not_there_yet_does_not_look_as_if_it_were(path):
    """404 to root; a token without a right learns nothing."""
    world = World()
    world.policy("nothing", 'path "none" { capabilities = ["read"] }')
    poor = world.make({"policies": ["nothing"], "no_default_policy": True})

    assert world.refused("update", path, {}) == (404, "unsupported path", True)
    assert world.refused("update", path, {}, token=poor) == (403, "permission denied", True)


@pytest.mark.parametrize("dev", [True, False])
def test_a_cluster_begins_with_its_mounts_and_the_default_policy(dev):
    """Distinct uuids and accessors; secret/ only in dev."""
    facts = bootstrap_records(START_NS, World().random, dev=dev)
    mounts = {key: record for table, key, record in facts if table == Table.MOUNT}
    expected = {b"cubbyhole/", b"identity/", b"sys/", b"auth/token/"} | ({b"secret/"} if dev else set())

    assert mounts.keys() == expected
    assert len({mount.uuid for mount in mounts.values()}) == len(mounts)
    assert len({mount.accessor for mount in mounts.values()}) == len(mounts)
    assert all(isinstance(mount, Mount) and mount.created_ns == START_NS for mount in mounts.values())
    assert [(key, record.text) for table, key, record in facts if isinstance(record, Policy)] == [
        (b"default", builtin.DEFAULT_TEXT)
    ]
    if dev:
        assert (mounts[b"secret/"].type, mounts[b"secret/"].options) == ("kv", {"version": "2"})
    assert from_mounts is bootstrap_records
