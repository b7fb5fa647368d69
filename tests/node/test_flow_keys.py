"""Rotate, rekey and generate-root over HTTP, on whole nodes: who may, what is answered, which shares open what."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from cluster import (
    Point,
    Restore,
    ShamirUnsealer,
    SystemRandom,
    UnavailableError,
    Unsealed,
    WrongKeyError,
    open_sink,
)
from node.cli.operator_keys import decode_token as decode
from node.config import Api, Seal, Sink
from node.config import Backup as BackupSection
from node.engines.system.keys import KeyStatus
from node.rekey import WRONG
from tests.node.flow_site import Reply, Server, Site, make_config, running, start_server, until

OPEN = Api(address="127.0.0.1:0", advertise="http://127.0.0.1:8200", tls="off", unauthenticated_rekey=True)
ROTATE, RECOVERY, OLD = "sys/rotate/root", "sys/rotate/recovery", "sys/rekey"
ROOT, OLD_ROOT = "sys/generate-root-token", "sys/generate-root"
WISH = {"secret_shares": 3, "secret_threshold": 2}


def fields(reply: Reply) -> Any:
    """Of an envelope, or of a bare object."""
    body = reply.json
    return body["data"] if "request_id" in body else body


async def status_of(site: Site, path: str) -> Any:
    return fields(await site.must("GET", path))


async def rekeyed(site: Site, path: str = ROTATE, **wish: Any) -> Any:
    """The last answer of a rekey authorised by the site's shares; the new shares are the site's."""
    nonce = fields(await site.must("PUT", f"{path}/init", WISH | wish))["nonce"]
    for share in site.shares:
        answer = fields(await site.must("PUT", f"{path}/update", {"key": share, "nonce": nonce}))
    assert answer["complete"], answer
    site.shares = answer["keys_base64"][:2]
    return answer


async def unseal(server: Server, shares: list[str]) -> list[int]:
    return [(await server.ask("PUT", "sys/unseal", {"key": share})).status for share in shares]


# ---- rotate


async def test_rotation_is_one_more_term_and_everything_stays_readable(tmp_path: Path) -> None:
    """204 from either path, on a follower too; what was stored before and after is read on every node."""
    async with running(tmp_path, 3) as site:
        await site.must("PUT", "secret/data/before", {"data": {"x": 1}})
        first = await site.must("GET", "sys/key-status")
        assert (first.json["term"], first.data["term"], first.data["encryptions"] > 0) == (1, 1, True)
        replies = [
            await site.must("PUT", "sys/rotate"),
            await site.followers[0].ask("POST", "sys/rotate/keyring", token=site.token),
        ]
        assert [reply.status for reply in replies] == [204, 204]
        await site.must("PUT", "secret/data/after", {"data": {"x": 2}})
        for server, path in itertools.product(site.servers, ("before", "after")):
            assert (await server.ask("GET", f"secret/data/{path}", token=site.token)).status == 200
        last = [(await server.ask("GET", "sys/key-status", token=site.token)).data for server in site.servers]
        assert [one["term"] for one in last] == [3, 3, 3]


async def test_who_may_rotate_and_rekey_has_sudo(tmp_path: Path) -> None:
    """A right without it is not enough, and a token with it needs no more. Without a token nothing is said."""
    async with running(tmp_path) as site:
        rights = "create read update delete"
        plain, _ = await site.new_token(("sys/*", rights))
        sudo, _ = await site.new_token(("sys/*", f"{rights} sudo"))
        init, verify = f"{ROTATE}/init", f"{ROTATE}/verify"
        asked = [("PUT", "sys/rotate"), ("GET", init), ("DELETE", init), ("GET", verify)]
        found = [
            [(await site.ask(method, path, token=token)).status for method, path in asked]
            for token in (None, plain, sudo)
        ]
        assert found == [[403] * 4, [403] * 4, [204, 200, 204, 400]]
        assert (await site.ask("GET", "sys/key-status", token=plain)).json["term"] == 2
        assert (await site.ask("PATCH", "sys/rotate", {})).status == 405


async def test_the_leader_rotates_by_itself_when_the_time_is_over(tmp_path: Path) -> None:
    """Not before; and a failure is no more than a line in the log."""
    async with running(tmp_path) as site:
        keys = site.leader.node.keys
        await keys.rotation.step()
        assert keys.rotation.status().term == 1
        old = keys.rotation.status
        keys.rotation.status = lambda: KeyStatus(1, 1, 0)  # type: ignore[method-assign]
        await keys.rotation.step()
        keys.rotation.status = old  # type: ignore[method-assign]
        assert keys.rotation.status().term == 2

        async def fails() -> int:
            raise UnavailableError("not now")

        keys._rekeying.rotate = fails  # type: ignore[method-assign]
        keys.rotation.status = lambda: KeyStatus(1, 1, 0)  # type: ignore[method-assign]
        await keys.rotation.step()


# ---- rekey


async def test_a_rekey_makes_new_shares_and_ends_the_old_ones(tmp_path: Path) -> None:
    """Progress, nonce and answers as Vault's; the new shares open a node that restarts, the old ones do not."""
    async with running(tmp_path) as site:
        old = list(site.shares)
        idle = await status_of(site, f"{ROTATE}/init")
        begun = fields(await site.must("PUT", f"{ROTATE}/init", WISH))
        assert idle == {
            "nonce": "", "started": False, "t": 0, "n": 0, "progress": 0, "required": 1, "pgp_fingerprints": None,
            "backup": False, "verification_required": False,
        }  # fmt: skip
        assert (begun["started"], begun["t"], begun["n"], len(begun["nonce"])) == (True, 2, 3, 36)
        again = await site.ask("PUT", f"{ROTATE}/init", WISH)
        assert (again.status, again.errors) == (400, ["rekey already in progress"])
        await site.must("DELETE", f"{ROTATE}/init")
        answer = await rekeyed(site)
        assert (len(answer["keys"]), len(answer["keys_base64"]), answer["verification_required"]) == (3, 3, False)
        assert 0 < answer["old_keys_open_backups_before_index"] <= site.leader.node.member.view.applied_index
        assert (await status_of(site, f"{ROTATE}/init"))["required"] == 2
        assert (await site.must("GET", "sys/seal-status")).json["n"] == 3
        await rekeyed(site)
        await site.must("PUT", "sys/seal")
        await until(lambda: site.servers[0].node.member.sealed, "sealed")
        assert await unseal(site.servers[0], [old[0], "00" * 33]) == [200, 400]
        assert await unseal(site.servers[0], site.shares) == [200, 200]
        await site.settled()


