"""Backups with real processes: all nodes die, folders are gone, and a sink and the keys bring the cluster back."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.backups import Done, Told, clean, cli, dev, told
from tests.process.harness import BIN, Cluster, ask, make_cluster, running, wait_until
from tests.process.machine import free_port_base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One history, told once; its processes are dead."""
    return told(tmp_path_factory.mktemp("told") / "dev", free_port_base())


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Cluster]:
    """The configuration of one new node; nothing runs, and nothing is left of it."""
    cluster = make_cluster(tmp_path / "target", nodes=1)
    try:
        yield cluster
    finally:
        cluster.end()


def restore(story: Told, url: str, cluster: Cluster, folder: Path, *words: str, keys: Path | None = None) -> Done:
    """`backup restore` into the folder of the one node."""
    given = ["--unseal-keys-file", keys or story.keys_file(folder), "--yes-unwitnessed", "--progress=none", "-o=json"]
    config = cluster.servers[0].folder / "node.toml"
    return cli("backup", "restore", "--from", url, "--config", config, *map(str, given), *words)


def serve(story: Told, cluster: Cluster, token: str) -> None:
    """The restored node serves."""
    [server] = cluster.servers
    cluster.shares, cluster.token = story.keys, token
    cluster.restart(server)
    cluster.wait_ready()


# ---- everything is lost
def test_a_dev_cluster_comes_back_from_its_backup(story: Told, tmp_path: Path) -> None:
    """Secrets with their versions, the policy, the tokens that were valid, and not the one that was revoked."""
    data = tmp_path / "dev"
    data.mkdir(mode=0o700)
    for name in ("dev-secrets.json", *(path.name for path in story.data.glob("backup.db*"))):
        shutil.copy2(story.data / name, data / name)
    url, keys = f"sqlite://{data / 'backup.db'}", story.keys_file(tmp_path)
    at_end = cli("backup", "drill", "--from", url, "--unseal-keys-file", keys, "--to-index", str(story.last), "-o=json")

    with dev(data, free_port_base(), "--restore") as running:
        versions = running.ask("GET", "secret/metadata/open").data["versions"]
        newest = running.ask("GET", "secret/data/open", number=1).data["data"]
        first = running.ask("GET", "secret/data/open?version=1", number=2).data["data"]
        policy = running.ask("GET", "sys/policy/reader").data["rules"]
        kept = running.ask("GET", "secret/data/open", token=story.tokens["stays"]).status
        revoked = running.ask("GET", "secret/data/open", token=story.tokens["revoked"]).status
        status = running.ask("GET", "strongroom/status").data
        written = running.ask("PUT", "secret/data/open", {"data": {"n": "after"}}).status

        assert at_end.json["digest"] == story.digest
        assert (len(versions), newest, first) == (4, {"n": "late"}, {"n": "0"})
        assert '"secret/data/open"' in policy
        assert (kept, revoked, written) == (200, 403, 200)
        assert running.line["root_token"] == story.root_token
        assert running.line["backup"] == url
        assert any("not adopted" in sentence for sentence in status["why"])
        assert running.ask("GET", "/readyz").status == 200


def test_dev_does_not_restore_over_folders_that_are_there(story: Told, tmp_path: Path) -> None:
    """Its nodes can be started: what is newer than the backup would be lost."""
    data = tmp_path / "dev"
    shutil.copytree(story.data, data)
    done = cli("dev", "--json", "--data", data, "--port-base", str(free_port_base()), "--restore")

    assert done.code == 1
    assert "belongs to a member" in done.err


def test_dev_says_that_its_nodes_are_gone(story: Told, tmp_path: Path) -> None:
    """It neither begins anew over its backup, nor waits for ever."""
    data = tmp_path / "dev"
    data.mkdir(mode=0o700)
    shutil.copy2(story.data / "dev-secrets.json", data / "dev-secrets.json")
    done = cli("dev", "--json", "--data", data, "--port-base", str(free_port_base()))

    assert done.code == 1
    assert "start with --restore" in done.err


