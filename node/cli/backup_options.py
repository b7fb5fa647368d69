"""What the commands on backups have in common: where sinks are, what opens them, and how their errors end.

Reads the environment, the named files and the terminal. Invariants: passwords and keys come by variable, file or
prompt, never in an argument; an error of ours becomes an exit code here and nowhere else.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .failures import LocalError, OutcomeUnknown, Refused
from .parts import HELP_NAMES, Command
from .session import option
from .values import read_file, read_stdin

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from cluster import Transit

    from ..restore.keys import Keys
    from ..restore.places import Place

T = TypeVar("T")
NS_DIGITS = 9

from_option = option("--from", "urls", multiple=True, metavar="URL", help="a sink to read; may be repeated")
password_option = option(
    "--password-file", "password_files", multiple=True,
    help="the sink's password; the first for the first -from, and so on [STRONGROOM_BACKUP_PASSWORD]",
)  # fmt: skip
form_option = option("--format", "-o", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
progress_option = option(
    "--progress", type=click.Choice(["auto", "bar", "json", "none"]), default="auto", help="how far it is, on stderr"
)
generation_option = option("--generation", metavar="ID", help="the line of history; default: the newest")
keys_option = option(
    "--unseal-keys-file",
    help="unseal keys, one a line, - for standard input; else asked for [STRONGROOM_UNSEAL_KEYS]",
)
key_file_option = option("--key-file", help="the key file of a backup whose seal is of type static")


def command(name: str, *options: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Command]:
    """A local command with these options."""

    def decorate(function: Callable[..., Any]) -> Command:
        decorated: Any = function
        for one in reversed(options):
            decorated = one(decorated)
        return click.command(name, cls=Command, context_settings=HELP_NAMES)(decorated)

    return decorate


def places_of(
    urls: Sequence[str], password_files: Sequence[str], variable: str = "STRONGROOM_BACKUP_PASSWORD"
) -> list[Place]:
    """The sinks that were named. Raises LocalError."""
    from ..restore.places import Place

    if len(password_files) > len(urls):
        raise LocalError("there are more password files than sinks")
    passwords: list[str | None] = [read_file(name).strip() for name in password_files]
    passwords += [os.environ.get(variable) or None] * (len(urls) - len(passwords))
    return [Place(url, password) for url, password in zip(urls, passwords, strict=True)]


def needed(places: Sequence[Place]) -> None:
    """Raises UsageError where no sink is named."""
    if not places:
        raise click.UsageError("name a sink with -from URL, such as -from sqlite:///var/backups/strongroom.db")


def keys_of(
    places: Sequence[Place], generation: bytes | None, keys_file: str | None, key_file: str | None, key_text: str = "",
    transit: Transit | None = None,
) -> Keys:  # fmt: skip
    """What opens the backup: from the file, the environment, `transit`, or asked for. Raises LocalError."""
    from ..restore.jobs import seals
    from ..restore.keys import Keys

    given = keys_given(keys_file, key_file, key_text)
    if given is not None:
        return given
    kind, threshold = finished(seals(places, generation))
    return Keys(transit=transit) if kind == "transit" and transit is not None else keys_asked(kind, threshold)


def keys_given(keys_file: str | None, key_file: str | None, key_text: str = "") -> Keys | None:
    """What opens it, from the file or the environment; None if nothing is given. Raises LocalError."""
    from ..restore.keys import Keys

    if key_file or key_text:
        return Keys(key_file=key_file or "", key_text=key_text)
    if keys_file:
        return Keys((read_stdin() if keys_file == "-" else read_file(keys_file)).split())
    text = os.environ.get("STRONGROOM_UNSEAL_KEYS", "").replace(",", " ")
    return Keys(text.split()) if text.strip() else None


def keys_asked(kind: str, threshold: int) -> Keys:
    """A threshold of shares, asked for one by one without echo. Raises LocalError."""
    from ..restore.keys import Keys

    if kind == "static":
        raise LocalError("this is sealed with a key file\nnext: give it with -key-file")
    if not threshold:
        raise LocalError(f"this is sealed with type {kind}, and no recovery keys were made\nnext: give -config FILE")
    if not sys.stdin.isatty():
        raise LocalError(
            f"{threshold} unseal keys are needed\nnext: give them with -unseal-keys-file FILE, one a line, or -"
        )
    asked = [
        click.prompt(f"Unseal key {number} of {threshold} (not shown)", hide_input=True, err=True)
        for number in range(1, threshold + 1)
    ]
    return Keys([str(key).strip() for key in asked])


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What it returns. Raises what `ending` does."""
    with ending():
        return asyncio.run(work)


@contextmanager
def ending() -> Iterator[None]:
    """Every expected error of ours inside is LocalError, Refused or OutcomeUnknown outside."""
    from cluster import FencedError, SinkError, StrongroomError, UnknownStoreError

    try:
        yield
    except UnknownStoreError as error:
        raise OutcomeUnknown(f"{error}\nnext: run the command again") from None
    except (SinkError, FencedError) as error:
        raise Refused(str(error)) from None
    except TimeoutError:
        raise Refused("the sink did not answer in time") from None
    except StrongroomError as error:
        raise LocalError(str(error)) from None
    except OSError as error:
        raise LocalError(f"{error.filename or 'a file'} cannot be used: {error.strerror}") from None


def confirm(question: str, word: str, *, said: bool, flag: str) -> None:
    """Somebody typed the word, or gave the flag. Raises LocalError."""
    click.echo(question, err=True)
    if said:
        return
    if not sys.stdin.isatty():
        raise LocalError(f"this needs somebody's word\nnext: if it is meant, repeat the command with {flag}")
    if click.prompt(f"Type {word} to go on", err=True, default="", show_default=False).strip() != word:
        raise LocalError("not confirmed; nothing was changed")


def generation_of(text: str | None) -> bytes | None:
    """16 bytes of an id as it is printed. Raises LocalError."""
    if text is None:
        return None
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise LocalError("a generation is named by its 32 hex digits, as `strongroom backup list` prints it")
    return raw


def time_of(text: str | None) -> int | None:
    """Nanoseconds of `2026-01-31T12:00:00[.fraction]Z` or with +HH:MM. Raises LocalError."""
    if text is None:
        return None
    parts = re.fullmatch(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text.strip())
    try:
        when = None if parts is None else dt.datetime.fromisoformat(parts[1] + parts[3])
    except ValueError:
        when = None
    if parts is None or when is None:
        raise LocalError("a time must be like 2026-01-31T12:00:00Z, with its zone")
    return int(when.timestamp()) * 10**9 + int((parts[2] or "").ljust(NS_DIGITS, "0"))
