"""Between the first and the last step of putting a snapshot back: who writes, leads or breaks off meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from cluster import DamagedError, OverloadedError, Table, UnknownOutcomeError
from node.maintenance import Maintenance
from node.put_back import work
from node.put_back.work import GivenUpError, PuttingBack
from tests.node.flow_site import Site, running
from tests.node.put_back_site import (
    FORCE,
    PATH,
    Sent,
    authority,
    collected,
    files_of,
    issue,
    listed,
    mount_uuid,
    must,
    opens,
    put_back,
    saved,
    sealed,
    sweeps_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

Step = Callable[[], Awaitable[object]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("put-back-steps")) as site:
        for number in range(300):
            await site.must("PUT", f"kv1/{number:03}", {"n": number})
        yield site


def before(monkeypatch: pytest.MonkeyPatch, name: str, step: Step, *, at: int = 1) -> None:
    """The step is taken before the `at`th call of this method of PuttingBack."""
    real = getattr(PuttingBack, name)
    calls = 0

    async def stepping(self: PuttingBack, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            await step()
        return await real(self, *given)

    monkeypatch.setattr(PuttingBack, name, stepping)


# ---- what is answered meanwhile
async def test_nothing_is_seen_of_it_before_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each batch everything reads as before; what was written waits under a name that nothing mounts."""
    data = await saved(site)
    await site.must("DELETE", "kv1/007")
    seen: list[tuple[int, int, int]] = []
    real = PuttingBack._put

    async def looking(self: PuttingBack, batch: Any) -> None:
        await real(self, batch)
        names = (await site.must("LIST", "kv1/")).data["keys"]
        waiting = sweeps_of(site.leader.node.member.view).count("restore")
        seen.append(((await site.ask("GET", "kv1/007")).status, len(names), waiting))

    monkeypatch.setattr(PuttingBack, "_put", looking)
    await must(site, data)
    assert (set(seen), len(seen) >= 3) == ({(404, 299, 2)}, True)
    assert (await site.must("GET", "kv1/007")).data == {"n": 7}
    await collected(site)


async def test_what_is_revoked_or_rotated_meanwhile_is_not_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the moment in which it was merged, and in the very turn of the swap, applied or only proposed."""
    await authority(site, "pki")
    serials = [(await issue(site, "pki")).data["serial_number"] for _ in range(3)]
    await site.must("POST", "sys/mounts/transit", {"type": "transit"})
    await site.must("POST", "transit/keys/k")
    data = await saved(site)
    texts: list[str] = []

    async def early() -> None:
        await site.must("POST", "pki/revoke", {"serial_number": serials[0]})
        await site.must("POST", "transit/keys/k/rotate")
        texts.append(await sealed(site, "k"))

    real = PuttingBack._swapping
    tasks: list[asyncio.Task[Any]] = []
    tried = 0

    async def late() -> None:
        """Proposed, and not waited for."""
        asked = [site.must("POST", "pki/revoke", {"serial_number": serial}) for serial in serials[1:]]
        tasks.extend(asyncio.ensure_future(one) for one in (*asked, site.must("POST", "transit/keys/k/rotate")))
        overlay = site.leader.node.member.running.overlay
        while len(overlay.changing(Table.ENTRY, b"")) < 4:  # noqa: ASYNC110 - a proposal is not an event
            await asyncio.sleep(0)

    def swapping(self: PuttingBack, *given: Any) -> Any:
        nonlocal tried
        tried += 1
        return real(self, *given)

    monkeypatch.setattr(PuttingBack, "_swapping", swapping)
    before(monkeypatch, "_swap", early)
    proposing = PuttingBack._propose
    swaps = 0

    async def propose(self: PuttingBack, decide: Any) -> int:
        nonlocal swaps
        if decide.__name__ == "<lambda>":  # the swap
            swaps += 1
            if swaps == 1:
                await late()
        return await proposing(self, decide)

    monkeypatch.setattr(PuttingBack, "_propose", propose)
    await must(site, data)
    await asyncio.gather(*tasks)
    assert (swaps, tried, len(tasks)) == (1, 1, 3)
    assert await listed(site, "pki") == set(serials)
    key = (await site.must("GET", "transit/keys/k")).data
    assert (key["latest_version"], await opens(site, "k", texts[0])) == (3, 200)
    await collected(site)


async def test_more_than_fits_beside_the_swap_is_merged_before_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another round is made; nothing is lost by it either."""
    await authority(site, "many")
    data = await saved(site)
    serials: set[str] = set()
    monkeypatch.setattr(work, "SWAP_RECORDS_MAX", 3)
    proposing = PuttingBack._propose
    swaps = 0

    async def propose(self: PuttingBack, decide: Any) -> int:
        nonlocal swaps
        if decide.__name__ == "<lambda>":
            swaps += 1
            for _ in range(4 if swaps < 3 else 0):
                serials.add((await issue(site, "many")).data["serial_number"])
        return await proposing(self, decide)

    monkeypatch.setattr(PuttingBack, "_propose", propose)
    await must(site, data)
    assert swaps == 3
    assert len(serials) == 8
    for serial in serials:
        await site.must("GET", f"many/cert/{serial}")


