"""A cluster that another one opens: init, outages at the start, operators, and seals that change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node import auto_seal, seal_migration
from node.config import Seal
from tests.node.flow_site import Server, Site, free_ports, make_config, running, start_server, until, until_async

KEY = "wraps"
SHARES = {"secret_shares": 3, "secret_threshold": 2}
RIGHTS = ((f"transit/encrypt/{KEY}", "update"), (f"transit/decrypt/{KEY}", "update"))
RECOVERY = {"recovery_shares": 3, "recovery_threshold": 2}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks, looks often."""
    monkeypatch.setattr(auto_seal, "PERIOD_S", 0.05)
    monkeypatch.setattr(seal_migration, "PERIOD_S", 0.02)


@contextlib.asynccontextmanager
async def other_vault(folder: Path, port: int) -> AsyncIterator[Site]:
    """The other cluster, of one node, reachable at the port."""
    async with running(folder, api_port=port) as site:
        await site.must("POST", "sys/mounts/transit", {"type": "transit"})
        await site.must("POST", f"transit/keys/{KEY}", {})
        yield site


class Ours:
    """A node whose seal may be another vault; its configuration may change from life to life."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "ours"
        self.folder.mkdir(mode=0o700)
        self.port = port
        self.token_file = folder / "token"
        self.server: Server | None = None

    def take(self, token: str) -> None:
        self.token_file.unlink(missing_ok=True)
        self.token_file.touch(0o600)
        self.token_file.write_text(token)

    @property
    def transit(self) -> Seal:
        return Seal(
            type="transit", peers=False, transit_address=f"http://127.0.0.1:{self.port}",
            transit_token_file=str(self.token_file), transit_key_name=KEY,
        )  # fmt: skip

    async def start(self, seal: Seal | None = None) -> Server:
        await self.stop()
        config = make_config(self.folder, "n1", seal=seal or self.transit)
        self.server = await start_server(config, self.folder)
        return self.server

    def events(self) -> str:
        return (self.folder / "data" / "security.log").read_text().replace(" ", "")

    async def stop(self) -> None:
        if self.server is not None:
            server, self.server = self.server, None
            await server.node.stop()
            assert server.fatal == []


@contextlib.asynccontextmanager
async def both(tmp_path: Path) -> AsyncIterator[tuple[Site, Ours]]:
    """The other vault, and our node, not yet started, with a token that may use the key and nothing else."""
    [port] = free_ports(1)
    ours = Ours(tmp_path, port)
    async with other_vault(tmp_path / "other", port) as other:
        ours.take((await other.new_token(*RIGHTS))[0])
        try:
            yield other, ours
        finally:
            await ours.stop()


async def status(server: Server) -> Any:
    return (await server.ask("GET", "sys/seal-status")).json


async def opened(server: Server) -> None:
    async def is_open() -> bool:
        return not (await status(server))["sealed"] and (await server.ask("GET", "/readyz")).status == 200

    await until_async(is_open, "the node is open and serves")


async def test_a_node_opens_itself_at_every_start(tmp_path: Path) -> None:
    """Init gives recovery keys as a key file's does; the other vault is asked, and nobody types a key."""
    async with both(tmp_path) as (other, ours):
        server = await ours.start()
        made = (await server.ask("PUT", "sys/init", RECOVERY)).json
        assert (made["keys"], len(made["recovery_keys"])) == ([], 3)
        await opened(server)
        token = made["root_token"]
        assert (await server.ask("PUT", "cubbyhole/a", {"x": "1"}, token=token)).status == 204
        server = await ours.start()
        await opened(server)
        assert (await server.ask("GET", "cubbyhole/a", token=token)).data == {"x": "1"}
        assert (await status(server))["type"] == "transit"
        del other


