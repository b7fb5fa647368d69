"""Certificates and leases through whole nodes: threads, forwarding, the token's last use, what needs no token."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tests.node.flow_site import Site, running

ROLE = {"allowed_domains": ["example.com"], "allow_subdomains": True, "generate_lease": True, "max_ttl": "72h"}
NAME = {"common_name": "a.example.com"}


async def ready(site: Site) -> None:
    await site.must("POST", "sys/mounts/pki", {"type": "pki"})
    await site.must("POST", "pki/root/generate/internal", {"common_name": "Root", "key_type": "ec", "ttl": "700h"})
    await site.must("POST", "pki/config/urls", {"issuing_certificates": ["http://127.0.0.1:8200/v1/pki/ca"]})
    await site.must("POST", "pki/roles/my-role", ROLE)


async def test_a_leased_certificate_is_issued_looked_up_and_revoked(tmp_path: Path):
    """As hvac's suite asks for it: the lease in the envelope, the folder in the list, and nothing in it afterwards."""
    async with running(tmp_path, audited=True) as site:
        await ready(site)
        issued = await site.must("POST", "pki/issue/my-role", NAME)
        lease_id = issued.json["lease_id"]
        looked = await site.must("PUT", "sys/leases/lookup", {"lease_id": lease_id})
        listed = await site.must("LIST", "sys/leases/lookup/pki")
        await site.must("PUT", "sys/leases/revoke-prefix/pki")
        [server] = site.servers
        crl = x509.load_der_x509_crl((await server.ask("GET", "pki/crl")).body)
        gone = await site.ask("LIST", "sys/leases/lookup/pki")
        lines = server.audit_file.read_text()

        assert lease_id.startswith("pki/issue/my-role/")
        assert issued.json["lease_duration"] in {259_199, 259_200}  # a certificate ends with a second
        assert issued.json["renewable"] is False
        assert (looked.data["id"], listed.data["keys"]) == (lease_id, ["issue/"])
        assert (gone.status, gone.errors) == (404, [])
        assert [entry.serial_number for entry in crl] == [int(issued.data["serial_number"].replace(":", ""), 16)]
        assert "PRIVATE KEY" not in lines
        assert issued.data["certificate"].splitlines()[1] not in lines


async def test_what_anybody_may_read_needs_no_token_and_the_rest_does(tmp_path: Path):
    """Through the judge; a token that is used up pays for what it reads with."""
    async with running(tmp_path) as site:
        await ready(site)
        [server] = site.servers
        ca = await server.ask("GET", "pki/ca")
        pem = await server.ask("GET", "pki/ca/pem", token="nonsense")
        denied = [
            (await server.ask(method, path, body)).status
            for method, path, body in (
                ("LIST", "pki/certs", None), ("POST", "pki/issue/my-role", NAME), ("GET", "kv1/ca", None),
                ("GET", "pki/roles/my-role", None), ("DELETE", "pki/root", None), ("POST", "pki/cert/aa", {}),
            )
        ]  # fmt: skip

        assert x509.load_der_x509_certificate(ca.body) == x509.load_pem_x509_certificate(pem.body)
        assert denied == [403] * 6


async def test_the_last_use_of_a_token_issues_no_leased_certificate(tmp_path: Path):
    """The use is paid, nothing is stored, and the token is gone."""
    async with running(tmp_path) as site:
        await ready(site)
        await site.must("POST", "sys/policies/acl/pki", {"policy": 'path "pki/issue/*" { capabilities = ["update"] }'})
        made = await site.must("POST", "auth/token/create", {"policies": ["pki"], "num_uses": 1})
        token = made.json["auth"]["client_token"]
        [server] = site.servers
        refused = await server.ask("POST", "pki/issue/my-role", NAME, token=token)
        again = await server.ask("POST", "pki/issue/my-role", NAME, token=token)

        assert (refused.status, refused.errors) == (
            400,
            ["Secret cannot be returned; token had one use left, so leased credentials were immediately revoked."],
        )
        assert again.status == 403
        assert (await site.ask("LIST", "sys/leases/lookup/pki")).status == 404
