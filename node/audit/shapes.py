"""The shape of audit lines: Vault's keys in Vault's order; a key whose value is empty is left out.

Pure data. A field without a default is one that is always written.
Source: Vault, "Audit devices: format"; OpenBao, audit/types.go.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct


class Namespace(Struct):
    """There is one."""

    id: str


class PolicyInfo(Struct):
    """A policy that granted the request."""

    name: str
    namespace_id: str
    type: str


class PolicyResults(Struct, omit_defaults=True):
    """What the access control list said."""

    allowed: bool
    granting_policies: list[PolicyInfo] = []


class Auth(Struct, omit_defaults=True):
    """Who asked, or (in a response) who may ask from now on. Tokens and accessors are hashes."""

    client_token: str = ""
    accessor: str = ""
    display_name: str = ""
    policies: list[str] = []
    token_policies: list[str] = []
    identity_policies: list[str] = []
    no_default_policy: bool = False
    policy_results: PolicyResults | None = None
    metadata: dict[str, str] | None = None
    num_uses: int = 0
    remaining_uses: int = 0
    entity_id: str = ""
    token_type: str = ""
    token_ttl: int = 0
    token_issue_time: str = ""


class Request(Struct, omit_defaults=True):
    """The request as it was asked. `data`: body and query, masked."""

    id: str
    operation: str
    namespace: Namespace
    path: str
    client_id: str = ""
    mount_point: str = ""
    mount_type: str = ""
    mount_accessor: str = ""
    mount_class: str = ""
    client_token: str = ""
    client_token_accessor: str = ""
    data: Any = None
    remote_address: str = ""
    remote_port: int = 0
    wrap_ttl: int = 0
    headers: dict[str, list[str]] | None = None


class LeaseInfo(Struct):
    """The lease of a dynamic secret."""

    lease_id: str


class WrapInfo(Struct, omit_defaults=True):
    """What is handed out instead of the answer. Tokens and accessors are hashes."""

    ttl: int = 0
    token: str = ""
    accessor: str = ""
    creation_time: str = ""
    creation_path: str = ""
    wrapped_accessor: str = ""


class Response(Struct, omit_defaults=True):
    """The answer, masked."""

    auth: Auth | None = None
    mount_point: str = ""
    mount_type: str = ""
    mount_accessor: str = ""
    mount_class: str = ""
    secret: LeaseInfo | None = None
    data: Any = None
    warnings: list[str] | None = None
    wrap_info: WrapInfo | None = None
    headers: dict[str, list[str]] | None = None


class RequestLine(Struct, omit_defaults=True):
    """Written before the request is carried out."""

    time: str
    type: str
    auth: Raw  # an Auth
    request: Raw  # a Request
    error: str = ""
    forwarded_from: str = ""


class ResponseLine(Struct, omit_defaults=True):
    """Written before the answer leaves."""

    time: str
    type: str
    auth: Raw  # an Auth
    request: Raw  # a Request
    response: Response
    error: str = ""
    forwarded_from: str = ""
    forwarded: bool = False


class EventLine(Struct):
    """Something that is no request and concerns who may know what."""

    time: str
    type: str
    event: dict[str, Any]
