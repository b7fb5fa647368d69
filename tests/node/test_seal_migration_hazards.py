"""Seals that change, and another vault that does not do its part: what may not happen, and what is said of it."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from cluster import Member, UnavailableError, UnknownOutcomeError, migrate_seal
from cluster.rotation import Keyrings
from node import auto_seal, seal_migration
from node.config import Seal
from tests.node.flow_site import Server, running, until
from tests.node.test_auto_seal import KEY, RECOVERY, SHARES, Ours, both, opened, status

SHAMIR = Seal(type="shamir", peers=False)
WISH = {"secret_shares": 1, "secret_threshold": 1}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks, looks often."""
    monkeypatch.setattr(auto_seal, "PERIOD_S", 0.05)
    monkeypatch.setattr(seal_migration, "PERIOD_S", 0.02)
    monkeypatch.setattr(seal_migration, "AGAIN_S", 0.02)


def fake(root_key: bytearray, check: bytes, epoch: int) -> bytes:
    """What another vault would give for it, as far as anybody here can tell."""
    return hashlib.sha256(bytes(root_key) + check + bytes([epoch])).digest()


async def give(server: Server, *shares: str, **body: Any) -> list[int]:
    return [(await server.ask("PUT", "sys/unseal", {"key": share} | body)).status for share in shares]


async def with_shares(ours: Ours) -> tuple[Server, Any]:
    """A cluster of shares whose node has started again with the other vault in its configuration."""
    made = (await (await ours.start(SHAMIR)).ask("PUT", "sys/init", SHARES)).json
    return await ours.start(), made


# ---- the word of a threshold


async def test_who_has_no_share_cannot_take_the_word_back(tmp_path: Path) -> None:
    """What is no share, and one that was given before, say nothing, whatever they come with."""
    async with both(tmp_path) as (_, ours):
        server, made = await with_shares(ours)
        first, second = made["keys"][:2]
        assert await give(server, first, migrate=True) == [200]
        assert await give(server, "no share!", first) == [400, 200]
        assert await give(server, second, migrate=True) == [200]
        await until(lambda: server.node.member.seal_config.type == "transit", "it is migrated")


async def test_no_threshold_is_completed_by_a_repeated_word(tmp_path: Path) -> None:
    """A share given without it stays one without it, also if it comes again with it."""
    async with both(tmp_path) as (_, ours):
        server, made = await with_shares(ours)
        first, second = made["keys"][:2]
        assert await give(server, first) == [200]
        assert await give(server, first, second, migrate=True) == [200, 200]
        await opened(server)
        assert await server.node.desk.migration.step()
        assert server.node.member.seal_config.type == "shamir"


async def test_an_open_node_says_that_the_word_comes_too_late(tmp_path: Path) -> None:
    """It would change nothing: sealed, and opened with it, it does. Who comes behind the threshold is told no such."""
    async with both(tmp_path) as (_, ours):
        server, made = await with_shares(ours)
        assert await give(server, *made["keys"][:2]) == [200, 200]
        await opened(server)
        late = await server.ask("PUT", "sys/unseal", {"key": made["keys"][2], "migrate": True})
        assert (late.status, late.errors) == (400, [seal_migration.IS_OPEN])
        assert await give(server, made["keys"][2]) == [200]
        assert (await server.ask("PUT", "sys/seal", token=made["root_token"])).status == 204
        await until(lambda: server.node.member.sealed, "it is sealed")
        assert await give(server, *made["keys"], migrate=True) == [200, 200, 200]
        await until(lambda: server.node.member.seal_config.type == "transit", "it is migrated")


async def test_a_node_that_was_opened_again_without_the_word_does_not_go_on(tmp_path: Path) -> None:
    """Also if that happens while the other vault is asked what the new seal needs."""
    async with both(tmp_path) as (_, ours):
        server, made = await with_shares(ours)
        migration = server.node.desk.migration
        await give(server, *made["keys"][:2])
        await opened(server)

        async def meanwhile(_seal_type: str) -> None:
            migration.said(migrate=False, first=True)
            migration.opened()

        server.node.desk.auto.wrapping = meanwhile  # type: ignore[method-assign,assignment]
        migration.said(migrate=True, first=True)
        migration.opened()
        assert await migration.step()
        assert server.node.member.seal_config.type == "shamir"


