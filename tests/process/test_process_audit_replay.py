"""Audit devices of a node that replays its log at its start: those of the past are not opened once more."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from node.audit import verify
from tests.process.harness import make_cluster, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

WRITES = 800  # so many that the log is not replayed in one turn of the loop
WRITERS = 8


def test_a_device_that_was_disabled_is_not_opened_by_a_restart(tmp_path: Path) -> None:
    """Its file was moved away: a new one would say again what the old one has said. Another device goes on."""
    with running(make_cluster(tmp_path)) as cluster:

        def write(number: int) -> int:
            return cluster.ask("PUT", f"secret/data/{number % 50}", {"data": {"n": "1"}}).status

        for name in ("gone", "stays"):
            device = {"type": "file", "options": {"file_path": f"{name}.log"}}
            assert cluster.ask("PUT", f"sys/audit/{name}", device).status == 204
        with ThreadPoolExecutor(WRITERS) as writers:
            assert set(writers.map(write, range(WRITES))) == {200}
        assert cluster.ask("DELETE", "sys/audit/gone").status == 204
        victim = cluster.followers()[0]
        folder = victim.data / "audit"
        (folder / "gone.log").rename(folder / "gone.old")
        victim.end(signal.SIGKILL)
        cluster.restart(victim)
        cluster.wait_ready()
        assert cluster.ask("GET", "secret/data/1", at=victim).status == 200
        victim.end(signal.SIGTERM)
        stays = (folder / "stays.log").read_bytes().splitlines(keepends=True)

        assert not (folder / "gone.log").exists()
        assert not verify(stays).findings
        assert any(b'"secret/data/1"' in line for line in stays[-4:])
