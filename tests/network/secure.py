"""Nodes whose API speaks TLS, with certificates that can be replaced while they run."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.links.certs import write_certificates
from tests.network.far import API_CERTS
from tests.process.harness import CLUSTER_NAME, Reply, Server, ask_on
from tests.process.machine import HOST

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(eq=False)
class SecureServer(Server):
    """Asked over https alone, its certificate checked."""

    @property
    def api(self) -> str:
        return f"https://{HOST}:{self.api_port}"

    @property
    def api_certs(self) -> Path:
        return self.folder.parent / API_CERTS

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.api_certs / "ca.pem")

    def ask(self, method: str, path: str, body: Any = None, *, timeout_s: float = 15.0, **more: Any) -> Reply:
        connection = http.client.HTTPSConnection(HOST, self.api_port, timeout=timeout_s, context=self.trust())
        try:
            return ask_on(connection, method, path, body, **more)
        finally:
            connection.close()

    def shown(self) -> str:
        """The certificate that a new client is shown (PEM). Raises OSError."""
        return ssl.get_server_certificate((HOST, self.api_port), timeout=10.0)


def speak_tls(server: Server, sections: dict[str, dict[str, Any]]) -> None:
    """The node's configuration says so; its certificate stands."""
    certs = server.folder.parent / API_CERTS
    authority = certs if certs.exists() else None
    write_certificates(certs, {server.node_id: [HOST]}, authority, "api")
    sections.setdefault("api", {}).update(
        tls="on",
        tls_cert_file=str(certs / f"{server.node_id}.pem"),
        tls_key_file=str(certs / f"{server.node_id}.key"),
    )


def renew(certs: Path, node_id: str, authority: Path, cluster_name: str = CLUSTER_NAME) -> None:
    """A new key and a new certificate of that authority stand where the old ones stood."""
    made = authority / "renewed"
    write_certificates(made, {node_id: [HOST]}, authority, cluster_name)
    for suffix in ("key", "pem"):
        (made / f"{node_id}.{suffix}").replace(certs / f"{node_id}.{suffix}")
