"""What a snapshot that is put back does not take back: revocations of certificates, and bounds and versions of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.node.flow_site import Site, running
from tests.node.put_back_site import TEXT, authority, collected, issue, listed, must, opens, saved, sealed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("put-back-engines")) as site:
        yield site


# ---- pki
async def test_a_revocation_is_not_undone(site: Site) -> None:
    """Of a certificate that the snapshot knows as good, and of one that it does not know; the list goes on growing."""
    await authority(site, "pki")
    before, good = [(await issue(site, "pki")).data["serial_number"] for _ in range(2)]
    data = await saved(site)
    after = (await issue(site, "pki")).data["serial_number"]
    for serial in (before, after):
        await site.must("POST", "pki/revoke", {"serial_number": serial})

    reply = await must(site, data)
    assert any(text.startswith("pki/: certificates") for text in reply.json["warnings"])
    assert await listed(site, "pki") == {before, after}
    for serial in (before, after):
        assert (await site.must("GET", f"pki/cert/{serial}")).data["revocation_time"] > 0
    assert (await site.must("GET", f"pki/cert/{good}")).data["revocation_time"] == 0
    await site.must("POST", "pki/revoke", {"serial_number": good})
    assert await listed(site, "pki") == {before, after, good}
    await collected(site)


async def test_a_certificate_that_is_younger_than_the_snapshot_can_still_be_revoked(site: Site) -> None:
    """It is known, by its serial number and by its lease."""
    await authority(site, "leased", leased=True)
    old = await issue(site, "leased")
    data = await saved(site)
    by_serial, by_lease = await issue(site, "leased"), await issue(site, "leased")
    await site.must("PUT", "sys/leases/revoke", {"lease_id": old.json["lease_id"]})

    await must(site, data)
    assert await listed(site, "leased") == {old.data["serial_number"]}
    await site.must("POST", "leased/revoke", {"serial_number": by_serial.data["serial_number"]})
    await site.must("PUT", "sys/leases/revoke", {"lease_id": by_lease.json["lease_id"]})
    assert await listed(site, "leased") == {one.data["serial_number"] for one in (old, by_serial, by_lease)}


async def test_a_list_that_names_the_revoked_goes_on_doing_so(site: Site) -> None:
    """A snapshot from when it was disabled does not empty it; its roles and authority are the snapshot's."""
    await authority(site, "crl")
    await site.must("POST", "crl/config/crl", {"disable": True})
    ca = (await site.must("GET", "crl/cert/ca", token=None)).data["certificate"]
    data = await saved(site)
    await site.must("POST", "crl/config/crl", {"disable": False})
    serial = (await issue(site, "crl")).data["serial_number"]
    await site.must("POST", "crl/revoke", {"serial_number": serial})
    await site.must("DELETE", "crl/roles/any")

    await must(site, data)
    assert await listed(site, "crl") == {serial}
    assert (await site.must("GET", "crl/roles/any")).data["allow_any_name"] is True
    assert (await site.must("GET", "crl/cert/ca", token=None)).data["certificate"] == ca


async def test_an_authority_whose_mount_is_gone_comes_back_as_it_was(site: Site) -> None:
    """Nothing is left of what was revoked since: the documents say so."""
    await authority(site, "lost")
    serial = (await issue(site, "lost")).data["serial_number"]
    data = await saved(site)
    await site.must("POST", "lost/revoke", {"serial_number": serial})
    await site.must("DELETE", "sys/mounts/lost")

    await must(site, data)
    assert await listed(site, "lost") == set()
    await site.must("POST", "lost/revoke", {"serial_number": serial})
    assert await listed(site, "lost") == {serial}


# ---- transit
async def key_of(site: Site, key: str) -> dict[str, Any]:
    data: dict[str, Any] = (await site.must("GET", f"transit/keys/{key}")).data
    return data