async def test_with_verification_nothing_changes_before_the_new_shares_came_back(tmp_path: Path) -> None:
    """Wrong and repeated ones do not count; a fresh start has a fresh nonce; then it is in force, with rotations."""
    async with running(tmp_path) as site:
        old = list(site.shares)
        waiting = await rekeyed(site, require_verification=True)
        new = waiting["keys"]
        status = await status_of(site, f"{ROTATE}/verify")
        assert status == {
            "nonce": waiting["verification_nonce"], "started": True, "t": 2, "n": 3, "progress": 0,
        }  # fmt: skip
        assert site.leader.node.member.seal_config.epoch == 1
        fresh = fields(await site.must("DELETE", f"{ROTATE}/verify"))
        assert fresh["nonce"] != status["nonce"]
        await site.must("PUT", "sys/rotate")

        async def give(key: str, nonce: str = fresh["nonce"]) -> Reply:
            return await site.ask("PUT", f"{ROTATE}/verify", {"key": key, "nonce": nonce})

        replies = [await give(new[0], "another"), await give(new[0]), await give(new[0]), await give("11" * 33)]
        assert [reply.status for reply in replies] == [400, 200, 400, 400]
        assert replies[2].errors == ["given key has already been provided during this verify operation"]
        assert replies[3].errors == ["rekey verification failed; incorrect key shares supplied"]
        done = [fields(await give(key)) for key in new[:2]]
        assert (done[0]["progress"], done[1]["complete"], done[1]["nonce"]) == (1, True, fresh["nonce"])
        assert site.leader.node.member.seal_config.epoch == 2
        assert (await site.must("GET", "sys/key-status")).json["term"] == 3
        assert (await site.ask("PUT", f"{ROTATE}/verify", {"key": new[0]})).errors == ["no rekey in progress"]
        assert old[0] not in new


