"""Somebody else's cluster: what the run makes is its own and goes with it, whatever happens; tokens are nowhere."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, cast

import pytest

from chaos import cli, registry, runner
from chaos.api import MAKING, Admin, Reply
from chaos.folder import RunFolder
from chaos.plan import expand, parse
from chaos.targets.base import FILES, HOOK, PROCESS, TargetError
from chaos.targets.given import Access, GivenTarget, is_urls, opened, token_of, urls_of
from chaos.targets.hook import Hook
from tests.chaos.fake_cluster import OWNER, FakeCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALM = 'name = "calm"\nwarm_up_s = 0.3\ncool_down_s = 0.1\nworkloads = { tokens = 1, policies = 1, mixed = 1 }\n'


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as made:
        yield made


def target(cluster: FakeCluster, folder: Path, hook: Hook | None = None) -> GivenTarget:
    made = GivenTarget(folder, cluster.urls, OWNER, None, hook)
    made._remove_s = 0.5
    return made


def is_as_before(cluster: FakeCluster) -> bool:
    return (cluster.mounts, cluster.policies, cluster.tokens) == (
        {"secret": "the owner's"}, {"default": "", "app": "the owner's"}, {OWNER: ""},
    )  # fmt: skip


# ---- what the command line says
def test_urls_name_nodes() -> None:
    """Commas between them, a slash at the end is nobody's path; a target's name is no URL."""
    assert urls_of("http://a:1/, https://b:2") == ["http://a:1", "https://b:2"]
    assert is_urls("http://a:1")
    assert not is_urls("local")


@pytest.mark.parametrize(
    "said", ["", "http://a:1,http://a:1", "ftp://a:1", "http://", "http://a:1/v1", "http://a:1?x=y", "http://a:1#x"]
)
def test_what_is_no_url_of_a_node_is_refused(said: str) -> None:
    """And so is one that comes twice."""
    with pytest.raises(TargetError):
        urls_of(said)


def test_a_url_with_a_password_is_refused_and_not_repeated() -> None:
    """It would stand in plan.json and on the terminal."""
    with pytest.raises(TargetError, match="user or password") as refused:
        urls_of("http://root:hvs.secret@a:1")

    assert "hvs" not in str(refused.value)


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    """The file first; Strongroom's variable before Vault's."""
    file = tmp_path / "token"
    file.write_text("hvs.file\n")
    file.chmod(0o600)
    both = {"STRONGROOM_TOKEN": "hvs.one", "VAULT_TOKEN": "hvs.two"}

    assert token_of(file, both) == "hvs.file"
    assert token_of(None, both) == "hvs.one"
    assert token_of(None, {"VAULT_TOKEN": "hvs.two"}) == "hvs.two"


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The twin: so are an empty file, none at all, and what is no token."""
    file = tmp_path / "token"
    file.write_text("hvs.file\n")
    file.chmod(0o640)
    with pytest.raises(TargetError, match="may be read by others"):
        token_of(file, {})
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(TargetError, match="no token"):
        token_of(file, {})
    file.write_text("two words")
    with pytest.raises(TargetError, match="no token") as refused:
        token_of(file, {})
    assert "words" not in str(refused.value)
    with pytest.raises(TargetError, match="no token in"):
        token_of(tmp_path / "absent", {})
    with pytest.raises(TargetError, match="--token-file"):
        token_of(None, {})


