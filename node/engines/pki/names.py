"""Which names a role lets a certificate have.

Pure. Invariants: what no rule allows is not allowed; a name that is no host name is not allowed either, unless the role
gives up on that; a wildcard stands in the leftmost label, once, and only where the role allows it.
Source: Vault, builtin/logical/pki (validateNames), rule by rule; RFC 6125, section 6.4.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .roles import Role

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?", re.ASCII)
_WILD_LABEL = re.compile(r"\*|[a-zA-Z0-9-]+\*|\*[a-zA-Z0-9-]+|[a-zA-Z0-9-]+\*[a-zA-Z0-9-]+", re.ASCII)
_HOST_CHARACTERS_MAX = 253
_LABEL_CHARACTERS_MAX = 63
_LOCAL = ("localhost", "localdomain")


def is_host(name: str) -> bool:
    """Whether it is a host name, without a wildcard."""
    if len(name) > _HOST_CHARACTERS_MAX or _HOST.fullmatch(name) is None:
        return False
    return all(len(label) <= _LABEL_CHARACTERS_MAX for label in name.split("."))


def is_dns(name: str) -> bool:
    """Whether it can stand in a certificate as a DNS name: a host name, or one behind a wildcard label."""
    label, dot, rest = name.partition(".")
    if "*" in label:
        return bool(dot) and "*" not in rest and _WILD_LABEL.fullmatch(label) is not None and is_host(rest)
    return is_host(name)


def is_allowed(role: Role, name: str) -> bool:
    """Whether the role lets a certificate have this host name or e-mail address."""
    host, is_email = name, "@" in name
    if is_email:
        local, _, host = name.partition("@")
        if not local or not host or "@" in host:
            return False
    base = host  # without its wildcard label
    is_wild = "*" in host
    if is_wild:
        label, dot, base = host.partition(".")
        if is_email or not role.allow_wildcard_certificates or not dot or "*" in base:
            return False
        if role.enforce_hostnames and _WILD_LABEL.fullmatch(label) is None:
            return False
    if role.enforce_hostnames and not is_host(base):
        return False
    if role.allow_any_name:
        return True
    if role.allow_localhost and _is_local(role, base, is_wild=is_wild):
        return True
    return any(_is_of(role, domain, name, host, base, is_wild=is_wild) for domain in role.allowed_domains)


def is_glob(pattern: str, text: str) -> bool:
    """Whether the text fits the pattern, in which each "*" is anything, also nothing."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _is_local(role: Role, base: str, *, is_wild: bool) -> bool:
    if base in _LOCAL:
        return not is_wild or role.allow_subdomains
    return role.allow_subdomains and base.endswith((".localhost", ".localdomain"))


def _is_of(role: Role, domain: str, name: str, host: str, base: str, *, is_wild: bool) -> bool:
    """Whether one allowed domain allows the name. Names compare without their case."""
    domain_lower = domain.lower()
    if role.allow_bare_domains and domain_lower in {name.lower(), host.lower()}:
        return True
    if role.allow_subdomains:
        lower = base.lower()
        if lower.endswith(f".{domain_lower}") or (is_wild and lower == domain_lower):
            return True
    return role.allow_glob_domains and "*" in domain and is_glob(domain_lower, name.lower())
