"""What each write says that it touches: never less than it changes, on every route, login and wrapping.

Looked at is what the leader proposes. The list of tables that may have a hash of their own is tests/cluster/state's.
"""

from __future__ import annotations

from typing import Any, Self

import pytest

from cluster import EVERYTHING, QUIET, Draft, Table
from cluster.state.tables import TABLES, Conflict
from tests.node.flow_routes import ROUTES, Route, clean, make_case
from tests.node.flow_site import Site, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET_KEY_OF_A_VERSION = slice(0, -4)


class Proposals:
    """Every draft that the node proposes while entered."""

    def __init__(self, site: Site) -> None:
        self._replica: Any = site.leader.node.member.running
        self.drafts: list[Draft] = []

    def __enter__(self) -> Self:
        propose = self._replica.propose

        def proposed(draft: Draft, *more: Any, **options: Any) -> Any:
            self.drafts.append(draft)
            return propose(draft, *more, **options)

        self._replica.propose = proposed
        return self

    def __exit__(self, *_: object) -> None:
        del self._replica.propose


def too_little(draft: Draft, path_hash: Any) -> list[str]:
    """Names of the tables whose change the draft's hashes do not tell; empty if they tell all of it."""
    if not draft.hashes or EVERYTHING in draft.hashes:
        return []
    fresh = {(table, key) for table, key, index in draft.expects if index == 0}
    untold = []
    for table, key, dropped in [*((t, k, False) for t, k, _ in draft.puts), *((t, k, True) for t, k in draft.drops)]:
        kind = TABLES[Table(table)].conflict
        own = path_hash(key[SECRET_KEY_OF_A_VERSION] if table == Table.VERSION else key)
        told = {
            Conflict.ALL: False,
            Conflict.QUIET: True,
            Conflict.PATH: own in draft.hashes,
            Conflict.FRESH: own in draft.hashes and not dropped and (table, key) in fresh,
        }[kind]
        if not told:
            untold.append(Table(table).name)
    return untold


def checked(site: Site, drafts: list[Draft]) -> list[list[str]]:
    values = site.leader.node.member.values
    assert values is not None
    return [untold for draft in drafts if (untold := too_little(draft, values.path_hash))]


@pytest.mark.parametrize("route", [r for r in ROUTES if r.is_write], ids=lambda route: route.id)
async def test_a_write_tells_all_that_it_changes(one: Site, route: Route) -> None:
    """And what prepares it."""
    with Proposals(one) as proposals:
        for options in ({}, {"headers": [("X-Vault-Wrap-TTL", "60")]}):
            case = await make_case(one, route)
            token, _ = await one.new_token(route.rule(case))
            await one.ask(route.method, route.path_of(case), route.body_of(case), **{"token": token} | options)
            await clean(one, case)

    assert proposals.drafts
    assert checked(one, proposals.drafts) == []


async def test_logins_and_what_they_make_tell_all_of_it(one: Site) -> None:
    """A token under a fresh key tells its own; what is changed beside it touches everything."""
    with Proposals(one) as proposals:
        await one.must("POST", "sys/auth/hashed", {"type": "userpass"})
        await one.must("PUT", "auth/hashed/users/ann", {"password": "pw"})
        for _ in range(2):
            login = await one.ask("POST", "auth/hashed/login/ann", {"password": "pw"}, token=None)
        token = login.json["auth"]["client_token"]
        await one.must("PUT", "sys/policies/acl/uses", {"policy": 'path "secret/*" { capabilities = ["create"] }'})
        limited = await one.must("POST", "auth/token/create", {"num_uses": 2, "policies": ["uses"]})
        await one.leader.ask("POST", "secret/data/uses", {"data": {}}, token=limited.json["auth"]["client_token"])
        await one.leader.ask("POST", "auth/token/revoke-self", token=token)

    own = [draft for draft in proposals.drafts if draft.hashes and EVERYTHING not in draft.hashes]
    assert any(Table.TOKEN in {table for table, *_ in draft.puts} for draft in own)
    assert checked(one, proposals.drafts) == []


async def test_a_cluster_that_keeps_itself_in_order_tells_all_of_it(tmp_path: Any) -> None:
    """Sweeps, expiry, heads of the audit chain."""
    async with running(tmp_path, audited=True) as site:
        with Proposals(site) as proposals:
            await site.new_token(ttl="1s")
            await site.must("POST", "secret/data/a", {"data": {}})
            await site.must("DELETE", "sys/mounts/secret")
            swept = [await site.leader.node.maintenance.step() for _ in range(3)]
            await site.leader.node.audit.record_heads(everything=True)
        found = checked(site, proposals.drafts)
        kept = {table for draft in proposals.drafts for table, *_ in draft.puts}

    assert found == []
    assert (swept[0], Table.AUDIT_HEAD in kept) == (True, True)


async def test_less_would_be_found(one: Site) -> None:
    """The twin: a policy under a path's hash, a token that was there before, a version under another path's hash."""
    values = one.leader.node.member.values
    assert values is not None

    def draft(hashed: bytes, *expected: int) -> Draft:
        made = Draft()
        made.hashes = (values.path_hash(hashed),)
        for index in expected:
            made.expect(Table.TOKEN, b"token", index)
        return made

    policy, changed, other = draft(b"p"), draft(b"token", 7), draft(b"m/other")
    policy.put(Table.POLICY, b"p", b"")
    changed.put(Table.TOKEN, b"token", b"")
    other.put(Table.VERSION, b"m/path\0\0\0\1", b"")
    fresh, right, quiet = draft(b"token", 0), draft(b"m/path"), Draft()
    fresh.put(Table.TOKEN, b"token", b"")
    right.put(Table.VERSION, b"m/path\0\0\0\1", b"")
    quiet.hashes = (QUIET,)
    quiet.put(Table.AUDIT_HEAD, b"n1", b"")
    dropped = draft(b"token", 0)
    dropped.drop(Table.TOKEN, b"token")

    found = [too_little(one_, values.path_hash) for one_ in (policy, changed, other, dropped, fresh, right, quiet)]
    assert found == [["POLICY"], ["TOKEN"], ["VERSION"], ["TOKEN"], [], [], []]
