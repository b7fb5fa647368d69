"""Lists and scans of the paths of a mount.

Pure. Invariants: keys are sorted bytewise and folders end in "/"; a scan goes level by level and takes no limit; an
empty list is "not found", an empty scan is an empty object. Source: Vault API, "LIST"; OpenBao API, "SCAN".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..request import Answer, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Context


def folder_key(context: Context, path: str) -> bytes:
    """Key of the folder `path` (with or without its slash; "" is the mount's root)."""
    assert context.mount is not None  # the flow gives every engine its mount
    return context.mount.uuid + (path if not path or path.endswith("/") else path + "/").encode()


def list_names(context: Context, path: str, *, after: str = "", limit: int = 0) -> list[str]:
    """Names below `path` behind `after`, at most `limit` of them (0: all). Refused with 404 if none."""
    names = context.view.list(folder_key(context, path), after=after.encode(errors="surrogatepass"), limit=limit)
    if not names:
        raise Refusal(404)
    return [name.decode() for name in names]


def scan_names(context: Context, path: str) -> list[str]:
    """Every path below `path`, relative to it, level by level."""
    return list(_descend(context, folder_key(context, path)))


def keys_answer(names: list[str], warnings: list[str] | None = None) -> Answer:
    """The answer that holds the names; a scan that found none has no `keys` at all."""
    return Answer(data={"keys": names} if names else {}, warnings=warnings)


def _descend(context: Context, top: bytes) -> Iterator[str]:
    level = [b""]
    while level:
        below: list[bytes] = []
        for folder in level:
            for name in context.view.list(top + folder):
                if name.endswith(b"/"):
                    below.append(folder + name)
                else:
                    yield (folder + name).decode()
        level = below