async def test_a_cancelled_verification_leaves_the_old_shares(tmp_path: Path) -> None:
    """What was handed out opens nothing."""
    async with running(tmp_path) as site:
        old = list(site.shares)
        new = (await rekeyed(site, require_verification=True))["keys"]
        await site.must("DELETE", f"{ROTATE}/init")
        assert (await site.ask("PUT", f"{ROTATE}/verify", {"key": new[0]})).status == 400
        await site.must("PUT", "sys/seal")
        await until(lambda: site.servers[0].node.member.sealed, "sealed")
        assert await unseal(site.servers[0], [new[0], old[0]]) == [400, 200]
        await site.settled()


REFUSED_INITS = [
    ({}, "invalid rekey seal configuration: shares must be at least one"),
    ({"secret_shares": 3, "secret_threshold": 1}, None),
    ({"secret_shares": 1, "secret_threshold": 2}, None),
    (WISH | {"pgp_keys": ["a", "b", "c"]}, "PGP keys are not supported"),
    (WISH | {"backup": True}, "cannot request a backup of the new keys without providing PGP keys for encryption"),
    ({"secret_shares": "three", "secret_threshold": 2}, None),
]


async def test_a_rekey_that_cannot_be_honoured_is_refused_and_a_wrong_share_costs_all(tmp_path: Path) -> None:
    """Sentences are Vault's; no error shows a share; the operation goes on."""
    async with running(tmp_path) as site:
        for body, text in REFUSED_INITS:
            reply = await site.ask("PUT", f"{ROTATE}/init", body)
            assert (reply.status, text in {None, reply.errors[0]}) == (400, True), (body, reply)
        nothing = await site.ask("PUT", f"{ROTATE}/update", {"key": "00" * 33})
        assert nothing.errors == ["no barrier rekey in progress"]
        await rekeyed(site)
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]

        async def give(**body: str) -> tuple[int, str, int]:
            reply = await site.ask("PUT", f"{ROTATE}/update", {"nonce": nonce} | body)
            progress = (await status_of(site, f"{ROTATE}/init"))["progress"]
            return reply.status, reply.errors[0] if reply.status >= 400 else "", progress

        good = site.shares[0]
        wrong_nonce = f'incorrect nonce supplied; nonce for this rekey operation is "{nonce}"'
        assert [
            await give(),
            await give(key=good, nonce="other"),
            await give(key="not a share!"),
            await give(key=good),
            await give(key=good),
            await give(key="22" * 33),
        ] == [
            (400, "'key' must be specified in request body as JSON", 0),
            (400, wrong_nonce, 0),
            (400, "'key' must be a valid hex or base64 string", 0),
            (200, "", 1),
            (400, "given key has already been provided during this generation operation", 1),
            (400, WRONG, 0),
        ]
        for path in (f"{ROTATE}/backup", "sys/rekey/backup"):
            reply = await site.ask("GET", path)
            assert (reply.status, reply.errors) == (400, ["no backed-up keys found"])
        assert (await site.ask("GET", f"{RECOVERY}/init")).errors == ["recovery rekeying not supported"]


