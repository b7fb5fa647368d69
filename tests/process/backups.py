"""Helpers of the tests of backups: `strongroom dev` with its backup, the command line, and one history told once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.process.harness import BIN, HarnessError, Reply, ask, wait_until
from tests.process.machine import NO_AUTHORITIES, processes_naming

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COMMAND_S = 60.0


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def clean(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without settings of ours, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
    return kept | NO_AUTHORITIES | dict(environ or {})


def cli(*words: str | Path, environ: Mapping[str, str] | None = None, stdin: str = "") -> Done:
    """One `strongroom …`, not on a terminal."""
    ran = subprocess.run(
        [BIN / "strongroom", *map(str, words)], input=stdin, capture_output=True, text=True, env=clean(environ),
        timeout=COMMAND_S, check=False,
    )  # fmt: skip
    return Done(ran.returncode, ran.stdout, ran.stderr)


@dataclass
class Dev:
    """A `strongroom dev` that has printed its line."""

    process: subprocess.Popen[str]
    line: dict[str, Any]

    def ask(self, method: str, path: str, body: Any = None, *, number: int = 0, token: str | None = None) -> Reply:
        port = int(self.line["nodes"][number]["api"].rsplit(":", 1)[1])
        return ask(port, method, path, body, token=token or self.line["root_token"])

    def statuses(self) -> list[dict[str, Any]]:
        return [self.ask("GET", "strongroom/status", number=n).data for n in range(len(self.line["nodes"]))]

    def settled(self) -> tuple[int, str]:
        """(index, digest) that all nodes have and the sink holds; nothing is written meanwhile."""

        def agreed() -> tuple[int, str] | None:
            statuses = self.statuses()
            indexes = {status["digest_index"] for status in statuses}
            held = max(row["index"] for status in statuses for row in status["backup"])
            if len(indexes) > 1 or held < max(indexes):
                return None
            return statuses[0]["digest_index"], statuses[0]["digest"]

        found = wait_until(agreed, "the sink holds what all nodes have", 40.0)
        assert found is not None
        return found

    def kill(self) -> None:
        """Every process dies by SIGKILL, the supervisor last."""
        for node in self.line["nodes"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node["pid"], signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def dev(data: Path, port_base: int, *options: str, nodes: int = 3) -> Iterator[Dev]:
    """Runs inside; outside no process of it is left."""
    words = ["dev", "--json", "--nodes", str(nodes), "--port-base", str(port_base), "--data", str(data), *options]
    process = subprocess.Popen(
        [BIN / "strongroom", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, start_new_session=True, env=clean(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise HarnessError(f"dev ended with {process.wait()}")
        yield Dev(process, json.loads(line))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        wait_until(lambda: not processes_naming(str(data)), "the nodes of dev end", 40.0)


@dataclass
class Told:
    """What was written, and the backup of it. `data` is dev's folder, whose nodes are dead."""

    data: Path
    keys: list[str]
    root_token: str
    point: int = 0  # before the revocation and the tightening
    last: int = 0
    digest_at_point: str = ""
    digest: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    def copied(self, folder: Path) -> str:
        """URL of a copy of the sink, as the killed processes left it."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.data.glob("backup.db*"):
            shutil.copy2(path, folder / path.name)
        return f"sqlite://{folder / 'backup.db'}"

    def keys_file(self, folder: Path) -> Path:
        path = folder / "keys"
        path.write_text("\n".join(self.keys) + "\n")
        return path


LOOSE = 'path "secret/data/*" { capabilities = ["read"] }\n'
TIGHT = 'path "secret/data/open" { capabilities = ["read"] }\n'


def told(data: Path, port_base: int) -> Told:
    """Secrets with versions, two tokens, a policy; then one token is revoked, the policy tightened; then all die."""
    with dev(data, port_base) as running:
        story = Told(data, running.line["unseal_keys"], running.line["root_token"])
        for number in range(3):
            assert running.ask("PUT", "secret/data/open", {"data": {"n": str(number)}}).status == 200
        assert running.ask("PUT", "secret/data/closed", {"data": {"n": "x"}}).status == 200
        assert running.ask("PUT", "sys/policy/reader", {"policy": LOOSE}).status == 204
        device = {"type": "file", "options": {"file_path": "audit.log"}}
        assert running.ask("PUT", "sys/audit/file", device).status == 204
        for name in ("stays", "revoked"):
            made = running.ask("POST", "auth/token/create", {"policies": ["reader"], "ttl": "1h"})
            story.tokens[name] = made.json["auth"]["client_token"]
        story.point, story.digest_at_point = running.settled()
        assert running.ask("POST", "auth/token/revoke", {"token": story.tokens["revoked"]}).status == 204
        assert running.ask("PUT", "sys/policy/reader", {"policy": TIGHT}).status == 204
        assert running.ask("PUT", "secret/data/open", {"data": {"n": "late"}}).status == 200
        story.last, story.digest = running.settled()
        running.kill()
    return story
