"""What clients ask before they ask: which mount is this, what may I see, what may I do.

Pure; any node answers. Every KV client begins with `internal/ui/mounts/<path>`.
Invariants: an unknown mount and one the caller may not see get the same answer; without a token only mounts that
say so themselves are shown, and of them only what they are.
Source: Vault API, "sys/internal/ui/mounts", "sys/internal/ui/resultant-acl".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...auth.access import acl_of_token
from ...request import Answer, RawRequest, Refusal
from .mount_table import AUTH, describe, find_mount, mounts

if TYPE_CHECKING:
    from cluster import Mount

    from ...policy import Acl
    from ..base import Context
    from .routes import Captures


def read_mount(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The mount a path belongs to, for whoever may do anything at or below it."""
    _check_token(context, request, required=True)
    path = captures["path"].rstrip("/") + "/"
    found = find_mount(context.view, path)
    if found is None or not _acl(context).reaches(found[0]):
        raise Refusal(
            403,
            f'preflight capability check returned 403, please ensure client\'s policies grant access to path "{path}"',
        )
    mount_path, _, mount = found
    return Answer(data={**describe(mount), "path": mount_path})


def read_mounts(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """Every mount the caller may see."""
    _check_token(context, request, required=False)
    acl = None
    if context.caller.token_key is not None:
        acl = _acl(context)
    return Answer(
        data={
            "auth": {
                path: _shown(mount, acl)
                for path, mount in mounts(context.view, auth=True)
                if _is_visible(AUTH + path, mount, acl)
            },
            "secret": {
                path: _shown(mount, acl)
                for path, mount in mounts(context.view, auth=False)
                if _is_visible(path, mount, acl)
            },
        }
    )


def read_resultant_acl(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The caller's rules, exact ones and prefixes; patterns with `+` have no place in this answer."""
    if context.caller.is_root:
        return Answer(data={"root": True})
    exact: dict[str, Any] = {}
    prefixes: dict[str, Any] = {}
    for pattern, words in _acl(context).patterns().items():
        if "+" in pattern.removesuffix("*").split("/"):
            continue
        if pattern.endswith("*"):
            prefixes[pattern[:-1]] = {"capabilities": words}
        else:
            exact[pattern] = {"capabilities": words}
    return Answer(data={"exact_paths": exact, "glob_paths": prefixes, "root": False})


def read_namespaces(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """There is only the root namespace."""
    _check_token(context, request, required=False)
    return Answer(data={})


def _acl(context: Context) -> Acl:
    """What the caller may do."""
    return acl_of_token(context.view, context.caller.policies, context.caller.entity_id)


def _check_token(context: Context, request: RawRequest, *, required: bool) -> None:
    """These paths are open, but a token that is sent must be good."""
    if context.caller.token_key is None and (required or request.token is not None):
        raise Refusal(403, "permission denied")


def _is_visible(path: str, mount: Mount, acl: Acl | None) -> bool:
    return mount.config.get("listing_visibility") == "unauth" or (acl is not None and acl.reaches(path))


def _shown(mount: Mount, acl: Acl | None) -> dict[str, Any]:
    if acl is not None:
        return describe(mount)
    return {"description": mount.description, "options": mount.options, "type": mount.type}
