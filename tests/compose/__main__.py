"""`make compose-test`: the compose file for real. Ends with 3, and says why, where no daemon can be had.

Looked at: that three commands make a cluster whose backups arrive; that a lost node, and all of them at once, come back
by themselves; that lost data comes back from the database; that a second start changes nothing; that containers are as
locked up as the file says; and where keys and tokens lie: each in the volume that needs it, and in no image, log or
environment.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from .daemon import ROOT, build, missing, run, running_daemon

PROJECT = "strongroomtest"
NODES = ("n1", "n2", "n3")
NEEDLE = "planted-4b1d0c"
WAIT_S = 120.0
HERE = {"STRONGROOM_ADDR": "https://127.0.0.1:8200", "STRONGROOM_CACERT": "/etc/strongroom/api-ca.pem"}


class Cluster:
    """The services of docker-compose.yml."""

    def __init__(self, compose: list[str]) -> None:
        self._compose = [*compose, "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml")]
        self.token = ""

    def compose(self, *words: str) -> str:
        """What the compose program prints."""
        return run(*self._compose, *words)

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "-q", service).strip()

    def strongroom(self, node: str, *words: str) -> str:
        """A command in a node's container; the token goes through the environment, not through a command line."""
        passed = [word for name, value in HERE.items() for word in ("-e", f"{name}={value}")]
        return run(
            "docker", "exec", *passed, "-e", "STRONGROOM_TOKEN", self.container(node), "strongroom", *words,
            environ={"STRONGROOM_TOKEN": self.token},
        )  # fmt: skip

    def inspect(self, service: str) -> dict[str, object]:
        """What the daemon says of a container."""
        found: list[dict[str, object]] = json.loads(run("docker", "inspect", self.container(service)))
        return found[0]

    def until(self, what: str, holds: object) -> None:
        """Polls. Raises AssertionError with what is seen last."""
        end, seen, pause = time.monotonic() + WAIT_S, "", threading.Event()
        while time.monotonic() < end:
            try:
                if holds():  # type: ignore[operator]
                    return
            except AssertionError as error:
                seen = str(error)
            pause.wait(0.5)
        raise AssertionError(f"{what}: not within {WAIT_S:g} s\n{seen}\n{self.compose('ps')}\n{self.compose('logs')}")

    def is_healthy(self, *services: str) -> bool:
        """By the health checks of the file."""
        return all(self.inspect(one)["State"]["Health"]["Status"] == "healthy" for one in services)  # type: ignore[index]

    def has_ended(self, service: str) -> bool:
        """It ran to its end, well."""
        state: dict[str, object] = self.inspect(service)["State"]  # type: ignore[assignment]
        return state["Status"] == "exited" and state["ExitCode"] == 0


def comes_up(cluster: Cluster) -> None:
    """Three nodes, initialised, healthy."""
    cluster.compose("up", "-d", "--no-build")
    cluster.until("init ends", lambda: cluster.has_ended("init"))
    cluster.until("nodes are healthy", lambda: cluster.is_healthy(*NODES, "postgres"))
    cluster.token = json.loads(operator_file(cluster))["root_token"]


def operator_file(cluster: Cluster) -> str:
    return cluster.compose("run", "--rm", "--no-deps", "--entrypoint", "cat", "init", "/operator/init.json")


def serves_and_backs_up(cluster: Cluster) -> None:
    """Written on one node, read on another, and in PostgreSQL."""
    cluster.strongroom("n1", "secrets", "enable", "-version=2", "-path=secret", "kv")
    cluster.strongroom("n1", "kv", "put", "secret/a", f"needle={NEEDLE}")
    for node in NODES:
        assert NEEDLE in cluster.strongroom(node, "kv", "get", "secret/a")
    cluster.until("backups arrive", lambda: any(is_backed_up(cluster, node) for node in NODES))


def is_backed_up(cluster: Cluster, node: str) -> bool:
    """By the account of the node that writes."""
    said = json.loads(cluster.strongroom(node, "backup", "status", "-format=json"))["data"]["sinks"][0]
    return bool(said["writes"] and said["base_index"] and said["lag_entries"] == 0 and not said["error"])


def comes_back(cluster: Cluster) -> None:
    """One node killed, then all of them: nobody gives a key."""
    run("docker", "kill", cluster.container("n1"))
    cluster.until("two nodes go on", lambda: "version" in cluster.strongroom("n2", "kv", "put", "secret/b", "c=d"))
    cluster.compose("start", "n1")
    cluster.until("the node is back", lambda: NEEDLE in cluster.strongroom("n1", "kv", "get", "secret/a"))
    for node in NODES:
        run("docker", "kill", cluster.container(node))
    cluster.compose("start", *NODES)
    cluster.until("all are back", lambda: NEEDLE in cluster.strongroom("n3", "kv", "get", "secret/a"))


def comes_back_from_the_database(cluster: Cluster) -> None:
    """Every node's data is lost: the folders are laid out from PostgreSQL, as docs/compose.md says."""
    cluster.until("everything is in the database", lambda: any(is_backed_up(cluster, node) for node in NODES))
    cluster.compose("stop", *NODES)
    for node in NODES:
        cluster.compose("run", "--rm", "--no-deps", "--entrypoint", "rm", node, "-rf", "/var/lib/strongroom/node")
    restore = ("backup", "restore", "-config=/etc/strongroom-node.toml", "-format=json")
    said = cluster.compose("run", "--rm", "--no-deps", "-T", NODES[0], *restore, "-yes-unwitnessed")
    generation = json.loads(said)["generation"]
    for node in NODES[1:]:
        cluster.compose("run", "--rm", "--no-deps", "-T", node, *restore, "-join", generation)
    cluster.compose("up", "-d", "--no-build")
    cluster.until("nodes are healthy", lambda: cluster.is_healthy(*NODES))
    cluster.until("the secret is back", lambda: NEEDLE in cluster.strongroom("n3", "kv", "get", "secret/a"))
    cluster.strongroom("n1", "operator", "adopt")
    cluster.until("backups arrive", lambda: any(is_backed_up(cluster, node) for node in NODES))


