"""What logins need that believe somebody else: authorities, certificates, an issuer of tokens, a server that answers.

And a world in which their methods are mounted.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from node.auth.cert.engine import CertEngine
from node.auth.jwt.engine import JwtEngine
from node.auth.kubernetes.engine import KubernetesEngine
from node.auth.tokens import authenticate
from node.engines.identity.engine import IdentityEngine
from node.engines.system.mounts import MountTypes
from node.request import Answer, Refusal
from tests.node.auth import login_world
from tests.node.auth.login_world import LoginWorld
from tests.node.auth.world import ADDRESS, START_NS, make_request

NOW = dt.datetime.fromtimestamp(START_NS // 1_000_000_000, dt.UTC)
NOW_S = START_NS // 1_000_000_000
TYPES = ("cert", "jwt", "kubernetes", "oidc")


class OutsideWorld(LoginWorld):
    """`auth/cert/`, `auth/jwt/` (also of type oidc at `auth/oidc/`) and `auth/kubernetes/` are mounted."""

    def __init__(self) -> None:
        kept = login_world.TYPES
        login_world.TYPES = MountTypes(auth=kept.auth | set(TYPES))
        try:
            super().__init__()
        finally:
            login_world.TYPES = kept
        jwt = JwtEngine()
        self.engines |= {
            "cert": CertEngine(), "jwt": jwt, "kubernetes": KubernetesEngine(), "oidc": jwt,
            "identity": IdentityEngine(),
        }  # fmt: skip
        for type_ in TYPES:
            self.ask("update", f"sys/auth/{type_}", {"type": type_})

    def come(
        self, path: str, body: object = None, *, operation: str = "update", certificate: bytes = b"",
        address: str = ADDRESS, query: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """The answer to whoever has no token yet. Raises Refusal."""
        request = make_request(operation, path, body, None, address=address, query=query)
        request.certificate = certificate
        self._work(request)
        context = self.context(path)
        plan = self.engines[context.mount.type].decide(context, request, path[len(context.mount_path) :])
        self.plans.append(plan)
        self.apply(plan.draft)
        return plan.answer

    def sent_away(self, path: str, body: object = None, **rest: Any) -> tuple[int, str]:
        """(status, text) of a login that is refused; nothing is changed by it."""
        before = self.state.applied_index
        try:
            self.come(path, body, **rest)
        except Refusal as refusal:
            assert self.state.applied_index == before
            return refusal.status, "".join(refusal.texts)
        raise AssertionError("not refused")

    def renew(self, token: str, certificate: bytes = b"") -> Answer:
        """By itself, on a connection with this certificate. Raises Refusal."""
        request = make_request("update", "auth/token/renew-self", {}, token)
        request.certificate = certificate
        view = self.token_view(token)
        plan = self._plan(request, self.state, view)
        self.apply(plan.draft)
        return plan.answer

    def not_renewed(self, token: str, certificate: bytes = b"") -> tuple[int, str]:
        try:
            self.renew(token, certificate)
        except Refusal as refusal:
            return refusal.status, "".join(refusal.texts)
        raise AssertionError("not refused")

    def token_view(self, token: str) -> Any:
        found = authenticate(self.state, self.keys, token, self.now_ns, ADDRESS)
        assert found is not None
        return found


# ---- certificates
class Party:
    """A certificate and its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.key = key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def certify(
    name: str,
    issuer: Party | None = None,
    *,
    authority: bool = False,
    extensions: tuple[x509.ExtensionType, ...] = (),
    days: tuple[int, int] = (-1, 30),
    key: ec.EllipticCurvePrivateKey | None = None,
    unit: str = "",
    folder: str = "",
    now: dt.datetime = NOW,
) -> Party:
    """A certificate that is valid between these days from now, of nobody or of the issuer."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, one) for one in (folder, name) if one]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    subject = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if issuer is not None:
        signer = issuer.key.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Party(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


FOR_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
FOR_SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def revoke(issuer: Party, *serials: int, extensions: tuple[x509.ExtensionType, ...] = ()) -> str:
    """PEM of a list of the issuer."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + dt.timedelta(days=1))
    )
    for serial in serials:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
        for extension in extensions:
            one = one.add_extension(extension, critical=True)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


# ---- tokens
RSA = RSAKey.generate_key(2048, {"kid": "r1"})
RSA_OTHER = RSAKey.generate_key(2048, {"kid": "r2"})
EC = ECKey.generate_key("P-256", {"kid": "e1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "o1"})


def public_pem(key: Any) -> str:
    return key.as_pem(private=False).decode()


def key_set(*keys: Any) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


class Signing(jws.JWSRegistry):
    """Signs what issuers sign, of any length."""

    max_payload_length = max_header_length = 1 << 20

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def sign(claims: object, key: Any = RSA, algorithm: str = "RS256", **header: Any) -> str:
    """A compact token."""
    fields = {"alg": algorithm, "kid": key.as_dict().get("kid"), **header}
    fields = {name: value for name, value in fields.items() if value is not None}
    registry = Signing(algorithms=[algorithm], strict_check_header=False)
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(fields, payload, key, registry=registry)


def unsigned(claims: object, **header: Any) -> str:
    """A token that says that it needs no signature."""
    return ".".join([part({"alg": "none", **header}), part(claims), ""])


def by_shared_secret(claims: object, secret: bytes, key_id: str) -> str:
    """What who holds the public key alone can make, if it is taken for a secret."""
    header, body = part({"alg": "HS256", "kid": key_id}), part(claims)
    tag = hmac.new(secret, f"{header}.{body}".encode(), "sha256").digest()
    return f"{header}.{body}.{text(tag)}"


def part(value: object) -> str:
    return text(value if isinstance(value, bytes) else json.dumps(value).encode())


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ---- a server
Handler = Callable[[str, str, dict[str, str], bytes], tuple[int, Any]]


class Outside:
    """A server on this machine: `answers` gives (status, JSON or bytes) for (method, path, headers, body)."""

    def __init__(self, answers: Handler) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""


@contextlib.contextmanager
def serving(answers: Handler) -> Iterator[Outside]:
    outside = Outside(answers)

    class Serve(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            outside.asked.append((self.command, self.path, headers, body))
            status, answer = outside.answers(self.command, self.path, headers, body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if status in {301, 302, 307}:
                self.send_header("Location", data.decode())
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data)

        do_GET = do_POST = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    outside.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield outside
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