# ---- an earlier point
def test_what_was_revoked_or_tightened_does_not_come_back(story: Told, target: Cluster, tmp_path: Path) -> None:
    """At an earlier index: its secrets, none of its tokens, the policy of today, and a fresh root token."""
    url = story.copied(tmp_path / "sink")
    done = restore(story, url, target, tmp_path, "--to-index", str(story.point))
    assert done.code == 0, done.err
    report = done.json
    serve(story, target, report["root_token"])
    status = target.ask("GET", "strongroom/status").data
    policy = target.ask("GET", "sys/policy/reader").data["rules"]
    old = [target.servers[0].ask("GET", "secret/data/open", token=token).status
           for token in (*story.tokens.values(), story.root_token)]  # fmt: skip

    assert (report["index"], report["digest"]) == (story.point, story.digest_at_point)
    assert report["lost"][0] == story.point + 1
    assert {"kind": "policy", "name": "reader", "what": "changed"} in report["access_changes"]
    assert target.ask("GET", "secret/data/open").data["data"] == {"n": "2"}
    assert old == [403, 403, 403]
    assert "closed" not in policy
    assert '"secret/data/*"' not in policy
    assert any("not adopted" in sentence for sentence in status["why"])

    log = target.servers[0].data / "audit" / "audit.log"
    assert target.ask("GET", "sys/audit").data == {}
    assert not log.exists()
    adopted = target.ask("PUT", "strongroom/adopt", {})
    assert adopted.data["audit_devices"] == ["file/"]
    assert target.ask("GET", "strongroom/status").data["why"] == []
    assert list(target.ask("GET", "sys/audit").data) == ["file/"]
    assert '"path":"sys/audit"' in log.read_text()


def test_kept_tokens_are_those_nobody_revoked(story: Told, target: Cluster, tmp_path: Path) -> None:
    """On a typed word; the revoked one and the old root token stay void."""
    url = story.copied(tmp_path / "sink")
    point = ["--to-index", str(story.point), "--keep-tokens"]
    refused = restore(story, url, target, tmp_path, *point)
    done = restore(story, url, target, tmp_path, *point, "--yes-keep-tokens")
    serve(story, target, done.json["root_token"])
    found = {name: target.servers[0].ask("GET", "secret/data/open", token=token).status
             for name, token in story.tokens.items()}  # fmt: skip

    assert refused.code == 1
    assert "-yes-keep-tokens" in refused.err
    assert found == {"stays": 200, "revoked": 403}
    assert target.servers[0].ask("GET", "secret/data/open", token=story.root_token).status == 403


# ---- refused
def test_one_backup_becomes_a_second_cluster_only_as_a_fork(story: Told, target: Cluster, tmp_path: Path) -> None:
    """Neither by naming it again nor by chance; the refusal leaves the folder empty."""
    url = story.copied(tmp_path / "sink")
    first = restore(story, url, target, tmp_path)
    other = make_cluster(tmp_path / "other", nodes=1)
    again = restore(story, url, other, tmp_path)
    named = restore(story, url, other, tmp_path, "--generation", first.json["parent"])
    left = [path.name for path in other.servers[0].data.rglob("*") if path.is_file()]
    forked = restore(story, url, other, tmp_path, "--generation", first.json["parent"], "--fork")
    occupied = restore(story, url, target, tmp_path, "--generation", first.json["parent"], "--fork")

    assert (first.code, again.code, named.code, forked.code, occupied.code) == (0, 1, 2, 0, 1)
    assert "has not served yet" in again.err
    assert "is a fork" in named.err
    assert sorted(left) == ["lock", "profile"]
    assert "belongs to a member" in occupied.err


def test_wrong_keys_are_refused(story: Told, target: Cluster, tmp_path: Path) -> None:
    """With what is missing, and without repeating them."""
    url = story.copied(tmp_path / "sink")
    wrong, nothing = tmp_path / "wrong", tmp_path / "none"
    wrong.write_text("A" * 43 + "=\n")
    nothing.write_text("")
    strange = restore(story, url, target, tmp_path, keys=wrong)
    none = restore(story, url, target, tmp_path, keys=nothing)

    assert (strange.code, none.code) == (1, 1)
    assert "do not open this backup" in strange.err
    assert "AAAA" not in strange.err
    assert "1 unseal keys are needed, 0 were given" in none.err


