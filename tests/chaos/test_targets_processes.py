"""What local clusters have in common: nodes that end with all they started, their configuration, their first keys."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from chaos.ledger import started
from chaos.nemesis import files
from chaos.nemesis.base import Scene
from chaos.targets import keys
from chaos.targets.base import DISK, TargetSettings
from chaos.targets.configuring import sections_of, text_of
from chaos.targets.keys import wait_until
from chaos.targets.local import LocalTarget
from chaos.targets.node import Node
from chaos.targets.processes import DISK_SEGMENT_BYTES
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A main process and, in its group, one that goes on for a moment when the main one has gone.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
open(sys.argv[2], "w").write(str(child.pid))
child.wait()
"""
CHILD = "import sys, time\nsys.stdin.read()\ntime.sleep(0.3)"


class Answers(BaseHTTPRequestHandler):
    """Gives the answers of `script` one after another, the last one for ever; remembers what was asked."""

    script: ClassVar[list[tuple[int, dict[str, Any]]]] = []
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).asked.append((self.command, self.path, self.headers.get("X-Strongroom-Init-Secret", "")))
        status, body = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = _answer  # noqa: N815 - the library calls them so

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def answers() -> Iterator[tuple[str, type[Answers]]]:
    """(URL, handler) of a server."""
    handler = type("Handler", (Answers,), {"script": [], "asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


# ---- processes
def node_of(folder: Path, *command: str) -> Node:
    """A node that is no server; its command gets `server --config PATH`, which it ignores."""
    return Node("n1", folder, 1, 2, command=(sys.executable, "-c", *command))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("paused", [False, True])
def test_a_node_has_ended_when_all_it_started_has(tmp_path: Path, number: int, paused: bool) -> None:
    """The journal's writer works on for a moment: nobody may touch its files, or unmount its disk, before."""
    node = node_of(tmp_path, PARENT, CHILD, str(tmp_path / "pid"))
    node.start()
    pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the child runs"))
    wait_until(lambda: set(node.pids()) >= {pid}, "both are seen")
    if paused:
        node.pause()
    assert node.end(number) == -number

    assert not started(pid)
    assert node.pids() == []


def test_a_stopped_node_can_be_seen_to_stand_still(tmp_path: Path) -> None:
    """The local target asks the system; one that goes on does not stand still."""
    target = LocalTarget(tmp_path, TargetSettings())
    node = target.members["n1"] = node_of(tmp_path, "import sys, time\nwhile True: time.sleep(0.01)")
    node.start()
    target.pause("n1")
    wait_until(lambda: target.stopped("n1") == 1, "it stands still")
    target.resume("n1")
    wait_until(lambda: target.stopped("n1") == 0, "it goes on")
    target.kill("n1")
    target.discard()


def test_a_node_that_ended_by_itself_has_its_code_at_the_end(tmp_path: Path) -> None:
    """Else one that crashed while nobody looked would count as not started; one that was killed was killed."""
    target = LocalTarget(tmp_path, TargetSettings())
    crashed = target.members["n1"] = node_of(tmp_path, "raise SystemExit(7)")
    killed = target.members["n2"] = node_of(tmp_path, "import sys; sys.stdin.read(); import time\ntime.sleep(600)")
    never = target.members["n3"] = node_of(tmp_path, "")
    crashed.start()
    killed.start()
    wait_until(lambda: not crashed.alive, "it has crashed")
    assert killed.ended_by_itself is None
    target.kill("n2")

    assert target.stop() == {"n1": 7, "n2": None, "n3": None}
    assert never.ended_by_itself is None
    target.discard()


def test_discard_ends_what_stop_left(tmp_path: Path) -> None:
    """A stop that failed half-way leaves no process behind."""
    target = LocalTarget(tmp_path, TargetSettings())
    node = target.members["n1"] = node_of(tmp_path, "import time\ntime.sleep(600)")
    node.start()
    (pid,) = target.pids("n1")
    target.discard()

    assert not started(pid)


# ---- configuration
def test_the_profile_is_the_targets(tmp_path: Path) -> None:
    """And the scenario's own keys win over all others."""
    sections = sections_of(
        node_id="n1", data=tmp_path, api="127.0.0.1:1", advertise="http://127.0.0.1:1", peer="127.0.0.1:2",
        certs=tmp_path, audit=tmp_path,
    )  # fmt: skip
    said = tomllib.loads(text_of(sections, {"journal": {"segment_bytes": 7}}, [], profile="production"))

    assert said["profile"] == "production"
    assert said["journal"]["segment_bytes"] == 7
    assert tomllib.loads(text_of(sections, {}, []))["profile"] == "dev"


@pytest.mark.parametrize("disks", [True, False])
def test_nodes_with_small_disks_ask_for_space_soon(tmp_path: Path, disks: bool) -> None:
    """Else a disk that is full for seconds would not be noticed."""
    target = LocalTarget(tmp_path, TargetSettings(disks=disks))
    target._ports = {"n1": (1, 2)}
    sections = target._sections(Node("n1", tmp_path, 1, 2))

    assert (sections["journal"]["segment_bytes"] == DISK_SEGMENT_BYTES) is disks
    assert DISK in target.abilities or not disks or os.geteuid() != 0


# ---- keys
def test_who_may_read_the_data_folder_proves_it(tmp_path: Path, answers: tuple[str, type[Answers]]) -> None:
    """The secret is sent as soon as the node has written it, and not asked for before."""
    url, handler = answers
    handler.script.append((200, {"keys_base64": ["share"], "root_token": "root"}))
    secret = tmp_path / "init-secret"
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(keys.initialise({"n1": url}, None, secret=secret)))
    thread.start()
    secret.write_text("known\n")
    thread.join()

    assert found == [(["share"], "root")]
    assert handler.asked == [("PUT", "/v1/sys/init", "known")]


def test_without_a_secret_none_is_sent(answers: tuple[str, type[Answers]]) -> None:
    """Loopback needs none."""
    url, handler = answers
    handler.script.append((200, {"keys_base64": ["share"], "root_token": "root"}))

    assert keys.initialise({"n1": url}, None) == (["share"], "root")
    assert handler.asked == [("PUT", "/v1/sys/init", "")]


# ---- a node that is brought up
BROUGHT_UP = (503, {"why": ["the node lost a part of its log and is being brought up by the leader: wait"]})


@pytest.mark.parametrize("lost", [True, False])
def test_a_node_is_whole_when_it_has_served_for_a_while(
    answers: tuple[str, type[Answers]], monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Serving that breaks off does not count; whether it was seen to recover is what it said itself."""
    url, handler = answers
    handler.script += [(200, {}), BROUGHT_UP if lost else (503, {"why": ["sealed"]}), (200, {})]
    monkeypatch.setattr(files, "SETTLE_S", 0.2)
    target = FakeTarget()
    monkeypatch.setattr(target, "url", lambda _: url)
    scene = Scene(target, random.Random(1), None, {"node": "n2"})

    assert files.Wipe().heal(scene) == {"seen_recovering": lost}
    assert len(handler.asked) > 3
    assert target.calls == [("revive", "n2")]
