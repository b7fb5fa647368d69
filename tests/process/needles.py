"""Planted secrets, and every form in which they could lie in a file or pass on a wire."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PIECE_BYTES = 1 << 22


def needles(markers: dict[str, str]) -> dict[bytes, str]:
    """Each form of each marker: raw, hex in both cases, base64 and its URL form at the three alignments, UTF-16."""
    found: dict[bytes, str] = {}
    for name, text in markers.items():
        raw = text.encode()
        forms = {raw: "raw", raw.hex().encode(): "hex", raw.hex().upper().encode(): "HEX"}
        forms[text.encode("utf-16-le")] = "utf-16"
        for shift in range(3):
            encoded = base64.b64encode(bytes(shift) + raw)
            # Characters that mix with what stands before or after the marker say nothing.
            first, last = -(-8 * shift // 6), (8 * (shift + len(raw))) // 6
            forms[encoded[first:last]] = "base64"
            forms[encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))] = "base64url"
        found |= {form: f"{name} ({kind})" for form, kind in forms.items()}
    return found


def search(data: bytes, forms: dict[bytes, str]) -> list[str]:
    """Which of the forms stand in the data."""
    return sorted({name for form, name in forms.items() if form in data})


def search_file(path: Path, forms: dict[bytes, str]) -> list[str]:
    """The same for a file of any size."""
    overlap = max(map(len, forms))
    found: set[str] = set()
    before = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            data = before + piece
            if data.strip(b"\x00"):
                found.update(search(data, forms))
            before = data[-overlap:]
    return sorted(found)


def search_folder(folder: Path, forms: dict[bytes, str]) -> dict[str, list[str]]:
    """What stands in which file below the folder, names of files included; empty if nothing does."""
    found = {}
    for path in sorted(folder.rglob("*")):
        here = search(str(path.relative_to(folder)).encode(), forms)
        if path.is_file():
            here += search_file(path, forms)
        if here:
            found[str(path.relative_to(folder))] = here
    return found
