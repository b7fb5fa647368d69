"""Commands that read files: whatever is in a file's place, they end with a sentence that names it, and change nothing.

Each case ends with the exit code of the command's own errors; an exception that is none of ours would be a traceback.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cluster import open_sink
from cluster.files import BOOTSTRAP, KEYRING
from cluster.journal.ballot_file import BALLOT_NAME
from node.cli.dev import DevOptions
from node.dev import SECRETS, Dev
from node.dev_node import DevError
from tests.cluster.backup.story import Story
from tests.cluster.crafted_folder import Crafted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLANTED = "planted-text"
MEMBERS = ("-member", "n1=127.0.0.1:8201,http://127.0.0.1:8200", "-member", "n2=127.0.0.1:8203,http://127.0.0.1:8202")


def nothing(path: Path, _data: bytes) -> None:
    path.write_bytes(b"")


def half(path: Path, data: bytes) -> None:
    path.write_bytes(data[: len(data) // 2])


def another_version(path: Path, data: bytes) -> None:
    path.write_bytes(data[:4] + bytes(byte ^ 0x55 for byte in data[4:6]) + data[6:])


def another_end(path: Path, data: bytes) -> None:
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def foreign(path: Path, data: bytes) -> None:
    path.write_bytes(f"{PLANTED}\n".encode() * (len(data) // len(PLANTED) + 1))


def noise(path: Path, data: bytes) -> None:
    path.write_bytes(os.urandom(max(64, len(data))))


def a_folder(path: Path, _data: bytes) -> None:
    path.mkdir()


def a_loop(path: Path, _data: bytes) -> None:
    path.symlink_to(path.name)


def a_pipe(path: Path, _data: bytes) -> None:
    os.mkfifo(path)


def a_socket(path: Path, _data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        at = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        made.bind(f"/proc/self/fd/{at}/{path.name}")  # a socket's name is short
        os.close(at)


CONTENTS = (nothing, half, another_version, foreign, noise)
PLACES = (a_folder, a_loop, a_pipe, a_socket)
TAKEN = [
    (file, how)
    for file in (KEYRING, BOOTSTRAP, BALLOT_NAME, "profile")
    for how in (nothing, foreign, *PLACES)
    if (file, how) != (BALLOT_NAME, a_pipe)  # in which nothing can stand: it gives way to the ballot
]
Damage = Any


def damaged(path: Path, how: Damage) -> None:
    data = path.read_bytes()
    path.unlink()
    how(path, data)
    if path.is_file():
        path.chmod(0o600)


def sentence(result: Any, code: int, *named: object) -> str:
    """The last line that is not advice; the command ended with the code, and said nothing that it read."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    assert PLANTED not in result.stderr + result.stdout
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    for name in named:
        assert str(name) in lines[0]
    return str(lines[0])


@pytest.fixture
def crafted(tmp_path: Path) -> Crafted:
    """A stopped member's folder, with a snapshot and a log behind it."""
    made = Crafted(tmp_path / "survivor")
    made.nothing()
    made.mount()
    made.snapshot()
    made.secret("app/db", 1)
    (tmp_path / "keys").write_text("\n".join(made.shares[:2]))
    return made.close()


@pytest.fixture
def recover(run: Any, crafted: Crafted, tmp_path: Path) -> Callable[..., Any]:
    """The command, of one survivor, into the folder `new` unless others are named."""

    def invoke(*words: str, keys: bool = True) -> Any:
        given = ("-unseal-keys-file", str(tmp_path / "keys")) if keys else ()
        data = () if "-data" in words else ("-data", str(tmp_path / "new"))
        return run("operator", "recover", "-survivor", str(crafted.root), *MEMBERS, *data, "-yes-lost", *given, *words)

    return invoke


@pytest.fixture
def sink(tmp_path: Path) -> Path:
    """A backup in a SQLite file; its keys are in the file `story-keys`."""

    async def make() -> None:
        made = open_sink(f"sqlite://{tmp_path}/backup.db")
        await made.open()
        story = await Story(made).told(2)
        await made.close()
        (tmp_path / "story-keys").write_text("\n".join(story.shares[:2]))

    asyncio.run(make())
    return tmp_path / "backup.db"


# ---- the folder of a survivor
def test_a_whole_survivor_is_recovered(recover: Callable[..., Any], tmp_path: Path) -> None:
    """The allowed twin of all that follows."""
    assert recover().exit_code == 0
    assert (tmp_path / "new" / KEYRING).is_file()


