"""The configuration for human eyes: effective values with their sources, and the reference of all keys.

Pure. Invariant: a secret is printed as `***` and a URL as scheme, host and name, whatever else is asked for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from .check_sinks import shown_url
from .document import FIELDS, SECTIONS, Config
from .secret_text import SecretText
from .sentence import must_be

if TYPE_CHECKING:
    from .load import Loaded


def printable(value: Any, key: str = "") -> Any:
    """`value` as plain JSON data, safe to print."""
    if isinstance(value, SecretText):
        return "***" if value else ""
    if isinstance(value, Struct):
        return {name: printable(item, name) for name, item in asdict(value).items()}
    if isinstance(value, tuple):
        return [printable(item) for item in value]
    if value and key.rpartition(".")[2] in {"url", "advertise", "api", "transit_address"}:
        return shown_url(value)
    return value


def settings(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """(key, printable value, source) of every key, in the order of the reference."""
    return [(key, printable(loaded.config.value(key), key), loaded.sources[key]) for key in FIELDS]


def tree(config: Config) -> dict[str, Any]:
    """The configuration as nested JSON data, safe to print."""
    found: dict[str, Any] = {}
    for key, field in FIELDS.items():
        (found.setdefault(field.section, {}) if field.section else found)[field.name] = printable(
            config.value(key), key
        )
    return found


def toml_value(value: Any) -> str:
    """`value` in TOML, on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_value(item)}' for key, item in value.items())} }}"
    if isinstance(value, SecretText):
        return '""'
    return json.dumps(value, ensure_ascii=False)  # text, numbers and truths are written alike in both


def reference_markdown() -> str:
    """Every key with type, default and reason, as a table of each section."""
    lines = []
    for section in ("", *SECTIONS):
        lines += [f"## `[{section}]`" if section else "## Top level", ""]
        lines += ["| key | must be | default | why |", "|---|---|---|---|"]
        for field in FIELDS.values():
            if field.section == section:
                default = "none" if field.default is None else f"`{toml_value(field.default)}`"
                lines.append(f"| `{field.name}` | {must_be(field)} | {default} | {field.reason} |")
        lines.append("")
    return "\n".join(lines)


def reference_toml() -> str:
    """A configuration file with every key at its default; a key without a default is commented out."""
    lines = []
    for section in ("", *SECTIONS):
        lines += [f"[{section}]"] if section else []
        for field in FIELDS.values():
            if field.section == section:
                lines.append(f"# {field.reason} ({must_be(field)})")
                setting = (
                    f"{field.name} = {toml_value(field.default)}" if field.default is not None else f"# {field.name} ="
                )
                lines.append(setting)
        lines.append("")
    return "\n".join(lines)
