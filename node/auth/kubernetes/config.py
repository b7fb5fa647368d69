"""The configuration of a kubernetes mount: where its cluster answers, and whom to believe there.

Pure. Invariants: a write replaces the whole configuration; the reviewer's token is never shown. No file of a pod is
read: without `kubernetes_ca_cert` the authorities of the machine are believed, without `token_reviewer_jwt` the token
that logs in reviews itself.
Source: Vault API, "Kubernetes: configure method"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from cryptography import x509

from cluster import Draft

from ...engines.base import Context, Plan
from ...engines.entries import Found, find, put
from ...engines.fields import parameters, to_bool
from ...request import Answer, RawRequest, Refusal
from .. import remote
from ..jwt import keys
from ..typed_fields import to_names, to_text

if TYPE_CHECKING:
    from ...engines.system.routes import Captures

NAME = "config"
_BOOLS = ("disable_iss_validation", "disable_local_ca_jwt")
FIELDS = frozenset({"kubernetes_host", "kubernetes_ca_cert", "token_reviewer_jwt", "pem_keys", "issuer", *_BOOLS})
DEFAULT_ISSUER = "kubernetes/serviceaccount"
_PEM_KEYS_MAX = 100


class KubernetesConfig(msgspec.Struct, array_like=True):
    """As it was given. New fields go at the end, with a default."""

    kubernetes_host: str
    kubernetes_ca_cert: str = ""
    token_reviewer_jwt: str = ""
    pem_keys: list[str] = []
    issuer: str = ""
    disable_iss_validation: bool = True
    disable_local_ca_jwt: bool = False

    def __repr__(self) -> str:
        return "<KubernetesConfig>"


def known(context: Context) -> Found[KubernetesConfig]:
    """The configuration. Raises Refusal where there is none."""
    found = find(context, NAME, KubernetesConfig)
    if found is None:
        raise Refusal(400, "could not load backend configuration")
    return found


def read_config(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The configuration without the reviewer's token; 404 without one."""
    found = find(context, NAME, KubernetesConfig)
    if found is None:
        raise Refusal(404)
    config = found.value
    return Answer(
        data={
            "kubernetes_host": config.kubernetes_host,
            "kubernetes_ca_cert": config.kubernetes_ca_cert,
            "pem_keys": config.pem_keys,
            "issuer": config.issuer,
            "disable_iss_validation": config.disable_iss_validation,
            "disable_local_ca_jwt": config.disable_local_ca_jwt,
            "token_reviewer_jwt_set": bool(config.token_reviewer_jwt),
        }
    )


def decide_config(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """The configuration is what is given, and nothing of what it was."""
    given = parameters(request)
    host = to_text("kubernetes_host", given.get("kubernetes_host"))
    if not host:
        raise Refusal(400, "no host provided")
    remote.check_url("kubernetes_host", host)
    config = KubernetesConfig(
        kubernetes_host=host,
        kubernetes_ca_cert=to_text("kubernetes_ca_cert", given.get("kubernetes_ca_cert")),
        token_reviewer_jwt=to_text("token_reviewer_jwt", given.get("token_reviewer_jwt")),
        pem_keys=to_names("pem_keys", given.get("pem_keys")),
        issuer=to_text("issuer", given.get("issuer")),
    )
    for name in _BOOLS:
        if name in given:
            setattr(config, name, to_bool(name, given[name]))
    if config.disable_local_ca_jwt and not config.kubernetes_ca_cert:
        raise Refusal(400, "kubernetes_ca_cert must be given when disable_local_ca_jwt is true")
    if len(config.pem_keys) > _PEM_KEYS_MAX or any(keys.from_pem(text) is None for text in config.pem_keys):
        raise Refusal(400, "error parsing PEM key: PEM of RSA (2048 bits), EC or Ed25519 keys is needed")
    before = find(context, NAME, KubernetesConfig)
    draft = Draft()
    if before is None or before.value != config:
        put(context, draft, NAME, config, before)
    return Plan(Answer(warnings=_warnings(config) or None), draft)


def _warnings(config: KubernetesConfig) -> list[str]:
    """Vault takes whatever stands in the field: so do we, and say what will come of it."""
    if not config.kubernetes_ca_cert:
        return []
    try:
        x509.load_pem_x509_certificates(config.kubernetes_ca_cert.encode())
    except ValueError:
        return ["kubernetes_ca_cert holds no certificate that can be read: every login will be refused"]
    return []
