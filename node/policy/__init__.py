"""Policies: text to document, documents to an access control list, one question to one decision. Pure.

Read in this order: `hcl` (text to tree), `document` (tree to rules), `templates` (rules of one identity), `match`,
`trie` and `grant` (which rule applies and what it allows), `capabilities` (the words), `builtin` (what every cluster
has).
"""

from __future__ import annotations

from .capabilities import Capability
from .document import Document, PathRule, PolicyError, parse_policy, plain_text
from .grant import Decision
from .match import Acl, Rules
from .templates import Alias, Group, Identity, expand

__all__ = [
    "Acl",
    "Alias",
    "Capability",
    "Decision",
    "Document",
    "Group",
    "Identity",
    "PathRule",
    "PolicyError",
    "Rules",
    "expand",
    "parse_policy",
    "plain_text",
]