async def test_what_changes_faster_than_it_can_be_merged_ends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and nothing changed."""
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    monkeypatch.setattr(work, "SWAPS_MAX", 2)

    def never(*_: Any) -> None:
        raise work._MoreError

    monkeypatch.setattr(PuttingBack, "_merge", never)
    reply = await put_back(site, data)
    assert (reply.status, "changes too fast" in reply.errors[0]) == (503, True)
    assert (await site.must("GET", "kv1/007")).data == {"n": "new"}
    await collected(site)


async def test_versions_of_a_key_that_go_meanwhile_are_not_left_in_the_new_mount(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that was trimmed, and of one that was deleted, behind the moment in which it was merged."""
    for name in ("trimmed", "deleted"):
        await site.must("POST", f"transit/keys/{name}")
        await site.must("POST", f"transit/keys/{name}/config", {"deletion_allowed": True})
    data = await saved(site)
    for name in ("trimmed", "deleted"):
        await site.must("POST", f"transit/keys/{name}/rotate")

    async def late() -> None:
        bounds = {"min_decryption_version": 2, "min_encryption_version": 2}
        await site.must("POST", "transit/keys/trimmed/config", bounds)
        await site.must("POST", "transit/keys/trimmed/trim", {"min_available_version": 2})
        await site.must("DELETE", "transit/keys/deleted")

    before(monkeypatch, "_swap", late)
    await must(site, data)
    view, uuid = site.leader.node.member.view, mount_uuid(site, "transit/")
    stored = [view.list_entries(uuid + b"version/%b/" % name) for name in (b"trimmed", b"deleted")]
    assert stored == [[b"2"], [b"1"]]
    assert (await site.must("GET", "transit/keys/deleted")).data["latest_version"] == 1


async def test_who_loses_the_right_before_the_swap_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """403, though everything but that was written; the twin keeps it, and swaps."""
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    token, accessor = await site.new_token((f"{PATH}*", "create update sudo"))
    with monkeypatch.context() as patch:
        before(patch, "_swap", lambda: site.must("POST", "auth/token/revoke-accessor", {"accessor": accessor}))
        assert (await put_back(site, data, token=token)).status == 403
    assert (await site.must("GET", "kv1/007")).data == {"n": "new"}
    token, _ = await site.new_token((f"{PATH}*", "create update sudo"))
    assert (await put_back(site, data, token=token)).status == 200


async def test_mounts_that_change_meanwhile_end_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was planned on is not there any more: 503, the mounts are as somebody made them."""
    data = await saved(site)
    for step in (
        lambda: site.must("POST", "sys/mounts/meanwhile", {"type": "kv"}),
        lambda: site.must("POST", "sys/mounts/kv1/tune", {"max_lease_ttl": "3h"}),
        lambda: site.must("DELETE", "sys/mounts/meanwhile"),
    ):
        with monkeypatch.context() as patch:
            before(patch, "_swap", step)
            reply = await put_back(site, data)
        assert (reply.status, "ask again" in reply.errors[0], reply.headers["Retry-After"]) == (503, True, "1")
    await collected(site)
    await must(site, data)


async def test_one_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is refused while the first is at work, and not read; afterwards one may come again."""
    data = await saved(site)
    second = Sent(data)
    replies = []

    async def again() -> None:
        replies.append(await put_back(site, second, FORCE))

    before(monkeypatch, "_swap", again)
    await must(site, data)
    assert (replies[0].status, "another snapshot" in replies[0].errors[0], second.read_bytes) == (400, True, 0)
    await must(site, data)