def starts_twice(cluster: Cluster) -> None:
    """Nothing is made anew."""
    before = operator_file(cluster)
    cluster.compose("up", "-d", "--no-build")
    cluster.until("init ends again", lambda: cluster.has_ended("init"))
    assert "there already" in cluster.compose("logs", "certs")
    assert operator_file(cluster) == before
    cluster.until("nodes are healthy", lambda: cluster.is_healthy(*NODES))


def is_locked_up(cluster: Cluster) -> None:
    """Not root, no capability, nothing to write to but volumes and /tmp."""
    for service in (*NODES, "postgres"):
        status = run("docker", "exec", cluster.container(service), "cat", "/proc/1/status")
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        uid = "999" if service == "postgres" else "10001"
        assert lines["Uid"].split() == [uid] * 4, f"{service}: {lines['Uid']}"
        assert (int(lines["CapEff"], 16), int(lines["CapBnd"], 16), lines["NoNewPrivs"]) == (0, 0, "1"), service
        for path in ("/x", "/usr/x", "/etc/strongroom/x"):
            word = f"touch {path} 2> /dev/null && exit 1 || exit 0"
            run("docker", "exec", cluster.container(service), "sh", "-c", word)


def keeps_its_keys(cluster: Cluster) -> None:
    """Each key in the volumes of those that need it, and nowhere else; the secret itself nowhere."""
    own = ("own-n1", "own-n2", "own-n3")
    seal_key = read(cluster, "own-n1", "seal.key")
    password = read(cluster, "own-n1", "postgres-password")
    node_keys = {name: read(cluster, name, "node.key").splitlines()[1] for name in own}
    wanted = {
        seal_key: set(own), password: {*own, "own-postgres"}, cluster.token: {"operator"}, NEEDLE: set(),
        **{key: {name} for name, key in node_keys.items()},
        read(cluster, "authority", "ca.key").splitlines()[1]: {"authority"},
    }  # fmt: skip
    listed = run("docker", "volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    names = {volume.removeprefix(f"{PROJECT}_") for volume in listed}
    assert len(names) == 10, names
    for needle, expected in wanted.items():
        assert {name for name in names if holds(name, needle)} == expected, f"{sorted(expected)}"
    said = cluster.compose("logs", "--no-color") + run("docker", "history", "--no-trunc", "strongroom:0.1.0")
    said += "".join(json.dumps(cluster.inspect(service)) for service in (*NODES, "postgres", "certs", "init"))
    said += run("docker", "inspect", "strongroom:0.1.0")
    assert [number for number, needle in enumerate(wanted) if needle in said] == []
    in_image = "find / -xdev \\( -name '*.key' -o -name '*.pem' \\) -size -2k -not -path '*/site-packages/*'"
    assert aside("own-n1", f"{in_image} -not -path '/v/*' -not -path '/etc/ssl/*' -not -path '/usr/*'") == ""


def aside(volume: str, script: str, *, stdin: str | None = None) -> str:
    """What a script prints beside one volume, which it may read only."""
    return run(
        "docker", "run", "--rm", "-i", "--network", "none", "--user", "0", "--entrypoint", "sh",
        "-v", f"{PROJECT}_{volume}:/v:ro", "strongroom:0.1.0", "-c", script, stdin=stdin,
    )  # fmt: skip


def read(_cluster: Cluster, volume: str, name: str) -> str:
    return aside(volume, f"cat /v/{name}").strip()


def holds(volume: str, needle: str) -> bool:
    """Whether any file of the volume has the needle in it."""
    return aside(volume, "grep -rqaF -f - /v && echo yes || true", stdin=f"{needle}\n") != ""


STEPS = (
    comes_up, serves_and_backs_up, is_locked_up, starts_twice, comes_back, comes_back_from_the_database, keeps_its_keys,
)  # fmt: skip


def compose_words() -> list[str]:
    """Version 2, or version 1."""
    try:
        run("docker", "compose", "version")
    except AssertionError:
        return ["docker-compose"]
    return ["docker", "compose"]


def main() -> int:
    """0 if all holds; 3 if it cannot be looked at here; an AssertionError says what does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=__doc__)
    parser.add_argument("--cache", type=Path, help="a folder that keeps base images and wheels for the next run")
    arguments = parser.parse_args()
    lacking = missing()
    if lacking:
        print(f"compose: not tested here: no Docker daemon answers, and to start one is missing: {', '.join(lacking)}")
        return 3
    work = Path(tempfile.mkdtemp(prefix="compose-"))
    cache = arguments.cache or work / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return looked_at(work, cache)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def looked_at(work: Path, cache: Path) -> int:
    """Everything, one after the other."""
    with running_daemon(work, cache) as own:
        print(f"compose: {'a daemon of our own, images from Debian packages' if own else 'the daemon of this machine'}")
        build(own=own, cache=cache, work=work)
        cluster = Cluster(compose_words())
        try:
            for step in STEPS:
                begun = time.perf_counter()
                step(cluster)
                print(f"compose: {step.__name__.replace('_', ' ')}: {time.perf_counter() - begun:.0f} s", flush=True)
        finally:
            cluster.compose("down", "-v", "--remove-orphans")
    return 0


if __name__ == "__main__":
    sys.exit(main())
