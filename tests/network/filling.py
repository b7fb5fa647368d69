"""Nodes that can be filled from inside, because hundreds of thousands of writes over HTTP would take minutes.

The process is the product's with a control socket beside it (bench/node.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from bench import control
from tests.network.child import ROOT
from tests.process.harness import Server

FILL_S_MAX = 900.0
FILL_WRITERS = 256


@dataclass(eq=False)
class FillableServer(Server):
    """As `strongroom server`, and it takes commands of the bench."""

    def start(self) -> None:
        """The process runs."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
        command = [sys.executable, "-m", "bench.node", self.folder / "node.toml", self.folder / control.NAME]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ | self.environ,
                cwd=ROOT,
                start_new_session=True,
            )

    def do(self, do: str, timeout_s: float = FILL_S_MAX, **arguments: Any) -> dict[str, Any]:
        """A command and its answer; see bench/node.py."""
        return control.ask(self.folder / control.NAME, do, timeout_s=timeout_s, **arguments)

    def fill(self, count: int, token: str) -> None:
        """So many secrets of 1 KiB exist; this node leads."""
        answer = self.do("load", kind="kv", token=token, paths=count, count=count, writers=FILL_WRITERS)
        assert answer["count"] == count, answer["failures"]
