"""`audit tail FILE`: the newest lines of an audit file, filtered, and with `-follow` those that come.

Shell. Invariants: a line is shown whole or not at all; a file that was rotated is read to its end before the new one is
begun; nothing is written to the file. Control characters reach a terminal only escaped.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import click

from .failures import LocalError
from .jsontext import decode, one_line
from .parts import HELP_NAMES, Command
from .session import option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PERIOD_S = 0.25
LINES = 10


@click.command("tail", cls=Command, context_settings=HELP_NAMES)
@option("--lines", "-n", "count", type=click.IntRange(min=0), default=LINES, show_default=True, help="how many first")
@option("--follow", "-f", is_flag=True, help="show what comes, also after the file was rotated; end with Ctrl-C")
@option("--path", "prefix", help="only requests whose path begins so")
@option("--request-id", help="only lines of this request")
@option("--type", "kind", type=click.Choice(["request", "response", "event", "open"]), help="only lines of this type")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def tail(file: Path, count: int, follow: bool, prefix: str | None, request_id: str | None, kind: str | None) -> int:
    """Show the newest lines of an audit file, as they stand there."""
    wanted = _filter(prefix, request_id, kind)
    try:
        with Follower(file) as follower:
            for line in deque(filter(wanted, follower.lines()), maxlen=count):
                _show(line)
            if follow:
                for line in filter(wanted, follower.follow(_pause)):
                    _show(line)
    except OSError as error:
        raise LocalError(f"{file} cannot be read: {error.strerror}") from error
    except KeyboardInterrupt:
        return 0
    return 0


class Follower:
    """Whole lines of a file that is written to, and of the one that takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._begun = b""  # of a line whose end is not there yet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self) -> Iterator[bytes]:
        """Every whole line that is there and was not given yet."""
        for piece in self._file:
            self._begun += piece
            if self._begun.endswith(b"\n"):
                line, self._begun = self._begun, b""
                yield line

    def follow(self, pause: Callable[[], bool]) -> Iterator[bytes]:
        """Every whole line, as they come, until `pause` says False."""
        while pause():
            yield from self.lines()
            if self._is_another():
                yield from self.lines()  # what came until the new one was begun
                self._open_again()
                yield from self.lines()

    def _is_another(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:  # between a rename and the new file
            return False
        here = os.fstat(self._file.fileno())
        is_other = (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
        return is_other or there.st_size < self._file.tell()

    def _open_again(self) -> None:
        self._file.close()
        self._file, self._begun = self._path.open("rb"), b""


def _filter(prefix: str | None, request_id: str | None, kind: str | None) -> Callable[[bytes], bool]:
    def wanted(line: bytes) -> bool:
        if prefix is None and request_id is None and kind is None:
            return True
        if request_id is not None and request_id.encode() not in line:
            return False
        told = _told(line)
        request = told.get("request") or {}
        return (
            (kind is None or told.get("type") == kind)
            and (request_id is None or request.get("id") == request_id)
            and (prefix is None or str(request.get("path", "")).startswith(prefix))
        )

    return wanted


def _told(line: bytes) -> dict[str, Any]:
    try:
        told = decode(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _show(line: bytes) -> None:
    if sys.stdout.isatty():
        click.echo(one_line(line.decode("utf-8", "replace").rstrip("\n")))
    else:
        click.echo(line, nl=False)


def _pause() -> bool:
    threading.Event().wait(PERIOD_S)
    return True
