"""What every cluster has without anybody writing it: built-in policies, rules for their names, sudo paths, open paths.

Pure tables and their matchers. Both path matchers err on the safe side: a path that is doubtful needs sudo, and is not
unauthenticated.
Source: Vault API, "Policies", "Sudo paths", "Unauthenticated paths"; OpenBao for `sys/rotate/*`; docs/threat-model.md
for the sudo paths beyond Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .document import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = "default"
ROOT = "root"
RESPONSE_WRAPPING = "response-wrapping"

# Attached to every token unless it asks not to; can be edited, cannot be deleted.
DEFAULT_TEXT = """
# A token may look at, renew and revoke itself.
path "auth/token/lookup-self" {
    capabilities = ["read"]
}
path "auth/token/renew-self" {
    capabilities = ["update"]
}
path "auth/token/revoke-self" {
    capabilities = ["update"]
}

# It may ask what it is allowed to do.
path "sys/capabilities-self" {
    capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# It may read its own entity, by id or by name.
path "identity/entity/id/{{identity.entity.id}}" {
    capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
    capabilities = ["read"]
}

# It may renew and look up a lease whose id it knows.
path "sys/leases/renew" {
    capabilities = ["update"]
}
path "sys/leases/lookup" {
    capabilities = ["update"]
}

# Its cubbyhole is its own.
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}

# It may wrap values, and look up and unwrap what it was given.
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

# It may use the hashing tools.
path "sys/tools/hash" {
    capabilities = ["update"]
}
path "sys/tools/hash/*" {
    capabilities = ["update"]
}

# It may sign in to OpenID Connect applications.
path "identity/oidc/provider/+/authorize" {
    capabilities = ["read", "update"]
}
"""

# Carried by wrapping tokens only; cannot be edited, deleted or assigned. Clients compare it: byte for byte Vault's.
RESPONSE_WRAPPING_TEXT = """
path "cubbyhole/response" {
    capabilities = ["create", "read"]
}

path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
"""


# names


def normalise_name(name: str) -> str:
    """The name as stored and compared: trimmed and lower case (` ROOT ` is root: CVE-2025-54996)."""
    return name.strip().lower()


def normalise_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names normalised, sorted, each once, empty ones left out."""
    return tuple(sorted({normalised for name in names if (normalised := normalise_name(name))}))


def assignable_names(names: Iterable[str]) -> tuple[str, ...]:
    """The normalised names for a token. Raises PolicyError for the policy of wrapping tokens."""
    normalised = normalise_names(names)
    if RESPONSE_WRAPPING in normalised:
        raise PolicyError(f'cannot assign policy "{RESPONSE_WRAPPING}"')
    return normalised


def identity_names(names: Iterable[str]) -> tuple[str, ...]:
    """The normalised names for an entity or group. Raises PolicyError when one is root, however it is spelt."""
    normalised = assignable_names(names)
    if ROOT in normalised:
        raise PolicyError("policies cannot contain root")
    return normalised


def check_update(name: str) -> None:
    """The policy of this name may be written. Raises PolicyError otherwise."""
    if normalise_name(name) in {ROOT, RESPONSE_WRAPPING}:
        raise PolicyError(f'cannot update "{normalise_name(name)}" policy')


def check_delete(name: str) -> None:
    """The policy of this name may be deleted. Raises PolicyError otherwise."""
    normalised = normalise_name(name)
    if normalised in {ROOT, RESPONSE_WRAPPING}:
        raise PolicyError(f'cannot delete "{normalised}" policy')
    if normalised == DEFAULT:
        raise PolicyError("cannot delete default policy")


# sudo paths

_ALL = frozenset({"*"})
_WRITES = frozenset({"create", "update", "patch", "delete"})

# Path → operations that need sudo ("*": all of them).
_SUDO_EXACT = {
    "auth/token/accessors": _ALL,
    "auth/token/revoke-batch-tokens": _ALL,
    "auth/token/revoke-orphan": _ALL,
    "pki/root": _ALL,
    "strongroom/adopt": _ALL,
    "strongroom/backup/prune": _ALL,
    "strongroom/backup/restore": _ALL,
    "sys/audit": _ALL,
    "sys/config/cors": _ALL,
    "sys/leases": _ALL,
    "sys/remount": _ALL,
    "sys/rotate": _ALL,
    "sys/rotate/keyring": _ALL,
    "sys/rotate/recovery": _ALL,
    "sys/rotate/root": _ALL,
    "sys/seal": _ALL,
    "sys/step-down": _ALL,
    "sys/storage/raft/demote": _ALL,
    "sys/storage/raft/promote": _ALL,
    "sys/storage/raft/remove-peer": _ALL,
    "sys/storage/raft/snapshot": _WRITES,  # taking one needs read alone, as in Vault
    "sys/storage/raft/snapshot-force": _ALL,
}

