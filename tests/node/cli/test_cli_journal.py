"""`operator journal dump`: what its lines say and never say, how it ends, and what it refuses."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from cluster.folder import lock_folder
from cluster.journal import wal
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from node.journal_dump import TABLES, Namer
from tests.cluster.crafted_folder import MOUNT, Crafted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLANTED = b"planted-key"
OTHER = b"another-mount---"


def everything() -> Draft:
    """A record of every table, each with a planted key and planted contents, and one of a table of the future."""
    draft = Draft()
    for table in Table:
        if table not in {Table.SECRET, Table.VERSION, Table.KEYRING, Table.CONFIG}:
            draft.put(table, PLANTED, b"planted-record")
    draft.put(Table.ENTRY, MOUNT + PLANTED, records.Entry(box=b"planted-box"))
    draft.put(Table.SWEEP, b"token\x00" + PLANTED, records.Sweep(kind="token", target=PLANTED))
    draft.put(Table.SALT, (7).to_bytes(4), records.Salt(salt=b"planted-salt"))
    draft.put(Table.AUDIT_HEAD, b"n1\x00file/", records.AuditHead())
    draft.puts.append((77, PLANTED, b"planted-record"))
    return draft


@pytest.fixture
def crafted(tmp_path: Path) -> Crafted:
    """A mount, three versions of a path, a path that is gone."""
    made = Crafted(tmp_path / "n1")
    made.nothing()
    made.mount()
    for version in (1, 2, 3):
        made.secret("app/db", version)
    draft = Draft()
    draft.drop(Table.VERSION, MOUNT + b"app/db" + (1).to_bytes(4))
    made.propose(draft)
    return made


@pytest.fixture
def dump(run: Any, crafted: Crafted) -> Callable[..., Any]:
    """The command, on the folder, with two of the three shares on standard input."""

    def invoke(*words: str, stdin: str | None = None) -> Any:
        given = "\n".join(crafted.shares[:2]) if stdin is None else stdin
        data = () if "-config" in words else ("-data", str(crafted.root))
        return run("operator", "journal", "dump", *data, "-unseal-keys-file", "-", *words, stdin=given)

    return invoke


def lines_of(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# ---- what lines say
def test_lines_say_which_records_each_entry_changes(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """First the folder, then the entries, at last the condition; paths in the clear, with versions."""
    crafted.close()
    result = dump()
    first, *entries, last = lines_of(result)

    assert (result.exit_code, result.stderr) == (0, "")
    assert (first["format"], first["snapshot"], first["log"], first["mode"], first["recovering"]) == (
        1, None, {"after": 0, "last": 7}, "fsync", False,
    )  # fmt: skip
    assert [line["kind"] for line in entries] == ["configuration", "no-op", *["transaction"] * 5]
    assert entries[0]["changes"] == [{"table": "config", "key": "cluster"}, {"table": "member", "key": "n1"}]
    assert entries[1] == {
        "index": 2, "term": 1, "time": None, "kind": "no-op", "outcome": "installed", "changes": [],
    }  # fmt: skip
    assert entries[5]["changes"] == [
        {"table": "secret", "path": "secret/app/db", "version": 3},
        {"table": "version", "path": "secret/app/db", "version": 3},
    ]
    assert entries[5]["time"] == "1970-01-01T00:00:06.000000000Z"
    assert entries[6]["changes"] == [{"table": "version", "path": "secret/app/db", "version": 1, "drop": True}]
    assert last == {"condition": "whole", "wrong": [], "lines": 7}


def test_a_snapshot_is_told_by_the_indexes_it_was_written_at(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """Before the log, without term and time; what is gone from it is gone."""
    crafted.snapshot(trim=True)
    crafted.secret("app/db", 4)
    crafted.close()
    _, *entries, _ = lines_of(dump())
    heads = [line for line in entries if line["kind"] == "snapshot"]
    versions = [change["version"] for line in heads for change in line["changes"] if change["table"] == "version"]

    assert versions == [2, 3]
    assert {(line["term"], line["time"], line["outcome"]) for line in heads} == {(None, None, "installed")}
    assert [line["index"] for line in heads] == sorted(line["index"] for line in heads)
    assert [line["index"] for line in entries if line["kind"] == "transaction"] == [8]


def test_a_mount_is_named_as_it_was_and_an_unknown_one_by_its_id(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """Also when it is gone."""
    draft = Draft()
    draft.drop(Table.MOUNT, b"secret/")
    crafted.propose(draft)
    crafted.secret("late", 1)
    crafted.secret("odd", 1, uuid=OTHER)
    crafted.close()
    _, *entries, _ = lines_of(dump())

    assert entries[-3]["changes"] == [{"table": "mount", "key": "secret/", "drop": True}]
    assert entries[-2]["changes"][0]["path"] == "secret/late"
    assert entries[-1]["changes"][0] == {
        "table": "secret", "mount": "616e6f74-6865-722d-6d6f-756e742d2d2d", "path": "odd", "version": 1,
    }  # fmt: skip


def test_every_table_has_a_name() -> None:
    """As it is documented, and one of the future its number."""
    named = {table: Namer()._change(table, b"k", b"")["table"] for table in (*map(int, Table), 77)}

    assert named == {**TABLES, 77: 77}
    assert named[int(Table.WRITE_ID)] == "write-id"


# ---- what they never say
def test_no_value_token_hash_or_accessor_is_printed(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """Planted into keys and records of every table, in the log and in the snapshot; names that may be shown are."""
    crafted.propose(everything())
    crafted.snapshot()
    crafted.close()
    result = dump()
    shown = {
        change["table"]
        for line in lines_of(result)
        for change in line.get("changes", ())
        if "planted" in json.dumps(change)
    }
    changes = [change for line in lines_of(result) for change in line.get("changes", ())]

    assert shown == {"mount", "policy", "member", "audit-device", "backup-position", "floor", "audit-head", "fact"}
    for word in ("planted-record", "planted-box", "planted-salt", "planted-c", "planted-description", *crafted.shares):
        assert word not in result.stdout + result.stderr
    assert {"table": "token"} in changes
    assert {"table": "entry", "path": "secret/"} in changes
    assert {"table": "sweep", "key": "token"} in changes
    assert {"table": "salt", "key": "7"} in changes
    assert {"table": "audit-head", "key": "n1 file/"} in changes
    assert {"table": 77} in changes


def test_a_path_cannot_move_a_terminal(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """Control characters and bytes that are no text are written as escapes."""
    crafted.secret("a\x1b[2J\x9b\u202e", 1)
    draft = Draft()
    draft.put(Table.SECRET, MOUNT + b"\xff\xfe", records.Secret(current=1))
    crafted.propose(draft)
    crafted.close()
    result = dump()

    assert result.stdout.isascii()
    assert all(letter.isprintable() or letter == "\n" for letter in result.stdout)
    assert lines_of(result)[-2]["changes"][0]["path"] == "secret/\\xff\\xfe"


# ---- verify
def test_a_whole_folder_is_verified_with_nought(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """And no entry is printed."""
    crafted.close()
    result = dump("-verify")

    assert result.exit_code == 0
    assert [line.get("condition") for line in lines_of(result)] == [None, "whole"]
    assert lines_of(result)[-1]["lines"] == 7


def test_a_torn_tail_ends_with_three_and_its_place(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """It was never acknowledged: told apart from damage. The dump itself succeeds."""
    segment = crafted.segment()
    before = segment.read_bytes()
    crafted.do(lambda sequence: wal.append_record(sequence, 8, 1, b"x" * 3000), sync=False)
    crafted.writer.close()
    written = bytearray(segment.read_bytes())
    written[-1 - next(at for at, byte in enumerate(reversed(written)) if byte)] ^= 1
    segment.write_bytes(written)
    place = next(at for at, byte in enumerate(written) if byte and not before[at])
    result = dump("-verify")

    assert result.exit_code == 3
    assert f"torn: journal/{segment.name}, byte {place // 4096 * 4096}" in result.stderr
    assert dump().exit_code == 0


def test_damage_ends_with_two_and_its_place(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """Here, of the newest snapshot."""
    name = crafted.snapshot()
    crafted.close()
    path = crafted.root / name
    content = bytearray(path.read_bytes())
    content[-60] ^= 1
    path.write_bytes(content)
    result = dump("-verify")

    assert result.exit_code == 2
    assert f"damaged: {name}: " in result.stderr
    assert lines_of(result)[-1]["condition"] == "damaged"


# ---- refused
@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (lambda made: made.shares[:1], "2 unseal keys are needed, 1 were given"),
        (lambda made: [made.shares[0], "A" * 43 + "="], "do not open"),
        (lambda made: ["not base64!", "x"], "cannot be one"),
        (lambda _made: [], "2 unseal keys are needed, 0 were given"),
    ],
)
def test_wrong_shares_open_nothing(
    crafted: Crafted, dump: Callable[..., Any], shares: Callable[[Crafted], list[str]], said: str
) -> None:
    """Nothing is printed, and no share is repeated."""
    crafted.close()
    given = shares(crafted)
    result = dump(stdin="\n".join(given))

    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert not any(share in result.stderr for share in given if len(share) > 5)


def test_the_folder_of_a_running_node_is_refused(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """By the server's own lock, before any key is asked for; afterwards it is read."""
    crafted.close()
    lock = lock_folder(crafted.root)
    refused = dump(stdin="")
    os.close(lock)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "is in use by another process" in refused.stderr
    assert dump().exit_code == 0


