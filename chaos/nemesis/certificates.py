"""Certificates of nodes that are replaced while the cluster works, and one that has run out.

A node reads its own at its start, so a rotation is a rolling restart. An authority is replaced in three turns: both are
trusted, then every node has a certificate of the new one, then the old one is trusted no more. In each turn every node
understands the one that was restarted before it. A certificate that has run out opens no link: its node is alone, the
others go on. Files are replaced whole; what a node was given last is what heal starts it with.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from cryptography import x509

from chaos.api import Admin
from chaos.targets.base import CONFIG, PROCESS, SEAL, TargetError
from chaos.targets.keys import ready, wait_until
from cluster.links.certs import certificate_names, write_certificates

from .process import revived

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.targets.base import Target

    from .base import Scene

SERVES_S: Final = 40.0
ALONE_S: Final = 10.0
DAY_S: Final = 86_400.0
SECURITY_LOG: Final = "security.log"
LISTENS: Final = "peer listener"


class Certificates:
    """The files of a cluster's nodes, as their configurations name them."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def _peer(self, node: str) -> dict[str, Any]:
        file = self._target.folder / "nodes" / node / "node.toml"
        found: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["peer"]
        return found

    def authority(self, node: str) -> Path:
        """The file of who is trusted; its key lies beside it."""
        return Path(self._peer(node)["tls_ca_file"])

    def renew(self, node: str, authority: Path, lives_s: float | None = None) -> None:
        """The node's files hold a new key, and a certificate of that folder's ca.pem for the same names."""
        peer = self._peer(node)
        certificate, key = Path(peer["tls_cert_file"]), Path(peer["tls_key_file"])
        named = certificate_names(certificate)
        if named is None:
            raise TargetError(f"the certificate of {node} names no node")
        more = {} if lives_s is None else {"days": lives_s / DAY_S}
        with tempfile.TemporaryDirectory(dir=certificate.parent) as folder:
            new = Path(folder)
            write_certificates(new, {named[1]: hosts_of(certificate)}, authority, named[0], **more)
            (new / f"{named[1]}.key").replace(key)
            (new / f"{named[1]}.pem").replace(certificate)

    def shown(self, node: str) -> str:
        """SHA-256 of the certificate that the node's links show since its start, as its security log says; or ""."""
        file = self._target.data_dir(node) / SECURITY_LOG
        found = ""
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                found = said["certificate"] if said.get("event") == LISTENS else found
        return str(found)


def hosts_of(certificate: Path) -> list[str]:
    """Names and addresses that it stands for."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def replace(file: Path, data: bytes) -> None:
    """The file holds this, at every moment the old or the new."""
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(data)
    new.replace(file)


def serves(target: Target, node: str) -> bool:
    """The node serves strong reads. Raises OSError."""
    return ready(Admin({node: target.url(node)}, target.token, target.ca_file), node)


class CertRotate:
    """New keys and certificates for the victims, one after another, the leader last; with `authority` in the options
    the authority is another one, too, and then every node is hit, so that a scenario says `select = "all"`.
    """

    name: ClassVar[str] = "cert-rotate"
    about: ClassVar[str] = "replaces nodes' certificates in a rolling restart, with `authority` the authority, too"
    needs: ClassVar[frozenset[str]] = frozenset({CONFIG, PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#c49c94"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis: all of it happens here."""
        target, files = scene.target, Certificates(scene.target)
        hit = target.nodes if scene.notes.get("authority") else nodes
        order = sorted(hit, key=lambda node: (node == scene.leader, node))
        scene.notes["nodes"] = order
        ca = files.authority(order[0])
        before = {node: files.shown(node) for node in order}
        if scene.notes.get("authority"):
            restarts = self._authority(target, files, order, ca)
        else:
            for node in order:
                files.renew(node, ca.parent)
                self._restart(target, node)
            restarts = len(order)
        after = {node: files.shown(node) for node in order}
        changed = [node for node in order if after[node] not in {"", before[node]}]
        return {"took_effect": changed == order, "changed": len(changed), "restarts": restarts}

    def _authority(self, target: Target, files: Certificates, order: list[str], ca: Path) -> int:
        named = certificate_names(ca.parent / f"{order[0]}.pem")
        new = Path(tempfile.mkdtemp(dir=ca.parent))
        write_certificates(new, {}, None, named[0] if named is not None else "")
        old, fresh = ca.read_bytes(), (new / "ca.pem").read_bytes()
        turns = ((old + fresh, None), (old + fresh, new), (fresh, None))
        for trusted, signer in turns:
            replace(ca, trusted)
            for node in order:
                if signer is not None:
                    files.renew(node, signer)
                self._restart(target, node)
        replace(ca.with_suffix(".key"), (new / "ca.key").read_bytes())
        shutil.rmtree(new)
        return len(turns) * len(order)

    @staticmethod
    def _restart(target: Target, node: str) -> None:
        target.signal(node, signal.SIGHUP)  # reads the API's certificate, and must not mind the others
        wait_until(lambda: serves(target, node), f"{node} serves after a signal", SERVES_S)
        target.terminate(node)
        target.revive(node)
        wait_until(lambda: serves(target, node), f"{node} serves with its new certificate", SERVES_S)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        return revived(scene)


class CertExpire:
    """The victims are started with a certificate that has run out. With `lives_s` in the options it runs out while
    they serve, which ends no link that stands; then they are killed, and have to make new ones.
    """

    name: ClassVar[str] = "cert-expire"
    about: ClassVar[str] = "starts nodes with a certificate that has run out, and gives them a new one"
    needs: ClassVar[frozenset[str]] = frozenset({CONFIG, PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#e7969c"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        target, files = scene.target, Certificates(scene.target)
        scene.notes["nodes"] = list(nodes)
        lives_s = float(scene.notes.get("lives_s", 0.0))
        for node in nodes:
            files.renew(node, files.authority(node).parent, lives_s)
            target.terminate(node)
        ends_s = time.monotonic() + lives_s
        self._revive(target, nodes)
        served = [node for node in nodes if lives_s and _within(target, node, lives_s)]
        if lives_s:
            time.sleep(max(0.0, ends_s - time.monotonic()) + 1.0)  # its end is a whole second
            for node in nodes:
                target.kill(node)
            self._revive(target, nodes)
        alone = [node for node in nodes if not _within(target, node, ALONE_S / 4)]
        return {"took_effect": bool(alone), "alone": len(alone), "served_before": len(served)}

    @staticmethod
    def _revive(target: Target, nodes: Iterable[str]) -> None:
        for node in nodes:
            target.revive(node)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        target, files = scene.target, Certificates(scene.target)
        for node in scene.notes.get("nodes", ()):
            files.renew(node, files.authority(node).parent)
            target.terminate(node)
        return revived(scene)


def _within(target: Target, node: str, timeout_s: float) -> bool:
    """Whether the node serves within that time."""
    try:
        wait_until(lambda: serves(target, node), f"{node} serves", timeout_s)
    except TargetError:
        return False
    return True
