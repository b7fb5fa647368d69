"""Settings of a mount: the URLs in its certificates, and how long its list of revoked ones may be used.

Pure. Source: Vault API, "PKI: set URLs", "set CRL configuration".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from cluster import Draft

from ...auth.token_ttl import TTL_S_MAX
from ...auth.typed_fields import to_names, to_text
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..durations import format_duration
from ..entries import find, put
from ..fields import parameters, to_bool, to_seconds
from .authority import CRL, URLS, CrlSettings, Urls, crl_settings_of, urls_of

if TYPE_CHECKING:
    from ..system.routes import Captures

URL_FIELDS = frozenset(Urls.__struct_fields__)
CRL_FIELDS = frozenset({"expiry", "disable"})
_SCHEMES = frozenset({"http", "https", "ldap", "ldaps"})
_URLS_MAX = 20
_EXPIRY_MAX = 32


def read_urls(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The URLs."""
    return Answer(data=_shown_urls(urls_of(context)[1]))


def decide_urls(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """The given URLs stand in certificates from now on; those not given stay."""
    given = parameters(request)
    before = find(context, URLS, Urls)
    urls = Urls() if before is None else msgspec.structs.replace(before.value)
    for name in URL_FIELDS & given.keys():
        wanted = to_names(name, given[name])
        if len(wanted) > _URLS_MAX or not all(map(_is_url, wanted)):
            raise Refusal(400, f"invalid URL found in Authority Information Access (AIA) parameter {name}")
        setattr(urls, name, wanted)
    draft = Draft()
    put(context, draft, URLS, urls, before)
    return Plan(Answer(data=_shown_urls(urls)), draft)


def read_crl(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The settings of the list."""
    return Answer(data=_shown_crl(crl_settings_of(context)))


def decide_crl(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """The given settings change, the others stay."""
    given = parameters(request)
    before = find(context, CRL, CrlSettings)
    settings = CrlSettings() if before is None else msgspec.structs.replace(before.value)
    if "expiry" in given:
        settings.expiry_s = min(to_seconds("expiry", given["expiry"], signed=False), TTL_S_MAX)
        if not settings.expiry_s:
            raise Refusal(400, "given expiry could not be decoded: it must be longer than nothing")
        written = to_text("expiry", given["expiry"])
        settings.expiry = written if len(written) <= _EXPIRY_MAX else format_duration(settings.expiry_s)
    if "disable" in given:
        settings.disable = to_bool("disable", given["disable"])
    draft = Draft()
    put(context, draft, CRL, settings, before)
    return Plan(Answer(data=_shown_crl(settings)), draft)


def _shown_urls(urls: Urls) -> dict[str, Any]:
    return {name: getattr(urls, name) for name in Urls.__struct_fields__}


def _shown_crl(settings: CrlSettings) -> dict[str, Any]:
    return {"expiry": settings.expiry, "disable": settings.disable}


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return text.isascii() and parts.scheme in _SCHEMES and bool(parts.netloc)
