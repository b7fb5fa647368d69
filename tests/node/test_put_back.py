"""A snapshot put back into a running cluster: secrets as they were, access as it is, all of it or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node.put_back.work import PuttingBack
from tests.node.flow_site import Site, running
from tests.node.put_back_site import FORCE, PATH, Sent, collected, must, put_back, saved

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("put-back"), audited=True) as site:
        yield site


async def test_secrets_are_as_they_were(site: Site) -> None:
    """Changed, deleted, destroyed and new ones, in both versions of KV; metadata and every version."""
    for number in range(3):
        await site.must("PUT", "secret/data/a/b", {"data": {"n": number}})
    await site.must("PUT", "secret/data/gone", {"data": {"x": "y"}})
    await site.must("PUT", "secret/metadata/a/b", {"custom_metadata": {"k": "v"}})
    await site.must("PUT", "secret/destroy/a/b", {"versions": [1]})
    await site.must("PUT", "kv1/old", {"1.10": 12345678901234567890123})
    data = await saved(site)
    await site.must("PUT", "secret/data/a/b", {"data": {"n": "other"}})
    await site.must("DELETE", "secret/metadata/gone")
    await site.must("PUT", "secret/data/new", {"data": {"x": "y"}})
    await site.must("DELETE", "kv1/old")

    reply = await must(site, data)
    assert reply.data["mounts"] == ["kv1/", "secret/"]
    read = (await site.must("GET", "secret/data/a/b")).data
    assert (read["data"], read["metadata"]["version"], read["metadata"]["custom_metadata"]) == ({"n": 2}, 3, {"k": "v"})
    assert (await site.must("GET", "secret/data/a/b?version=2")).data["data"] == {"n": 1}
    assert (await site.ask("GET", "secret/data/a/b?version=1")).status == 404
    assert (await site.must("GET", "secret/data/gone")).data["data"] == {"x": "y"}
    assert (await site.ask("GET", "secret/data/new")).status == 404
    assert (await site.must("GET", "kv1/old")).data == {"1.10": 12345678901234567890123}
    await site.must("PUT", "secret/data/a/b", {"data": {"n": "next"}, "options": {"cas": 3}})
    await collected(site)


async def test_a_secret_that_is_larger_than_a_part_of_the_snapshot_comes_back_whole(site: Site) -> None:
    """Its versions stand in several parts, and each opens."""
    for number in range(4):
        await site.must("PUT", "secret/data/large", {"data": {"n": number, "v": "x" * 600_000}})
    data = await saved(site)
    await site.must("DELETE", "secret/metadata/large")
    await must(site, data)
    for number in range(4):
        assert (await site.must("GET", f"secret/data/large?version={number + 1}")).data["data"]["n"] == number
    await site.must("DELETE", "secret/metadata/large")


# ---- mounts
async def test_the_set_of_mounts_is_that_of_the_snapshot(site: Site) -> None:
    """One that was disabled is back, one that is new is gone and named, one that moved is where it was."""
    await site.must("POST", "sys/mounts/back", {"type": "kv"})
    await site.must("PUT", "back/a", {"x": 1})
    await site.must("POST", "sys/mounts/moved", {"type": "kv"})
    await site.must("PUT", "moved/a", {"x": 1})
    data = await saved(site)
    await site.must("DELETE", "sys/mounts/back")
    await site.must("POST", "sys/mounts/new", {"type": "kv"})
    await site.must("PUT", "new/a", {"x": 1})
    await site.must("POST", "sys/remount", {"from": "moved", "to": "elsewhere"})

    reply = await must(site, data)
    assert reply.data["mounts_gone"] == ["new/"]
    assert "mounts that the snapshot does not know are gone: new/" in reply.json["warnings"]
    for path in ("back/a", "moved/a"):
        assert (await site.must("GET", path)).data == {"x": 1}
    for path in ("new/a", "elsewhere/a"):
        assert (await site.ask("GET", path)).status == 404
    assert {"back/", "moved/"} < set((await site.must("GET", "sys/mounts")).data) - {"new/", "elsewhere/"}
    await collected(site)


async def test_a_snapshot_without_secrets_engines_leaves_none(tmp_path: Path) -> None:
    """And what came since is gone, and named."""
    async with running(tmp_path) as one:
        for path in ("secret", "kv1"):
            await one.must("DELETE", f"sys/mounts/{path}")
        data = await saved(one)
        await one.must("POST", "sys/mounts/later", {"type": "kv"})
        reply = await must(one, data)
        assert (reply.data["mounts"], reply.data["mounts_gone"]) == ([], ["later/"])
        assert "later/" not in (await one.must("GET", "sys/mounts")).data
        await collected(one)


async def test_settings_of_a_mount_stay_and_what_its_engine_keeps_goes_back(site: Site) -> None:
    """Times to live and what audit shows of it are of now; version and configuration of KV are of then."""
    await site.must("POST", "sys/mounts/tuned", {"type": "kv", "options": {"version": "1"}})
    await site.must("POST", "sys/mounts/tuned/tune", {"audit_non_hmac_response_keys": ["shown"]})
    await site.must("PUT", "secret/config", {"max_versions": 7})
    data = await saved(site)
    hidden = {"audit_non_hmac_response_keys": [], "max_lease_ttl": "1h"}
    await site.must("POST", "sys/mounts/tuned/tune", hidden | {"options": {"version": "2"}})
    await site.must("PUT", "secret/config", {"max_versions": 3})

    await must(site, data)
    tuned = (await site.must("GET", "sys/mounts/tuned/tune")).data
    assert (tuned.get("audit_non_hmac_response_keys"), tuned["max_lease_ttl"]) == (None, 3600)
    assert tuned["options"] == {"version": "1"}
    assert (await site.must("GET", "secret/config")).data["max_versions"] == 7


async def test_a_snapshot_can_be_put_back_again_and_a_later_one_after_it(site: Site) -> None:
    """What was put back has new names inside; a mount is still known as the same one."""
    await site.must("PUT", "secret/data/twice", {"data": {"n": 1}})
    first = await saved(site)
    await must(site, first)
    await site.must("PUT", "secret/data/twice", {"data": {"n": 2}})
    await site.must("POST", "sys/mounts/secret/tune", {"max_lease_ttl": "2h"})
    second = await saved(site)
    for data, number in ((first, 1), (second, 2), (first, 1)):
        await must(site, data)
        assert (await site.must("GET", "secret/data/twice")).data["data"] == {"n": number}
        assert (await site.must("GET", "sys/mounts/secret/tune")).data["max_lease_ttl"] == 7200
    await collected(site)


# ---- access
async def test_access_stays_as_it_is_and_is_named(site: Site) -> None:
    """Policies, auth methods and what they store, tokens, quotas; each difference by its name or number."""
    await site.must("PUT", "sys/policies/acl/changed", {"policy": 'path "secret/*" { capabilities = ["read"] }'})
    await site.must("PUT", "sys/policies/acl/removed", {"policy": 'path "x" {}'})
    await site.must("POST", "sys/auth/users", {"type": "userpass"})
    await site.must("POST", "auth/users/users/ann", {"password": "one-password"})
    old, _ = await site.new_token(("secret/*", "read"))
    data = await saved(site)
    await site.must("PUT", "sys/policies/acl/changed", {"policy": 'path "nothing" {}'})
    await site.must("DELETE", "sys/policies/acl/removed")
    await site.must("PUT", "sys/policies/acl/added", {"policy": 'path "x" {}'})
    await site.must("POST", "sys/auth/later", {"type": "userpass"})
    await site.must("POST", "auth/users/users/ann", {"password": "two-password"})
    await site.must("POST", "sys/quotas/rate-limit/q", {"path": "secret/", "rate": 10_000})
    await site.must("POST", "auth/token/revoke", {"token": old})
    new, _ = await site.new_token(("secret/data/twice", "read"))

    reply = await must(site, data)
    [policies] = [text for text in reply.json["warnings"] if text.startswith("policies")]
    assert all(text in policies for text in ("differ: changed;", "gone since: removed;", "newer: added")), policies
    assert "auth methods stay as they are now: are newer: auth/later/" in reply.json["warnings"]
    stores = "what auth/users/ stores: 1 records of the snapshot differ, and stay as they are now"
    assert stores in reply.json["warnings"]
    assert "what sys/ stores" not in str(reply.json["warnings"])  # the snapshot has no quota
    assert "nothing" in (await site.must("GET", "sys/policies/acl/changed")).data["policy"]
    assert (await site.ask("GET", "sys/policies/acl/removed")).status == 404
    for password, status in (("one-password", 400), ("two-password", 200)):
        assert (await site.ask("POST", "auth/users/login/ann", {"password": password})).status == status
    assert (await site.ask("GET", "secret/data/twice", token=old)).status == 403
    assert (await site.ask("GET", "secret/data/twice", token=new)).status == 200
    assert (await site.must("GET", "sys/quotas/rate-limit/q")).data["path"] == "secret/"
    await site.must("DELETE", "sys/quotas/rate-limit/q")
    assert not any(word in reply.body.decode() for word in ("two-password", "ann", new))


async def test_what_a_token_keeps_for_itself_stays(site: Site) -> None:
    """A cubbyhole is neither put back nor emptied, and a wrapped answer is unwrapped once."""
    await site.must("PUT", "cubbyhole/mine", {"x": "then"})
    data = await saved(site)
    await site.must("PUT", "cubbyhole/mine", {"x": "now"})
    wrapped = (await site.must("GET", "secret/data/twice", headers=[("X-Vault-Wrap-TTL", "60")])).json["wrap_info"]

    await must(site, data)
    assert (await site.must("GET", "cubbyhole/mine")).data == {"x": "now"}
    unwrapped = [(await site.ask("POST", "sys/wrapping/unwrap", token=wrapped["token"])).status for _ in range(2)]
    assert unwrapped == [200, 400]


async def test_putting_back_needs_sudo(site: Site) -> None:
    """As the table of policies says; whoever may not, is not even read."""
    writer, _ = await site.new_token((f"{PATH}*", "create update"))
    sudo, _ = await site.new_token((f"{PATH}*", "create update sudo"))
    data = await saved(site)
    for path in (PATH, FORCE):
        sent = Sent(data)
        assert ((await put_back(site, sent, path, token=writer)).status, sent.read_bytes) == (403, 0)
        assert (await put_back(site, data, path, token=sudo)).status == 200


async def test_who_loses_the_right_meanwhile_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is revoked while its upload comes: 403, before the first write."""
    token, accessor = await site.new_token((f"{PATH}*", "create update sudo"))
    await site.must("PUT", "secret/data/right", {"data": {"n": 1}})
    data = await saved(site)
    await site.must("PUT", "secret/data/right", {"data": {"n": 2}})
    class Revoking(Sent):
        async def parts(self) -> AsyncIterator[bytes]:
            async for part in super().parts():
                yield part
            await site.must("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    async def never(*_: object) -> None:
        raise AssertionError("something was written")

    with monkeypatch.context() as patch:
        patch.setattr(PuttingBack, "_put", never)
        assert (await put_back(site, Revoking(data), token=token)).status == 403
    assert (await site.must("GET", "secret/data/right")).data["data"] == {"n": 2}


async def test_it_is_audited_and_a_security_event(site: Site) -> None:
    """Request and response with what was put back; security.log says whether it was done."""
    data = await saved(site)
    reply = await must(site, data)
    lines = site.leader.audit_lines(reply.request_id)
    assert [line["type"] for line in lines] == ["request", "response"]
    refused = await put_back(site, b"no snapshot")
    assert refused.status == 400
    log = (site.leader.node.member.settings.data_dir / "security.log").read_text().splitlines()
    done = [line for line in log if '"event":"restore"' in line][-2:]
    assert ('"done":true' in done[0], '"done":false' in done[1]) == (True, True)