def test_nothing_is_written(crafted: Crafted, dump: Callable[..., Any]) -> None:
    """No lock, no cut tail, no time; a folder that cannot be written will do."""
    crafted.do(lambda sequence: wal.append_record(sequence, 8, 1, b"x" * 3000), sync=False)
    crafted.writer.close()
    before = crafted.files()
    for path in [crafted.root, *crafted.root.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    code = dump().exit_code
    for path in [crafted.root, *crafted.root.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)

    assert code == 0
    assert crafted.files() == before


def test_a_folder_of_nobody_is_refused(run: Any, tmp_path: Path) -> None:
    """It is named, and nothing is made in it."""
    (tmp_path / "empty").mkdir()
    result = run("operator", "journal", "dump", "-data", str(tmp_path / "empty"), "-unseal-keys-file", "-", stdin="")

    assert (result.exit_code, list((tmp_path / "empty").iterdir())) == (1, [])
    assert "is no member's data folder" in result.stderr


@pytest.mark.parametrize("words", [(), ("-data", ".", "-config", "x.toml")])
def test_one_folder_is_named(run: Any, words: tuple[str, ...]) -> None:
    """Directly or by a configuration, and not by both."""
    result = run("operator", "journal", "dump", *words)

    assert result.exit_code == 1
    assert "-data DIR" in result.stderr


def test_keys_are_not_taken_from_where_nobody_can_type(run: Any, crafted: Crafted) -> None:
    """Without a terminal, a file or standard input must be named."""
    crafted.close()
    result = run("operator", "journal", "dump", "-data", str(crafted.root), stdin="\n".join(crafted.shares))

    assert result.exit_code == 1
    assert "-unseal-keys-file" in result.stderr


def test_the_configuration_names_the_folder(crafted: Crafted, dump: Callable[..., Any], tmp_path: Path) -> None:
    """As for the server."""
    crafted.close()
    config = tmp_path / "node.toml"
    config.write_text(
        f'profile = "dev"\n[node]\nid = "n1"\ndata_dir = "{crafted.root}"\n[api]\naddress = "127.0.0.1:8200"\n'
        f'tls = "off"\n[audit]\ndirectory = "{tmp_path}"\n'
    )
    result = dump("-config", str(config))

    assert result.exit_code == 0, result.stderr
    assert lines_of(result)[-1]["lines"] == 7