@pytest.mark.parametrize("words", [["--token", "hvs.secret"], ["--token=hvs.secret"]])
@pytest.mark.parametrize("command", ["run", "replay", "shrink"])
def test_a_token_on_the_command_line_is_refused_and_not_repeated(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is `--token` taken as the beginning of `--token-file`."""
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "calm", *words])

    said = capsys.readouterr()
    assert ended.value.code == cli.FAILED
    assert "--token-file" in said.err
    assert "hvs" not in said.out + said.err


def test_authorities_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked."""
    monkeypatch.setenv("STRONGROOM_TOKEN", "hvs.x")
    with pytest.raises(TargetError, match="there is no file"):
        opened("http://a:1", tmp_path, Access(ca_file=tmp_path / "ca.pem"))


# ---- the cluster
def test_nodes_are_called_what_they_call_themselves(cluster: FakeCluster, tmp_path: Path) -> None:
    """Whatever the order of their URLs."""
    made = GivenTarget(tmp_path, cluster.urls[::-1], OWNER, None)
    made.start()

    assert made.nodes == cluster.nodes
    assert [made.url(node) for node in made.nodes] == cluster.urls


def test_the_runs_token_is_a_child_and_the_mount_its_own(cluster: FakeCluster, tmp_path: Path) -> None:
    """Not the owner's token goes to workloads, and not `secret`."""
    made = target(cluster, tmp_path)
    made.start()

    assert cluster.tokens[made.token] == OWNER
    assert made.mount == f"chaos-{tmp_path.name.lower()}"
    assert made.mount in cluster.mounts
    assert made.abilities == frozenset()
    assert "--hook" in made.why_not(PROCESS)


def test_everything_made_is_removed(cluster: FakeCluster, tmp_path: Path) -> None:
    """Mount, policies, tokens and their children; what was there is there."""
    made = target(cluster, tmp_path)
    made.start()
    admin = Admin({"v1": made.url("v1")}, made.token, None, made.made)
    admin.must("PUT", "sys/policies/acl/run-1", {"policy": ""})
    admin.must("POST", "auth/token/create", {})
    made.discard()

    assert is_as_before(cluster)


def test_the_token_goes_before_anything_else(cluster: FakeCluster, tmp_path: Path) -> None:
    """So that nothing that is still under way makes anything again."""
    made = target(cluster, tmp_path)
    made.start()
    made.discard()
    last = [path for method, path, _ in cluster.asked if method == "DELETE" or path.endswith("revoke")]

    assert last == ["/v1/auth/token/revoke", f"/v1/sys/mounts/{made.mount}"]


def test_a_name_that_is_taken_is_left_alone(cluster: FakeCluster, tmp_path: Path) -> None:
    """The run fails, and removes its token alone."""
    made = target(cluster, tmp_path)
    cluster.mounts[made.mount] = "somebody's"
    with pytest.raises(TargetError, match="answered 400"):
        made.start()
    made.discard()

    assert cluster.mounts[made.mount] == "somebody's"
    assert list(cluster.tokens) == [OWNER]


def test_what_cannot_be_removed_is_said(cluster: FakeCluster, tmp_path: Path) -> None:
    """By its path, so that the owner can."""
    made = target(cluster, tmp_path)
    made.start()
    cluster.refuse.add(("DELETE", f"/v1/sys/mounts/{made.mount}"))

    with pytest.raises(TargetError, match=f"sys/mounts/{made.mount}"):
        made.discard()
    made.discard()  # there is nothing more to say


def test_a_cluster_that_is_not_whole_is_refused(cluster: FakeCluster, tmp_path: Path) -> None:
    """Missing members, the same node twice, a sealed one, one that does not serve, none at all, no right to look."""
    with pytest.raises(TargetError, match="missing: v2, v3"):
        GivenTarget(tmp_path, cluster.urls[:1], OWNER, None).start()
    with pytest.raises(TargetError, match="are the same node, v1"):
        GivenTarget(tmp_path, [cluster.urls[0], cluster.urls[0].replace("127.0.0.1", "localhost")], OWNER, None).start()
    with pytest.raises(TargetError, match="does not answer"):
        GivenTarget(tmp_path, ["http://127.0.0.1:1"], OWNER, None).start()
    with pytest.raises(TargetError, match="answered 403"):
        GivenTarget(tmp_path, cluster.urls, "hvs.nobody", None).start()
    cluster.ready = False
    with pytest.raises(TargetError, match="not ready"):
        target(cluster, tmp_path).start()
    cluster.sealed.add("v2")
    cluster.ready = True
    with pytest.raises(TargetError, match="is sealed"):
        target(cluster, tmp_path).start()

    assert is_as_before(cluster)


# ---- whole runs
def test_a_run_leaves_nothing_behind(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no token in any file of its folder, though this cluster answers nothing that workloads want."""
    parts = runner.Parts(
        expand(parse(CALM.replace(", mixed = 1", "")), 1, "http://x"), RunFolder(tmp_path), target(cluster, tmp_path),
        lambda _line: None,
    )  # fmt: skip
    monkeypatch.setattr("chaos.ending.AGREE_S", 0.1)
    asyncio.run(runner._until_done(parts))

    assert is_as_before(cluster)
    assert "plaintext" not in parts.facts
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and "hvs." in file.read_text()]
    assert FILES not in json.loads((tmp_path / "plan.json").read_text())["abilities"]


def test_an_interrupted_run_leaves_nothing_behind(cluster: FakeCluster, tmp_path: Path) -> None:
    """Even if it was interrupted while its mount was being made: that is waited for, and removed."""
    parts = runner.Parts(
        expand(parse(CALM), 1, "http://x"), RunFolder(tmp_path), target(cluster, tmp_path), lambda _line: None
    )
    cluster.hold.clear()

    async def interrupted() -> None:
        run = asyncio.create_task(runner._until_done(parts))
        await asyncio.to_thread(cluster.asked_to_mount.wait, 10)
        run.cancel()
        threading.Timer(0.1, cluster.hold.set).start()
        with pytest.raises(runner.RunInterruptedError):
            await run

    asyncio.run(interrupted())

    assert is_as_before(cluster)


def test_who_is_closed_makes_nothing_more(cluster: FakeCluster) -> None:
    """A thread that still prepares a workload after Ctrl-C stops at its next step."""
    made: list[str] = []
    admin = Admin({"v1": cluster.urls[0]}, OWNER, None, made)
    admin.must("PUT", "sys/policies/acl/one", {})
    admin.close()

    with pytest.raises(TargetError, match="the run is over"):
        admin.must("PUT", "sys/policies/acl/two", {})
    assert made == ["sys/policies/acl/one"]
    assert "two" not in cluster.policies


# ---- faults by a hook
def test_a_hook_says_what_can_be_done(cluster: FakeCluster, tmp_path: Path) -> None:
    """Faults keep their names and budgets; what the hook does not list is skipped with its reason."""
    from chaos.nemesis.base import missing

    script = tmp_path / "hook"
    script.write_text('#!/bin/sh\n[ "$1" = abilities ] && echo "kill unplug"\nexit 0\n')
    script.chmod(0o700)
    made = target(cluster, tmp_path, Hook(str(script)))
    made.start()
    kill = made.nemesis("kill")

    assert made.abilities == {HOOK, "hook:kill", "hook:unplug"}
    assert (kill.name, kill.write_gap_s) == ("kill", registry.nemesis("kill").write_gap_s)
    assert missing(kill, made) == ""
    assert missing(made.nemesis("hook"), made) == ""
    assert missing(made.nemesis("pause"), made) == "hook:pause: the hook does not say that it can"


def test_what_the_hook_could_not_heal_is_said_at_the_end(cluster: FakeCluster, tmp_path: Path) -> None:
    """Nobody's cluster is left broken in silence."""
    script = tmp_path / "hook"
    script.write_text('#!/bin/sh\n[ "$1" = heal ] && exit 7\nexit 0\n')
    script.chmod(0o700)
    made = target(cluster, tmp_path, Hook(str(script), pause_s=0.0))
    made.start()
    made.inject("kill", ["v1"])
    with pytest.raises(TargetError, match="ended with 7"):
        made.heal("kill", ["v1"])

    with pytest.raises(TargetError, match="heal kill v1 ended with 7"):
        made.discard()
    assert is_as_before(cluster)


def test_what_the_hook_healed_at_last_is_not_said(cluster: FakeCluster, tmp_path: Path) -> None:
    """The twin: a try that failed before is over."""
    script = tmp_path / "hook"
    script.write_text(f'#!/bin/sh\n[ "$1" = heal ] && [ ! -e {tmp_path}/again ] && exit 7\nexit 0\n')
    script.chmod(0o700)
    made = target(cluster, tmp_path, Hook(str(script), pause_s=0.0))
    made.start()
    made.inject("kill", ["v1"])
    for _ in range(2):
        with pytest.raises(TargetError, match="ended with 7"):
            made.heal("kill", ["v1"])
    (tmp_path / "again").touch()
    made.heal("kill", ["v1"])
    made.discard()

    assert is_as_before(cluster)


class NotingAdmin:
    """Answers whatever a workload prepares, and notes it."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, object]] = []

    def must(self, method: str, path: str, body: object = None) -> Reply:
        self.made.append((method, path, body))
        data = {"role_id": "r", "secret_id": "s", "version": 1}
        return Reply(200, {}, {"data": data, "auth": {"client_token": "hvs.x"}})


@pytest.mark.parametrize("name", sorted(registry.WORKLOADS))
def test_whatever_a_workload_prepares_can_be_removed(name: str) -> None:
    """It is remembered by its path, or goes with what is; no token is an orphan; all names carry the run's id."""
    workload, admin = registry.workload(name), NotingAdmin()
    workload.mount = "chaos-run-9"
    workload.prepare(cast("Admin", admin), "Run-9")
    remembered = [path for method, path, _ in admin.made if method != "GET" and path.startswith(MAKING)]
    below = tuple(f"{path.removeprefix('sys/mounts/').removeprefix('sys/')}/" for path in remembered)
    others = [
        path
        for method, path, _ in admin.made
        if method != "GET"
        and path not in remembered
        and not path.startswith(("chaos-run-9/", "auth/token/create", *below))
    ]

    assert others == []
    assert all("run-9" in path for path in remembered)
    assert not [body for _, _, body in admin.made if isinstance(body, dict) and body.get("no_parent")]
    assert not [path for _, path, _ in admin.made if "orphan" in path]
