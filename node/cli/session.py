"""What a command gets: a connection with the caller's settings, its output, and refusals turned into errors.

Shell. Options and environment become `Settings`; STRONGROOM_* wins over VAULT_*. An answer that is no success leaves
here as Refused or OutcomeUnknown with what to do next.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from .failures import LocalError, OutcomeUnknown, Refused
from .http import READS, Connection, Reply, Settings, target
from .jsontext import encode, one_line
from .output import Output, remark
from .parts import HELP_NAMES, Command, LongOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

WRITE_ID_HEADER = "X-Strongroom-Write-Id"


class Session:
    """One command's talk with one server."""

    def __init__(self, settings: Settings, output: Output) -> None:
        self.settings = settings
        self.output = output
        self._connection = Connection(settings)

    def close(self) -> None:
        """The connection is closed."""
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Whatever the server answers. Raises only if it did not."""
        text = None if body is None else encode(body)
        write_id = (headers or {}).get(WRITE_ID_HEADER)
        try:
            return self._connection.request(method, target(path, query), text, headers)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{error.message}\n{_resolve(write_id)}") from None

    def download(self, path: str, into: BinaryIO) -> None:
        """The body of a success is in the file. Raises LocalError, and Refused for every other answer."""
        reply = self._connection.request("GET", target(path), into=into)
        if not reply.ok:
            raise failure("GET", path, reply, has_token=bool(self.settings.token))

    def upload(self, path: str, file: BinaryIO) -> Reply:
        """A success, its warnings shown. Raises LocalError, Refused and OutcomeUnknown."""
        reply = self._connection.request("POST", target(path), file)
        if not reply.ok:
            raise failure("POST", path, reply, has_token=bool(self.settings.token))
        for warning in reply.document.get("warnings") or ():
            remark(f"WARNING: {one_line(warning)}")
        return reply

    def at(self, address: str) -> Session:
        """The same caller at another server, never from https to http. Raises LocalError."""
        if self.settings.address.startswith("https:") and not address.startswith("https:"):
            raise LocalError(f"{self.settings.address} names a leader that does not speak https; refused")
        return Session(replace(self.settings, address=address), self.output)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        on_failure: Callable[[Reply], None] = lambda _reply: None,
    ) -> Reply:
        """A success, its warnings shown. Else `on_failure` has the answer, and Refused or OutcomeUnknown is raised."""
        reply = self.ask(method, path, body=body, query=query, headers=headers)
        if not reply.ok:
            on_failure(reply)
            raise failure(
                method, path, reply, has_token=bool(self.settings.token), write_id=(headers or {}).get(WRITE_ID_HEADER)
            )
        for warning in reply.document.get("warnings") or ():
            remark(f"WARNING: {one_line(warning)}")
        return reply


def failure(
    method: str, path: str, reply: Reply, *, has_token: bool, write_id: str | None = None
) -> Refused | OutcomeUnknown:
    """The error that an answer means, with what to do next. Pure."""
    lines = [f"{method} {path}: the server answered {reply.status}"]
    lines += [f"  * {one_line(text)}" for text in reply.errors]
    if reply.applied == "unknown" and method not in READS:
        lines += ["The write may or may not have been applied.", _resolve(write_id)]
        return OutcomeUnknown("\n".join(lines))
    if reply.applied == "yes":
        lines.append("The write was applied; do not repeat it.")
    advice = _advice(path, reply, has_token=has_token)
    return Refused("\n".join([*lines, f"next: {advice}"] if advice else lines))


def _resolve(write_id: str | None) -> str:
    if write_id:
        return f"next: repeat the command with -write-id={write_id}; it is not applied twice"
    return "next: read what it was to change before you repeat it"


def _advice(path: str, reply: Reply, *, has_token: bool) -> str | None:
    wait = reply.headers.get("retry-after")
    match reply.status:
        case 401 | 403 if not has_token:
            return "give a token in STRONGROOM_TOKEN or VAULT_TOKEN"
        case 401 | 403:
            return f"`strongroom token lookup` names the token's policies; one of them must allow {path}"
        case 501 if not reply.errors or any("initiali" in text.lower() for text in reply.errors):
            return "`strongroom operator init`, once for the cluster"
        case 503 if any("sealed" in text.lower() for text in reply.errors):
            return "`strongroom operator unseal`, with a key of each of several holders"
        case 503:
            return f"nothing was changed; try again in {wait or '1'} s, and see `strongroom status`"
        case 504:
            return "the time was up; try again, and see `strongroom status`"
        case 429:
            return f"nothing was changed; try again in {wait or '1'} s"
        case _:
            return None


_CONNECTION_OPTIONS: tuple[Callable[[Any], Any], ...] = tuple(
    click.option(*names, cls=LongOption, **attributes)
    for names, attributes in (
        (
            ("--address",),
            {
                "envvar": ["STRONGROOM_ADDR", "VAULT_ADDR"],
                "default": "https://127.0.0.1:8200",
                "help": "URL of the server [STRONGROOM_ADDR, VAULT_ADDR]",
            },
        ),
        (
            ("--namespace",),
            {"envvar": ["STRONGROOM_NAMESPACE", "VAULT_NAMESPACE"], "help": "namespace [STRONGROOM_NAMESPACE]"},
        ),
        (
            ("--ca-cert",),
            {"envvar": ["STRONGROOM_CACERT", "VAULT_CACERT"], "help": "PEM authorities to trust [STRONGROOM_CACERT]"},
        ),
        (
            ("--client-cert",),
            {"envvar": ["STRONGROOM_CLIENT_CERT", "VAULT_CLIENT_CERT"], "help": "PEM certificate of this client"},
        ),
        (
            ("--client-key",),
            {"envvar": ["STRONGROOM_CLIENT_KEY", "VAULT_CLIENT_KEY"], "help": "PEM key of that certificate"},
        ),
        (
            ("--tls-skip-verify",),
            {
                "envvar": ["STRONGROOM_SKIP_VERIFY", "VAULT_SKIP_VERIFY"],
                "is_flag": True,
                "help": "trust any server: whoever sits between sees the token",
            },
        ),
        (
            ("--timeout",),
            {
                "envvar": ["STRONGROOM_CLIENT_TIMEOUT_S"],
                "type": click.FloatRange(min=0, min_open=True),
                "default": 60.0,
                "help": "seconds to wait for an answer",
            },
        ),
        (
            ("--format", "-o"),
            {
                "envvar": ["STRONGROOM_FORMAT", "VAULT_FORMAT"],
                "type": click.Choice(["table", "json", "yaml"]),
                "default": "table",
                "help": "form of the output",
            },
        ),
        (("--field",), {"help": "print this one value, raw"}),
    )
)


def token_of(environ: Mapping[str, str]) -> str | None:
    """The caller's token: STRONGROOM_TOKEN, else VAULT_TOKEN. It has no option: argv is seen by everyone."""
    return environ.get("STRONGROOM_TOKEN") or environ.get("VAULT_TOKEN") or None


def api_command(name: str, **attributes: Any) -> Callable[[Callable[..., int | None]], Command]:
    """A command that gets a Session first; it returns its exit code, None meaning 0."""

    def decorate(function: Callable[..., int | None]) -> Command:
        @functools.wraps(function)
        def run(**given: Any) -> int | None:
            import os

            settings = Settings(
                address=given.pop("address"),
                token=token_of(os.environ),
                namespace=given.pop("namespace"),
                ca_cert=given.pop("ca_cert"),
                client_cert=given.pop("client_cert"),
                client_key=given.pop("client_key"),
                skip_verify=given.pop("tls_skip_verify"),
                timeout_s=given.pop("timeout"),
            )
            session = Session(settings, Output(given.pop("format"), given.pop("field")))
            try:
                return function(session, **given)
            finally:
                session.close()

        decorated: Any = run
        for option in reversed(_CONNECTION_OPTIONS):
            decorated = option(decorated)
        return click.command(name, cls=Command, context_settings=HELP_NAMES, **attributes)(decorated)

    return decorate


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """A long option of a command, with one or two dashes."""
    return click.option(*names, cls=LongOption, **attributes)