# ---- what breaks off
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_an_end_in_the_middle_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Whatever it is that fails: what was written is collected, the files are gone, and the next one is taken."""
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    files = files_of(site.leader)
    for error, status in ((DamagedError("a box"), 400), (GivenUpError("late"), 503), (OSError(5, "io"), 503)):

        async def failing(error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            before(patch, "_put", failing, at=at)
            reply = await put_back(site, data)
        assert reply.status == status
        assert (await site.must("GET", "kv1/007")).data == {"n": "new"}
        await collected(site)
    assert (files_of(site.leader), site.leader.node.snapshots.restores.held) == (files, set())
    await must(site, data)


async def test_an_unknown_outcome_is_one_only_of_the_swap(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody can reach has changed nothing, whatever became of it: 503, applied no. Of the swap it is 504."""
    await site.must("PUT", "kv1/007", {"n": "then"})
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "now"})
    member = site.leader.node.member
    real, calls, lost_at = member.write, 0, 0

    async def write(decide: Any) -> Any:
        nonlocal calls
        calls += 1
        found = await real(decide)
        if calls == lost_at:
            raise UnknownOutcomeError("the write was not committed in time")
        return found

    for number in (1, 2):  # the record that holds the place, a batch
        calls, lost_at = 0, number
        with monkeypatch.context() as patch:
            patch.setattr(member, "write", write)
            reply = await put_back(site, data)
        assert (reply.status, reply.json["applied"]) == (503, "no")
        assert (await site.must("GET", "kv1/007")).data == {"n": "now"}
        await collected(site)
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(site.leader.node.snapshots.restores, "on_event", lambda _event, **said: events.append(said))
    calls, lost_at = 0, 0
    real_swapping = PuttingBack._swapping

    def swapping(self: PuttingBack, *given: Any) -> Any:
        nonlocal lost_at
        lost_at = calls
        return real_swapping(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(member, "write", write)
        patch.setattr(PuttingBack, "_swapping", swapping)
        reply = await put_back(site, data)
    assert (reply.status, reply.json["applied"], events[0]["unknown"]) == (504, "unknown", True)
    assert (await site.must("GET", "kv1/007")).data == {"n": "then"}  # it was applied, and none of it is swept
    await collected(site)
    assert (await site.must("GET", "kv1/008")).data == {"n": 8}


async def test_a_refused_batch_is_asked_again_for_a_while(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overload passes; one that does not ends it, with 503."""
    data = await saved(site)
    monkeypatch.setattr(work, "RETRY_S", 0.001)
    member = site.leader.node.member
    real, refusals = member.write, [3]

    async def write(decide: Any) -> Any:
        if refusals[0]:
            refusals[0] -= 1
            raise OverloadedError("too much")
        return await real(decide)

    monkeypatch.setattr(member, "write", write)
    await must(site, data)
    refusals[0] = 1_000_000
    monkeypatch.setattr(work, "PATIENCE_S", 0.01)
    reply = await put_back(site, data)
    assert (reply.status, reply.errors) == (503, ["too much"])
    refusals[0] = 0
    await collected(site)


async def test_nothing_more_is_written_once_it_was_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another node led, and had what was written removed; the one that wrote it leads again and finds its record gone.

    Behind a batch, and before the swap.
    """
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    member = site.leader.node.member
    other = Maintenance(member, window_s=1 << 30, entries_max=1 << 30)  # of a leader that holds nothing

    async def given_up() -> None:
        while await other.step():
            pass

    for name, at in (("_put", 2), ("_swap", 1)):
        with monkeypatch.context() as patch:
            before(patch, name, given_up, at=at)
            reply = await put_back(site, data)
        assert (reply.status, "another node led" in reply.errors[0]) == (503, True)
        assert (await site.must("GET", "kv1/007")).data == {"n": "new"}
        await collected(site)


async def test_maintenance_leaves_alone_what_is_being_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: the leader that writes it steps again and again, and nothing goes."""
    data = await saved(site)
    maintenance = site.leader.node.maintenance

    async def steps() -> None:
        while await maintenance.step():
            pass

    before(monkeypatch, "_put", steps, at=2)
    await must(site, data)