async def test_a_rekey_is_one_of_a_cluster_and_is_lost_with_its_leader(tmp_path: Path) -> None:
    """Every node forwards to it; a new leader knows nothing of it; all members end with the new envelope."""
    async with running(tmp_path, 3) as site:
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        seen = [fields(await server.ask("GET", f"{ROTATE}/init", token=site.token)) for server in site.servers]
        assert [one["nonce"] for one in seen] == [nonce] * 3
        former = site.leader
        await former.ask("PUT", "sys/step-down", token=site.token)
        await until(lambda: any(server.leads for server in site.servers if server is not former), "another leads")
        await site.settled()
        assert not (await status_of(site, f"{ROTATE}/init"))["started"]
        assert former.node.keys._rekey._given is None
        await rekeyed(site)
        await until(
            lambda: len({server.node.member.envelope for server in site.servers}) == 1, "all have the new envelope"
        )
        assert {server.node.member.seal_config.epoch for server in site.servers} == {2}


async def test_a_node_that_was_down_during_a_rekey_is_opened_with_the_new_shares(tmp_path: Path) -> None:
    """It shows the new threshold as soon as it is linked; old shares are wrong ones."""
    async with running(tmp_path, 3) as site:
        old = list(site.shares)
        late = site.followers[0]
        await late.node.stop()
        await rekeyed(site)
        await site.must("PUT", "secret/data/meanwhile", {"data": {"x": 1}})
        at = site.servers.index(late)
        again = site.servers[at] = await start_server(late.node.config, late.folder)
        await until(lambda: _linked(again), "links stand")
        assert await unseal(again, [old[0], "33" * 33]) == [200, 400]
        assert await unseal(again, site.shares) == [200, 200]
        await site.settled()
        assert (await again.ask("GET", "secret/data/meanwhile", token=site.token)).status == 200
        late.node = again.node


def _linked(server: Server) -> bool:
    links = server.node.member.links
    return links is not None and all(links.standing(peer) for peer in links.members)


async def test_a_node_that_missed_a_rekey_says_so(tmp_path: Path) -> None:
    """To whoever asks why it does not serve; opened again, it does not."""
    async with running(tmp_path) as site:
        server = site.servers[0]
        server.node.member.keyrings.sealed_because = "the cluster was rekeyed"
        await server.node.member.seal(by_operator=False)
        why = (await server.ask("GET", "/readyz")).json["why"]
        assert why == ["the cluster was rekeyed (`strongroom operator unseal`)"]
        assert await unseal(server, site.shares) == [200]
        await site.settled()


# ---- paths without a token


async def test_the_old_paths_are_bare_where_the_listener_has_them_open(tmp_path: Path) -> None:
    """The same operation as behind the new ones, without an envelope; the locked listener has none of it."""
    async with running(tmp_path, api=OPEN) as site:
        begun = await site.ask("PUT", f"{OLD}/init", WISH, token=None)
        assert (begun.status, begun.json["started"], "request_id" in begun.json) == (200, True, False)
        locked = [
            await site.ask(method, path, {}, listener="locked", token=token)
            for token in (None, site.token)
            for method, path in (("PUT", f"{OLD}/init"), ("PUT", f"{OLD}/update"), ("PUT", f"{OLD_ROOT}/attempt"))
        ]
        assert {reply.status for reply in locked} == {405}
        cancels = [
            (await site.ask("DELETE", path, listener="locked", token=None)).status
            for path in (f"{OLD}/init", f"{OLD_ROOT}/attempt")
        ]
        assert cancels == [405, 405]
        assert (await status_of(site, f"{ROTATE}/init"))["nonce"] == begun.json["nonce"]
        share = {"key": site.shares[0], "nonce": begun.json["nonce"]}
        answer = await site.ask("PUT", f"{OLD}/update", share, token=None)
        assert (answer.status, answer.json["complete"]) == (200, True)
        assert (await site.ask("GET", f"{OLD}/update", token=None)).status == 405
        recovery = await site.ask("GET", "sys/rekey-recovery-key/init", token=None)
        assert (recovery.status, recovery.errors) == (400, ["recovery rekeying not supported"])


