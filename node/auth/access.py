"""From the names of policies to what they allow: reads policy records, compiles access control lists.

Pure but for a memo of parsed texts, which are a function of their key and no secrets. Invariant: a policy that is
named and does not exist grants nothing; one that is stored and cannot be read denies everything, because what it
denies cannot be known.
Source: Vault API, "Policies".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cluster import Policy, Table, View, look

from ..identity.person import person_of
from ..policy import Acl, Document, Identity, PolicyError, Rules, builtin, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

_DOCUMENTS_MAX = 2_048
_NOTHING = Acl({})


def policy_text(view: View, name: str) -> str | None:
    """The text of a policy (its name is normalised); "" for root, None where there is none."""
    if name == builtin.ROOT:
        return ""
    if name == builtin.RESPONSE_WRAPPING:
        return builtin.RESPONSE_WRAPPING_TEXT
    found = look(view, Table.POLICY, Policy, name.encode())
    return None if found is None else found[1].text


def acl_of(view: View, names: Iterable[str], identity: Identity | None = None) -> Acl:
    """What the named policies allow together."""
    wanted = tuple(names)
    if builtin.ROOT in wanted:
        return Acl.ROOT
    texts = [(name, text) for name in wanted if (text := policy_text(view, name)) is not None]
    try:
        return Acl.compile([(name, _document(text)) for name, text in texts], identity)
    except PolicyError:
        return _NOTHING


def acl_of_token(view: View, names: Iterable[str], entity_id: str) -> Acl:
    """What a token with these policies and this entity ("": none) allows."""
    if not entity_id:
        return acl_of(view, names)
    person = person_of(view, entity_id)
    return _NOTHING if person is None else acl_of(view, person.beside(tuple(names)), person.identity)


def rules_of(view: View, names: Iterable[str]) -> Rules | None:
    """What the named policies say, root not among them, before anybody's templates are filled in; None: nothing."""
    texts = [(name, text) for name in names if (text := policy_text(view, name)) is not None]
    try:
        return Rules([(name, _document(text)) for name, text in texts])
    except PolicyError:
        return None


@lru_cache(maxsize=_DOCUMENTS_MAX)
def _document(text: str) -> Document:
    return parse_policy(text)
