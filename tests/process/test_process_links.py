"""The peer port, spoken to by strangers: no TLS, no certificate, another authority, another node's name."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from cluster.links.certs import write_certificates
from cluster.links.messages import Hello, Message, Ping, PreVote, Proof, decode, encode
from cluster.links.wire import FORMAT, Reader, frames
from tests.process.harness import CLUSTER_NAME, Cluster, Server, make_cluster, running
from tests.process.machine import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for everybody who is refused: nothing of it may change."""
    with running(make_cluster(tmp_path_factory.mktemp("links"))) as started:
        leader, term = started.leader(), started.statuses()["n1"]["term"]
        yield started
        assert started.leader() is leader
        assert started.statuses()["n1"]["term"] == term


@pytest.fixture(scope="module")
def without_n3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that serve, and the certificate and the place of the third, which is dead."""
    with running(make_cluster(tmp_path_factory.mktemp("links"))) as started:
        started["n3"].kill()
        yield started


def hello(node_id: str, cluster_name: str = CLUSTER_NAME) -> Hello:
    return Hello(node_id, cluster_name, "bulk", 1, bytes(32), [FORMAT], b"", b"", "", 0, "sealed")


def frame(message: Message) -> bytes:
    return b"".join(frames(encode(message), data_lane=False))


def context(folder: Path, node_id: str | None, authority: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(authority / "ca.pem")
    if node_id is not None:
        made.load_cert_chain(folder / f"{node_id}.pem", folder / f"{node_id}.key")
    return made


@contextlib.contextmanager
def dial(server: Server, tls: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with socket.create_connection((HOST, server.peer_port), TIMEOUT_S) as plain, tls.wrap_socket(plain) as link:
        yield link


def heard(link: socket.socket, *said: bytes) -> bytes:
    """Everything the other end sends until it hangs up, b"" if it only hangs up."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        for data in said:
            link.sendall(data)
        while data := link.recv(65536):
            received += data
    return received


def certs(cluster: Cluster) -> Path:
    return cluster.servers[0].folder.parent / "certs"


def test_a_peer_port_says_nothing_without_tls(standing: Cluster) -> None:
    """Plain bytes get no plain answer: at most the alert of TLS."""
    for said in (frame(hello("n3")), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(64)):
        with socket.create_connection((HOST, standing["n1"].peer_port), TIMEOUT_S) as plain:
            received = heard(plain, said)

        assert received[:1] in {b"", b"\x15"}  # content type alert
        assert len(received) <= 7


def test_a_client_without_a_certificate_is_refused(standing: Cluster) -> None:
    """Whatever it says."""
    with dial(standing["n1"], context(certs(standing), None, certs(standing))) as link:
        received = heard(link, frame(hello("n3")))

    assert received == b""


def test_a_certificate_of_another_authority_is_refused(standing: Cluster, tmp_path: Path) -> None:
    """Same names, same cluster, another CA."""
    write_certificates(tmp_path / "other", {"n3": [HOST]}, None, CLUSTER_NAME)
    with dial(standing["n1"], context(tmp_path / "other", "n3", certs(standing))) as link:
        received = heard(link, frame(hello("n3")))

    assert received == b""


def test_tls_1_2_is_refused_between_nodes(standing: Cluster) -> None:
    """Also with the right certificate."""
    tls = context(certs(standing), "n3", certs(standing))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises((ssl.SSLError, ConnectionError)), dial(standing["n1"], tls):
        pass


@pytest.mark.parametrize(
    ("certified", "cluster_name", "said", "said_cluster"),
    [
        ("n9", CLUSTER_NAME, "n9", CLUSTER_NAME),  # no member
        ("n3", "another", "n3", "another"),  # another cluster of the same authority
        ("n3", "another", "n3", CLUSTER_NAME),
        ("n3", CLUSTER_NAME, "n2", CLUSTER_NAME),  # another member's name
        ("n1", CLUSTER_NAME, "n1", CLUSTER_NAME),  # the node's own name
    ],
)
def test_a_certificate_with_another_identity_is_refused(
    standing: Cluster, tmp_path: Path, certified: str, cluster_name: str, said: str, said_cluster: str
) -> None:
    """Signed by the right authority, and still not who it must be: no hello comes back."""
    write_certificates(tmp_path / "made", {certified: [HOST]}, certs(standing), cluster_name)
    with dial(standing["n1"], context(tmp_path / "made", certified, certs(standing))) as link:
        received = heard(link, frame(hello(said, said_cluster)))

    assert received == b""


def answers(link: ssl.SSLSocket, count: int) -> list[Message]:
    reader = Reader()
    messages: list[Message] = []
    while len(messages) < count:
        data = link.recv(65536)
        assert data, "the other end hung up"
        messages += [decode(payload) for payload in reader.feed(data)]
    return messages


def test_a_members_certificate_opens_a_link_but_no_conversation(without_n3: Cluster) -> None:
    """The twin of the refusals: hello and proof come back; a Raft message without our own proof ends the link."""
    with dial(without_n3["n1"], context(certs(without_n3), "n3", certs(without_n3))) as link:
        link.sendall(frame(hello("n3")))
        first, second = answers(link, 2)[:2]
        link.sendall(frame(Proof(b"")) + frame(PreVote(99, 10**6, 99)))
        rest = heard(link)

    messages = [decode(payload) for payload in Reader().feed(rest)]
    assert (type(first), type(second)) == (Hello, Proof)
    assert {type(message) for message in messages} <= {Ping}
    assert without_n3.ask("PUT", "secret/data/on", {"data": {}}, at=without_n3["n2"]).status == 200


def test_a_wrong_proof_of_the_keyring_ends_the_link(without_n3: Cluster) -> None:
    """Not even calls that need no proof are served then."""
    before = len(without_n3["n1"].log_text)
    with dial(without_n3["n1"], context(certs(without_n3), "n3", certs(without_n3))) as link:
        link.sendall(frame(hello("n3")))
        answers(link, 2)
        rest = heard(link, frame(Proof(bytes(32))))

    assert rest == b""
    assert "does not hold this cluster's keys" in without_n3["n1"].log_text[before:]
