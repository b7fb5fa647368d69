"""A fresh node for openapi_check.py, and what is made in it so that requests are about something.

Starts one process of the product, and ends it by its id. What is made is named `example`, as in the examples of the
OpenAPI document; what has an id of its own is said by `fill`.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .adapter import free_ports
from .contract_check import SERVER
from .hvac_suite import SuiteError

EXAMPLE, NOBODY = "example", "pki/issue/nobody"
REVOKED = ("revoke-prefix", "revoke-force", "leases/revoke-prefix", "leases/revoke-force")
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
KEY = ec.generate_private_key(ec.SECP256R1())


class Node:
    """One fresh node, unsealed, and its root token."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"
        self.token = self.share = ""

    def ask(self, method: str, path: str, body: Any = None, *, wrap_ttl: str = "") -> tuple[int, Any]:
        """(status, JSON of the body); as root."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=data)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Vault-Token", self.token)
        if wrap_ttl:
            request.add_header("X-Vault-Wrap-TTL", wrap_ttl)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """The body's `data`, or the body. Raises SuiteError for a refusal."""
        status, found = self.ask(method, f"/v1/{path}", body)
        if status >= 300:
            raise SuiteError(f"{method} {path} was answered with {status}: {found}")
        return found.get("data") or found if isinstance(found, dict) else found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Node]:
    """The node; its process is gone afterwards."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [str(SERVER), "server", "--listen", address, "--data", str(folder / "data"), "--dev-http"]
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen([*command, "--audit-dir", str(folder / "audit")], stdout=output, stderr=output)
        try:
            yield _opened(Node(address), process)
        finally:
            process.terminate()
            process.wait(30)


def _opened(node: Node, process: subprocess.Popen[bytes]) -> Node:
    while True:
        try:
            node.ask("GET", "/livez")
            break
        except OSError:
            if process.poll() is not None:
                raise SuiteError(f"the server ended with {process.returncode}") from None
    made = node.must("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    node.token, node.share = made["root_token"], made["keys"][0]
    node.must("POST", "sys/unseal", {"key": node.share})
    return node


# ---- what exists
def fill(node: Node) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, Any]]]:
    """Parts of paths that exist, by path and name; bodies that mean what exists, by their name or their operation."""
    _mounts(node)
    entity = node.must("POST", "identity/entity", {"name": EXAMPLE})["id"]
    group = node.must("POST", "identity/group", {"name": EXAMPLE, "type": "external"})["id"]
    accessor = node.must("GET", "sys/auth/userpass")["accessor"]
    alias = {"name": EXAMPLE, "mount_accessor": accessor}
    entity_alias = node.must("POST", "identity/entity-alias", alias | {"canonical_id": entity})["id"]
    group_alias = node.must("POST", "identity/group-alias", alias | {"canonical_id": group})["id"]
    other = node.must("POST", "identity/entity", {"name": "other"})["id"]
    issue = ("POST", "/v1/pki/issue/example", {"common_name": "example.com"})
    issued, revoked, leased, _left = (node.ask(*issue)[1] for _ in range(4))
    migration = node.must("POST", "sys/remount", {"from": "moving", "to": "moved"})["migration_id"]
    secret_ids = [node.must("POST", "auth/approle/role/example/secret-id", {}) for _ in range(3)]
    tokens = [node.ask("POST", "/v1/auth/token/create", {"policies": ["default"]})[1]["auth"] for _ in range(4)]
    role_id = node.must("GET", "auth/approle/role/example/role-id")["role_id"]
    wrapped = [node.ask("GET", "/v1/secret/data/example", wrap_ttl="1h")[1]["wrap_info"]["token"] for _ in range(3)]
    token, role = tokens[0], "/auth/approle/role/{name}"
    lease_id = issued["lease_id"]
    known = {
        "": {
            "name": EXAMPLE, "role": EXAMPLE, "role_name": EXAMPLE, "path": EXAMPLE, "header": "x-example",
            "kind": "plaintext", "type": "encryption-key", "version": "1", "urlbytes": "32", "source": "platform",
            "urlalgorithm": "sha2-256", "serial": issued["data"]["serial_number"], "accessor": accessor,
            "alias": EXAMPLE, "prefix": "pki/issue/example", "url_lease_id": lease_id,
        },
        **{f"/sys/{path}/{{prefix}}": {"prefix": NOBODY} for path in REVOKED},
        **{f"/sys/{path}revoke/{{url_lease_id}}": {"url_lease_id": NOBODY} for path in ("", "leases/")},
        "/sys/remount/status/{id}": {"id": migration},
        "/sys/plugins/catalog/{kind}": {"kind": "secret"},
        "/sys/plugins/catalog/{kind}/{name}": {"kind": "secret", "name": "kv"},
        "/identity/entity/id/{id}": {"id": entity},
        "/identity/entity-alias/id/{id}": {"id": entity_alias},
        "/identity/group/id/{id}": {"id": group},
        "/identity/group-alias/id/{id}": {"id": group_alias},
    }  # fmt: skip
    bodies = {
        "Accessor": {"accessor": token["accessor"]}, "AccessorRenew": {"accessor": token["accessor"]},
        "Token": {"token": token["client_token"]}, "TokenRenew": {"token": token["client_token"], "increment": "1h"},
        "Capabilities": {"paths": ["kv/a"], "token": token["client_token"], "accessor": token["accessor"]},
        "LeaseLookup": {"lease_id": lease_id}, "WrappingToken": {"token": wrapped[0]},
        "ApproleLogin": {"role_id": role_id, "secret_id": secret_ids[0]["secret_id"]},
        "SecretId": {"secret_id": secret_ids[0]["secret_id"]},
        "SecretIdAccessor": {"secret_id_accessor": secret_ids[1]["secret_id_accessor"]},
        "SecretWrite": {"data": {"key": "value"}}, "Revoke": {"serial_number": revoked["data"]["serial_number"]},
        "CertRole": {"certificate": authority()[0]}, "Crl": {"crl": authority()[1]},
        "SignRequest": {"csr": certificate_request(), "common_name": "example.com"},
        "Alias": alias | {"canonical_id": entity}, "GroupAlias": alias | {"canonical_id": group},
        "Group": {"name": EXAMPLE, "type": "external"},
        "EntityMerge": {"from_entity_ids": [other], "to_entity_id": entity},
        "DecodeToken": {"encoded_token": base64.b64encode(bytes(28)).decode(), "otp": "x" * 28},
        "Unseal": {"key": node.share},
        "POST /sys/lookup": {"lease_id": leased["lease_id"]},
        "POST /sys/wrapping/unwrap": {"token": wrapped[1]}, "POST /sys/wrapping/rewrap": {"token": wrapped[2]},
        "POST /auth/token/revoke": {"token": tokens[1]["client_token"]},
        "POST /auth/token/revoke-orphan": {"token": tokens[2]["client_token"]},
        "POST /auth/token/revoke-accessor": {"accessor": tokens[3]["accessor"]},
        f"POST {role}/secret-id/destroy": {"secret_id": secret_ids[1]["secret_id"]},
        f"POST {role}/secret-id-accessor/destroy": {"secret_id_accessor": secret_ids[2]["secret_id_accessor"]},
    }  # fmt: skip
    return known, bodies | _transit_bodies(node)


def public_key() -> str:
    """PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return KEY.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def certificate_request() -> str:
    """PEM."""
    made = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(KEY, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


@cache
def authority() -> tuple[str, str]:
    """(certificate, list of what it revoked), in PEM."""
    begin, end = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 1, begin, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    revoked = x509.RevokedCertificateBuilder().serial_number(2).revocation_date(begin).build()
    crl = x509.CertificateRevocationListBuilder(NAME, begin, end).add_revoked_certificate(revoked)
    made = builder.sign(KEY, hashes.SHA256()), crl.sign(KEY, hashes.SHA256())
    certificate, listed = (one.public_bytes(serialization.Encoding.PEM).decode() for one in made)
    return certificate, listed


def _mounts(node: Node) -> None:
    for path, kind in (("secret", "kv-v2"), ("kv", "kv"), ("transit", "transit"), ("pki", "pki"), ("moving", "kv")):
        node.must("POST", f"sys/mounts/{path}", {"type": kind})
    node.must("POST", "sys/mounts/example", {"type": "kv"})
    for kind in ("approle", "userpass", "cert", "jwt", "kubernetes"):
        node.must("POST", f"sys/auth/{kind}", {"type": kind})
    node.must("POST", "sys/auth/example", {"type": "userpass"})
    made: dict[str, dict[str, Any]] = {
        "sys/audit/example": {"type": "file", "options": {"file_path": "example.log"}},
        "sys/policies/acl/example": {"policy": 'path "secret/data/example" { capabilities = ["read"] }'},
        "sys/policies/password/example": {"policy": 'length = 20 rule "charset" { charset = "abcdefgh" }'},
        "sys/quotas/rate-limit/example": {"path": "moving/", "rate": 1_000_000},
        "sys/config/ui/headers/x-example": {"values": [EXAMPLE]},
        "sys/config/auditing/request-headers/x-example": {"hmac": True},
        "auth/token/roles/example": {"allowed_policies": ["default"]},
        "auth/approle/role/example": {"token_policies": ["default"]},
        "auth/userpass/users/example": {"password": EXAMPLE},
        "auth/jwt/config": {"jwt_validation_pubkeys": [public_key()]},
        "auth/jwt/role/example": {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [EXAMPLE]},
        "auth/kubernetes/config": {"kubernetes_host": "https://127.0.0.1:1", "kubernetes_ca_cert": authority()[0]},
        "auth/kubernetes/role/example": {
            "bound_service_account_names": [EXAMPLE], "bound_service_account_namespaces": [EXAMPLE],
        },
        "auth/cert/certs/example": {"certificate": authority()[0]},
        "auth/cert/crls/example": {"crl": authority()[1]},
        "secret/data/example": {"data": {"key": "value"}},
        "kv/example": {"key": "value"},
        "cubbyhole/example": {"key": "value"},
        "pki/root/generate/internal": {"common_name": "example.com", "key_type": "ec", "ttl": "8760h"},
        "pki/roles/example": {"allow_any_name": True, "key_type": "ec", "generate_lease": True},
    }  # fmt: skip
    for path, body in made.items():
        node.must("POST", path, body)


def _transit_bodies(node: Node) -> dict[str, dict[str, Any]]:
    node.must("POST", "transit/keys/example", {"type": "rsa-2048", "exportable": True, "allow_plaintext_backup": True})
    plaintext = "ZXhhbXBsZQ=="
    ciphertext = node.must("POST", "transit/encrypt/example", {"plaintext": plaintext})["ciphertext"]
    signature = node.must("POST", "transit/sign/example", {"input": plaintext})["signature"]
    backup = node.must("GET", "transit/backup/example")["backup"]
    return {
        "Decrypt": {"ciphertext": ciphertext},
        "Rewrap": {"ciphertext": ciphertext},
        "Verify": {"input": plaintext, "signature": signature},
        "Restore": {"backup": backup, "force": True},
    }
