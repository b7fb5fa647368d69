"""`strongroom dev`: one command, a whole cluster; stopped and started again it is the same cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.harness import BIN, HarnessError, ask, wait_until
from tests.process.machine import NO_AUTHORITIES, free_port_base, processes_naming

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

SECOND_START_MAX_S = 20.0  # "seconds", on two cores that others use too


@dataclass
class Dev:
    """A `strongroom dev` that has printed its line."""

    process: subprocess.Popen[str]
    line: dict[str, Any]
    errors: Path  # what it said on stderr

    def ports(self) -> list[int]:
        return [int(node["api"].rsplit(":", 1)[1]) for node in self.line["nodes"]]

    def ask(self, number: int, method: str, path: str, body: Any = None) -> Any:
        return ask(self.ports()[number], method, path, body, token=self.line["root_token"])


@contextlib.contextmanager
def dev(data: Path, port_base: int, *options: str) -> Iterator[Dev]:
    """Runs inside; outside no process of it is left."""
    errors = data.parent / f"{data.name}.stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [BIN / "strongroom", "dev", "--json", "--port-base", str(port_base), "--data", data, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            env=os.environ | NO_AUTHORITIES,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise HarnessError(f"dev ended with {process.wait()}")
        yield Dev(process, json.loads(line), errors)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        wait_until(lambda: not processes_naming(str(data)), "the nodes of dev end", 40.0)


def refused(data: Path, port_base: int) -> str:
    """What a dev that does not start says; it says it in sentences, prints no banner and ends with 1."""
    words = ["dev", "--json", "--port-base", str(port_base), "--data", str(data)]
    done = subprocess.run([BIN / "strongroom", *words], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def files(data: Path) -> dict[str, bytes]:
    """What a second dev could overwrite."""
    return {str(path): path.read_bytes() for path in [*data.glob("n*/node.*"), data / "dev-secrets.json"]}


def test_a_second_dev_on_the_same_folder_touches_nothing(tmp_path: Path) -> None:
    """The first goes on with its files as they were; when it has ended the folder is free."""
    with dev(tmp_path / "dev", free_port_base()) as first:
        before = files(tmp_path / "dev")
        said = refused(tmp_path / "dev", free_port_base())

        assert said.startswith(f"strongroom dev: another `strongroom dev` runs on {tmp_path / 'dev'}: end it first")
        assert files(tmp_path / "dev") == before
        assert first.ask(0, "PUT", "secret/data/on", {"data": {}}).status == 200
        assert len(list((tmp_path / "dev").glob("n*/node.pid"))) == 3


@pytest.mark.parametrize("offset", [0, 11])
def test_a_port_in_use_ends_dev_before_anything_is_started(tmp_path: Path, offset: int) -> None:
    """An API port or a peer port of somebody else: it is named, and nobody connects to it."""
    base = free_port_base()
    with socket.create_server(("127.0.0.1", base + offset)) as server:
        said = refused(tmp_path / "dev", base)
        server.setblocking(False)

        assert f"port {base + offset} is in use" in said
        assert not (tmp_path / "dev/n1").exists()
        with pytest.raises(BlockingIOError):
            server.accept()


def test_dev_started_again_is_the_same_cluster(tmp_path: Path) -> None:
    """SIGTERM stops all; the same folder gives the same token, keys and data within seconds."""
    base = free_port_base()
    with dev(tmp_path / "dev", base) as first:
        for number in range(3):
            assert first.ask(number, "PUT", f"secret/data/kept/{number}", {"data": {"n": str(number)}}).status == 200
        first.process.send_signal(signal.SIGTERM)
        code = first.process.wait(40)
    began_s = time.monotonic()
    with dev(tmp_path / "dev", base) as second:
        took_s = time.monotonic() - began_s
        print(f"second start of dev: {took_s:.2f} s")
        found = [second.ask((n + 1) % 3, "GET", f"secret/data/kept/{n}").data["data"] for n in range(3)]

        assert code == 0
        assert second.line["root_token"] == first.line["root_token"]
        assert second.line["unseal_keys"] == first.line["unseal_keys"]
        assert found == [{"n": "0"}, {"n": "1"}, {"n": "2"}]
        assert took_s < SECOND_START_MAX_S


def test_the_nodes_end_when_dev_is_killed(tmp_path: Path) -> None:
    """A supervisor that dies by SIGKILL leaves no process behind."""
    with dev(tmp_path / "dev", free_port_base()) as started:
        pids = [node["pid"] for node in started.line["nodes"]]
        started.process.kill()
        started.process.wait()

        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the nodes end", 40.0)


def test_a_killed_node_stays_dead_unless_restart_is_asked_for(tmp_path: Path) -> None:
    """With --restart it comes back unsealed, in the same place."""
    with dev(tmp_path / "dev", free_port_base(), "--restart") as started:
        node = started.line["nodes"][1]
        os.kill(node["pid"], signal.SIGKILL)
        port = started.ports()[1]

        wait_until(lambda: int((tmp_path / "dev/n2/node.pid").read_text()) != node["pid"], "a new process", 40.0)
        wait_until(lambda: ask(port, "GET", "/readyz").status == 200, "it serves again", 40.0)


def test_a_killed_node_stays_dead_without_restart(tmp_path: Path) -> None:
    """The other two go on; nothing brings the third back."""
    with dev(tmp_path / "dev", free_port_base()) as started:
        os.kill(started.line["nodes"][1]["pid"], signal.SIGKILL)
        wait_until(lambda: started.ask(0, "PUT", "secret/data/on", {"data": {}}).status == 200, "writes go on", 40.0)

        wait_until(lambda: _refused(started.ports()[1]), "nobody listens there", 40.0)  # what it had accepted is reset


def _refused(port: int) -> bool:
    try:
        ask(port, "GET", "sys/health")
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def test_a_node_that_ended_is_named_once(tmp_path: Path) -> None:
    """With its end and its log; those that run, and those that dev itself stops, are not."""
    with dev(tmp_path / "dev", free_port_base()) as started:
        assert started.errors.read_text() == ""
        os.kill(started.line["nodes"][1]["pid"], signal.SIGKILL)
        wait_until(lambda: started.errors.read_text().endswith("\n"), "dev says so", 40.0)
        started.process.send_signal(signal.SIGTERM)
        started.process.wait(40)

        log = tmp_path / "dev/n2/node.log"
        assert started.errors.read_text() == f"strongroom dev: n2 has ended (signal 9); its log is {log}\n"