async def test_without_shares_nobody_else_opens_it(tmp_path: Path) -> None:
    """Parameters of people's seals are refused, as Vault refuses them; no share is taken."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start()
        refused = await server.ask("PUT", "sys/init", SHARES)
        assert (refused.status, refused.errors) == (
            400, ["parameters secret_shares,secret_threshold not applicable to seal type transit"],
        )  # fmt: skip
        made = (await server.ask("PUT", "sys/init", {})).json
        assert (made["keys"], made["recovery_keys"]) == ([], [])
        await opened(server)
        assert (await server.ask("PUT", "sys/seal", token=made["root_token"])).status == 204
        await until(lambda: server.node.member.sealed, "it is sealed")
        refused = await server.ask("PUT", "sys/unseal", {"key": "ab" * 33})
        assert (refused.status, refused.errors[0][:27]) == (400, "no recovery keys were made ")


async def test_an_outage_is_waited_for(tmp_path: Path) -> None:
    """The node stays sealed and says why, without an address; it opens when the other vault is back."""
    [port] = free_ports(1)
    ours = Ours(tmp_path, port)
    try:
        async with other_vault(tmp_path / "other", port) as other:
            ours.take(other.token)
            server = await ours.start()
            assert (await server.ask("PUT", "sys/init", RECOVERY)).status == 200
            await opened(server)
            share = other.shares[0]
            await ours.stop()
        server = await ours.start()
        await until(lambda: "attempt 2" in server.node.desk.auto.why, "it was tried twice")
        ready, said = await server.ask("GET", "/readyz"), await status(server)
        assert (ready.status, said["sealed"]) == (503, True)
        assert ready.json["why"] == said["warnings"] == [server.node.desk.auto.why]
        assert "cannot be reached: ConnectionRefusedError" in said["warnings"][0]
        assert str(port) not in json.dumps([ready.json, said])
        other_again = await start_server(make_config(tmp_path / "other", "n1", api_port=port), tmp_path / "other")
        try:
            await until(lambda: "it answers 503" in server.node.desk.auto.why, "the other one is sealed")
            assert (await other_again.ask("PUT", "sys/unseal", {"key": share})).status == 200
            await opened(server)
            assert "warnings" not in await status(server)
        finally:
            await ours.stop()
            await other_again.node.stop()
    finally:
        await ours.stop()


async def test_init_needs_the_other_vault_to_do_its_part(tmp_path: Path) -> None:
    """A token that may encrypt and not decrypt would leave a cluster that never opens again: nothing is made."""
    async with both(tmp_path) as (other, ours):
        good = ours.token_file.read_text()
        ours.take((await other.new_token((f"transit/encrypt/{KEY}", "update")))[0])
        server = await ours.start()
        refused = await server.ask("PUT", "sys/init", RECOVERY)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert "it refuses decrypt with 403" in refused.errors[0]
        assert not server.node.member.initialised
        ours.take(good)  # the file is read at each use
        assert (await server.ask("PUT", "sys/init", RECOVERY)).status == 200


async def test_what_an_operator_sealed_is_left_alone(tmp_path: Path) -> None:
    """However ready the other vault is: only a threshold of recovery keys opens it."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start()
        made = (await server.ask("PUT", "sys/init", RECOVERY)).json
        await opened(server)
        assert (await server.ask("PUT", "sys/seal", token=made["root_token"])).status == 204
        await until(lambda: server.node.member.sealed, "it is sealed")
        server = await ours.start()
        assert await server.node.desk.auto.step() > 0
        assert (await status(server))["sealed"]
        for share in made["recovery_keys"][:2]:
            assert (await server.ask("PUT", "sys/unseal", {"key": share})).status == 200
        await opened(server)


async def test_a_rekey_wraps_the_new_root_key(tmp_path: Path) -> None:
    """Recovery keys authorise it; the next start opens by itself, and the old recovery keys open nothing."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start()
        made = (await server.ask("PUT", "sys/init", RECOVERY)).json
        await opened(server)
        root = {"token": made["root_token"]}
        begun = await server.ask("PUT", "sys/rotate/recovery/init", SHARES, **root)
        for share in made["recovery_keys"][:2]:
            body = {"key": share, "nonce": begun.data["nonce"]}
            done = await server.ask("PUT", "sys/rotate/recovery/update", body, **root)
        assert done.data["complete"], done
        server = await ours.start()
        await opened(server)
        assert (await status(server))["t"] == 2


async def test_the_token_is_renewed_while_the_node_is_open(tmp_path: Path) -> None:
    """A third of its time ahead, and not at every look; one that cannot be renewed is said once in a while."""
    async with both(tmp_path) as (other, ours):
        token, accessor = await other.new_token(*RIGHTS, default=True, period="1h")
        ours.take(token)
        server = await ours.start()
        assert (await server.ask("PUT", "sys/init", RECOVERY)).status == 200
        await opened(server)

        async def renewed() -> bool:
            found = await other.must("POST", "auth/token/lookup-accessor", {"accessor": accessor})
            return bool(found.data.get("last_renewal_time"))

        await until_async(renewed, "it is renewed")
        auto, clock = server.node.desk.auto, server.node.member.clock
        await until(lambda: 1000 < auto._renew_at_s - clock.boot() <= 1200, "the next time is a third ahead")
        ours.take((await other.new_token(("nothing", "read")))[0])
        auto._renew_at_s = 0.0
        await until(lambda: 0 < auto._renew_at_s - clock.boot() <= 60, "it is tried again in a minute")


@pytest.mark.parametrize("why", ["nothing to migrate", "no recovery keys"])
async def test_migration_is_refused_where_there_is_none(tmp_path: Path, why: str) -> None:
    """The seal is the configured one; or it would be one that nobody could open."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start(None if why == "no recovery keys" else Seal(type="shamir", peers=False))
        body = {} if why == "no recovery keys" else SHARES
        made = (await server.ask("PUT", "sys/init", body)).json
        assert not (await status(server))["migration"]
        server = await ours.start(Seal(type="shamir", peers=False))
        refused = await server.ask("PUT", "sys/unseal", {"key": (made["keys"] or ["ab" * 33])[0], "migrate": True})
        expected = (
            "no recovery keys were made at init: this node opens itself, or not at all"
            if why == "no recovery keys"
            else "can't perform a seal migration, no migration seal found"
        )
        assert (refused.status, refused.errors) == (400, [expected])