@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "keys to be asked for"])
@pytest.mark.parametrize("how", [*CONTENTS, *PLACES])
def test_recover_names_a_damaged_keyring(
    recover: Callable[..., Any], crafted: Crafted, tmp_path: Path, how: Damage, keys: bool
) -> None:
    """Before anybody is asked for a key, except where only a key can tell; nothing is begun."""
    damaged(crafted.root / KEYRING, how)
    result = recover(keys=keys)

    if how is half and not keys:  # the seal is readable, the box is not
        assert "2 unseal keys are needed" in sentence(result, 1)
    else:
        sentence(result, 1, crafted.root / KEYRING)
    assert not (tmp_path / "new").exists()


def test_recover_says_what_can_be_done_about_a_keyring(
    recover: Callable[..., Any], crafted: Crafted, tmp_path: Path
) -> None:
    """And it helps: another member's copy opens the same log."""
    shutil.copy(crafted.root / KEYRING, tmp_path / "copy")
    damaged(crafted.root / KEYRING, another_end)
    refused = recover()
    shutil.copy(tmp_path / "copy", crafted.root / KEYRING)

    assert "put a copy of another member's keyring in its place" in sentence(refused, 1, crafted.root / KEYRING)
    assert recover().exit_code == 0


@pytest.mark.parametrize("how", [nothing, foreign, noise, *PLACES])
@pytest.mark.parametrize("file", [BOOTSTRAP, BALLOT_NAME])
def test_recover_names_the_folder_that_is_damaged(
    recover: Callable[..., Any], crafted: Crafted, tmp_path: Path, how: Damage, file: str
) -> None:
    """Of several survivors one must be left out, and somebody must know which."""
    damaged(crafted.root / file, how)

    sentence(recover(), 1, crafted.root)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("how", [nothing, foreign, *PLACES])
@pytest.mark.parametrize("file", [KEYRING, BOOTSTRAP, BALLOT_NAME])
def test_dump_names_what_it_cannot_read(
    run: Any, crafted: Crafted, tmp_path: Path, how: Damage, file: str
) -> None:
    """And waits for no pipe."""
    damaged(crafted.root / file, how)
    result = run(
        "operator", "journal", "dump", "-data", str(crafted.root), "-unseal-keys-file", str(tmp_path / "keys")
    )

    sentence(result, 1, crafted.root)
    assert result.stdout == ""


def test_dump_waits_for_no_lock_that_is_a_pipe(run: Any, crafted: Crafted, tmp_path: Path) -> None:
    """The lock is only looked at."""
    os.mkfifo(crafted.root / "lock")
    words = ("-data", str(crafted.root), "-unseal-keys-file", str(tmp_path / "keys"))

    assert run("operator", "journal", "dump", *words).exit_code == 0


