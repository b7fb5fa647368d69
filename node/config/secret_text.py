"""A secret from the configuration: readable by who asks for it, shown by nothing.

Invariants: `repr`, `str` and formatting give `***`; pickling is refused; comparison takes the same time for every
input of one length.
"""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretText:
    """One secret string. Empty means: not given."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(SecretText)  # a constant: a hash of the text would speak about it

    def __repr__(self) -> str:
        return "***" if self._text else ""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
