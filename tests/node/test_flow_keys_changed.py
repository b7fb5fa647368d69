"""Operations with shares that something overtakes: another rekey, a cancel, a new leader, an outcome nobody knows."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster import Member, UnknownOutcomeError, rekey, rekeying
from node import rekey as rekey_room
from node.rekey import FINISHED
from tests.node.flow_site import Reply, Site, running, start_server, until
from tests.node.test_flow_keys import ROOT, ROTATE, WISH, everything_in, fields, rekeyed, status_of, unseal

DISK_S = 0.6  # that a file takes: longer than a leader needs to hand over
ABORTED = ["no root generation in progress"]


class Held:
    """A function of an object that waits, when it is called, until it may go on."""

    def __init__(self, owner: Any, name: str) -> None:
        self._former = getattr(owner, name)
        self.begun, self.may = asyncio.Event(), asyncio.Event()
        setattr(owner, name, self._call)

    async def _call(self, *arguments: Any) -> Any:
        self.begun.set()
        await self.may.wait()
        return await self._former(*arguments)


async def give_root(site: Site, key: str, nonce: str) -> Reply:
    return await site.ask("PUT", f"{ROOT}/update", {"key": key, "nonce": nonce})


# ---- shares that a rekey made worthless


async def test_old_shares_make_no_root_token_after_a_rekey(tmp_path: Path) -> None:
    """Also not in an attempt that was begun before it; the present ones do, in one that is begun after it."""
    async with running(tmp_path) as site:
        old, node = site.shares[0], site.leader.node
        begun = fields(await site.must("PUT", f"{ROOT}/attempt", {}))
        await rekeyed(site)
        before = node._root_tokens()
        late = await give_root(site, old, begun["nonce"])
        assert (late.status, late.errors, node._root_tokens()) == (400, ABORTED, before)
        assert not (await status_of(site, f"{ROOT}/attempt"))["started"]
        begun = fields(await site.must("PUT", f"{ROOT}/attempt", {}))
        assert begun["required"] == 2
        assert [(await give_root(site, share, begun["nonce"])).status for share in site.shares] == [200, 200]
        assert node._root_tokens() == before + 1


async def test_a_root_token_is_not_decided_on_keys_that_were_changed_since_its_shares_came(tmp_path: Path) -> None:
    """The rekey is committed while the token's write is held up: it is refused, and may be begun again."""
    async with running(tmp_path) as site:
        node = site.leader.node
        begun = fields(await site.must("PUT", f"{ROOT}/attempt", {}))
        before, former = node._root_tokens(), node.member.write
        held = Held(node.member, "write")
        late = asyncio.create_task(give_root(site, site.shares[0], begun["nonce"]))
        await held.begun.wait()
        node.member.write = former
        await rekeyed(site)
        held.may.set()
        assert ((await late).status, node._root_tokens()) == (503, before)
        assert not (await status_of(site, f"{ROOT}/attempt"))["started"]


@pytest.mark.parametrize("verified", [False, True])
async def test_a_rekey_that_another_overtook_takes_no_more_shares(tmp_path: Path, *, verified: bool) -> None:
    """Neither the former shares nor those that it made: what is in force stays, and a new one may begin."""
    async with running(tmp_path) as site:
        member, keys = site.leader.node.member, site.leader.node.keys
        begun = fields(await site.must("PUT", f"{ROTATE}/init", WISH | {"require_verification": verified}))
        step, share, nonce, none = "update", site.shares[0], begun["nonce"], "no barrier rekey in progress"
        if verified:
            told = fields(await site.must("PUT", f"{ROTATE}/update", {"key": share, "nonce": nonce}))
            again = await site.ask("PUT", f"{ROTATE}/update", {"key": share, "nonce": nonce})
            step, share, nonce, none = "verify", told["keys"][0], told["verification_nonce"], "no rekey in progress"
            assert again.errors == [f'{FINISHED}; nonce for the verification operation is "{nonce}"']
        assert member.unsealed is not None
        made = rekey(
            member.unsealed.keyring, member.seal_config, member.random, member.now_ns(), shares=1, threshold=1
        )
        await keys._rekeying.rekey(made)
        late = await site.ask("PUT", f"{ROTATE}/{step}", {"key": share, "nonce": nonce})
        assert (late.status, late.errors, member.seal_config.epoch) == (400, [none], 2)
        assert (keys._rekey._given, keys._rekey._made, keys._rekey._back) == (None, None, None)
        site.shares = [made.shares[0].hex()]
        made.wipe()
        await rekeyed(site)