# Everything that begins so needs sudo.
_SUDO_PREFIXES = (
    "strongroom/backup/prune/",
    "strongroom/backup/restore/",
    "sys/audit/",
    "sys/auth/",
    "sys/config/auditing/",
    "sys/config/ui/headers/",
    "sys/internal/inspect/",
    "sys/leases/lookup/",
    "sys/leases/revoke-force/",
    "sys/leases/revoke-prefix/",
    "sys/plugins/catalog/",
    "sys/raw",
    "sys/revoke-force/",
    "sys/revoke-prefix/",
    "sys/rotate/recovery/",
    "sys/rotate/root/",
)


def needs_sudo(path: str, operation: str) -> bool:
    """Whether the request needs sudo beside the capability of its operation; help never does."""
    if operation == "help":
        return False
    path = path.lstrip("/")
    if path.startswith(_SUDO_PREFIXES):
        return True
    operations = _SUDO_EXACT.get(path.removesuffix("/"), frozenset())
    return "*" in operations or operation in operations


# unauthenticated paths

_OPEN_EXACT = frozenset(
    {
        "sys/decode-token",
        "sys/health",
        "sys/init",
        "sys/internal/specs/openapi",
        "sys/internal/ui/mounts",
        "sys/internal/ui/namespaces",
        "sys/leader",
        "sys/mfa/validate",
        "sys/replication/status",
        "sys/seal-status",
        "sys/unseal",
        "sys/wrapping/lookup",
    }
)
_OPEN_PREFIXES = ("sys/internal/ui/mounts/", "sys/storage/raft/bootstrap/")

# The old paths of rekey and generate-root, open only where the listener is configured so.
_OPEN_REKEY = frozenset(
    {
        "sys/generate-root/attempt",
        "sys/generate-root/update",
        "sys/rekey-recovery-key/init",
        "sys/rekey-recovery-key/update",
        "sys/rekey-recovery-key/verify",
        "sys/rekey/init",
        "sys/rekey/update",
        "sys/rekey/verify",
    }
)

# Type of a mount → what is open below it, for reading alone: what anybody may know who meets one of its certificates.
_OPEN_READS = {
    "pki": (frozenset({"ca", "ca/pem", "ca_chain", "crl", "crl/pem"}), ("cert/",)),
}


# Type of an auth mount → its paths that end in a token for whoever proved who they are; one that ends in a slash has a
# name behind it. Every type that has paths at all stands here.
_LOGINS = {
    "approle": ("login",),
    "cert": ("login",),
    "jwt": ("login", "oidc/callback"),
    "kubernetes": ("login",),
    "oidc": ("login", "oidc/callback"),
    "userpass": ("login/",),
}
WITH_LOGINS = frozenset(_LOGINS)


def is_login(mount_type: str, path: str) -> bool:
    """Whether it is a login at a mount of this type; `path` is what follows the mount path.

    It cannot be told from the whole path, as little as whether it is open (below).
    """
    return any(
        path.startswith(login) if login.endswith("/") else path == login for login in _LOGINS.get(mount_type, ())
    )


def is_open_read(operation: str, mount_type: str, path: str) -> bool:
    """Whether it reads what a mount of this type shows without a token; `path` is what follows the mount path."""
    exact, prefixes = _OPEN_READS.get(mount_type, (frozenset(), ()))
    return operation == "read" and (path in exact or path.startswith(prefixes))


def is_unauthenticated(path: str, auth_mount_path: str = "", *, rekey_is_open: bool = False) -> bool:
    """Whether the path is served without a token.

    `auth_mount_path` is the auth mount the path was routed to ("auth/approle/"); without it no path below `auth/` is
    open. It cannot be guessed from the path: `auth/approle/role/login` is a role called "login" in one mount, and a
    login in a mount called "approle/role".
    """
    if path in _OPEN_EXACT or path.startswith(_OPEN_PREFIXES):
        return True
    if path in _OPEN_REKEY:
        return rekey_is_open
    if not (auth_mount_path.startswith("auth/") and auth_mount_path.endswith("/")) or auth_mount_path == "auth/token/":
        return False
    if not path.startswith(auth_mount_path):
        return False
    rest = path[len(auth_mount_path) :]
    return rest == "login" or rest.startswith(("login/", "oidc/"))
