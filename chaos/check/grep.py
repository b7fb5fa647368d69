"""Is a text in any of these files? A streaming search, in the text's usual disguises; the runner's and a checker's.

Reads files of any size in pieces, follows no link, opens nothing that could block, and says where a hit is and in which
form, never what stands around it. A file that lies below two of the places is read once.
"""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

PIECE_BYTES: Final = 1 << 20
HITS_PER_FILE: Final = 5


def forms(mark: str) -> dict[str, bytes]:
    """The text as it may lie in a file: plain, hexadecimal, UTF-16, and in base64 at each of its three alignments."""
    raw = mark.encode()
    found = {
        "plain": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "utf-16": mark.encode("utf-16-le"),
        "reversed": raw[::-1],
    }
    for shift in range(3):
        # Characters that depend on what stands before or behind are cut off.
        text = base64.b64encode(bytes(shift) + raw)
        found[f"base64+{shift}"] = text[-(-shift * 4 // 3) : (shift + len(raw)) * 4 // 3]
    return found


def search(places: Iterable[Path], mark: str) -> dict[str, Any]:
    """{"files", "bytes", "found": [{"file", "offset", "form"}], "unread": [file]} of all files below these places."""
    wanted = forms(mark)
    result: dict[str, Any] = {"files": 0, "bytes": 0, "found": [], "unread": []}
    seen: set[tuple[int, int]] = set()
    for path in (path for place in places for path in _files(place, result["unread"])):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            result["unread"].append(str(path))
            continue
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            try:
                count, hits = search_stream(file, wanted)
            except OSError:
                result["unread"].append(str(path))
                continue
        result["files"] += 1
        result["bytes"] += count
        result["found"] += [{"file": str(path), "offset": offset, "form": form} for offset, form in hits]
    return result


def search_stream(file: BinaryIO, wanted: dict[str, bytes]) -> tuple[int, list[tuple[int, str]]]:
    """Bytes that were read, and (offset, form) of the first few hits. Raises OSError."""
    overlap = max(map(len, wanted.values())) - 1
    count, kept = 0, b""
    hits: set[tuple[int, str]] = set()
    while piece := file.read(PIECE_BYTES):
        text = kept + piece
        begins = count - len(kept)
        count += len(piece)
        if len(hits) < HITS_PER_FILE:
            hits |= {(begins + place, form) for form, sought in wanted.items() for place in _places(text, sought)}
        kept = text[-overlap:] if overlap else b""
    return count, sorted(hits)[:HITS_PER_FILE]


def _places(text: bytes, sought: bytes) -> Iterator[int]:
    place = text.find(sought)
    for _ in range(HITS_PER_FILE):
        if place < 0:
            return
        yield place
        place = text.find(sought, place + 1)


def _files(place: Path, unread: list[str]) -> Iterator[Path]:
    """Every file below a folder, or the file itself; nothing if it does not exist."""
    if place.is_symlink() or not place.exists():
        return
    if place.is_file():
        yield place
        return
    for folder, _, names in os.walk(place, onerror=lambda error: unread.append(str(error.filename))):
        for name in sorted(names):
            path = place.__class__(folder, name)
            if not path.is_symlink():
                yield path
