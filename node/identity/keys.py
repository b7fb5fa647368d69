"""Where what stands in the table of identity, and what its ids and names look like.

Pure. A record's key is a letter, a slash and what follows in this table:

  e/ entity id                  Entity
  n/ entity name                IdentityName of the entity
  a/ mount accessor NUL name    IdentityName of the entity that this mount calls so
  i/ alias id                   IdentityName of the entity that has the alias
  d/ merged entity id           IdentityName of the entity it was merged into
  g/ group id                   Group
  h/ group name                 IdentityName of the group
  m/ group id                   GroupMembers
  x/ mount accessor NUL name    IdentityName of the external group that this mount calls so
  y/ alias id                   IdentityName of the group that has the alias

Invariant: names are compared in lower case and shown as they were written; ids are drawn here and never used again.
Source: Vault API, "Identity"; OpenBao, identity store (names in lower case).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_BYTES_MAX = 512
_SIGNS = frozenset("\u212a\u212b\u2126\u03f4")
"""Kelvin, angstrom, ohm and a second theta: in lower case the letters of others, and no other case of theirs."""
ENTITY = b"e/"
GROUP = b"g/"


def new_id(random: Callable[[int], bytes]) -> str:
    """A fresh UUID, version 4."""
    return str(UUID(bytes=random(16), version=4))


def new_name(kind: str, random: Callable[[int], bytes]) -> str:
    """A name for what was given none: "entity_1a2b3c4d"."""
    return f"{kind}_{random(4).hex()}"


def check_name(name: str) -> None:
    """The name may be stored. Raises Refusal."""
    if len(_bytes(name)) > NAME_BYTES_MAX:
        raise Refusal(400, f"a name is longer than {NAME_BYTES_MAX} bytes")
    if not name.isprintable():  # NUL parts an accessor from a name
        raise Refusal(400, "a name holds characters that cannot be printed")
    if not _SIGNS.isdisjoint(name):
        raise Refusal(400, "a name holds a sign that is another letter in lower case")


def entity(entity_id: str) -> bytes:
    """Key of an entity."""
    return ENTITY + _bytes(entity_id)


def entity_name(name: str) -> bytes:
    """Key of an entity's name."""
    return b"n/" + _folded(name)


def entity_alias(mount_accessor: str, name: str) -> bytes:
    """Key of what a mount calls an entity."""
    return b"a/" + _bytes(mount_accessor) + b"\0" + _folded(name)


def entity_alias_id(alias_id: str) -> bytes:
    """Key of the id of an entity's alias."""
    return b"i/" + _bytes(alias_id)


def merged(entity_id: str) -> bytes:
    """Key of the id of an entity that is now part of another."""
    return b"d/" + _bytes(entity_id)


def group(group_id: str) -> bytes:
    """Key of a group."""
    return GROUP + _bytes(group_id)


def group_name(name: str) -> bytes:
    """Key of a group's name."""
    return b"h/" + _folded(name)


def members(group_id: str) -> bytes:
    """Key of who was made a member of a group."""
    return b"m/" + _bytes(group_id)


def group_alias(mount_accessor: str, name: str) -> bytes:
    """Key of what a mount calls an external group."""
    return b"x/" + _bytes(mount_accessor) + b"\0" + _folded(name)


def group_alias_id(alias_id: str) -> bytes:
    """Key of the id of a group's alias."""
    return b"y/" + _bytes(alias_id)


def _folded(name: str) -> bytes:
    return _bytes(name.lower())


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
