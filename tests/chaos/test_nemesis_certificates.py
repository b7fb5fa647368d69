"""Certificates that are replaced or have run out: the files, and in which order nodes are restarted with them."""

from __future__ import annotations

import datetime as dt
import json
import random
import signal
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from chaos.nemesis import certificates
from chaos.nemesis.base import Scene
from chaos.nemesis.certificates import CertExpire, Certificates, CertRotate, hosts_of
from cluster.links.certs import certificate_expiry, certificate_names, write_certificates
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ["node.example", "127.0.0.1"]


class CertTarget(FakeTarget):
    """Three nodes' files. Remembers with which certificate and trust each was started."""

    def __init__(self, folder: Path) -> None:
        super().__init__(3)
        self.folder = folder
        self.certs = folder / "certs"
        self.started: list[tuple[str, str, int]] = []  # node, issuer's key, how many authorities are trusted
        write_certificates(self.certs, dict.fromkeys(self.nodes, HOSTS), None, "chaos")
        for node in self.nodes:
            place = folder / "nodes" / node
            place.mkdir(parents=True)
            lines = [f'tls_{name}_file = "{self.certs / file}"' for name, file in (
                ("cert", f"{node}.pem"), ("key", f"{node}.key"), ("ca", "ca.pem"),
            )]  # fmt: skip
            (place / "node.toml").write_text('[peer]\naddress = "127.0.0.1:1"\n' + "\n".join(lines) + "\n")

    def revive(self, node: str) -> None:
        super().revive(node)
        issuer = certificate(self.certs / f"{node}.pem").extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        )
        trusted = (self.certs / "ca.pem").read_text().count("BEGIN CERTIFICATE")
        self.started.append((node, (issuer.value.key_identifier or b"").hex()[:8], trusted))


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def fits(certs: Path, node: str) -> bool:
    """The node's key is that of its certificate, and one of the trusted authorities has signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(certs / f"{node}.pem", certs / f"{node}.key")  # raises if they do not fit
    own = certificate(certs / f"{node}.pem")
    for authority in x509.load_pem_x509_certificates((certs / "ca.pem").read_bytes()):
        try:
            own.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001 - another authority's
            continue
        return True
    return False


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CertTarget:
    """Every node serves while it runs; each shows its file."""
    made = CertTarget(tmp_path)
    monkeypatch.setattr(certificates, "serves", lambda target, node: node not in target.down)
    monkeypatch.setattr(certificates, "ALONE_S", 0.02)
    monkeypatch.setattr(Certificates, "shown", lambda _self, node: (made.certs / f"{node}.pem").read_text())
    return made


def scene(target: CertTarget, leader: str = "n1", **notes: Any) -> Scene:
    return Scene(target, random.Random(1), leader, notes)  # type: ignore[arg-type] # no backup, no environment


def test_a_new_certificate_stands_for_the_same_names(target: CertTarget) -> None:
    """With another key; those of others stay. One that lives for a second has ended after it."""
    files = Certificates(target)  # type: ignore[arg-type]
    before = {node: (target.certs / f"{node}.pem").read_bytes() for node in target.nodes}
    files.renew("n2", target.certs)
    renewed = target.certs / "n2.pem"
    lasts = certificate_expiry(renewed)
    fitting = [node for node in target.nodes if fits(target.certs, node)]
    files.renew("n3", target.certs, lives_s=0.0)
    ended = certificate_expiry(target.certs / "n3.pem")

    assert (certificate_names(renewed), hosts_of(renewed)) == (("chaos", "n2"), HOSTS)
    assert renewed.read_bytes() != before["n2"]
    assert (target.certs / "n1.pem").read_bytes() == before["n1"]
    assert fitting == target.nodes
    assert lasts > dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert ended <= dt.datetime.now(dt.UTC)
    assert sorted(path.suffix for path in target.certs.iterdir()) == [".key"] * 4 + [".pem"] * 4


def test_the_victims_are_restarted_one_by_one_the_leader_last(target: CertTarget) -> None:
    """Each is told by a signal first, which it must not mind; the others go on with what they have."""
    said = CertRotate().inject(scene(target, "n1"), ["n1", "n3"])
    ended = [call[1] for call in target.calls if call[0] == "terminate"]
    told = [call[1] for call in target.calls if call[:1] == ("signal",) and call[2] == signal.SIGHUP]

    assert said == {"took_effect": True, "changed": 2, "restarts": 2}
    assert ended == told == ["n3", "n1"]
    assert all(fits(target.certs, node) for node in target.nodes)


def test_an_authority_is_replaced_without_a_moment_in_which_nodes_disown_each_other(target: CertTarget) -> None:
    """Both are trusted, then all have the new one's, then the old one is trusted no more."""
    old = certificate(target.certs / "ca.pem")
    said = CertRotate().inject(scene(target, "n2", authority=True), ["n2"])
    issuers = [issuer for _, issuer, _ in target.started]

    assert said == {"took_effect": True, "changed": 3, "restarts": 9}
    assert [node for node, _, _ in target.started] == ["n1", "n3", "n2"] * 3
    assert [trusted for _, _, trusted in target.started] == [2] * 6 + [1] * 3
    assert len(set(issuers[:3])) == len(set(issuers[3:])) == 1
    assert issuers[0] != issuers[3]
    assert certificate(target.certs / "ca.pem") != old
    assert all(fits(target.certs, node) for node in target.nodes)
    assert CertRotate().inject(scene(target, "n2"), ["n1"])["took_effect"]  # the authority's new key is in its place