async def new_key(site: Site, key: str, **fields: Any) -> None:
    await site.must("POST", f"transit/keys/{key}", fields)
    await site.must("POST", f"transit/keys/{key}/config", {"deletion_allowed": True})


async def test_a_key_that_is_there_stays_with_its_versions_and_bounds(site: Site) -> None:
    """What was encrypted since opens, what is too old does not, and nothing that was trimmed is back."""
    await site.must("POST", "sys/mounts/transit", {"type": "transit"})
    await new_key(site, "k")
    one = await sealed(site, "k")
    await site.must("POST", "transit/keys/k/rotate")
    two = await sealed(site, "k")
    data = await saved(site)
    await site.must("POST", "transit/keys/k/rotate")
    three = await sealed(site, "k")
    bounds = {"min_decryption_version": 2, "min_encryption_version": 3}
    await site.must("POST", "transit/keys/k/config", bounds)
    await site.must("POST", "transit/keys/k/trim", {"min_available_version": 2})

    reply = await must(site, data)
    assert "transit/: 1 keys stay as they are now, with their versions and bounds" in reply.json["warnings"]
    assert [await opens(site, "k", text) for text in (one, two, three)] == [400, 200, 200]
    key = await key_of(site, "k")
    assert (key["latest_version"], key["min_available_version"], {name: key[name] for name in bounds}) == (3, 2, bounds)
    assert await opens(site, "k", await sealed(site, "k")) == 200


async def test_keys_come_and_go_with_the_snapshot(site: Site) -> None:
    """One that was deleted is back; one that is younger is gone; another of the same name is replaced: all named."""
    for name in ("deleted", "made-again"):
        await new_key(site, name)
    texts = {name: await sealed(site, name) for name in ("deleted", "made-again")}
    data = await saved(site)
    for name in ("deleted", "made-again"):
        await site.must("DELETE", f"transit/keys/{name}")
    for name in ("made-again", "younger"):
        await new_key(site, name)
    other = await sealed(site, "made-again")

    warnings = (await must(site, data)).json["warnings"]
    assert "transit/: 1 keys are replaced by others of the same name" in warnings
    assert "transit/: 1 keys are younger than the snapshot and gone" in warnings
    assert [await opens(site, name, texts[name]) for name in ("deleted", "made-again")] == [200, 200]
    assert await opens(site, "made-again", other) == 400
    assert (await site.ask("GET", "transit/keys/younger")).status == 404


async def test_an_older_key_gets_its_versions_back_and_no_lower_bound(site: Site) -> None:
    """It was put back from a backup of its own since, and tightened: newer versions come, old ones stay out."""
    await new_key(site, "aged", exportable=True, allow_plaintext_backup=True)
    await site.must("POST", "transit/keys/aged/rotate")
    backup = (await site.must("GET", "transit/backup/aged")).data["backup"]
    texts = [await sealed(site, "aged", key_version=number) for number in (1, 2)]
    await site.must("POST", "transit/keys/aged/rotate")
    texts.append(await sealed(site, "aged"))
    data = await saved(site)
    await site.must("POST", "transit/restore/aged", {"backup": backup, "force": True})
    await site.must("POST", "transit/keys/aged/config", {"min_decryption_version": 2})

    await must(site, data)
    assert [await opens(site, "aged", text) for text in texts] == [400, 200, 200]
    key = await key_of(site, "aged")
    assert (key["latest_version"], key["min_decryption_version"]) == (3, 2)


async def test_what_keeps_encrypt_from_making_keys_stays(site: Site) -> None:
    """A setting that was tightened since is not loosened, and one that was there stays where nothing was set since."""
    data = await saved(site)
    await site.must("POST", "transit/config/keys", {"disable_upsert": True})
    await must(site, data)
    assert (await site.must("GET", "transit/config/keys")).data == {"disable_upsert": True}
    assert (await site.ask("POST", "transit/encrypt/unheard-of", {"plaintext": TEXT})).status == 400