async def test_from_shares_to_the_other_vault_and_back(tmp_path: Path) -> None:
    """On the word of a threshold each time; the same shares stay, as recovery keys and as unseal keys again."""
    async with both(tmp_path) as (_, ours):
        shamir = Seal(type="shamir", peers=False)
        server = await ours.start(shamir)
        made = (await server.ask("PUT", "sys/init", SHARES)).json
        for seal, former, latter in ((None, "shamir", "transit"), (shamir, "transit", "shamir")):
            server = await ours.start(seal)
            said = await status(server)
            assert (said["type"], said["sealed"], said["migration"]) == (former, True, True)
            assert "`strongroom operator unseal -migrate`" in said["warnings"][0]
            for share in made["keys"][:2]:
                reply = await server.ask("PUT", "sys/unseal", {"key": share, "migrate": True})
                assert reply.status == 200, reply
            await until(lambda s=server, t=latter: s.node.member.seal_config.type == t, "it is migrated")
            await opened(server)
            said = await status(server)
            assert (said["type"], said["n"], said["t"], said["migration"]) == (latter, 3, 2, False)
            assert "warnings" not in said
            await until(lambda t=latter: f'"seal":"{t}"' in ours.events(), "it is recorded")
            server = await ours.start(seal)
            if latter == "transit":
                await opened(server)
        for share in made["keys"][1:]:
            assert (await server.ask("PUT", "sys/unseal", {"key": share})).status == 200
        await opened(server)
        reply = await server.ask("GET", "auth/token/lookup-self", token=made["root_token"])
        assert reply.status == 200


async def test_one_share_without_the_word_is_no_migration(tmp_path: Path) -> None:
    """The node opens, as it may; the seal stays, and what is to be done stands in its status."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start(Seal(type="shamir", peers=False))
        made = (await server.ask("PUT", "sys/init", SHARES)).json
        server = await ours.start()
        for share, migrate in zip(made["keys"], (False, True), strict=False):
            assert (await server.ask("PUT", "sys/unseal", {"key": share, "migrate": migrate})).status == 200
        await opened(server)
        assert await server.node.desk.migration.step()
        assert (await status(server))["type"] == "shamir"
        why = (await server.ask("GET", "strongroom/status", token=made["root_token"])).data["why"]
        assert why == [server.node.desk.migration.why] != [""]


async def test_a_migration_waits_for_the_other_vault(tmp_path: Path) -> None:
    """The old seal stays in force; the status says what it waits for."""
    async with both(tmp_path) as (_, ours):
        server = await ours.start(Seal(type="shamir", peers=False))
        made = (await server.ask("PUT", "sys/init", SHARES)).json
        good = ours.token_file.read_text()
        ours.take("hvs.none")
        server = await ours.start()
        for share in made["keys"][:2]:
            await server.ask("PUT", "sys/unseal", {"key": share, "migrate": True})
        migration = server.node.desk.migration
        await until(lambda: "not possible yet" in migration.why, "it was tried")
        assert ("refuses encrypt with 403" in migration.why, server.node.member.seal_config.type) == (True, "shamir")
        ours.take(good)
        assert await migration.step()
        assert server.node.member.seal_config.type == "transit"