async def test_the_old_paths_do_not_exist_where_they_are_off(tmp_path: Path) -> None:
    """Not even for root; nothing that others began can be cancelled through them (CVE-2026-5807)."""
    async with running(tmp_path) as site:
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        attempt = fields(await site.must("PUT", f"{ROOT}/attempt", {}))["nonce"]
        unsupported = ["1 error occurred:\n\t* unsupported operation\n\n"]
        paths = [f"{OLD}/init", f"{OLD}/update", f"{OLD}/verify", f"{OLD_ROOT}/attempt", f"{OLD_ROOT}/update"]
        for method, path, token in itertools.product(("GET", "PUT", "DELETE"), paths, (None, site.token)):
            reply = await site.ask(method, path, None if method == "GET" else {}, token=token)
            assert (reply.status, reply.errors) == (405, unsupported), (method, path)
        gone = await site.ask("GET", "sys/rekey-recovery-key/init")
        assert (gone.status, gone.errors) == (404, ["1 error occurred:\n\t* unsupported path\n\n"])
        assert (await status_of(site, f"{ROTATE}/init"))["nonce"] == nonce
        assert (await status_of(site, f"{ROOT}/attempt"))["nonce"] == attempt
        await site.must("PUT", "sys/seal")
        await until(lambda: site.servers[0].node.member.sealed, "sealed")
        sealed = await site.servers[0].ask("GET", f"{OLD}/init")
        assert (sealed.status, sealed.errors) == (503, ["Vault is sealed"])
        await unseal(site.servers[0], site.shares)
        await site.settled()
        assert not (await status_of(site, f"{ROTATE}/init"))["started"]


async def test_a_follower_asks_the_leader_only_for_what_its_own_listener_has_open(tmp_path: Path) -> None:
    """The frame says where a request came in; the leader's configuration is asked again."""
    async with running(tmp_path, 3, api=OPEN) as site:
        follower = site.followers[0]
        begun = await follower.ask("PUT", f"{OLD}/init", WISH)
        assert (begun.status, begun.json["started"]) == (200, True)
        assert (await follower.ask("DELETE", f"{OLD}/init", listener="locked")).status == 405
        leader_paths = site.leader.node.local._handlers[f"{OLD}/init"].func.__self__  # type: ignore[attr-defined]
        leader_paths._rekey_is_open = False
        assert (await follower.ask("DELETE", f"{OLD}/init")).status == 405
        assert (await status_of(site, f"{ROTATE}/init"))["nonce"] == begun.json["nonce"]


# ---- generate-root


async def test_a_threshold_of_shares_makes_a_root_token(tmp_path: Path) -> None:
    """It is counted, works, and leaves encoded; the password is shown once."""
    async with running(tmp_path, api=OPEN) as site:
        node = site.leader.node
        before = node._root_tokens()
        begun = await site.ask("PUT", f"{OLD_ROOT}/attempt", token=None)
        otp = begun.json["otp"]
        assert (len(otp), begun.json["otp_length"], begun.json["required"]) == (28, 28, 1)
        assert (await site.ask("GET", f"{OLD_ROOT}/attempt", token=None)).json["otp"] == ""
        assert node._root_tokens() == before
        body = {"key": site.shares[0], "nonce": begun.json["nonce"]}
        done = (await site.ask("PUT", f"{OLD_ROOT}/update", body, token=None)).json
        token = decode(done["encoded_token"], otp)
        assert (done["complete"], done["progress"], done["encoded_root_token"]) == (True, 1, done["encoded_token"])
        assert token not in str(done)
        looked = await site.ask("GET", "auth/token/lookup-self", token=token)
        assert (looked.data["policies"], node._root_tokens()) == (["root"], before + 1)
        parts = {"encoded_token": done["encoded_token"], "otp": otp}
        decoded = await site.ask("PUT", "sys/decode-token", parts, token=None)
        assert decoded.data == {"token": token}
        assert (await site.ask("PUT", "sys/decode-token", {"encoded_token": "x", "otp": otp}, token=None)).status == 400
        assert not (await site.ask("GET", f"{OLD_ROOT}/attempt", token=None)).json["started"]


