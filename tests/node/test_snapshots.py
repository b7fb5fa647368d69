"""Snapshots over the API: what is in the file, who gets it, and the new cluster that it becomes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.client
import io
import itertools
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cluster import (
    FolderError,
    Keyring,
    Point,
    RestoreError,
    SealedError,
    SinkRefusedError,
    SystemDisk,
    SystemRandom,
    UnwitnessedError,
    Wish,
    WrongKeyError,
    open_sink,
    records,
)
from cluster.backup import archive, saving
from cluster.backup.sealed import BackupSealer
from cluster.backup.sinks.base import Claim, Generation
from node.restore.jobs import Asked, drilled, listed, restored, verified
from node.restore.keys import Keys
from node.restore.path import path_read
from node.restore.places import Place
from node.restore.wanted import Wanted
from tests.node.flow_site import (
    Reply,
    Server,
    Site,
    free_ports,
    make_config,
    raw_request,
    reply_of,
    running,
    start_server,
    until_async,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "sys/storage/raft/snapshot"
FORCE = f"{PATH}-force"
PLANTED = "planted-secret-value"


async def saved(site: Site, server: Server | None = None, **options: Any) -> tuple[Reply, bytes]:
    """The answer, and the file that was streamed."""
    request = raw_request("GET", PATH, **({"token": site.token} | options))
    response = await (server or site.leader).node.handle(request)
    data = b"" if response.stream is None else b"".join([part async for part in response.stream.parts()])
    return reply_of(request, response), data


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        found = {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry)) is not None}
        assert list(found) == ["meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed"]
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One audited node that listens, with a secret."""
    folder = tmp_path_factory.mktemp("snapshots")
    async with running(folder, audited=True, api_port=free_ports(1)[0]) as site:
        await site.must("PUT", "secret/data/app", {"data": {"password": PLANTED}})
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def file(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of it."""
    path = tmp_path_factory.mktemp("files") / "a.snap"
    path.write_bytes((await saved(site))[1])
    return path


def content(file: Path) -> bytes:
    return file.read_bytes()


def place(file: Path) -> Place:
    return Place(f"snapshot://{file}")


def wanted(folder: Path, name: str = "n1") -> Wanted:
    folder.mkdir(mode=0o700, parents=True)
    member = records.Member(peer_address="127.0.0.1:1", api_address="http://127.0.0.1:8200")
    return Wanted({name: member}, "", "dev", [folder], [])


# ---- what is in the file
async def test_the_file_is_the_one_that_clients_expect(site: Site) -> None:
    """A gzip'd tar of four files whose sums are right; meta.json says of which point."""
    reply, data = await saved(site)
    found = members(data)
    meta = json.loads(found["meta.json"])
    sums = dict(reversed(line.split("  ")) for line in found["SHA256SUMS"].decode().splitlines())

    assert (reply.status, site.leader.node.member.view.applied_index) == (200, meta["Index"])
    assert sums == {name: hashlib.sha256(found[name]).hexdigest() for name in ("meta.json", "state.bin")}
    assert (meta["Version"], meta["Size"], len(found["SHA256SUMS.sealed"]) > 100) == (1, len(found["state.bin"]), True)
    assert [server["ID"] for server in meta["Configuration"]["Servers"]] == ["n1"]


async def test_nothing_in_the_file_can_be_read(site: Site) -> None:
    """No value, path, policy or token, in whatever part of it."""
    _, data = await saved(site)
    plain = gzip.decompress(data)

    for word in (PLANTED, "password", "secret/", "app", 'path "', site.token, "cubbyhole"):
        assert word.encode() not in plain, word


async def test_two_snapshots_of_one_state_have_nothing_in_common(site: Site) -> None:
    """Each is sealed under salts and nonces of its own."""
    first, second = [members((await saved(site))[1])["state.bin"] for _ in range(2)]

    assert first[-200:] != second[-200:]


# ---- over the wire
async def test_it_is_streamed_over_a_connection(site: Site) -> None:
    """In chunks, as gzip; the connection goes on with the next request."""
    port = int(site.leader.node.config.api.address.rpartition(":")[2])

    def ask() -> tuple[int, dict[str, str], bytes, int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/v1/{PATH}", headers={"X-Vault-Token": site.token})
        answer = connection.getresponse()
        headers, body = {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.request("GET", "/v1/sys/health")
        again = connection.getresponse()
        again.read()
        connection.close()
        return answer.status, headers, body, again.status

    status, headers, body, again = await asyncio.to_thread(ask)
    assert (status, again, headers["transfer-encoding"]) == (200, 200, "chunked")
    assert (headers["content-type"], "x-strongroom-index" in headers) == ("application/gzip", True)
    assert members(body)["state.bin"]


# ---- who gets it
async def test_taking_needs_read_and_replacing_needs_sudo(site: Site) -> None:
    """As Vault's, but that sudo is asked of whoever would put one back."""
    reader, _ = await site.new_token((PATH, "read"))
    writer, _ = await site.new_token((f"{PATH}*", "create update"))
    sudo, _ = await site.new_token((f"{PATH}*", "create update sudo"))
    stranger, _ = await site.new_token(("sys/*", "list"))

    taken = [(await saved(site, token=token))[0].status for token in (reader, writer, stranger, None)]
    assert taken == [200, 403, 403, 403]
    for path in (PATH, FORCE):
        asked = [(await site.ask("POST", path, token=token)).status for token in (reader, writer, sudo)]
        assert asked == [403, 403, 400]
    others = [(await site.ask(method, path)).status for method, path in (("DELETE", PATH), ("GET", FORCE))]
    assert others == [405, 405]


async def test_who_took_it_is_audited(site: Site) -> None:
    """Request and response; of the file nothing."""
    reply, _ = await saved(site)
    lines = site.leader.audit_lines(reply.request_id)

    assert [line["type"] for line in lines] == ["request", "response"]
    assert lines[0]["request"]["path"] == PATH


async def test_one_at_a_time(site: Site) -> None:
    """Each stands on the disk until its client has it, or has gone."""
    request = raw_request("GET", PATH, token=site.token)
    first = await site.leader.node.handle(request)
    refused = await site.ask("GET", PATH)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert first.stream is not None
    first.stream.close()
    assert (await saved(site))[0].status == 200


async def test_a_disk_without_room_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the node needs itself is left; nothing of the attempt is."""
    monkeypatch.setattr(saving, "FREE_BYTES_MIN", 1 << 62)
    refused = await site.ask("GET", PATH)
    assert (refused.status, "too little room" in refused.errors[0]) == (503, True)
    monkeypatch.undo()
    assert (await saved(site))[0].status == 200


async def test_a_disk_that_takes_no_file_leaves_nothing_pinned(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pinned is copied before every change of the state, for ever: nothing is, whatever fails."""

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving.tempfile, "TemporaryFile", full)
    refused = await site.ask("GET", PATH)
    assert (refused.status, "does not take a snapshot" in refused.errors[0]) == (503, True)
    assert site.leader.node.member.view.pins == []
    monkeypatch.undo()
    assert (await saved(site))[0].status == 200
    assert site.leader.node.member.view.pins == []


async def test_keys_that_change_meanwhile_end_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file would hold objects that its envelope does not open: it is asked for again."""
    calls = itertools.count()
    real = BackupSealer.place

    def wiped(sealer: BackupSealer) -> bytes:
        if next(calls):
            raise SealedError("the keyring is wiped")
        return real(sealer)

    monkeypatch.setattr(BackupSealer, "place", wiped)
    refused = await site.ask("GET", PATH)
    assert (refused.status, "keys were rotated" in refused.errors[0], next(calls) > 1) == (503, True, True)
    monkeypatch.undo()
    await site.must("PUT", "sys/rotate")
    assert (await saved(site))[0].status == 200


async def test_a_follower_names_the_leader(tmp_path: Path) -> None:
    """307 with its address, for all of it; a sealed node says that it is sealed."""
    async with running(tmp_path, 3) as site:
        follower = site.followers[0]
        for method, path in (("GET", PATH), ("POST", PATH), ("PUT", FORCE)):
            reply = await follower.ask(method, path, token=site.token)
            address = site.leader.node.member.settings.members[site.leader.node_id].api
            assert (reply.status, reply.headers["Location"]) == (307, f"{address}/v1/{path}")
        assert (await saved(site))[0].status == 200
        await follower.node.member.seal(by_operator=False)
        assert (await follower.ask("GET", PATH, token=site.token)).status == 503


# ---- what becomes of it
async def test_a_new_cluster_begins_from_it(site: Site, file: Path, tmp_path: Path) -> None:
    """With the unseal keys of the snapshot: every secret, no token, another cluster."""
    folder = tmp_path / "again"
    asked = Asked(unwitnessed=True)
    made = await restored([place(file)], wanted(folder / "data"), asked, Keys(site.shares))
    assert (made["tokens"], made["access_unknown"], bool(made["root_token"])) == ("void", True, True)

    server = await start_server(make_config(folder, "n1"), folder)
    try:
        assert (await server.ask("PUT", "sys/unseal", {"key": site.shares[0]})).status == 200

        async def serves() -> bool:
            return (await server.ask("GET", "/readyz")).status == 200

        await until_async(serves, "it serves")
        assert (await server.ask("GET", "secret/data/app", token=site.token)).status == 403
        read = await server.ask("GET", "secret/data/app", token=made["root_token"])
        assert read.data["data"] == {"password": PLANTED}
        assert server.node.member.generation != site.leader.node.member.generation
        assert server.node.member.cluster_id != site.leader.node.member.cluster_id
    finally:
        await server.node.stop()


async def test_it_needs_somebody_s_word(site: Site, file: Path, tmp_path: Path) -> None:
    """Nothing says that it is the newest; tokens cannot be kept, and no folder of a member is taken."""
    with pytest.raises(UnwitnessedError):
        await restored([place(file)], wanted(tmp_path / "a"), Asked(), Keys(site.shares))
    keep = Asked(unwitnessed=True, wish=Wish(keep_tokens=True))
    with pytest.raises(RestoreError, match="tokens cannot be kept"):
        await restored([place(file)], wanted(tmp_path / "b"), keep, Keys(site.shares))
    member = wanted(tmp_path / "c")._replace(folders=[site.leader.node.member.settings.data_dir])
    with pytest.raises(FolderError):
        await restored([place(file)], member, Asked(unwitnessed=True), Keys(site.shares))
    for name in "ab":
        assert SystemDisk(tmp_path / name).names("snapshots") == []


async def test_it_is_looked_at_like_any_backup(site: Site, file: Path) -> None:
    """Listed, verified, drilled, and one path read out of it."""
    [shown] = await listed([place(file)])
    [done] = await verified([place(file)], Keys(site.shares))
    drill = await drilled([place(file)], Asked(), Keys(site.shares))
    read = await path_read([place(file)], Asked(), Keys(site.shares), "secret/app")

    assert (shown["url"], len(shown["generations"])) == (f"snapshot://{file}", 1)
    assert (done["wrong"], done["last"]) == ([], drill["index"])
    assert PLANTED in json.dumps(read, default=str)


async def test_other_keys_open_nothing(file: Path, tmp_path: Path) -> None:
    """Shares of another cluster; too few."""
    for shares in (["ab" * 33], []):
        with pytest.raises(WrongKeyError):
            await restored([place(file)], wanted(tmp_path / str(len(shares))), Asked(unwitnessed=True), Keys(shares))


def repacked(data: bytes, **changed: bytes | None) -> bytes:
    """The file with some of its files changed, or left out."""
    found = {name: changed.get(name.replace(".", "_"), old) for name, old in members(data).items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, body in found.items():
            if body is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                tar.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def summed(data: bytes, state: bytes) -> bytes:
    """With another state, and sums that fit it."""
    old = members(data)
    sums = old["SHA256SUMS"].decode().replace(
        hashlib.sha256(old["state.bin"]).hexdigest(), hashlib.sha256(state).hexdigest()
    )  # fmt: skip
    return repacked(data, state_bin=state, SHA256SUMS=sums.encode())


BROKEN = {
    "nothing": lambda _: b"",
    "no gzip": lambda _: b"no gzip at all" * 9,
    "cut off": lambda data: data[: len(data) * 2 // 3],
    "a file is missing": lambda data: repacked(data, SHA256SUMS_sealed=None),
    "no state": lambda data: repacked(data, state_bin=None),
    "another state": lambda data: repacked(data, state_bin=members(data)["state.bin"][:-1] + b"x"),
    "another meta.json": lambda data: repacked(data, meta_json=b"{}"),
    "another program's": lambda data: summed(data, b"no state of ours, though its sums are right"),
    "no objects": lambda data: summed(data, b""),
    "a length beyond the end": lambda data: summed(data, b"\xff\xff\xff\xff" + members(data)["state.bin"][4:]),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_is_not_whole_is_refused_before_keys_are_asked_for(file: Path, tmp_path: Path, kind: str) -> None:
    """The whole file, repacked, is taken: the twin."""
    data, broken = content(file), tmp_path / "b.snap"
    broken.write_bytes(repacked(data))
    assert await listed([place(broken)])
    broken.write_bytes(BROKEN[kind](data))

    with pytest.raises(SinkRefusedError, match="snapshot"):
        await listed([place(broken)])


async def test_sums_that_the_cluster_did_not_seal_are_refused(site: Site, file: Path, tmp_path: Path) -> None:
    """Vault's sentence, once there are keys; and each object is believed by itself only."""
    data = content(file)
    _, other = await saved(site)
    forged = tmp_path / "f.snap"
    for sealed in (b"", b"x" * 200, members(other)["SHA256SUMS.sealed"], members(data)["state.bin"][4:]):
        forged.write_bytes(repacked(data, SHA256SUMS_sealed=sealed))
        with pytest.raises(WrongKeyError, match="could not verify hash file"):
            await drilled([place(forged)], Asked(point=Point()), Keys(site.shares))


async def test_another_cluster_s_keys_do_not_verify_it(file: Path) -> None:
    """Whatever they are: their key term is not the one that sealed the sums."""
    with io.BytesIO() as state:
        read = archive.read_archive(str(file), state)
    foreign = Keyring.create(SystemRandom(), b"another cluster.", 1)

    with pytest.raises(Exception, match="could not verify hash file"):
        archive.verify(read, foreign, SystemRandom())


async def test_a_snapshot_is_only_read(file: Path) -> None:
    """As a sink it takes nothing."""
    sink = open_sink(f"snapshot://{file}")
    claim = Claim(b"g" * 16, 1, "n1")
    works: list[Any] = [
        sink.begin(Generation(b"g" * 16, b"", 0, 1)),
        sink.claim(claim),
        sink.store(claim, b"", None),  # type: ignore[arg-type]
        sink.remove(claim, []),
    ]
    for work in works:
        with pytest.raises(SinkRefusedError, match="only read"):
            await work
    assert await sink.claimant(b"g" * 16) is None
    for url in ("snapshot://host/x", "snapshot:///x?y=1", "snapshot:"):
        with pytest.raises(SinkRefusedError, match="snapshot:///PATH"):
            open_sink(url)