async def test_new_shares_that_wait_for_verification_are_not_kept(tmp_path: Path) -> None:
    """They were told once; what comes back is judged by the root key."""
    async with running(tmp_path) as site:
        await rekeyed(site, require_verification=True)
        made = site.leader.node.keys._rekey._made
        assert made is not None
        assert (made.shares, any(made.root_key)) == ([], True)


# ---- at the same time


async def test_an_attempt_that_is_being_finished_is_neither_cancelled_nor_replaced(tmp_path: Path) -> None:
    """Its token may exist already: whoever cancels must not believe that it does not."""
    async with running(tmp_path) as site:
        begun = fields(await site.must("PUT", f"{ROOT}/attempt", {}))
        held = Held(site.leader.node.member, "write")
        last = asyncio.create_task(give_root(site, site.shares[0], begun["nonce"]))
        await held.begun.wait()
        cancelled = await site.ask("DELETE", f"{ROOT}/attempt")
        again = await site.ask("PUT", f"{ROOT}/attempt", {})
        held.may.set()
        assert (cancelled.status, again.status, (await last).status) == (503, 400, 200)
        assert (await site.ask("DELETE", f"{ROOT}/attempt")).status == 204


async def test_what_is_begun_while_a_lost_rekey_ends_is_not_ended_with_it(tmp_path: Path) -> None:
    """Leadership came and went during the write: until that has ended, nothing new begins."""
    async with running(tmp_path) as site:
        desk = site.leader.node.keys._rekey
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        held = Held(site.leader.node.member, "write")
        last = asyncio.create_task(site.ask("PUT", f"{ROTATE}/update", {"key": site.shares[0], "nonce": nonce}))
        await held.begun.wait()
        desk.forget()
        early = await site.ask("PUT", f"{ROTATE}/init", WISH)
        held.may.set()
        assert (early.status, (await last).status) == (503, 200)
        assert (await site.ask("PUT", f"{ROTATE}/init", WISH)).status == 200


async def test_who_does_not_lead_any_more_begins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leadership is lost between the arrival of a request and its turn: nothing stays behind on the deposed node."""
    async with running(tmp_path) as site:
        keys, leads = site.leader.node.keys, [True]

        def is_leader(_member: Member) -> bool:
            return leads.pop(0) if len(leads) > 1 else leads[0]

        asked = [("PUT", f"{ROTATE}/init", WISH), ("PUT", f"{ROOT}/attempt", {}), ("PUT", "sys/rotate", {})]
        server = site.leader
        for method, path, body in asked:
            leads[:] = [True, False]
            monkeypatch.setattr(Member, "is_leader", property(is_leader))
            reply = await server.ask(method, path, body, token=site.token)
            monkeypatch.undo()
            assert reply.status == 503, path
        assert (keys._rekey._asked, keys._root._given) == (None, None)


async def test_as_many_shares_as_there_can_be_are_made_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take longer to make than others wait for a leader."""
    makers: list[int] = []
    real = rekey_room.rekey

    def noted(*arguments: Any, **more: Any) -> Any:
        makers.append(threading.get_ident())
        return real(*arguments, **more)

    monkeypatch.setattr(rekey_room, "rekey", noted)
    async with running(tmp_path) as site:
        answer = await rekeyed(site, secret_shares=255, secret_threshold=255)
        assert len(answer["keys"]) == 255
        assert makers
        assert threading.get_ident() not in makers
        assert (await status_of(site, f"{ROTATE}/init"))["required"] == 255


# ---- an outcome that nobody knows


