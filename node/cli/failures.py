"""How a command ends when it did not do what was asked: three kinds, three exit codes.

Invariants: no text holds a token or a value; an unknown outcome is never shown as a refusal.
"""

from __future__ import annotations

import click


class LocalError(click.ClickException):
    """Nothing was asked of a server, or nothing reached it. Exit 1."""

    exit_code = 1


class Refused(click.ClickException):
    """The server answered no, or there is nothing at the path. Exit 2."""

    exit_code = 2


class OutcomeUnknown(click.ClickException):
    """The request was sent and nobody can say whether it was applied. Exit 3."""

    exit_code = 3
