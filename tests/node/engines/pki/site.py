"""A World with mounts of type pki: what is long is run at once, leases are made as the leader makes them."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from cluster import Draft, Lease, Table, look, records
from node.engines import leases
from node.engines.base import Caller, Context, Plan
from node.engines.pki.engine import PkiEngine
from node.engines.system.mount_table import find_mount
from node.engines.system.mounts import MountTypes
from node.policy import builtin
from node.request import Answer
from tests.node.auth.world import World, make_request

DOMAIN = "example.com"


class PkiWorld(World):
    """`pki/` is mounted; `stale` is called between the labour and the decision."""

    def __init__(self, *, root: str | None = "ec") -> None:
        super().__init__(mount_types=MountTypes(secrets=frozenset({"kv", "pki"})))
        self.engines["pki"] = PkiEngine()
        self.stale: Any = None
        self.made: list[Any] = []
        self.mount("pki")
        if root is not None:
            self.data("update", "pki/root/generate/internal", {"common_name": "Root", "key_type": root, "ttl": "700h"})

    def mount(self, path: str, **body: Any) -> None:
        self.ask("update", f"sys/mounts/{path}", {"type": "pki", **body})

    def apply(self, draft: Draft) -> int:
        """Every stamp is greater than the one before, as the leader's are."""
        self.now_ns += 1
        return super().apply(draft)

    def ask(self, operation: str, path: str, body: object = None, *, token: str | None = "root", **rest: Any) -> Answer:
        found = find_mount(self.state, path)
        if token is None and found is not None:
            below = path[len(found[0]) :]
            if builtin.is_open_read(operation, found[2].type, below):
                context = Context(self.state, self.now_ns, self.random, self.keys, Caller(), found[0], found[2])
                return self.engines[found[2].type].read(context, make_request(operation, path, body, None), below)
        return super().ask(operation, path, body, token=token, **rest)

    def _plan(self, request, view, token_view) -> Plan:
        found = find_mount(self.state, request.path)
        if found is None or found[2].type != "pki":
            return super()._plan(request, view, token_view)
        mount_path, _, mount = found
        engine = self.engines["pki"]
        context = Context(
            view, self.now_ns, self.random, self.keys, self._judged(token_view, request), mount_path, mount
        )
        below = request.path[len(mount_path) :]
        if not engine.is_write(request.operation, below):
            return Plan(engine.read(context, request, below))
        work = engine.labour(context, request, below)
        request.labour = None if work is None else work()
        self.made.append(request.labour)
        if self.stale is not None:
            change, self.stale = self.stale, None
            change()
            now = find_mount(self.state, request.path)
            assert now is not None
            context = context.at(mount_path, now[2])
            context.view = self.state
        plan = engine.decide(context, request, below)
        leases.grant(context, plan, request.path, last_use=token_view.record.num_uses == 1)
        return plan

    # ---- short ways
    def role(self, name: str = "web", **fields: Any) -> None:
        chosen = {"allowed_domains": [DOMAIN], "allow_subdomains": True, "key_type": "ec", "max_ttl": "72h"}
        self.ask("update", f"pki/roles/{name}", chosen | fields)

    def issue(self, name: str = "web", *, token: str | None = "root", **body: Any) -> Answer:
        return self.ask("update", f"pki/issue/{name}", {"common_name": f"a.{DOMAIN}"} | body, token=token)

    def certificate(self, name: str = "web", **body: Any) -> x509.Certificate:
        return pem(self.issue(name, **body).data["certificate"])

    @property
    def ca(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.ask("read", "pki/ca", token=None).raw.body)

    @property
    def crl(self) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(self.ask("read", "pki/crl", token=None).raw.body)

    def revoked(self) -> list[int]:
        """The serial numbers that the list names, which the authority has signed."""
        assert self.crl.is_signature_valid(self.ca.public_key())
        return sorted(entry.serial_number for entry in self.crl)

    def lease(self, lease_id: str) -> Lease | None:
        found = look(self.state, Table.LEASE, Lease, lease_id.encode())
        return None if found is None else found[1]

    def put_lease(self, lease_id: str, **fields: Any) -> None:
        """A lease as some engine would have made it: of the root token, for an hour, renewable."""
        mount = find_mount(self.state, lease_id)
        record = Lease(
            token=self.keys.token_hash(self.root), issued_ns=self.now_ns, expires_ns=self.now_ns + 3600 * 10**9,
            path=lease_id.rpartition("/")[0], renewable=True, mount=b"" if mount is None else mount[2].uuid, ttl_s=3600,
        )  # fmt: skip
        draft = Draft()
        draft.put(Table.LEASE, lease_id.encode(), records.change(Lease, records.encode(record), **fields))
        self.apply(draft)


def pem(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def number(serial: str) -> int:
    return int(serial.replace(":", ""), 16)


def extension(certificate: Any, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def keys_of(answer: Answer) -> list[str]:
    return list(answer.data["keys"])