async def test_new_shares_are_told_though_nobody_knows_whether_they_are_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be all that opens the cluster. 504, unknown, both sets to be kept; audited without a share."""
    monkeypatch.setattr("cluster.rekeying.USED_S", 0.05)
    async with running(tmp_path, audited=True) as site:
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        member, write = site.leader.node.member, site.leader.node.member.write

        async def unknown(decide: Any) -> Any:
            await write(decide)
            raise UnknownOutcomeError("nobody knows")

        async def never(_name: bytes, _timeout_s: float) -> bool:
            return False

        monkeypatch.setattr(member, "write", unknown)
        monkeypatch.setattr(member.keyrings, "until_kept", never)
        reply = await site.ask("PUT", f"{ROTATE}/update", {"key": site.shares[0], "nonce": nonce})
        monkeypatch.undo()
        told = reply.json["data"]
        assert (reply.status, reply.json["applied"], told["complete"], len(told["keys"])) == (504, "unknown", False, 3)
        assert "keep" in reply.errors[0]
        assert [line["type"] for line in site.leader.audit_lines(reply.request_id)] == ["request", "response"]
        assert not [key for key in (*told["keys"], *told["keys_base64"]) if key.encode() in everything_in(tmp_path)]
        await until(lambda: member.seal_config.epoch == 2, "it was applied after all")
        await site.must("PUT", "sys/seal")
        await until(lambda: member.sealed, "sealed")
        assert await unseal(site.servers[0], told["keys"][1:]) == [200, 200]
        await site.settled()


async def test_an_unknown_rekey_whose_record_fails_is_still_said_to_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the record no share leaves; but whoever asked must know that the old ones may be worthless."""
    async with running(tmp_path, audited=True) as site:
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        node = site.leader.node

        async def unknown(_decide: Any) -> Any:
            raise UnknownOutcomeError("nobody knows")

        async def fails(*_: Any) -> bool:
            return False

        with monkeypatch.context() as patch:
            patch.setattr(rekeying, "USED_S", 0.01)
            patch.setattr(node.member, "write", unknown)
            patch.setattr(node.flow._audit, "response", fails)
            reply = await site.ask("PUT", f"{ROTATE}/update", {"key": site.shares[0], "nonce": nonce})

        assert (reply.status, reply.json.get("applied"), "data" in reply.json) == (500, "unknown", False)


async def test_a_seal_lets_new_shares_leave_first(tmp_path: Path) -> None:
    """It comes while a rekey is being applied: the answer is audited and told, then the node is sealed."""
    async with running(tmp_path, audited=True) as site:
        server = site.leader
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        held = Held(server.node.member.keyrings, "_write")
        last = asyncio.create_task(site.ask("PUT", f"{ROTATE}/update", {"key": site.shares[0], "nonce": nonce}))
        await held.begun.wait()
        assert (await server.ask("PUT", "sys/seal", token=site.token)).status == 204
        sealing = asyncio.create_task(server.node.desk.seal())
        await asyncio.sleep(0)
        assert not server.node.member.sealed
        held.may.set()
        reply = await last
        assert (reply.status, len(fields(reply)["keys"])) == (200, 3)
        assert [line["type"] for line in server.audit_lines(reply.request_id)] == ["request", "response"]
        await sealing
        await until(lambda: server.node.member.sealed, "sealed")
        assert await unseal(server, fields(reply)["keys"][:2]) == [200, 200]
        await site.settled()


async def test_a_seal_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file cannot be written: the node is sealed all the same, and the new shares are still told."""
    monkeypatch.setattr("node.key_desks.ANSWERS_S", 0.05)
    async with running(tmp_path) as site:
        server = site.leader
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        held = Held(server.node.member.keyrings, "_write")
        last = asyncio.create_task(site.ask("PUT", f"{ROTATE}/update", {"key": site.shares[0], "nonce": nonce}))
        await held.begun.wait()
        await server.node.desk.seal()
        assert server.node.member.sealed
        reply = await last
        assert (reply.status, len(fields(reply)["keys"])) == (200, 3)
        server.node.member.keyrings._write = held._former
        assert await unseal(server, site.shares) == [200]
        await until(lambda: server.node.member.keyrings._missing != b"", "the rekey is in the log")
        server.node.member.keyrings._seal_itself(server.node.member.keyrings._missing)
        await until(lambda: server.node.member.sealed, "it asks for the new shares")
        assert await unseal(server, fields(reply)["keys"][1:]) == [200, 200]
        await site.settled()


@pytest.mark.parametrize("ends", ["is sealed", "stops"])
async def test_new_shares_reach_who_asked_elsewhere_though_the_leader_ends(tmp_path: Path, ends: str) -> None:
    """The request came by way of a follower: the answer is told there, before keys and links go."""
    async with running(tmp_path, 3) as site:
        server, asked = site.leader, site.followers[0]
        nonce = fields(await site.must("PUT", f"{ROTATE}/init", WISH))["nonce"]
        held, share = Held(server.node.member.keyrings, "_write"), {"key": site.shares[0], "nonce": nonce}
        last = asyncio.create_task(asked.ask("PUT", f"{ROTATE}/update", share, token=site.token))
        await held.begun.wait()
        ending = asyncio.create_task(server.node.stop() if ends == "stops" else server.node.desk.seal())
        asyncio.get_running_loop().call_later(DISK_S, held.may.set)
        reply = await last
        assert (reply.status, len(fields(reply).get("keys", []))) == (200, 3)
        site.shares = fields(reply)["keys"][1:]
        await ending
        if ends == "stops":
            at = site.servers.index(server)
            again = site.servers[at] = await start_server(server.node.config, server.folder)
            server.node = again.node
        assert await unseal(server, site.shares) == [200, 200]
        await site.settled()