async def test_a_migration_of_unknown_outcome_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be in force, and no other event tells of it. One that did not happen is no event."""
    async with both(tmp_path) as (_, ours):
        server, made = await with_shares(ours)
        errors = [UnavailableError("not now"), UnavailableError("not now"), UnknownOutcomeError("not in time")]

        async def tried(member: Member, seal_type: str, wrap: Any) -> int:
            if errors:
                raise errors.pop(0)
            return await migrate_seal(member, seal_type, wrap)

        monkeypatch.setattr(seal_migration, "migrate_seal", tried)
        assert await give(server, *made["keys"][:2], migrate=True) == [200, 200]
        await until(lambda: '"event":"sealmigrated"' in ours.events(), "it is migrated")
        assert ours.events().count("sealmigrationofunknownoutcome") == 1


async def test_a_rekey_that_waits_for_its_shares_is_given_up_when_the_seal_changes(tmp_path: Path) -> None:
    """It would bring the former seal back. The next one begins afresh."""
    async with running(tmp_path) as site:
        path = "sys/rotate/root"
        begun = await site.must("PUT", f"{path}/init", WISH | {"require_verification": True})
        waiting = await site.must("PUT", f"{path}/update", {"key": site.shares[0], "nonce": begun.data["nonce"]})
        await migrate_seal(site.leader.node.member, "transit", fake)
        path = "sys/rotate/recovery"
        body = {"key": waiting.data["keys"][0], "nonce": waiting.data["verification_nonce"]}
        refused = await site.ask("PUT", f"{path}/verify", body)
        assert (refused.status, refused.errors) == (400, ["no rekey in progress"])
        assert not (await site.must("GET", f"{path}/init")).data["started"]
        seal = site.leader.node.member.seal_config
        assert (seal.type, seal.epoch) == ("transit", 2)


async def test_a_seal_that_changes_while_the_new_key_is_wrapped_ends_the_rekey(tmp_path: Path) -> None:
    """What was wrapped is for the former seal: 503, no shares, and nothing changed but the seal."""
    async with running(tmp_path) as site:
        member = site.leader.node.member
        desk = site.leader.node.keys._rekey
        begun = await site.must("PUT", "sys/rotate/root/init", WISH)

        async def meanwhile() -> None:
            await migrate_seal(member, "transit", fake)

        desk._wrap = meanwhile
        body = {"key": site.shares[0], "nonce": begun.data["nonce"]}
        refused = await site.ask("PUT", "sys/rotate/root/update", body)
        assert (refused.status, "begin again" in refused.errors[0]) == (503, True)
        assert (member.seal_config.type, member.seal_config.epoch) == ("transit", 2)
        assert not (await site.must("GET", "sys/rotate/recovery/init")).data["started"]


# ---- what opens without people


async def test_a_disk_that_refuses_is_waited_for_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node stays sealed, says why without a path, and goes on living; it opens when the disk lets it."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start()
        assert (await server.ask("PUT", "sys/init", RECOVERY)).status == 200
        await opened(server)
        full = True
        real = Keyrings.settle

        async def refusing(self: Keyrings, unsealed: Any) -> None:
            if full:
                raise OSError(errno.ENOSPC, "No space left on device", "/some/path")
            await real(self, unsealed)

        monkeypatch.setattr(Keyrings, "settle", refusing)
        server = await ours.start()
        await until(lambda: "attempt 2" in server.node.desk.auto.why, "it was tried twice")
        said = await status(server)
        assert (said["sealed"], server.fatal) == (True, [])
        assert "(this node's disk: No space left on device)" in said["warnings"][0]
        assert "/some/path" not in said["warnings"][0]
        full = False
        await opened(server)


async def test_an_answer_without_bounds_ends_no_node(tmp_path: Path) -> None:
    """A lease of 4,000 digits from the other vault: a number like any other."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start()
        assert (await server.ask("PUT", "sys/init", RECOVERY)).status == 200
        await opened(server)
        auto = server.node.desk.auto
        transit = auto._transit
        assert transit is not None
        post = transit._post

        def endless(path: str, token: str, body: bytes) -> Any:
            said = post(path, token, body)
            huge = b'{"auth": {"lease_duration": 1%s}}' % (b"0" * 4000)
            return said._replace(status=200, body=huge) if "renew" in path else said

        transit._post = endless
        auto._renew_at_s = 0.0
        assert await auto.step() > 0
        assert (auto._renew_at_s - server.node.member.clock.boot() > 3000, server.fatal) == (True, [])


async def test_an_open_node_says_that_its_next_start_would_fail(tmp_path: Path) -> None:
    """The key's old versions are shut off there: nobody would know before the next start. Let in again, all is well."""
    async with both(tmp_path) as (other, ours):
        server = await ours.start()
        made = (await server.ask("PUT", "sys/init", RECOVERY)).json
        await opened(server)
        auto = server.node.desk.auto

        async def looked() -> Any:
            auto._renew_at_s = 0.0
            await until(lambda: auto._renew_at_s > 0, "it is looked at")
            await until(lambda: bool(auto.why) == shut, "it is found")
            return await status(server)

        shut = False
        assert "warnings" not in await looked()
        await other.must("POST", f"transit/keys/{KEY}/rotate")
        assert "warnings" not in await looked()
        await other.must("POST", f"transit/keys/{KEY}/config", {"min_decryption_version": 2})
        shut = True
        said = await looked()
        assert (said["sealed"], said["warnings"]) == (False, [auto.why])
        assert "would not open this node at its next start (it refuses decrypt with 400" in auto.why
        why = (await server.ask("GET", "strongroom/status", token=made["root_token"])).data["why"]
        assert auto.why in why
        assert (await server.ask("GET", "/readyz")).status == 200
        assert 0 < auto._renew_at_s - server.node.member.clock.boot() <= 60
        await other.must("POST", f"transit/keys/{KEY}/config", {"min_decryption_version": 1})
        shut = False
        assert "warnings" not in await looked()


@pytest.mark.parametrize(("seal_type", "is_one"), [("shamir", False), ("transit", True)])
async def test_the_status_says_whether_its_keys_are_for_recovery(tmp_path: Path, seal_type: str, is_one: bool) -> None:
    """Before init and after it, as Vault does: `t` of `n` are recovery keys where a node opens itself."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start(SHAMIR if seal_type == "shamir" else None)
        for body in (None, SHARES if seal_type == "shamir" else RECOVERY):
            if body is not None:
                assert (await server.ask("PUT", "sys/init", body)).status == 200
            said = await status(server)
            assert (said["type"], said["recovery_seal"]) == (seal_type, is_one)
            assert said.get("recovery_seal_type") == ("shamir" if is_one else None)
        assert (said["t"], said["n"]) == (2, 3)
