"""The engine `pki`: one table, every handler in its own file.

Pure. Invariants: keys are made and certificates signed by what `labour` returns, which runs in a thread before
anything is decided; what needs no token is in the policy's own table (node/policy/builtin.py), not here.
Source: Vault API, "PKI secrets engine".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...request import Operation, RawRequest
from ..fields import FieldError, check_body, refusal_of
from ..pages import PAGE
from ..system.routes import Captures, Route, Router
from . import issue, revoke, roles, roots, settings, stored
from .crl import RevocationLists
from .revocations import Revocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base import Context

    Labour = Callable[[Context, RawRequest, Captures], Callable[[], Any]]

_READ, _LIST, _UPDATE = Operation.READ, Operation.LIST, Operation.UPDATE
_PATCH, _DELETE = Operation.PATCH, Operation.DELETE
_NAME = r"(?P<name>\w(?:[\w.-]*\w)?)"
_ROLE = r"(?P<role>\w(?:[\w.-]*\w)?)"
_SERIAL = "(?P<serial>[0-9A-Fa-f:-]+)"
_WORK = frozenset({Operation.CREATE, Operation.UPDATE})


class PkiEngine(Router):
    """The engine of mounts of type `pki`."""

    def __init__(self) -> None:
        revocations = Revocations()
        self._lists = RevocationLists(revocations)
        work = _work(revocations)
        super().__init__((*(route for route, _ in work), *_roles(), *_settings(), *_certificates(), *self._crl()))
        self._labour: dict[str, Labour] = {route.pattern: labour for route, labour in work}

    def labour(self, context: Context, request: RawRequest, path: str) -> Callable[[], Any] | None:
        """Keys and signatures; None for everything else. Raises Refusal."""
        found = self._match(path) if request.operation in _WORK else None
        labour = None if found is None else self._labour.get(found[0].pattern)
        if found is None or labour is None:
            return None
        check_body(request)
        try:
            return labour(context, request, found[1])
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None

    def _crl(self) -> tuple[Route, ...]:
        lists = self._lists
        return (
            Route("(?P<form>crl|crl/pem)", reads={_READ: lists.read}, help="The list of revoked certificates."),
            Route("cert/crl", reads={_READ: lists.read_entry}, help="The list of revoked certificates."),
            Route("certs/revoked/?", reads={_LIST: lists.read_serials}, help="List the revoked certificates."),
            Route("crl/rotate", reads={_READ: lists.read_rotate, _UPDATE: lists.read_rotate}, help="Does nothing."),
        )


def _work(revocations: Revocations) -> tuple[tuple[Route, Labour], ...]:
    decide = partial(issue.decide, revocations)
    return (
        (
            Route(
                f"issue/{_ROLE}",
                decisions={_UPDATE: decide},
                fields=issue.ISSUE_FIELDS,
                help="A new private key and its certificate, as the role says.",
            ),
            issue.labour_issue,
        ),
        (
            Route(
                f"sign/{_ROLE}",
                decisions={_UPDATE: decide},
                fields=issue.SIGN_FIELDS,
                help="A certificate for a certificate request, as the role says.",
            ),
            issue.labour_sign,
        ),
        (
            Route(
                "root/generate/(?P<exported>internal|exported)",
                decisions={_UPDATE: roots.decide_generate},
                fields=roots.FIELDS,
                help="A new certificate authority for this mount.",
            ),
            roots.labour_generate,
        ),
    )


def _roles() -> tuple[Route, ...]:
    return (
        Route("roles/?", reads={_LIST: roles.read_roles}, fields=PAGE, help="List the roles."),
        Route(
            f"roles/{_NAME}",
            reads={_READ: roles.read_role},
            decisions={_UPDATE: roles.decide_write, _PATCH: roles.decide_write, _DELETE: roles.decide_delete},
            fields=roles.FIELDS,
            help="Read, write, change or delete a role.",
        ),
    )


def _settings() -> tuple[Route, ...]:
    return (
        Route("root", decisions={_DELETE: roots.decide_delete}, help="Remove the authority of this mount."),
        Route(
            "config/urls",
            reads={_READ: settings.read_urls},
            decisions={_UPDATE: settings.decide_urls},
            fields=settings.URL_FIELDS,
            help="The URLs in certificates.",
        ),
        Route(
            "config/crl",
            reads={_READ: settings.read_crl},
            decisions={_UPDATE: settings.decide_crl},
            fields=settings.CRL_FIELDS,
            help="How long a list of revoked certificates may be used.",
        ),
    )


def _certificates() -> tuple[Route, ...]:
    return (
        Route("(?P<form>ca|ca/pem|ca_chain)", reads={_READ: stored.read_ca}, help="The authority's certificate."),
        Route("cert/(?P<form>ca|ca_chain)", reads={_READ: stored.read_ca_entry}, help="The authority's certificate."),
        Route("certs/?", reads={_LIST: stored.read_certificates}, fields=PAGE, help="List the certificates."),
        Route(
            f"cert/{_SERIAL}/(?P<form>raw|raw/pem)",
            reads={_READ: stored.read_raw_certificate},
            help="A certificate's bytes.",
        ),
        Route(f"cert/{_SERIAL}", reads={_READ: stored.read_certificate}, help="A certificate."),
        Route(
            "revoke",
            decisions={_UPDATE: revoke.decide_revoke},
            fields=revoke.REVOKE_FIELDS,
            help="Revoke a certificate by its serial number, or by itself.",
        ),
        Route(
            "tidy",
            decisions={_UPDATE: revoke.decide_tidy},
            fields=revoke.TIDY_FIELDS,
            help="Remove what ended long ago.",
        ),
    )
