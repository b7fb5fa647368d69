"""The list of revoked certificates, made when it is read.

Pure but for the signature, and for a memory of lists that holds nothing secret and changes no answer.
Invariants
  R1  the list names every certificate of the present authority that was revoked by itself, or whose lease is no longer
      valid, and has not ended (or ended less than a day ago, if it was revoked by itself); as of the state it is read
      in, on any node: nobody waits for a list to be made anew
  R2  a list is signed again only where what it says changed, or half its time is over
  R3  a list that says something else has a higher number: numbers follow the cluster's time and no node's clock
What it costs: a look at each revoked and each leased certificate (revocations.py), about a microsecond apiece; one
signature for each change. Without a token the whole answer is remembered for the state.
Source: RFC 5280, section 5; Vault API, "PKI: read CRL".
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...request import Answer, RawRequest, RawResponse, Refusal
from ..entries import find
from . import crl_bytes, keys
from .authority import CA, Authority, CrlSettings, after_now, crl_settings_of, key_of, loaded
from .revocations import MOUNTS_MAX
from .signing import NS
from .stored import listed

if TYPE_CHECKING:
    from ..base import Context
    from ..system.routes import Captures
    from .revocations import Revocations

_DER_TYPE, _PEM_TYPE = "application/pkix-crl", "application/x-pem-file"
_LINE_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class _Built:
    """A list, and all it was made from."""

    state: tuple[int, int]  # stamp of the state, second
    issuer_id: str
    settings: CrlSettings
    entries: bytes
    number: int
    made_ns: int
    der: bytes

    def is_fresh(self, now_ns: int) -> bool:
        return 0 <= now_ns - self.made_ns < self.settings.expiry_s * NS // 2


class RevocationLists:
    """Those of all mounts of this node."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        # Of each mount two: with a token the view may be one that is only proposed, and what is remembered of it must
        # not take the place of what anybody may read.
        self._built: dict[tuple[bytes, bool], _Built] = {}

    def read(self, context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """crl, crl/pem: the list's bytes alone; 204 where there is no authority."""
        is_pem = captures["form"] == "crl/pem"
        content_type = _PEM_TYPE if is_pem else _DER_TYPE
        der = self.current(context)
        if der is None:
            return Answer(raw=RawResponse(204, content_type=content_type))
        return Answer(raw=RawResponse(200, _pem(der).encode() if is_pem else der, content_type=content_type))

    def read_entry(self, context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """cert/crl: the list in an envelope."""
        der = self.current(context)
        if der is None:
            raise Refusal(404)
        return Answer(data={"certificate": _pem(der), "revocation_time": 0, "revocation_time_rfc3339": ""})

    def read_rotate(self, _context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """crl/rotate: there is nothing to do, every list that is read is the newest."""
        return Answer(data={"success": True})

    def read_serials(self, context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """LIST certs/revoked: those that are revoked and have not ended, whoever signed them."""
        after = after_now(context.now_ns)
        return listed(sorted(noted.serial for noted in self._revocations.read(context) if noted.name > after))

    def current(self, context: Context) -> bytes | None:
        """The list's DER as of this state; None where there is no authority (R1)."""
        found = find(context, CA, Authority)
        if found is None:
            return None
        assert context.mount is not None  # the flow gives every engine its mount
        authority, settings = found.value, crl_settings_of(context)
        place = context.mount.uuid, context.caller.token_key is None
        known = [one for is_open in (True, False) if (one := self._built.get((place[0], is_open))) is not None]
        usable = [
            one
            for one in known
            if (one.issuer_id, one.settings) == (authority.issuer_id, settings) and one.is_fresh(context.now_ns)
        ]
        state = context.view.time_ns, context.now_ns // NS
        own = self._built.get(place)
        if place[1] and own in usable and own.state == state:
            return own.der
        entries = b"" if settings.disable else self._entries(context, authority.issuer_id)
        built = next((one for one in usable if one.entries == entries), None)
        if built is None:
            number = max(context.view.time_ns, *(one.number + 1 for one in known), 0)
            der = _signed(context, authority, settings, number, entries)
            built = _Built(state, authority.issuer_id, settings, entries, number, context.now_ns, der)
        self._built.pop(place, None)
        while len(self._built) >= 2 * MOUNTS_MAX:
            del self._built[next(iter(self._built))]
        self._built[place] = replace(built, state=state)
        return built.der

    def _entries(self, context: Context, issuer_id: str) -> bytes:
        """Whom the list names."""
        return b"".join([noted.entry for noted in self._revocations.read(context) if noted.issuer_id == issuer_id])


def _signed(context: Context, authority: Authority, settings: CrlSettings, number: int, entries: bytes) -> bytes:
    start_s = context.now_ns // NS
    return crl_bytes.signed_list(
        loaded(authority.certificate), keys.opened(key_of(context)),
        number=number, start_s=start_s, end_s=start_s + settings.expiry_s, entries=entries,
    )  # fmt: skip


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + _LINE_CHARACTERS] for at in range(0, len(text), _LINE_CHARACTERS)]
    return "\n".join(["-----BEGIN X509 CRL-----", *lines, "-----END X509 CRL-----"])
