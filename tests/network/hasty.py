"""A node that acknowledges too early: what it commits is on its own disk, and may be on no other.

A mutant, as those of the simulation: the tests of this folder must find it out, or they show nothing. It lives here and
nowhere else. Run as a program: `python -m tests.network.hasty TOML`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster import member
from cluster.raft.replica import Replica
from node import build
from node import config as configuration
from tests.network.child import ROOT
from tests.process.harness import Server


class CommitsAlone(Replica):
    """R5: a leader that counts itself for a majority."""

    def majority_durable(self) -> int:
        return min(self.own_durable(), self.log.last_index)


@dataclass(eq=False)
class HastyServer(Server):
    """A node of this kind."""

    def start(self) -> None:
        """The process runs."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.network.hasty", self.folder / "node.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=ROOT,
                start_new_session=True,
            )


def main(toml: Path) -> int:
    """Serve until SIGTERM; the exit code."""
    loaded = configuration.load([toml], {}, {})
    member.Replica = CommitsAlone  # type: ignore[misc]
    return build.serve(loaded.config)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
