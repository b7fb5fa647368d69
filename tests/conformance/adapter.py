"""Vault's configuration file, as hvac's suite writes it, becomes one of ours; then this process becomes the server.

`backend inmem` is one node with a folder of its own. `storage consul` is a member of a cluster: all configuration
files of that folder that name the same consul are its members, known before any of them starts; certificates and
peer ports are made by whoever comes first, and the data stays for a restart as long as that consul runs.
The listener keeps the suite's certificate. Everything else is profile dev, as for any test.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = Path(sys.executable).parent / "strongroom"
CLUSTER = "hvac"
AUDIT_LOG = Path(tempfile.gettempdir()) / "vault.audit.log"
"""Where the suite's tests put every audit log; what the node of an earlier class left there is no log of a new node."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a configuration says of its listener; paths absolute."""

    address: str
    cert_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class One:
    """A member: its id, its API, the port of its links."""

    node_id: str
    api: str
    peer_port: int


def listener_of(config: dict[str, Any], root: Path) -> Listener:
    """The one TCP listener; relative paths are relative to the suite's root."""
    tcp = config["listener"]["tcp"]
    return Listener(tcp["address"], str(root / tcp["tls_cert_file"]), str(root / tcp["tls_key_file"]))


def consul_of(config: dict[str, Any]) -> str | None:
    """The address of the consul that a configuration stores in, or None."""
    address = config.get("storage", {}).get("consul", {}).get("address")
    return None if address is None else str(address)


def siblings(config_file: Path, consul: str) -> list[Path]:
    """The configuration files of a cluster, in order; one of them is `config_file`."""
    paths = sorted(config_file.parent.glob("*.json"))
    return [path for path in paths if consul_of(json.loads(path.read_text(encoding="utf-8"))) == consul]


def settings(node_id: str, listener: Listener, data: Path, peers: str) -> str:
    """Our configuration file. `peers` is the text of the section [peer]."""
    return (
        'profile = "dev"\n'
        f'[node]\nid = "{node_id}"\ncluster_name = "{CLUSTER}"\ndata_dir = "{data / "data"}"\n'
        f'[api]\naddress = "{listener.address}"\ntls = "on"\nunauthenticated_rekey = true\n'
        f'tls_cert_file = "{listener.cert_file}"\ntls_key_file = "{listener.key_file}"\n'
        f"[peer]\n{peers}"
        f'[audit]\ndirectory = "{AUDIT_LOG.parent}"\n'
        '[seal]\ntype = "shamir"\npeers = false\n'
        '[log]\nformat = "text"\nlevel = "warning"\n'
    )


def peer_section(own: str, members: list[One], certs: Path) -> str:
    """The section [peer] of one member."""
    port = next(member.peer_port for member in members if member.node_id == own)
    listed = ",\n  ".join(
        f'{{ id = "{one.node_id}", peer = "127.0.0.1:{one.peer_port}", api = "{one.api}" }}' for one in members
    )
    return (
        f'address = "127.0.0.1:{port}"\ntls_cert_file = "{certs / own}.pem"\ntls_key_file = "{certs / own}.key"\n'
        f'tls_ca_file = "{certs / "ca.pem"}"\nmembers = [\n  {listed},\n]\n'
    )


def join_cluster(folder: Path, files: list[Path], root: Path) -> list[One]:
    """The members, the same for each that asks; certificates stand."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        registry = folder / "members.json"
        if not registry.exists():
            from cluster import write_certificates

            ports = free_ports(len(files))
            said: list[tuple[str, str, int]] = []
            for number, (path, port) in enumerate(zip(files, ports, strict=True), 1):
                listener = listener_of(json.loads(path.read_text(encoding="utf-8")), root)
                said.append((f"n{number}", f"https://{listener.address}", port))
            write_certificates(folder / "certs", {node_id: ["127.0.0.1"] for node_id, _, _ in said}, None, CLUSTER)
            registry.write_text(json.dumps(said), encoding="utf-8")
        return [One(*one) for one in json.loads(registry.read_text(encoding="utf-8"))]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def prepare(config_file: Path, root: Path, home: Path) -> Path:
    """Our configuration file stands; its path. Raises KeyError for a configuration that the suite does not write."""
    config = json.loads(config_file.read_text(encoding="utf-8"))
    listener, consul = listener_of(config, root), consul_of(config)
    if consul is None:
        AUDIT_LOG.unlink(missing_ok=True)
        node_id, peers = "n1", 'address = ""\n'
        data = Path(tempfile.mkdtemp(prefix="inmem-", dir=home))
    else:
        folder = home / f"consul-{re.sub('.*:', '', consul)}"
        files = siblings(config_file, consul)
        members = join_cluster(folder, files, root)
        node_id = members[files.index(config_file)].node_id
        peers = peer_section(node_id, members, folder / "certs")
        data = folder / node_id
        data.mkdir(mode=0o700, exist_ok=True)
    path = data / "node.toml"
    path.write_text(settings(node_id, listener, data, peers), encoding="utf-8")
    return path


def main(config_file: str) -> None:
    """Become the server. Its output goes to a file: the suite does not read the pipes it gives."""
    path = prepare(Path(config_file).resolve(), Path.cwd(), Path(os.environ["STRONGROOM_SHIM_HOME"]))
    log = os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execv(SERVER, [str(SERVER), "server", "--config", str(path)])


if __name__ == "__main__":
    main(sys.argv[1])
