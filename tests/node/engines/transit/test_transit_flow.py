"""transit through whole nodes: who decides, who may, and what is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.node.engines.transit.transit_bench import b64
from tests.node.flow_site import Site, running, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="module")

DENIED = ["1 error occurred:\n\t* permission denied\n\n"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Two nodes, audited, with a mount."""
    async with running(tmp_path_factory.mktemp("transit"), 2, audited=True) as site:
        await site.must("POST", "sys/mounts/transit", {"type": "transit"})
        yield site


async def test_a_follower_opens_what_the_leader_sealed(site: Site) -> None:
    """Decryption, MACs, signatures and data keys are reads; what may make a key is forwarded."""
    follower = site.followers[0]
    await site.must("POST", "transit/keys/s", {"type": "ed25519"})
    sealed = await follower.ask("POST", "transit/encrypt/k", {"plaintext": b64("hello")}, token=site.token)
    opened = await follower.ask(
        "POST", "transit/decrypt/k", {"ciphertext": sealed.data["ciphertext"]}, token=site.token
    )

    assert sealed.headers["X-Strongroom-Served"] == "forwarded"
    assert (opened.status, opened.data) == (200, {"plaintext": b64("hello")})
    for path, body in (("sign/s", {"input": ""}), ("hmac/k", {"input": ""}), ("datakey/plaintext/k", {})):
        reply = await follower.ask("POST", f"transit/{path}", body, token=site.token)
        assert (reply.status, reply.headers["X-Strongroom-Served"]) == (200, "readindex")
    assert opened.headers["X-Strongroom-Served"] == "readindex"


async def test_an_rsa_key_is_made_rotated_and_backed_up(site: Site) -> None:
    """Drawn in a thread of the leader, restored with its checks."""
    body = {"type": "rsa-2048", "exportable": True, "allow_plaintext_backup": True}
    made = await site.followers[0].ask("POST", "transit/keys/r", body, token=site.token)
    rotated = await site.must("POST", "transit/keys/r/rotate")
    backup = (await site.must("GET", "transit/backup/r")).data["backup"]
    restored = await site.ask("POST", "transit/restore/again", {"backup": backup})

    assert (made.status, rotated.data["latest_version"], restored.status) == (200, 2, 204)
    assert (await site.ask("GET", "transit/export/signing-key/again")).data["keys"].keys() == {"1", "2"}
    refused = await site.ask("POST", "transit/restore", {"backup": backup})
    assert (refused.status, refused.errors) == (500, ['1 error occurred:\n\t* key "r" already exists\n\n'])
    damaged = await site.ask("POST", "transit/restore/x", {"backup": "planted"})
    assert (damaged.status, damaged.errors) == (400, ["the backup is damaged, or not one of this program"])


async def test_encrypting_makes_a_key_only_for_who_may_create(site: Site) -> None:
    """`create` where there is none, `update` where there is one."""
    creator, _ = await site.new_token(("transit/encrypt/*", "create"))
    updater, _ = await site.new_token(("transit/encrypt/*", "update"))
    body = {"plaintext": ""}

    denied = await site.ask("POST", "transit/encrypt/fresh", body, token=updater)
    assert (denied.status, denied.errors) == (403, DENIED)
    assert (await site.ask("POST", "transit/encrypt/fresh", body, token=creator)).status == 200
    assert (await site.ask("POST", "transit/encrypt/fresh", body, token=updater)).status == 200
    denied = await site.ask("POST", "transit/encrypt/fresh", body, token=creator)
    assert (denied.status, denied.errors) == (403, DENIED)


async def test_who_may_encrypt_may_not_decrypt(site: Site) -> None:
    """Each operation is a path of its own."""
    await site.must("POST", "transit/keys/k2")
    token, _ = await site.new_token(("transit/encrypt/k2", "update"))
    sealed = await site.ask("POST", "transit/encrypt/k2", {"plaintext": ""}, token=token)
    body = {"ciphertext": sealed.data["ciphertext"]}

    for path in ("transit/decrypt/k2", "transit/rewrap/k2"):
        assert (await site.ask("POST", path, body, token=token)).status == 403
    assert (await site.ask("GET", "transit/keys/k2", token=token)).status == 403


async def test_an_encryption_is_answered_by_any_node_and_logs_nothing(site: Site) -> None:
    """Once the key is there: a follower seals what the leader opens, by itself."""
    await site.must("POST", "transit/keys/k3")
    for server in site.servers:
        sealed = await server.ask("POST", "transit/encrypt/k3", {"plaintext": ""}, token=site.token)
        opened = await site.must("POST", "transit/decrypt/k3", {"ciphertext": sealed.data["ciphertext"]})
        assert opened.data == {"plaintext": ""}
        assert sealed.headers["X-Strongroom-Served"] == "readindex"
        assert "X-Strongroom-Write-Id" not in sealed.headers


async def test_a_repeated_restore_says_so(site: Site) -> None:
    """By its write id; the answer held a key."""
    now_s = site.leader.node.member.now_ns() / 1e9
    await site.must("POST", "transit/keys/k3")
    await site.must("POST", "transit/keys/k3/config", {"exportable": True, "allow_plaintext_backup": True})
    body = {"backup": (await site.must("GET", "transit/backup/k3")).data["backup"]}
    headers = [("X-Strongroom-Write-Id", uuid7(now_s))]
    assert (await site.ask("POST", "transit/restore/k4", body, headers=headers)).status == 204
    repeated = await site.ask("POST", "transit/restore/k4", body, headers=headers)
    assert (repeated.status, repeated.json["applied"]) == (409, "yes")


async def test_nothing_of_what_was_sealed_stands_in_the_audit_files(site: Site) -> None:
    """Neither plaintext nor key, in no line of any node."""
    planted = b64("planted-plaintext-marker")
    sealed = await site.must("POST", "transit/encrypt/k5", {"plaintext": planted})
    await site.must("POST", "transit/decrypt/k5", {"ciphertext": sealed.data["ciphertext"]})
    batch = {"batch_input": [{"plaintext": planted, "reference": planted}, {"plaintext": "!"}]}
    reply = await site.ask("POST", "transit/encrypt/k5", batch)
    key = (await site.must("POST", "transit/datakey/plaintext/k5")).data["plaintext"]

    assert (reply.status, "error" in reply.data["batch_results"][1]) == (400, True)
    text = b"".join(server.audit_file.read_bytes() for server in site.servers)
    assert [planted.encode() in text, key.encode() in text, b"transit/decrypt/k5" in text] == [False, False, True]


async def test_a_mount_that_is_gone_takes_its_keys_along(site: Site) -> None:
    """A new one at its path opens nothing of the old."""
    await site.must("POST", "sys/mounts/t2", {"type": "transit"})
    sealed = await site.must("POST", "t2/encrypt/k", {"plaintext": b64("x")})
    await site.must("DELETE", "sys/mounts/t2")
    await site.must("POST", "sys/mounts/t2", {"type": "transit"})

    assert (await site.ask("GET", "t2/keys/k")).status == 404
    await site.must("POST", "t2/keys/k")
    assert (await site.ask("POST", "t2/decrypt/k", {"ciphertext": sealed.data["ciphertext"]})).status == 400