async def test_an_attempt_with_a_token_and_what_it_refuses(tmp_path: Path) -> None:
    """In an envelope, and only for who may; an own password of the right length; wrong shares make no token."""
    async with running(tmp_path) as site:
        await rekeyed(site)
        poor, _ = await site.new_token(("kv1/*", "read"))
        assert (await site.ask("PUT", f"{ROOT}/attempt", {}, token=poor)).status == 403
        refused = [{"otp": "short"}, {"otp": "a" * 29}, {"pgp_key": "x"}, {"otp": 1}]
        assert [(await site.ask("PUT", f"{ROOT}/attempt", body)).status for body in refused] == [400] * 4
        nothing = await site.ask("PUT", f"{ROOT}/update", {"key": "00" * 33})
        assert nothing.errors == ["no root generation in progress"]
        otp = "o" * 28
        begun = fields(await site.must("PUT", f"{ROOT}/attempt", {"otp": otp}))
        assert (begun["otp"], begun["started"]) == ("", True)
        assert (await site.ask("PUT", f"{ROOT}/attempt", {})).errors == ["root generation already in progress"]
        before = site.leader.node._root_tokens()

        async def give(key: str, nonce: str = begun["nonce"]) -> Reply:
            return await site.ask("PUT", f"{ROOT}/update", {"key": key, "nonce": nonce})

        good = site.shares
        replies = [await give(good[0], "x"), await give(good[0]), await give(good[0]), await give("44" * 33)]
        assert [reply.status for reply in replies] == [400, 200, 400, 400]
        assert "unable to authenticate" in replies[3].errors[0]
        assert (fields(replies[1])["progress"], site.leader.node._root_tokens()) == (1, before)
        done = fields([await give(share) for share in good][-1])
        assert decode(done["encoded_token"], otp).startswith("hvs.")
        await site.must("PUT", f"{ROOT}/attempt", {})
        await site.must("DELETE", f"{ROOT}/attempt")
        assert not (await status_of(site, f"{ROOT}/attempt"))["started"]


async def test_one_threshold_makes_one_token_however_many_ask(tmp_path: Path) -> None:
    """The last share given many times at once."""
    async with running(tmp_path) as site:
        before = site.leader.node._root_tokens()
        nonce = fields(await site.must("PUT", f"{ROOT}/attempt", {}))["nonce"]
        body = {"key": site.shares[0], "nonce": nonce}
        replies = await asyncio.gather(*(site.ask("PUT", f"{ROOT}/update", body) for _ in range(8)))
        assert sorted(reply.status for reply in replies) == [200] + [400] * 7
        assert site.leader.node._root_tokens() == before + 1


# ---- a key file


