"""What a command prints: tables on stdout for people, the API's own bytes for programs, remarks on stderr.

Invariants: with `-format=json` stdout carries the API's body unchanged or nothing; no colour is ever written, so
NO_COLOR holds; control characters of stored text reach a terminal only through `-field`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .failures import Refused
from .jsontext import decode, encode, one_line, yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def columns(rows: Iterable[Sequence[Any]], header: Sequence[str]) -> str:
    """Plain columns, four spaces apart, dashes below the header."""
    table = [list(header), ["-" * len(name) for name in header], *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(header))]
    lines = ["    ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines) + "\n"


def pairs(values: Mapping[str, Any]) -> str:
    """A table of keys, sorted, and their values."""
    return columns(sorted(values.items()), ("Key", "Value"))


def heading(title: str) -> str:
    """`=== Title ===`, as Vault prints it above the parts of a secret."""
    return f"=== {title} ===\n"


def remark(text: str) -> None:
    """One line for the person, on stderr."""
    click.echo(text, err=True)


@dataclass(frozen=True, slots=True)
class Output:
    """How the caller wants it: `format` is table, json or yaml; `field` names the one value to print."""

    format: str = "table"
    field: str | None = None

    def body(self, raw: bytes, table: str) -> None:
        """The answer `raw` in the asked form; `table` is how people see it."""
        match self.format:
            case "json":
                click.echo(raw, nl=False)
            case "yaml":
                click.echo(yaml(decode(raw)) if raw.strip() else "", nl=False)
            case _:
                click.echo(table, nl=False)

    def one_field(self, values: Mapping[str, Any]) -> None:
        """The value of the asked field, raw; ended by a newline only on a terminal. Raises Refused if it is absent."""
        assert self.field is not None
        if self.field not in values:
            names = ", ".join(one_line(name) for name in sorted(values))
            raise Refused(f"there is no field {self.field!r}; there is: {names or 'none'}")
        value = values[self.field]
        if self.format == "json":
            click.echo(encode(value))
        elif self.format == "yaml":
            click.echo(yaml(value), nl=False)
        else:
            click.echo(value if isinstance(value, str) else encode(value), nl=sys.stdout.isatty())

    def data(self, raw: bytes, values: Mapping[str, Any], table: str | None = None) -> None:
        """The asked field of `values` if one is asked for, else the whole answer."""
        if self.field is not None:
            self.one_field(values)
        else:
            self.body(raw, pairs(values) if table is None else table)

    def done(self, raw: bytes, text: str) -> None:
        """A write that is done: its body for programs, a sentence on stderr for people."""
        if self.format == "table":
            remark(text)
        else:
            self.body(raw, "")