def test_what_a_node_shows_is_what_its_security_log_says(tmp_path: Path) -> None:
    """Of its newest start; a torn line and other events say nothing, and without a log nothing is known."""
    target = CertTarget(tmp_path)
    files = Certificates(target)  # type: ignore[arg-type]
    nothing = files.shown("n1")
    target.data_dir("n1").mkdir()
    lines = [
        json.dumps({"event": event, "certificate": name})
        for event, name in (("peer listener", "a"), ("peer listener", "b"), ("member certificate changed", "c"))
    ]
    (target.data_dir("n1") / "security.log").write_text("\n".join([*lines, '{"event":"peer li']))

    assert (nothing, files.shown("n1")) == ("", "b")


def test_a_rotation_that_shows_the_old_certificate_took_no_effect(
    target: CertTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is asked, not the file."""
    monkeypatch.setattr(Certificates, "shown", lambda _self, _node: "the same")

    assert CertRotate().inject(scene(target), ["n1"])["took_effect"] is False


@pytest.mark.parametrize("alone", [True, False])
def test_who_has_an_old_certificate_is_alone_until_it_heals(
    target: CertTarget, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """One that serves all the same is no effect; healed it has one that lasts, and so has a second heal."""
    monkeypatch.setattr(certificates, "serves", lambda _target, _node: not alone)
    one = scene(target)
    said = CertExpire().inject(one, ["n2"])
    ended = certificate_expiry(target.certs / "n2.pem")
    CertExpire().heal(one)
    CertExpire().heal(one)
    CertExpire().heal(scene(target))

    assert said == {"took_effect": alone, "alone": int(alone), "served_before": 0}
    assert ended <= dt.datetime.now(dt.UTC) < certificate_expiry(target.certs / "n2.pem")
    assert (target.down, fits(target.certs, "n2")) == (set(), True)


def test_a_certificate_that_ends_while_the_node_serves_is_noticed_at_its_next_link(target: CertTarget) -> None:
    """It serves with it, and is killed once it has ended."""
    said = CertExpire().inject(scene(target, lives_s=0.05), ["n2"])

    assert said["served_before"] == 1
    assert [call[0] for call in target.calls] == ["terminate", "revive", "kill", "revive"]