async def test_recovery_keys_are_rekeyed_where_a_key_file_opens_the_node(tmp_path: Path) -> None:
    """The new root key is wrapped by the same file; unseal keys there are none of."""
    key_file = tmp_path / "key"
    key_file.write_text("9f3a1c77d2e84b05b6aa0e5d4471c2f3e89b120d6c5f4a3b2817e6d5c4b3a291\n")
    key_file.chmod(0o600)
    config = make_config(tmp_path, "n1", seal=Seal(type="static", key_file=str(key_file), peers=False))
    server = await start_server(config, tmp_path)
    made = (await server.ask("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})).json
    site = Site([server], made["root_token"], made["recovery_keys_base64"])
    await site.settled()
    assert (await site.ask("PUT", f"{ROTATE}/init", WISH)).status == 400
    await rekeyed(site, RECOVERY)
    assert server.node.member.seal_config.epoch == 2
    await server.node.stop()
    again = await start_server(config, tmp_path)
    await Site([again], site.token).settled()
    assert (await again.ask("GET", "sys/key-status", token=site.token)).json["term"] == 2
    await again.node.stop()


# ---- what is written of it


async def test_shares_and_tokens_stand_in_no_record(tmp_path: Path) -> None:
    """Audited in both families, security events for each step; no share, token or password in log, audit or journal."""
    async with running(tmp_path, audited=True, api=OPEN) as site:
        old = list(site.shares)
        answer = await rekeyed(site, OLD)
        begun = fields(await site.must("PUT", f"{ROOT}/attempt", {}))
        for share in site.shares:
            last = await site.must("PUT", f"{ROOT}/update", {"key": share, "nonce": begun["nonce"]})
        token = decode(last.data["encoded_token"], begun["otp"])
        assert [line["type"] for line in site.leader.audit_lines(last.request_id)] == ["request", "response"]
        security = (tmp_path / "data" / "security.log").read_text()
        for event in ("rekey started", "rekey attempt", "rekey", "generate-root started", "generate-root"):
            assert f'"event":"{event}"' in security
    secrets = [*old, *answer["keys"], *answer["keys_base64"], token, begun["otp"], last.data["encoded_token"]]
    written = everything_in(tmp_path)
    assert [secret for secret in secrets if secret.encode() in written] == []


def everything_in(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# ---- backup


async def test_old_shares_open_the_backup_of_before_and_new_ones_that_of_after(tmp_path: Path) -> None:
    """A rekey begins a new base in the sink; which shares open what is what its answer said."""
    sink = Sink(name="main", url=f"sqlite://{tmp_path}/backup.db", scope="shared", required=True)
    section = BackupSection(sinks=(sink,), batch_interval_ms=20)
    async with running(tmp_path, backup=section) as site:
        old = list(site.shares)
        before = (await site.must("PUT", "secret/data/a", {"data": {"x": 1}})).index
        pipeline = site.leader.node.backups.backup.pipelines["main"]
        member = site.leader.node.member
        await until(lambda: _reaches(pipeline, member.view.applied_index), "backed up")
        bases = pipeline.standing.bases
        at = (await rekeyed(site))["old_keys_open_backups_before_index"]
        await site.must("PUT", "secret/data/b", {"data": {"x": 2}})
        await until(lambda: pipeline.standing.bases > bases, "a base follows the rekey")
        await until(lambda: _reaches(pipeline, member.view.applied_index), "backed up")
        end, digest = member.view.applied_index, member.view.digest
    restored = {}
    for name, shares in (("old", old), ("new", site.shares)):
        store = open_sink(sink.url, password=None, timeout_s=5)
        await store.open()
        [generation] = await store.generations()
        restore = Restore(store, generation, _opener(shares), SystemRandom())
        await restore.open()
        first_closed = restore.left_out_from
        point = Point() if first_closed is None else Point(to_index=first_closed - 1)
        state = await restore.replay(point)
        restored[name] = (first_closed, state.applied_index, state.digest)
        restore.wipe()
        await store.close()
    assert restored["new"] == (None, end, digest)
    first_closed, reached, _ = restored["old"]
    assert first_closed is not None
    assert before <= reached < first_closed <= at + 1


def _opener(shares: list[str]) -> Any:
    def opened(envelope: bytes) -> Unsealed:
        unsealer = ShamirUnsealer(envelope, SystemRandom())
        found = [unsealed for share in shares if (unsealed := unsealer.offer(share)) is not None]
        if not found:
            raise WrongKeyError("too few shares")
        return found[0]

    return opened


def _reaches(pipeline: Any, index: int) -> bool:
    confirmed = pipeline.standing.confirmed
    return confirmed is not None and confirmed.last >= index
