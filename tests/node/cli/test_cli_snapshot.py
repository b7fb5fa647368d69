"""`operator raft snapshot`: the file is whole or not there, and is sent back as it is."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GET = "GET /v1/sys/storage/raft/snapshot"


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return packed.getvalue()


WHOLE = archive("meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed")


def test_it_is_saved_for_its_owner_alone(api: Any, run: Any, tmp_path: Path) -> None:
    """And the command that would make a cluster of it is named."""
    api.answers[GET] = (200, WHOLE)
    file = tmp_path / "a.snap"
    result = run("operator", "raft", "snapshot", "save", "-format=json", str(file))

    assert (result.exit_code, json.loads(result.stdout)) == (0, {"file": str(file), "bytes": len(WHOLE)})
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (WHOLE, 0o600)
    assert f"strongroom backup restore -from snapshot://{file}" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.snap"]


def test_a_follower_sends_it_to_the_leader(api: Any, run: Any, tmp_path: Path) -> None:
    """One redirection, as for everything."""
    api.answers[GET] = (307, b"", {"Location": f"{api.url}/v1/leader"})
    api.answers["GET /v1/leader"] = (200, WHOLE)

    assert run("operator", "raft", "snapshot", "save", str(tmp_path / "a")).exit_code == 0
    assert (tmp_path / "a").read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((403, {"errors": ["permission denied"]}), 2),
        ((503, {"errors": ["another snapshot is on its way"]}), 2),
        (None, 1),
        ((200, WHOLE, {"Content-Length": str(len(WHOLE) + 9)}), 1),
        ((200, WHOLE[:-30]), 1),
        ((200, archive("meta.json")), 1),
        ((200, b""), 1),
    ],
)
def test_what_is_refused_or_breaks_off_leaves_nothing(
    api: Any, run: Any, tmp_path: Path, answer: Any, code: int
) -> None:
    """No file that could be taken for a snapshot."""
    api.answers[GET] = answer
    result = run("operator", "raft", "snapshot", "save", "-timeout=1", str(tmp_path / "a"))

    assert (result.exit_code, result.stdout, list(tmp_path.iterdir())) == (code, "", [])


def test_nobody_s_file_is_replaced(api: Any, run: Any, tmp_path: Path) -> None:
    """Neither the one that was asked for, nor one that another save is writing."""
    api.answers[GET] = (200, WHOLE)
    (tmp_path / "a").write_text("mine")
    (tmp_path / "b.partial").write_text("another's")

    codes = [run("operator", "raft", "snapshot", "save", str(tmp_path / name)).exit_code for name in "ab"]
    assert codes == [1, 1]
    assert (tmp_path / "a").read_text() + (tmp_path / "b.partial").read_text() == "mineanother's"


# ---- putting it back
POST = "POST /v1/sys/storage/raft/snapshot"
DONE = {"data": {"snapshot_index": 7, "mounts": ["secret/"], "secrets": 3}, "warnings": ["policies stay\nas they are"]}


def restored(run: Any, tmp_path: Path, *options: str, data: bytes = WHOLE) -> Any:
    (tmp_path / "a.snap").write_bytes(data)
    return run("operator", "raft", "snapshot", "restore", "-format=json", *options, str(tmp_path / "a.snap"))


def test_it_is_sent_as_it_is_and_what_differs_is_shown(api: Any, run: Any, tmp_path: Path) -> None:
    """To the leader that was asked; by force to the other path."""
    api.answers["GET /v1/sys/leader"] = (200, {"is_self": True, "leader_address": api.url})
    api.answers[POST] = api.answers[f"{POST}-force"] = (200, DONE)
    result = restored(run, tmp_path)

    assert (result.exit_code, json.loads(result.stdout)["data"]) == (0, DONE["data"])
    assert "WARNING: policies stay" in result.stderr
    sent = api.requests[-1]
    assert (sent.raw, sent.headers["Content-Type"]) == (WHOLE, "application/gzip")
    assert restored(run, tmp_path, "-force").exit_code == 0
    assert api.seen[-1] == f"{POST}-force"


def test_it_goes_to_the_leader_at_once(api: Any, run: Any, tmp_path: Path) -> None:
    """A follower would have it sent twice; nobody is led from https to http."""
    api.answers["GET /v1/sys/leader"] = (200, {"is_self": False, "leader_address": f"{api.url}/"})
    api.answers[POST] = (200, DONE)
    assert restored(run, tmp_path).exit_code == 0
    assert api.seen == ["GET /v1/sys/leader", POST]


@pytest.mark.parametrize(
    ("answer", "code"),
    [((400, {"errors": ["could not verify hash file"]}), 2), ((403, {"errors": ["permission denied"]}), 2), (None, 3)],
)
def test_what_became_of_it_is_said(api: Any, run: Any, tmp_path: Path, answer: Any, code: int) -> None:
    """Refused, or sent and not answered: that is not known."""
    api.answers["GET /v1/sys/leader"] = (200, {"is_self": True})
    api.answers[POST] = answer
    assert restored(run, tmp_path).exit_code == code


@pytest.mark.parametrize(
    "data", [b"", b"text", WHOLE[:-30], archive("meta.json")], ids=["nothing", "text", "cut short", "a part"]
)
def test_what_is_no_whole_snapshot_is_not_sent(api: Any, run: Any, tmp_path: Path, data: bytes) -> None:
    """Nor is a file that is not there."""
    assert restored(run, tmp_path, data=data).exit_code == 1
    assert run("operator", "raft", "snapshot", "restore", str(tmp_path / "gone")).exit_code == 1
    assert api.requests == []


def test_unseal_says_that_the_seal_is_to_be_migrated(api: Any, run: Any) -> None:
    """With each key; without the option nothing is said of it."""
    api.answers["PUT /v1/sys/unseal"] = (200, {"sealed": True, "t": 3, "n": 3, "progress": 1})
    run("operator", "unseal", "-migrate", stdin="key-a\nkey-b\n")
    run("operator", "unseal", stdin="key-c\n")

    assert [request.body for request in api.requests] == [
        {"key": "key-a", "migrate": True},
        {"key": "key-b", "migrate": True},
        {"key": "key-c"},
    ]
