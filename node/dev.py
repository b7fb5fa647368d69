"""`strongroom dev`: a whole cluster on loopback, real processes and real TLS between them, nothing else installed.

A shell: makes certificates and configuration files, starts a child process per node, initialises and unseals through
the API, prints what to paste, and ends the children when it ends. Everything is in one folder.
Invariants: dev is written into every node's facts; keys and token stand in `<data>/dev-secrets.json`, mode 0600, in a
folder of mode 0700 that belongs to us; a temporary folder is removed at the end. One dev at a time has a folder: it
locks it before it writes anything. All nodes share one backup sink, `<data>/backup.db`; `-restore` fills node folders
that are gone from it, and touches no others.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .dev_node import HOST, DevError, DevNode, call, check_free, lock_data, status_of

if TYPE_CHECKING:
    from .cli.dev import DevOptions

SECRETS = "dev-secrets.json"
BACKUP = "backup.db"
START_S = 30.0
POLL_S = 0.05
STOP_S = 20.0


@dataclass(slots=True)
class Dev:
    """A running dev cluster."""

    options: DevOptions
    data: Path
    temporary: bool
    nodes: list[DevNode] = field(default_factory=list)
    secrets: dict[str, Any] = field(default_factory=dict)
    lock: int | None = None

    @property
    def backup_url(self) -> str:
        """The sink that all nodes share."""
        return f"sqlite://{quote(str(self.data / BACKUP))}"

    # ---- files
    def prepare(self) -> None:
        """Folders, certificates and configuration files stand; the folder is ours and the ports are free."""
        _private_folder(self.data)
        self.lock = lock_data(self.data)  # children do not inherit it: the kernel frees it when this process ends
        path = self.data / SECRETS
        if os.path.lexists(path):
            self.secrets = _secrets_in(path)
            if self.secrets["nodes"] != self.options.nodes:
                raise DevError(
                    f"{self.data} holds a cluster of {self.secrets['nodes']} nodes: start it with --nodes "
                    f"{self.secrets['nodes']}, or take another folder"
                )
        elif any(self.data.glob("n*/data/keyring")):
            raise DevError(f"{path} is gone, and with it the keys of the nodes: bring it back, or remove {self.data}")
        for number in range(self.options.nodes):
            port = self.options.port_base + 10 * number
            check_free(port)
            check_free(port + 1)
            self.nodes.append(DevNode(f"n{number + 1}", port, port + 1, self.data / f"n{number + 1}"))
        for node in self.nodes:
            node.folder.mkdir(mode=0o700, exist_ok=True)
        self._certificates()
        for node in self.nodes:
            _write(node.folder / "node.toml", self._config(node))

    def _certificates(self) -> None:
        from cluster import write_certificates

        folder = self.data / "certs"
        if not (folder / "ca.pem").exists():
            write_certificates(folder, {node.node_id: [HOST] for node in self.nodes}, None, "dev")

    def _config(self, node: DevNode) -> str:
        certs = self.data / "certs"
        members = ",\n  ".join(
            f'{{ id = "{one.node_id}", peer = "{HOST}:{one.peer_port}", api = "{one.api}" }}' for one in self.nodes
        )
        return (
            'profile = "dev"\n'
            f'[node]\nid = "{node.node_id}"\ncluster_name = "dev"\ndata_dir = "{node.folder / "data"}"\n'
            f'[api]\naddress = "{HOST}:{node.api_port}"\nadvertise = "{node.api}"\ntls = "off"\n'
            f'[peer]\naddress = "{HOST}:{node.peer_port}"\n'
            f'tls_cert_file = "{certs / (node.node_id + ".pem")}"\n'
            f'tls_key_file = "{certs / (node.node_id + ".key")}"\n'
            f'tls_ca_file = "{certs / "ca.pem"}"\n'
            f"members = [\n  {members},\n]\n"
            f'[audit]\ndirectory = "{node.folder / "audit"}"\n'
            "[journal]\nsegment_bytes = 16777216\n"
            '[seal]\ntype = "shamir"\npeers = false\n'
            f'[backup]\nsinks = [{{ name = "dev", url = "{self.backup_url}" }}]\n'
            '[log]\nformat = "text"\nlevel = "warning"\n'
        )

    def restore(self) -> None:
        """The nodes' folders, which are gone, are those of a cluster from backup.db. Raises DevError."""
        from .restore.dev import RestoreDevError, restore_dev

        if not self.secrets:
            raise DevError(f"{self.data / SECRETS} is gone, and with it the key of the backup")
        folders = {node.node_id: node.folder / "data" for node in self.nodes}
        configs = {node.node_id: node.folder / "node.toml" for node in self.nodes}
        try:
            report = restore_dev(self.backup_url, folders, configs, self.secrets["unseal_keys"])
        except RestoreDevError as error:
            raise DevError(str(error)) from None
        self.secrets["root_token"] = report["root_token"] or self.secrets["root_token"]
        _write(self.data / SECRETS, json.dumps(self.secrets, indent=1) + "\n")
        _tell(f"restored to index {report['index']} of {report['time']}")

    # ---- processes
    def start(self, node: DevNode) -> None:
        """The node's process runs; its pid stands in node.pid."""
        log = node.log.open("ab")
        environ = os.environ | {"STRONGROOM_DEV_SECRET_MOUNT": "1", "STRONGROOM_PARENT": str(os.getpid())}
        environ = {name: value for name, value in environ.items() if not _overrides(name)}
        node.process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-m", "node", "server", "--config", str(node.folder / "node.toml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,  # Ctrl-C reaches dev alone, which stops the nodes in order
        )
        log.close()
        _write(node.folder / "node.pid", f"{node.process.pid}\n")

    def stop(self) -> None:
        """Every child has ended; the folder is free for another dev."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + STOP_S
        for node in self.nodes:
            if node.process is None:
                continue
            try:
                node.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                node.process.kill()
                node.process.wait()
            (node.folder / "node.pid").unlink(missing_ok=True)
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    # ---- the API
    def wait_listening(self, node: DevNode) -> None:
        """The node answers. Raises DevError if its process ends or takes too long."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                call(node, "GET", "sys/seal-status")
                return
            if node.process is not None and node.process.poll() is not None:
                break
            time.sleep(POLL_S)
        tail = node.log.read_text(errors="replace").splitlines()[-5:]
        raise DevError(f"{node.node_id} did not start on {node.api}:\n  " + "\n  ".join(tail))

    def initialise(self) -> None:
        """Keys and root token exist and stand in dev-secrets.json."""
        status, body = call(self.nodes[0], "PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        if status != 200:
            raise DevError(f"init failed: {body.get('errors')}")
        self.secrets = {
            "nodes": self.options.nodes,
            "root_token": body["root_token"],
            "unseal_keys": body["keys_base64"],
        }
        _write(self.data / SECRETS, json.dumps(self.secrets, indent=1) + "\n")

    def unseal(self, node: DevNode) -> None:
        """The node is unsealed."""
        for key in self.secrets["unseal_keys"]:
            status, body = call(node, "PUT", "sys/unseal", {"key": key})
            if status != 200:
                raise DevError(f"{node.node_id} cannot be unsealed: {body.get('errors')}")

    def wait_ready(self) -> None:
        """Every node serves."""
        end = time.monotonic() + START_S
        waiting = list(self.nodes)
        while waiting and time.monotonic() < end:
            waiting = [node for node in waiting if status_of(node, "/readyz") != 200]
            if waiting:
                time.sleep(POLL_S)
        if waiting:
            raise DevError(f"not ready in time: {', '.join(node.node_id for node in waiting)}")

    def up(self) -> None:
        """Start, initialise if new, unseal, wait."""
        self.prepare()
        if self.options.restore:
            self.restore()
        elif self.secrets and not any((node.folder / "data" / "keyring").exists() for node in self.nodes):
            raise DevError(f"the nodes' folders are gone: start with --restore, or remove {self.data} to begin anew")
        for node in self.nodes:
            self.start(node)
        for node in self.nodes:
            self.wait_listening(node)
        if not self.secrets:
            self.initialise()
        for node in self.nodes:
            self._unseal_when_known(node)
        self.wait_ready()

    def _unseal_when_known(self, node: DevNode) -> None:
        """A node whose folder is new first has to find its cluster."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            _, body = call(node, "GET", "sys/seal-status")
            if body.get("initialized"):
                self.unseal(node)
                return
            time.sleep(POLL_S)
        raise DevError(f"{node.node_id} does not find the cluster")

    def watch(self) -> None:
        """Until interrupted. A node that ended is said to have; with --restart it is started and unsealed again."""
        said: set[int] = set()
        while True:
            time.sleep(0.2)
            for node in self.nodes:
                code = None if node.process is None else node.process.poll()
                if node.process is None or code is None:
                    continue
                if node.process.pid not in said:
                    said.add(node.process.pid)
                    _tell(f"{node.node_id} has ended ({_ending(code)}); its log is {node.log}")
                if self.options.restart:
                    self._again(node)

    def _again(self, node: DevNode) -> None:
        self.start(node)
        with contextlib.suppress(DevError, OSError):
            self.wait_listening(node)
            self._unseal_when_known(node)

    def describe(self) -> dict[str, Any]:
        """The one line of --json."""
        return {
            "nodes": [
                {
                    "id": node.node_id,
                    "api": node.api,
                    "pid": node.process.pid if node.process else None,
                    "data": str(node.folder),
                }
                for node in self.nodes
            ],
            "root_token": self.secrets["root_token"],
            "unseal_keys": self.secrets["unseal_keys"],
            "backup": self.backup_url,
            "ca_file": None,
        }


def _tell(text: str) -> None:
    """One line for the person who typed it."""
    print(f"strongroom dev: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _ending(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"signal {-code}"


def _overrides(name: str) -> bool:
    """A setting in our environment is not meant for the children."""
    return name.startswith("STRONGROOM_") and "__" in name


def _secrets_in(path: Path) -> dict[str, Any]:
    """What `initialise` wrote. Raises DevError for anything else, and repeats none of it; OSError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    types = {"nodes": int, "root_token": str, "unseal_keys": list}
    if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in types.items()):
        raise DevError(f"{path} is damaged, and with it the keys of {path.parent}: bring it back, or remove the folder")
    return found


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.getuid():
        raise DevError(f"{path} belongs to somebody else: take another folder")
    path.chmod(0o700)


