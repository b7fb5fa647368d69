"""Named places where a test may make the process fail. A no-op unless a test installs a hook.

The production profile refuses to start while one is installed (security.md 9, node/build.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_hooks: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Call the hook installed for `name`, if any."""
    if _hooks and (hook := _hooks.get(name)) is not None:
        hook()


def install(name: str, hook: Callable[[], None]) -> None:
    """Make every later `failpoint(name)` call `hook`."""
    _hooks[name] = hook


def clear() -> None:
    """Remove every hook."""
    _hooks.clear()


def installed() -> list[str]:
    """Names of the places that would fail."""
    return sorted(_hooks)
