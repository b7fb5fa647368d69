"""`version`."""

from __future__ import annotations

import json

import click

from ..version import PRODUCT_VERSION
from .parts import HELP_NAMES, Command
from .session import option


@click.command("version", cls=Command, context_settings=HELP_NAMES)
@option("--format", "-o", "form", type=click.Choice(["table", "json"]), default="table", help="form of the output")
def version(form: str) -> None:
    """Print the version of this program; `strongroom status` names the server's."""
    click.echo(json.dumps({"version": PRODUCT_VERSION}) if form == "json" else f"strongroom {PRODUCT_VERSION}")
