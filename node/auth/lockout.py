"""Locking out who guesses: so many failed logins under one name of a mount, and the name is refused for a while.

What was counted stands in the memory of the node that leads, and in no record: failed logins must not become a storm of
writes. A new leader begins to count anew, so a cluster that changes its leader gives a guesser a few more attempts.
The time is the cluster's stamp of the Context; nothing here reads a clock.
Invariants
  K1  while a name is locked the right password is refused like a wrong one, and neither counts
  K2  names that nobody has are counted and locked as those that somebody has: the answers do not tell them apart
  K3  what is remembered is bounded; made-up names push out only made-up names. Of those, not even the text is kept:
      it may be a password in the wrong field
What remains: whoever locks nearly UNKNOWN_MAX made-up names of one mount before the first of them is let in again, or
fails with as many between two attempts at one name, has it forgotten where nobody has it, and not where somebody has.
That takes hundreds of logins a second for a quarter of an hour, at that very mount; a rate limit quota forbids it.
Source: Vault concepts, "User lockout"; Vault API, "sys/locked-users".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..request import Refusal
from .failed_names import FailedNames, Failures
from .lockout_settings import settings_of
from .tokens import NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engines.base import Context
    from .lockout_settings import Settings

KNOWN_MAX = 10_000  # names somebody has
UNKNOWN_MAX = 100_000  # names that nobody has: a third of a kilobyte each


class Lockout:
    """The failed logins of one node."""

    def __init__(self) -> None:
        self._known = FailedNames(KNOWN_MAX)
        self._unknown = FailedNames(UNKNOWN_MAX)

    def __repr__(self) -> str:
        return f"<Lockout of {len(self._known) + len(self._unknown)} names>"

    def check(self, context: Context, alias: str) -> None:
        """Returns if the name may try. Raises Refusal with 403 while it is locked."""
        if not self._known and not self._unknown:
            return
        settings = settings_of(context.mount)
        failures = self._find(context, _key(context, alias))
        if settings.disabled or failures is None or failures.count < settings.threshold:
            return
        if context.now_ns - failures.last_ns < settings.duration_s * NS:
            raise Refusal(403, "permission denied")
        self._forget(context, _key(context, alias))

    def failed(self, context: Context, alias: str, *, is_known: bool) -> None:
        """One more failure of a name that may try; `is_known`: somebody has it."""
        settings = settings_of(context.mount)
        if settings.disabled:
            return
        key, now_ns = _key(context, alias), context.now_ns
        failures = self._find(context, key) or Failures()
        if now_ns - failures.last_ns >= settings.counter_reset_s * NS:
            failures.count = 0
        failures.count += 1
        failures.last_ns = now_ns
        failures.until_ns = now_ns + max(settings.counter_reset_s, settings.duration_s) * NS
        failures.is_locked = failures.count >= settings.threshold
        if is_known:
            failures.alias = alias
        self._forget(context, key)
        names = self._known if is_known else self._unknown
        names.put(_uuid(context), key, failures, now_ns)

    def succeeded(self, context: Context, alias: str) -> None:
        """Nothing counts against the name any more."""
        if self._known or self._unknown:
            self._forget(context, _key(context, alias))

    def locked(self, mount_uuid: bytes, settings: Settings, now_ns: int) -> Iterator[str]:
        """The names that somebody has and that are locked in the mount."""
        for failures in self._known.of_mount(mount_uuid):
            is_locked = failures.count >= settings.threshold and now_ns - failures.last_ns < settings.duration_s * NS
            if is_locked and not settings.disabled:
                yield failures.alias

    def unlock(self, context: Context, alias: str) -> None:
        """The name may try again. The context is that of the mount."""
        self._forget(context, _key(context, alias))

    def _find(self, context: Context, key: bytes) -> Failures | None:
        return self._known.get(_uuid(context), key) or self._unknown.get(_uuid(context), key)

    def _forget(self, context: Context, key: bytes) -> None:
        self._known.pop(_uuid(context), key)
        self._unknown.pop(_uuid(context), key)


def _uuid(context: Context) -> bytes:
    assert context.mount is not None  # the flow gives every engine its mount
    return context.mount.uuid


def _key(context: Context, alias: str) -> bytes:
    return context.sealing.token_hash(f"lockout:{_uuid(context).hex()}:{alias}")