def _write(path: Path, text: str) -> None:
    """The file holds the text; whoever reads it meanwhile finds the old one or the new one, whole."""
    partial = path.with_name(f"{path.name}.partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def _say(dev: Dev) -> None:
    first = dev.nodes[0]
    others = ", ".join(node.api for node in dev.nodes[1:])
    lines = [
        f"Strongroom dev: {len(dev.nodes)} nodes on loopback. NOT for production: keys stand in {dev.data / SECRETS}",
        "",
        f"  export VAULT_ADDR={first.api}",
        f"  export VAULT_TOKEN={dev.secrets['root_token']}",
        "",
        "  strongroom kv put secret/hello greeting=world",
        "  strongroom kv get secret/hello",
        "",
        f"  data: {dev.data}",
        f"  backup: {dev.backup_url}",
    ]
    lines += [f"  {node.node_id}: {node.api}  pid {node.process.pid if node.process else '-'}" for node in dev.nodes]
    if others:
        lines.append(f"  any node takes any request; try {others}, or kill a pid")
    lines += ["", "Ctrl-C stops the cluster."]
    print("\n".join(lines), flush=True)  # noqa: T201 - this is what the command is for


def run(options: DevOptions) -> int:
    """Run until SIGINT or SIGTERM; the exit code."""
    temporary = options.data is None
    data = Path(tempfile.mkdtemp(prefix="strongroom-dev-")) if options.data is None else options.data.absolute()
    dev = Dev(options, data, temporary)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    try:
        dev.up()
        if options.json:
            print(json.dumps(dev.describe()), flush=True)  # noqa: T201 - the one line of --json
        else:
            _say(dev)
        dev.watch()
    except KeyboardInterrupt:
        return 0
    except (DevError, OSError) as error:
        _tell(str(error))
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        dev.stop()
        if temporary:
            shutil.rmtree(data, ignore_errors=True)
    return 0
