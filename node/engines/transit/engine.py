"""The routes of a transit mount.

Pure. Invariants: what changes nothing is a read, also where it is a POST, and so answered by any node; a key of RSA is
drawn in a thread before the write that needs it is decided (`labour`).
Source: Vault API, transit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...request import Operation, RawRequest, Refusal
from ..fields import FieldError
from ..pages import PAGE
from ..system.routes import Route, Router
from . import administration, backup, encryption, export, hashing, settings, signatures
from .backup import NAME
from .keys import find_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base import Context

_POSTS = frozenset({Operation.CREATE, Operation.UPDATE})
_KEY = rf"(?P<name>{NAME})"
_ALGORITHM = r"(?:/(?P<urlalgorithm>.+))?"
_ENCRYPT = rf"encrypt/{_KEY}"
_LABOURS = tuple(
    (re.compile(pattern), action)
    for pattern, action in (
        (rf"keys/{_KEY}", "create"),
        (rf"keys/{_KEY}/rotate", "rotate"),
        (rf"keys/{_KEY}/config", "config"),
        (_ENCRYPT, "encrypt"),
    )
)
_RESTORE = re.compile(r"restore(?:/.+)?")


class TransitEngine(Router):
    """The engine of type `transit`."""

    def __init__(self) -> None:
        super().__init__((*_key_routes(), *_use_routes(), *_other_routes()))

    def exists(self, context: Context, path: str) -> bool | None:
        """Whether the key of an `encrypt` is there: where not, it is a create. Other paths have no such check."""
        match = re.fullmatch(_ENCRYPT, path)
        return None if match is None else find_key(context, match["name"]) is not None

    def labour(self, context: Context, request: RawRequest, path: str) -> Callable[[], Any] | None:
        """The drawing of a key of RSA, the checking of a backup. What is wrong with the request, `decide` says."""
        if request.operation not in _POSTS:
            return None
        try:
            if _RESTORE.fullmatch(path):
                return backup.labour(request)
            for pattern, action in _LABOURS:
                match = pattern.fullmatch(path)
                if match is not None:
                    return administration.labour(context, request, match["name"], action)
        except (Refusal, FieldError):
            return None
        return None


def _key_routes() -> tuple[Route, ...]:
    return (
        Route(
            r"keys/?",
            reads={Operation.LIST: administration.read_list},
            fields=PAGE,
            help="Managed named encryption keys",
        ),
        Route(
            rf"keys/{_KEY}",
            reads={Operation.READ: administration.read_key},
            decisions={Operation.UPDATE: administration.decide_create, Operation.DELETE: administration.decide_delete},
            fields=administration.CREATE_FIELDS,
            help="Managed named encryption keys",
        ),
        Route(
            rf"keys/{_KEY}/config",
            decisions={Operation.UPDATE: administration.decide_config},
            fields=administration.CONFIG_FIELDS,
            help="Configure a named encryption key",
        ),
        Route(
            rf"keys/{_KEY}/rotate",
            decisions={Operation.UPDATE: administration.decide_rotate},
            help="Rotate named encryption key",
        ),
        Route(
            rf"keys/{_KEY}/trim",
            decisions={Operation.UPDATE: administration.decide_trim},
            fields=administration.TRIM_FIELDS,
            help="Trim key versions of a named key",
        ),
        Route(
            rf"export/(?P<type>{NAME})/{_KEY}(?:/(?P<version>.+))?",
            reads={Operation.READ: export.read_export},
            fields=export.FIELDS,
            help="Export named encryption or signing key",
        ),
        Route(rf"backup/{_KEY}", decisions={Operation.READ: backup.decide_backup}, help="Backup the named key"),
        Route(
            r"restore",
            decisions={Operation.UPDATE: backup.decide_restore},
            fields=backup.FIELDS,
            help="Restore the named key",
        ),
        Route(
            r"restore/(?P<name>.+)",
            decisions={Operation.UPDATE: backup.decide_restore},
            fields=backup.FIELDS,
            help="Restore the named key",
        ),
    )


def _use_routes() -> tuple[Route, ...]:
    return (
        Route(
            _ENCRYPT,
            reads={Operation.UPDATE: encryption.read_encrypt},
            upgrades={Operation.UPDATE: encryption.decide_encrypt},
            fields=encryption.ENCRYPT_FIELDS,
            help="Encrypt a plaintext value or a batch of plaintext blocks using a named key",
        ),
        Route(
            rf"decrypt/{_KEY}",
            reads={Operation.UPDATE: encryption.read_decrypt},
            fields=encryption.DECRYPT_FIELDS,
            help="Decrypt a ciphertext value using a named key",
        ),
        Route(
            rf"rewrap/{_KEY}",
            reads={Operation.UPDATE: encryption.read_rewrap},
            fields=encryption.REWRAP_FIELDS,
            help="Rewrap ciphertext",
        ),
        Route(
            rf"datakey/(?P<kind>{NAME})/{_KEY}",
            reads={Operation.UPDATE: encryption.read_datakey},
            fields=encryption.DATAKEY_FIELDS,
            help="Generate a data key",
        ),
        Route(
            rf"sign/{_KEY}{_ALGORITHM}",
            reads={Operation.UPDATE: signatures.read_sign},
            fields=signatures.SIGN_FIELDS,
            help="Generate a signature for input data using the named key",
        ),
        Route(
            rf"verify/{_KEY}{_ALGORITHM}",
            reads={Operation.UPDATE: signatures.read_verify},
            fields=signatures.VERIFY_FIELDS,
            help="Verify a signature or HMAC for input data created using the named key",
        ),
        Route(
            rf"hmac/{_KEY}{_ALGORITHM}",
            reads={Operation.UPDATE: signatures.read_hmac},
            fields=signatures.HMAC_FIELDS,
            help="Generate an HMAC for input data using the named key",
        ),
    )


def _other_routes() -> tuple[Route, ...]:
    return (
        Route(
            rf"random(?:/(?P<source>{NAME}))?(?:/(?P<urlbytes>.+))?",
            reads={Operation.UPDATE: hashing.read_random},
            fields=hashing.RANDOM_FIELDS,
            help="Generate random bytes",
        ),
        Route(
            rf"hash{_ALGORITHM}",
            reads={Operation.UPDATE: hashing.read_hash},
            fields=hashing.HASH_FIELDS,
            help="Generate a hash sum for input data",
        ),
        Route(
            r"cache-config",
            reads={Operation.READ: settings.read_cache},
            decisions={Operation.UPDATE: settings.decide_cache},
            fields=settings.CACHE_FIELDS,
            help="Configure caching strategy",
        ),
        Route(
            r"config/keys",
            reads={Operation.READ: settings.read_keys},
            decisions={Operation.UPDATE: settings.decide_keys},
            fields=settings.KEYS_FIELDS,
            help="Configuration of all keys",
        ),
    )
