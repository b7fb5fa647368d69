"""Every type of mount that there is: its engine, and whether it can be mounted.

A table. A type stands here once; what is mountable and has no engine answers 404 below its mount, as clients expect of
types that they may mount and that this program does not have.
Source: Vault API, "sys/mounts", "sys/auth"; docs/api.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .auth.approle.engine import ApproleEngine
from .auth.approle.login import renewal_params as approle_renewal
from .auth.cert.engine import CertEngine
from .auth.cert.login import renewal_params as cert_renewal
from .auth.jwt.engine import JwtEngine
from .auth.jwt.login import renewal_params as jwt_renewal
from .auth.kubernetes.engine import KubernetesEngine
from .auth.kubernetes.login import renewal_params as kubernetes_renewal
from .auth.lockout import Lockout
from .auth.token_engine import TokenEngine
from .auth.userpass import UserpassEngine
from .auth.userpass import renewal_params as userpass_renewal
from .engines.cubbyhole import Cubbyhole
from .engines.identity.engine import IdentityEngine
from .engines.kv1 import KvV1
from .engines.kv2 import KvV2
from .engines.pki.engine import PkiEngine
from .engines.system.mounts import MountTypes
from .engines.transit.engine import TransitEngine

if TYPE_CHECKING:
    from .config import Limits
    from .engines.base import Engine

STUBS = frozenset({"gcp", "github"})
"""Auth methods that clients mount and list, and that have no paths here."""
MOUNT_TYPES = MountTypes(
    secrets=frozenset({"kv", "pki", "transit"}),
    auth=STUBS | {"approle", "cert", "jwt", "kubernetes", "oidc", "userpass"},
)
RENEWERS = {
    "approle": approle_renewal,
    "cert": cert_renewal,
    "jwt": jwt_renewal,
    "kubernetes": kubernetes_renewal,
    "oidc": jwt_renewal,
    "userpass": userpass_renewal,
}


def engines(limits: Limits, lockout: Lockout | None = None) -> dict[str, Engine]:
    """The engine of each type but `system`; of `kv` one a version."""
    counted = Lockout() if lockout is None else lockout
    jwt = JwtEngine()
    return {
        "token": TokenEngine(RENEWERS),
        "approle": ApproleEngine(counted),
        "cert": CertEngine(),
        "jwt": jwt,
        "kubernetes": KubernetesEngine(),
        "oidc": jwt,
        "userpass": UserpassEngine(counted),
        "pki": PkiEngine(),
        "transit": TransitEngine(),
        "cubbyhole": Cubbyhole(value_bytes_max=limits.value_bytes),
        "identity": IdentityEngine(),
        "kv1": KvV1(value_bytes_max=limits.value_bytes),
        "kv2": KvV2(versions_max=limits.versions_max, value_bytes_max=limits.value_bytes),
    }