def broken(url: str, statement: str, *values: Any) -> None:
    with sqlite3.connect(url.removeprefix("sqlite://")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def test_a_cut_chain_says_where_it_ends(story: Told, target: Cluster, tmp_path: Path) -> None:
    """What lies behind the gap is refused; what lies before it can be restored, and no token comes back."""
    url = story.copied(tmp_path / "sink")
    listed = cli("backup", "list", "--from", url, "-o=json").json
    assert listed["sinks"][0]["generations"][0]["gaps"] == []
    broken(url, "DELETE FROM objects WHERE kind = 2 AND first_index <= ? AND last_index >= ?", story.point, story.point)
    verified = cli("backup", "verify", "--from", url, "--unseal-keys-file", story.keys_file(tmp_path), "-o=json")
    beyond = restore(story, url, target, tmp_path, "--to-index", str(story.last))
    done = restore(story, url, target, tmp_path)

    assert verified.code == 2
    assert "follows nothing that is stored" in verified.err
    assert beyond.code == 1
    assert "what can be restored is" in beyond.err
    assert done.code == 0
    assert done.json["index"] < story.point
    assert (done.json["tokens"], done.json["lost"][1] >= story.last) == ("void", True)


def test_a_changed_object_is_named(story: Told, target: Cluster, tmp_path: Path) -> None:
    """By verify and by restore; nothing is written."""
    url = story.copied(tmp_path / "sink")
    changed = "UPDATE blobs SET data = CAST(substr(data, 1, length(data) - 1) || x'00' AS BLOB)"
    broken(url, f"{changed} WHERE id = (SELECT max(id) FROM blobs)")
    verified = cli("backup", "verify", "--from", url, "--unseal-keys-file", story.keys_file(tmp_path))
    done = restore(story, url, target, tmp_path)

    assert (verified.code, done.code) == (2, 1)
    assert "is another object than the sink says" in verified.err
    assert "is another object than the sink says" in done.err


def test_files_that_are_no_backup_are_refused(story: Told, target: Cluster, tmp_path: Path) -> None:
    """No file, another program's database, a text, an empty backup."""
    foreign, text = tmp_path / "foreign.db", tmp_path / "text.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    foreign.chmod(0o600)
    text.write_text("no database" * 100)
    text.chmod(0o600)
    found = {
        name: restore(story, f"sqlite://{tmp_path / name}", target, tmp_path)
        for name in ("none.db", "foreign.db", "text.db")
    }

    assert {name: done.code for name, done in found.items()} == dict.fromkeys(found, 2)
    assert "no such file" in found["none.db"].err
    assert "another program" in found["foreign.db"].err
    assert "not a SQLite database" in found["text.db"].err


def test_a_witness_finds_out_that_the_end_is_missing(story: Told, target: Cluster, tmp_path: Path) -> None:
    """What `backup status` printed once, or a surviving folder; the loss must be accepted by name."""
    url = story.copied(tmp_path / "sink")
    with sqlite3.connect(url.removeprefix("sqlite://")) as connection:
        index, raw = connection.execute(
            "SELECT last_index, hash FROM objects WHERE kind = 2 ORDER BY last_index DESC LIMIT 1"
        ).fetchone()
    connection.close()
    expect = ("--expect", f"{index}:{raw.hex()}")
    broken(url, "DELETE FROM objects WHERE kind = 2 AND last_index = ?", index)
    refused = restore(story, url, target, tmp_path, *expect)
    accepted = restore(story, url, target, tmp_path, *expect, "--accept-missing-end")

    assert refused.code == 1
    assert "its end is missing" in refused.err
    assert accepted.code == 0
    assert (accepted.json["lost"][1], accepted.json["tokens"]) == (index, "void")


# ---- interrupted
@pytest.mark.parametrize("step", ["replay", "write the folder", "first base of the new cluster"])
def test_a_killed_restore_leaves_nothing_half_done(story: Told, target: Cluster, tmp_path: Path, step: str) -> None:
    """SIGKILL once the step is seen: the same command makes it whole, or it was whole already."""
    url, keys = story.copied(tmp_path / "sink"), story.keys_file(tmp_path)
    config = target.servers[0].folder / "node.toml"
    words = ["backup", "restore", "--from", url, "--config", str(config), "--unseal-keys-file", str(keys),
             "--yes-unwitnessed", "--progress=json"]  # fmt: skip
    process = subprocess.Popen(
        [BIN / "strongroom", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env=clean(),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["step"] == step:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    again = restore(story, url, target, tmp_path)
    if again.code:  # the first base was whole: what began is named, and nobody has served it
        generation = cli("backup", "list", "--from", url, "-o=json").json["sinks"][0]["generations"][-1]["generation"]
        assert "has not served yet" in again.err or "belongs to a member" in again.err
        if "belongs to a member" not in again.err:
            again = restore(story, url, target, tmp_path, "--generation", generation)
            assert again.code == 0, again.err
    serve(story, target, story.root_token)

    assert target.ask("GET", "secret/data/open").data["data"] == {"n": "late"}


def test_a_server_refuses_a_folder_that_a_restore_did_not_finish(target: Cluster) -> None:
    """With the sentence that says what to do."""
    [server] = target.servers
    server.data.mkdir(mode=0o700)
    (server.data / "restoring").write_text("")
    server.start()

    assert server.process is not None
    assert server.process.wait(40) == 1
    assert "did not come to its end: run it again" in server.log_text


# ---- one path
def test_one_path_comes_back_into_a_private_file(story: Told, tmp_path: Path) -> None:
    """Its newest value at the point, or every version; never over a file that is there."""
    url, out = story.copied(tmp_path / "sink"), tmp_path / "value.json"
    keys = story.keys_file(tmp_path)
    words = ["backup", "restore", "--from", url, "--unseal-keys-file", keys, "--path", "secret/open"]
    before = cli(*words, "--to-index", str(story.point), "--out", out)
    again = cli(*words, "--out", out)
    history = cli(*words, "--versions", "--out", "-")
    nothing = cli(*words[:-1], "secret/none", "--out", "-")

    assert before.code == 0, before.err
    assert json.loads(out.read_text()) == {"n": "2"}
    assert out.stat().st_mode & 0o777 == 0o600
    assert "there already" in again.err
    assert [one["data"]["n"] for one in history.json["versions"]] == ["0", "1", "2", "late"]
    assert (nothing.code, "nothing at that path" in nothing.err) == (1, True)
    assert '"n"' not in before.out + before.err


# ---- a majority is lost
def test_a_cluster_in_memory_comes_back_with_its_loss_stated(target: Cluster, tmp_path: Path) -> None:
    """Its members have no log any more: they know what was committed, and the sink has it."""
    cluster = make_cluster(tmp_path / "cluster", sections={"journal": {"mode": "memory"}})
    url = f"sqlite://{tmp_path / 'backup.db'}"
    for server in cluster.servers:
        server.environ["STRONGROOM_BACKUP__SINKS"] = json.dumps([{"name": "main", "url": url}])
    with running(cluster):
        assert cluster.ask("PUT", "secret/data/a", {"data": {"n": "1"}}).status == 200
        index, _ = cluster.equal_digests()

        def held() -> bool:
            return any(row["index"] >= index for one in cluster.statuses().values() for row in one["backup"])

        wait_until(held, "the sink holds it")
        cluster.end()
    keys = tmp_path / "keys"
    keys.write_text("\n".join(cluster.shares))
    survivors = [str(word) for server in cluster.servers for word in ("--survivor", server.data)]
    done = cli(
        "operator", "recover", *survivors, "--from", url, "--config", target.servers[0].folder / "node.toml",
        "--unseal-keys-file", keys, "--yes-lost", "-o=json",
    )  # fmt: skip
    assert done.code == 0, done.err
    target.shares, target.token = cluster.shares, done.json["root_token"]
    target.restart(target.servers[0])
    target.wait_ready()

    assert done.json["from"] == url
    assert done.json["index"] >= index
    assert "May be lost" in done.err
    assert target.ask("GET", "secret/data/a").data["data"] == {"n": "1"}


def test_recover_goes_on_from_a_survivor(story: Told, target: Cluster, tmp_path: Path) -> None:
    """Its folder is only read; what may be lost is said before somebody's word is asked for."""
    survivor = tmp_path / "survivor"
    shutil.copytree(story.data / "n2" / "data", survivor)
    before = {path.name: path.read_bytes() for path in survivor.rglob("*") if path.is_file()}
    config = str(target.servers[0].folder / "node.toml")
    words = ["operator", "recover", "--survivor", str(survivor), "--config", config, "--unseal-keys-file",
             str(story.keys_file(tmp_path)), "-o=json"]  # fmt: skip
    asked = cli(*words)
    done = cli(*words, "--yes-lost")
    after = {path.name: path.read_bytes() for path in survivor.rglob("*") if path.is_file()}
    serve(story, target, done.json["root_token"])

    assert asked.code == 1
    assert "May be lost: whatever was answered after" in asked.err
    assert "-yes-lost" in asked.err
    assert done.json["index"] >= story.last
    assert before == after
    assert target.ask("GET", "secret/data/open").data["data"] == {"n": "late"}
    assert ask(target.servers[0].api_port, "GET", "secret/data/open", token=story.root_token).status == 403


def test_recover_refuses_the_folder_of_a_survivor(story: Told, tmp_path: Path) -> None:
    """Never in place."""
    survivor = tmp_path / "survivor"
    shutil.copytree(story.data / "n2" / "data", survivor)
    done = cli(
        "operator", "recover", "--survivor", survivor, "--data", survivor, "--profile", "dev",
        "--member", "n1=127.0.0.1:1,http://127.0.0.1:2", "--unseal-keys-file", story.keys_file(tmp_path), "--yes-lost",
    )  # fmt: skip

    assert done.code == 1
    assert "another folder than a survivor" in done.err


# ---- objects
def test_a_copy_restores_as_the_original_does(story: Told, tmp_path: Path) -> None:
    """Byte for byte; run again, it sends nothing; pruned, its newest state is whole."""
    url, copy = story.copied(tmp_path / "sink"), f"sqlite://{tmp_path / 'copy.db'}"
    first = cli("backup", "copy", "--from", url, "--to", copy, "-o=json").json["generations"][0]
    second = cli("backup", "copy", "--from", url, "--to", copy, "-o=json").json["generations"][0]
    pruned = cli("backup", "prune", "--from", copy, "--keep-bases", "1", "--keep-days", "1", "-o=json")
    drilled = cli("backup", "drill", "--from", copy, "--unseal-keys-file", story.keys_file(tmp_path), "-o=json")

    assert (first["left_out"], second["sent"], second["there_already"]) == (0, 0, first["sent"])
    assert pruned.code == 0
    assert drilled.json["digest"] == story.digest or drilled.json["index"] > story.last


def test_a_further_member_joins_a_restored_cluster(story: Told, tmp_path: Path) -> None:
    """Three members on three machines: one is restored, one joins, one begins empty and is brought up."""
    cluster = make_cluster(tmp_path / "cluster", nodes=3)
    url = story.copied(tmp_path / "sink")
    keys = ("--unseal-keys-file", str(story.keys_file(tmp_path)))
    first = restore(story, url, cluster, tmp_path)
    assert first.code == 0, first.err
    joined = cli(
        "backup", "restore", "--from", url, "--config", cluster.servers[1].folder / "node.toml", *keys,
        "--join", first.json["generation"], "-o=json",
    )  # fmt: skip
    assert joined.code == 0, joined.err
    cluster.shares, cluster.token = story.keys, story.root_token
    try:
        for server in cluster.servers:
            server.start()
        for server in cluster.servers:
            server.wait_listening()
            server.unseal(cluster.shares)
        cluster.wait_ready()
        cluster.equal_digests()
        found = [cluster.ask("GET", "secret/data/open", at=server).data["data"] for server in cluster.servers]
    finally:
        cluster.end()
    wait_until(lambda: not any(server.alive for server in cluster.servers), "all have ended")

    assert found == [{"n": "late"}] * 3
