"""Certificates are replaced under load: the API's by a signal, the nodes' by restarts in turn, then their authority.

Source: docs/runbook.md, "The API's certificate has expired" and "A node certificate has expired". An authority is
replaced as such a file allows: both are trusted first, then every node has a certificate of the new one, then the old
one is trusted no more. Three turns, each node restarted in each.
"""

from __future__ import annotations

import signal
import socket
import ssl
from typing import TYPE_CHECKING

from cluster.links.certs import write_certificates
from tests.network.far import far_cluster
from tests.network.reading import verify
from tests.network.result import Result
from tests.network.secure import SecureServer, renew, speak_tls
from tests.network.watching import Reign, caught_up
from tests.network.writing import writing
from tests.process.harness import CLUSTER_NAME, wait_until
from tests.process.machine import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.network.far import Far
    from tests.network.writing import Writing
    from tests.process.harness import Cluster, Server

BETWEEN = 60  # writes between two steps
READY_S = 60.0


def certificate(folder: Path, writers: int = 16) -> Result:
    """No write is lost, and nobody loses the lead but by handing it over."""
    result = Result("certificates rotated")
    with far_cluster(folder, server_type=SecureServer, change=speak_tls) as far:
        rotate(far, writers, result, authority_too=True)
    return result


def rotate(far: Far, writers: int, result: Result, *, authority_too: bool) -> None:
    """The same on a cluster that stands."""
    cluster, certs = far.cluster, far.folder / "certs"
    result.notes["hand-overs"] = 0
    with writing(far, tag="certificates", writers=writers) as writing_on:
        reign = Reign(cluster)
        api_certificates(cluster, writing_on, result)
        result.notes["elections, signals"] = reign.changes()
        in_turn(cluster, writing_on, result, lambda server: renew(certs, server.node_id, certs))
        if authority_too:
            new_authority(cluster, writing_on, result, certs)
        result.notes["elections"] = reign.changes() - result.notes["hand-overs"]
        writing_on.wait_for(BETWEEN)
    verify(far, writing_on, result)


def api_certificates(cluster: Cluster, writing_on: Writing, result: Result) -> None:
    """SIGHUP on each node: new clients are shown the new certificate, old connections go on."""
    for server in cluster.servers:
        assert isinstance(server, SecureServer)
        writing_on.wait_for(BETWEEN)
        before, broken = server.shown(), writing_on.broken
        renew(server.api_certs, server.node_id, server.api_certs, "api")
        result.need(server.shown() == before, "a new certificate was shown before the node was told")
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda s=server, b=before: s.shown() != b, f"{server.node_id} shows its new certificate")
        writing_on.wait_for(BETWEEN)
        result.need(writing_on.broken == broken, f"{server.node_id} broke connections when it was told")


def in_turn(cluster: Cluster, writing_on: Writing, result: Result, change: Callable[[Server], None]) -> None:
    """Each node is stopped, changed, started, and has caught up before the next; the leader is the last."""
    leader = cluster.leader()
    for server in sorted(cluster.servers, key=lambda one: one is leader):
        writing_on.wait_for(BETWEEN)
        result.notes["hand-overs"] += server is cluster.leader()
        code = server.end(signal.SIGTERM)
        result.need(code == 0, f"{server.node_id} ended with {code}")
        change(server)
        cluster.restart(server)
        cluster.wait_ready([server], READY_S)
        caught_up(cluster, server, READY_S)


def new_authority(cluster: Cluster, writing_on: Writing, result: Result, certs: Path) -> None:
    """Both are trusted, then all have new certificates, then the old one is trusted no more: and is refused."""
    new = certs.parent / "certs-new"
    write_certificates(new, {}, None, CLUSTER_NAME)
    write_certificates(certs.parent / "stranger", {cluster.servers[0].node_id: [HOST]}, certs, CLUSTER_NAME)
    old = (certs / "ca.pem").read_text()
    trusted = (new / "ca.pem").read_text()
    (certs / "ca.pem").write_text(old + trusted)
    in_turn(cluster, writing_on, result, lambda _server: None)
    in_turn(cluster, writing_on, result, lambda server: renew(certs, server.node_id, new))
    result.need(welcome(cluster, certs), "a certificate of the old authority was refused while it was trusted")
    (certs / "ca.pem").write_text(trusted)
    in_turn(cluster, writing_on, result, lambda _server: None)
    result.need(not welcome(cluster, certs), "a certificate of the old authority is still accepted")


def welcome(cluster: Cluster, certs: Path) -> bool:
    """Whether the last node goes on with a TLS client that shows a certificate of the old authority for the first."""
    stranger = certs.parent / "stranger" / cluster.servers[0].node_id
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.load_verify_locations(certs / "ca.pem")
    tls.load_cert_chain(stranger.with_suffix(".pem"), stranger.with_suffix(".key"))
    address = (HOST, cluster.servers[-1].peer_port)
    with socket.create_connection(address, READY_S) as plain, tls.wrap_socket(plain) as link:
        link.settimeout(1.0)
        try:
            return link.recv(1) != b""
        except TimeoutError:
            return True  # it waits for our hello
        except (ssl.SSLError, ConnectionError):
            return False