# ---- the folder of a server
def started(crafted: Crafted, port: int = 1) -> subprocess.CompletedProcess[str]:
    """A server of the folder, that cannot start: it is over."""
    words = ("server", "-data", str(crafted.root), "-dev-http", "-listen", f"127.0.0.1:{port}")
    command = [sys.executable, "-m", "node", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("how", [nothing, foreign])
@pytest.mark.parametrize("file", [KEYRING, BOOTSTRAP, BALLOT_NAME, "profile"])
def test_a_server_names_the_damaged_folder_and_does_not_start(crafted: Crafted, file: str, how: Damage) -> None:
    """No key would open it: better than one that listens and answers each key with an internal error."""
    damaged(crafted.root / file, how)
    before = {name: data for name, (data, _) in crafted.files().items()}
    done = started(crafted)

    assert done.returncode == 1
    assert "the node cannot start: " in done.stderr
    assert (str(crafted.root) if file != "profile" else "profile") in done.stderr
    assert "Traceback" not in done.stderr
    assert PLANTED not in done.stderr
    assert {name: data for name, (data, _) in crafted.files().items() if name != "lock"} == before


@pytest.mark.parametrize(("file", "is_copied"), [(KEYRING, True), (BOOTSTRAP, False)])
def test_a_server_empties_no_folder_for_a_keyring(crafted: Crafted, file: str, is_copied: bool) -> None:
    """All members have the same one, so a copy costs nothing; for anything else the folder is filled anew."""
    damaged(crafted.root / file, foreign)
    said = started(crafted).stderr

    assert f"{crafted.root}: " in said
    assert (f"{KEYRING}: " in said, "put a copy of another member's keyring in its place" in said) == (is_copied,) * 2
    assert ("move the folder away" in said, "only one member at a time" in said) == (not is_copied,) * 2
    assert "if there is no other member, restore a backup" in said


def test_a_server_whose_keyring_is_copied_gets_further(crafted: Crafted, tmp_path: Path) -> None:
    """What was said helps: it does not end because of its folder any more, but because its port is taken."""
    shutil.copy(crafted.root / KEYRING, tmp_path / "copy")
    damaged(crafted.root / KEYRING, foreign)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = started(crafted, taken.getsockname()[1]).stderr
        shutil.copy(tmp_path / "copy", crafted.root / KEYRING)
        further = started(crafted, taken.getsockname()[1]).stderr

    assert (f"{KEYRING}: " in refused, f"{KEYRING}: " in further) == (True, False)
    assert ("in use" in refused, "in use" in further) == (False, True)


# ---- the folders of a new cluster
@pytest.mark.parametrize(("file", "how"), TAKEN)
def test_recover_names_the_new_folder_that_is_not_free(
    recover: Callable[..., Any], tmp_path: Path, file: str, how: Damage
) -> None:
    """The first of the two is free, and is not begun either."""
    free, taken = tmp_path / "free", tmp_path / "taken"
    taken.mkdir()
    (taken / file).write_bytes(b"")
    damaged(taken / file, how)

    sentence(recover("-data", str(free), "-data", str(taken)), 1, taken)
    assert [path.name for path in free.iterdir()] == ["lock"]


@pytest.mark.parametrize(("file", "how"), TAKEN)
def test_a_restore_that_names_a_taken_folder_can_be_run_again(
    run: Any, sink: Path, tmp_path: Path, file: str, how: Damage
) -> None:
    """The sink has no new line then: after the folder is another one, the same command works."""
    free, taken = tmp_path / "free", tmp_path / "taken"
    taken.mkdir()
    (taken / file).write_bytes(b"")
    damaged(taken / file, how)
    words = ("backup", "restore", "-from", f"sqlite://{sink}", *MEMBERS, "-yes-unwitnessed", "-unseal-keys-file",
             str(tmp_path / "story-keys"), "-data", str(free), "-data")  # fmt: skip

    sentence(run(*words, str(taken)), 1, taken)
    assert run(*words, str(tmp_path / "other")).exit_code == 0


def test_a_data_folder_that_is_a_loop_of_links_is_a_sentence(recover: Callable[..., Any], tmp_path: Path) -> None:
    """Python's own resolving of it is a RuntimeError."""
    (tmp_path / "new").symlink_to("new")

    sentence(recover(), 1, tmp_path / "new")


# ---- backups
@pytest.mark.parametrize("how", [half, foreign, noise, *PLACES])
@pytest.mark.parametrize("words", [("list",), ("verify",), ("drill",), ("prune",), ("copy", "-to", "memory:")])
def test_a_damaged_backup_is_named(run: Any, sink: Path, words: tuple[str, ...], how: Damage) -> None:
    """By its URL: several may be given."""
    damaged(sink, how)
    for path in sink.parent.glob("backup.db-*"):
        path.unlink()
    command, *rest = words

    sentence(run("backup", command, "-from", f"sqlite://{sink}", *rest), 2, f"sqlite://{sink}")


@pytest.mark.parametrize("how", [nothing, half, foreign, a_folder, a_loop, a_socket])  # a pipe may bring a snapshot
def test_a_damaged_snapshot_is_named(run: Any, tmp_path: Path, how: Damage) -> None:
    """Also before keys are asked for."""
    (tmp_path / "s.snap").write_bytes(b"x" * 100)
    damaged(tmp_path / "s.snap", how)
    result = run("backup", "restore", "-from", f"snapshot://{tmp_path}/s.snap", *MEMBERS, "-data", str(tmp_path / "d"))

    sentence(result, 2, tmp_path / "s.snap")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("how", [nothing, foreign, *PLACES])
def test_a_key_file_that_is_none_is_named(run: Any, tmp_path: Path, how: Damage) -> None:
    """What stands in it is not said."""
    from node.restore.keys import Keys, static_seal

    (tmp_path / "key").write_bytes(b"00" * 32)
    damaged(tmp_path / "key", how)
    with pytest.raises(static_seal.KeyFileError) as caught:
        Keys(key_file=str(tmp_path / "key"))._static_key()

    assert str(tmp_path / "key") in str(caught.value)
    assert PLANTED not in str(caught.value)


# ---- certificates
@pytest.fixture
def authority(run: Any, tmp_path: Path) -> Path:
    """The folder of a node CA."""
    assert run("operator", "certs", "-out", str(tmp_path / "ca"), "n1=127.0.0.1").exit_code == 0
    return tmp_path / "ca"


@pytest.mark.parametrize("how", [nothing, half, foreign, noise, a_folder, a_loop])
@pytest.mark.parametrize("file", ["ca.pem", "ca.key"])
def test_certs_names_a_damaged_authority(
    run: Any, authority: Path, tmp_path: Path, how: Damage, file: str
) -> None:
    """And makes no certificate, and no folder for one."""
    damaged(authority / file, how)
    result = run("operator", "certs", "-out", str(tmp_path / "new"), "-ca", str(authority), "n2=h")

    sentence(result, 1, authority / file)
    assert not (tmp_path / "new").exists()


def test_certs_wants_an_authority_whose_key_is_its_own(run: Any, authority: Path, tmp_path: Path) -> None:
    """Certificates of a pair that does not belong together would be refused by every node."""
    run("operator", "certs", "-out", str(tmp_path / "other"), "n1=127.0.0.1")
    words = ("operator", "certs", "-out", str(tmp_path / "new"), "-ca", str(authority), "n2=h")
    key = (authority / "ca.key").read_bytes()
    shutil.copy(tmp_path / "other" / "ca.key", authority / "ca.key")
    mixed = run(*words)
    (authority / "ca.key").write_bytes(key)

    assert "is not the key of the certificate" in sentence(mixed, 1, authority / "ca.key")
    assert run(*words).exit_code == 0


def test_certs_wants_an_authority_that_may_sign(run: Any, authority: Path, tmp_path: Path) -> None:
    """A node's own certificate and key are none, though they belong together; nothing is made."""
    for end in ("pem", "key"):
        shutil.copy(authority / f"n1.{end}", authority / f"ca.{end}")
    result = run("operator", "certs", "-out", str(tmp_path / "new"), "-ca", str(authority), "n2=h")

    assert "is no authority's certificate" in sentence(result, 1, authority / "ca.pem")
    assert not (tmp_path / "new").exists()


def test_certs_gives_no_node_the_files_of_the_authority(run: Any, tmp_path: Path) -> None:
    """And leaves no half of what was asked for."""
    result = run("operator", "certs", "-out", str(tmp_path / "new"), "n1=h", "ca=h")

    assert "ca.pem and ca.key are the files of the node CA" in sentence(result, 1)
    assert not (tmp_path / "new").exists()


def test_certs_makes_all_or_nothing(run: Any, tmp_path: Path) -> None:
    """One file that is there already, and no other is written beside it."""
    (tmp_path / "n2.key").write_text(PLANTED)

    sentence(run("operator", "certs", "-out", str(tmp_path), "n1=h", "n2=h"), 1, tmp_path / "n2.key")
    assert [path.name for path in tmp_path.iterdir()] == ["n2.key"]


@pytest.mark.parametrize("how", [nothing, foreign, a_folder, a_loop])
@pytest.mark.parametrize("words", [("-ca-cert={0}",), ("-client-cert={0}",), ("-client-cert={0}", "-client-key={0}")])
def test_a_certificate_of_the_caller_is_named(run: Any, tmp_path: Path, words: tuple[str, ...], how: Damage) -> None:
    """In our words, not in those of the library."""
    (tmp_path / "pem").write_bytes(b"x")
    damaged(tmp_path / "pem", how)
    result = run("status", "-address=https://127.0.0.1:1", *[word.format(tmp_path / "pem") for word in words])

    assert "_ssl" not in sentence(result, 1, words[0].partition("=")[0], tmp_path / "pem")


# ---- dev
@pytest.mark.parametrize(
    "text", ["", "{", "[]", PLANTED, "\xff", '{"nodes": 1}', '{"nodes": "1", "root_token": "", "unseal_keys": []}']
)
def test_damaged_secrets_of_dev_are_named(tmp_path: Path, text: str) -> None:
    """Nothing is started, and nothing written but the lock."""
    (tmp_path / SECRETS).write_bytes(text.encode("latin-1"))
    dev = Dev(DevOptions(nodes=1, data=tmp_path), tmp_path, temporary=False)
    with pytest.raises(DevError) as caught:
        dev.prepare()
    dev.stop()

    assert str(tmp_path / SECRETS) in str(caught.value)
    assert PLANTED not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", SECRETS]


def test_secrets_of_dev_that_are_gone_are_missed_before_anything_starts(tmp_path: Path) -> None:
    """Where there are nodes of an earlier run; a new folder has none, and begins."""
    for folder, is_new in ((tmp_path / "old", False), (tmp_path / "new", True)):
        (folder / "n1" / "data").mkdir(parents=True)
        if not is_new:
            (folder / "n1" / "data" / KEYRING).write_bytes(b"x")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            dev = Dev(DevOptions(nodes=1, data=folder, port_base=taken.getsockname()[1]), folder, temporary=False)
            with pytest.raises(DevError) as caught:
                dev.prepare()  # of the new one only the port is missing
        dev.stop()

        assert (str(folder / SECRETS) in str(caught.value), "is in use" in str(caught.value)) == (not is_new, is_new)
