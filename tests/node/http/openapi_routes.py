"""What the program serves, and what the OpenAPI document says it serves, in one form: (path, operation), such as
("/sys/mounts/{}/tune", "post"), with the names of the parameters. Both sides are read from their tables, neither from
a list kept here: a route that is new is missing in the document from its first day on.

An operation is a method in lower case, or "list" and "scan", which the document spells GET with a query.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from node.build import Node
from node.catalog import MOUNT_TYPES
from node.engines import kv2
from node.engines.base import Caller, Engine
from node.engines.system.routes import Router
from node.http.render import respond
from node.key_paths import KeyPaths
from node.local import Handler
from node.request import Answer, Operation, RawRequest, RawResponse, Refusal
from tests.node.flow_site import make_config, raw_request
from tests.plainyaml import load

HTTP = Path(kv2.__file__).parents[1] / "http"
YAML, JSON = HTTP / "openapi.yaml", HTTP / "openapi.json"
VERBS = {Operation.READ: "get", Operation.CREATE: "post", Operation.UPDATE: "post"} | {
    operation: operation.value for operation in (Operation.LIST, Operation.SCAN, Operation.PATCH, Operation.DELETE)
}
METHODS = ("get", "post", "patch", "delete")
USUAL_MOUNTS = {"system": "sys", "kv1": "kv", "kv2": "secret", "oidc": "auth/jwt"}  # oidc is the method jwt
SILENT = {"/livez": "get", "/readyz": "get", "/startupz": "get", "sys/rotate": "post", "sys/rotate/keyring": "post"}
"""Local paths that do not say before anything else which methods they have not: with the one they are meant for."""


class Names(NamedTuple):
    """Parameters beside the path: those that are known, and which of them no part of the path stands for."""

    known: frozenset[str]
    needed: frozenset[str]


Served = dict[tuple[str, str], Names | None]
"""(path, operation) → its parameters; None: no table says which."""


# ---- the program
def node_in(folder: Path) -> Node:
    """A node that has not been started, with everything that it would serve; to it, everything is allowed."""
    node = Node(make_config(folder, "n1"))
    node.flow.judged = _allowed  # type: ignore[method-assign]
    return node


async def _allowed(request: RawRequest, do: Callable[[RawRequest], Awaitable[Answer]], **_: Any) -> RawResponse:
    return respond(request.id, await do(request))


def mount_of(name: str) -> str:
    """Where the document has the engine of that name."""
    is_auth = name == "token" or name in MOUNT_TYPES.auth
    return "/" + USUAL_MOUNTS.get(name, f"auth/{name}" if is_auth else name)


def served(node: Node) -> Served:
    """Everything."""
    found: Served = {}
    for name, engine in node._engines.items():
        found |= {(mount_of(name) + path, verb): fields for path, verb, fields in _of_engine(engine)}
    for path, handler in node.local._handlers.items():
        place = path if path.startswith("/") else f"/{path}"
        for verb in [SILENT[path]] if path in SILENT else _methods(path, handler):
            found[place, verb] = None
    return found


def _of_engine(engine: Engine) -> Iterator[tuple[str, str, Names | None]]:
    if isinstance(engine, Router):
        for pattern, route in engine._routes:
            for operation in (*route.reads, *route.decisions):
                for path in templates(pattern.pattern):
                    yield f"/{path}", VERBS[operation], Names(route.fields, route.fields - set(pattern.groupindex))
    elif isinstance(engine, kv2.KvV2):
        for area, operation in (*engine._reads, *engine._writes):
            fields, verb = kv2._FIELDS[area], VERBS[operation]
            if verb in {"list", "scan"} or area == "config":
                yield f"/{area}", verb, Names(fields, fields if area == "config" else frozenset())
            if area != "config":
                yield f"/{area}/{{}}", verb, Names(fields, fields)
    else:
        for operation, verb in VERBS.items():
            if _does(engine, operation):
                yield "/{}", verb, None
                if verb in {"list", "scan"}:
                    yield "", verb, None


def _does(engine: Engine, operation: Operation) -> bool:
    """Whether an engine without a table knows the operation: it is asked, and has nothing to answer it with."""
    context: Any = SimpleNamespace(caller=Caller(token_key=b"k"), view=None)
    request = raw_request("GET", "a/b")
    request.operation = operation
    act = engine.decide if engine.is_write(operation, "b") else engine.read
    try:
        act(context, request, "b")
    except Refusal as refusal:
        return refusal.status != 405
    except AttributeError:  # it went as far as to look into the view
        return True
    return True


def _methods(path: str, handler: Handler) -> list[str]:
    verbs = getattr(handler, "args", ())
    if verbs and getattr(handler, "func", None).__func__ in {KeyPaths._judged, KeyPaths._open}:
        return [method.lower() for method in verbs[0] if method != "PUT"]
    return [method for method in METHODS if asyncio.run(_is_had(path, handler, method))]


async def _is_had(path: str, handler: Handler, method: str) -> bool:
    try:
        await handler(raw_request(method.upper(), path))
    except Refusal as refusal:
        return refusal.status != 405
    except Exception:  # noqa: BLE001 - sealed, or nothing is there: it is a method all the same
        return True
    return True


def templates(pattern: str) -> set[str]:
    """Every path that the pattern of a route stands for; what a group captures is {}, unless only words fit it.

    Knows what patterns here are made of: text, groups with alternatives, optional groups. Raises ValueError.
    """
    found, rest = _branches(pattern.removesuffix("/?"))
    if rest:
        raise ValueError(pattern)
    return found


def _branches(text: str) -> tuple[set[str], str]:
    """What the alternatives stand for, and what is left behind the closing bracket."""
    alternatives: set[str] = set()
    current = {""}
    while text and text[0] != ")":
        if text[0] == "|":
            alternatives |= current
            current, text = {""}, text[1:]
            continue
        if text[0] == "(":
            options, text = _group(text)
        else:
            match = re.match(r"(?:[\w/-]|\\[^\w])+", text)
            if match is None:
                raise ValueError(text)
            options, text = {match.group().replace("\\", "")}, text[match.end() :]
        current = {before + after for before, after in itertools.product(current, options)}
    return alternatives | current, text


def _group(text: str) -> tuple[set[str], str]:
    opening = re.match(r"\((?:\?:|\?P<\w+>)?", text)
    assert opening is not None
    try:
        options, rest = _branches(text[opening.end() :])
        rest = rest.removeprefix(")")
    except ValueError:  # characters and repetitions: anything at all
        options, rest = {"{}"}, text[_closing(text) :]
    return (options | {""}, rest[1:]) if rest.startswith("?") else (options, rest)


def _closing(text: str) -> int:
    """Where the group ends that the text begins with."""
    depth = 0
    for match in re.finditer(r"\\.|\[(?:\\.|[^\]])*\]|[()]", text):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    raise ValueError(text)


# ---- the document
def document() -> dict[str, Any]:
    """The YAML."""
    return load(YAML.read_text(encoding="utf-8"))


def resolved(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The part, or what it refers to."""
    for name in part.get("$ref", "").removeprefix("#/").split("/") if "$ref" in part else ():
        whole = whole[name]
    return whole if "$ref" in part else part


def documented(whole: dict[str, Any]) -> dict[tuple[str, str], frozenset[str]]:
    """Everything that the document has, with the names of its parameters."""
    found = {}
    for path, item in whole["paths"].items():
        shared = [resolved(whole, one) for one in item.get("parameters", [])]
        places = _places(path, {one["name"]: one for one in shared})
        for method in METHODS:
            if method not in item:
                continue
            names = _names(whole, item[method])
            given = [resolved(whole, one) for one in item[method].get("parameters", [])]
            query = {one["name"]: one for one in given}
            for place, verb in itertools.product(places, _verbs(method, query)):
                found[place, verb] = names
    return found


def _places(path: str, parameters: dict[str, Any]) -> list[str]:
    """The path with {} for its parameters; one for each value of those that have few."""
    words = [parameters[name]["schema"].get("enum", ["{}"]) for name in re.findall(r"\{(\w+)\}", path)]
    bare = re.sub(r"\{\w+\}", "{}", path)
    return [bare.replace("{}", "%s") % chosen for chosen in itertools.product(*words)]


def _verbs(method: str, query: dict[str, Any]) -> list[str]:
    chosen = [name for name in ("list", "scan") if name in query]
    if method != "get" or not chosen:
        return [method]
    return chosen if query[chosen[0]].get("required") else [method, *chosen]


def _names(whole: dict[str, Any], operation: dict[str, Any]) -> frozenset[str]:
    names = {resolved(whole, one)["name"] for one in operation.get("parameters", [])} - {"list", "scan"}
    if "requestBody" in operation:
        (content,) = resolved(whole, operation["requestBody"])["content"].values()
        names |= set(content["schema"].get("properties", {}))
    return frozenset(names)


def is_open(whole: dict[str, Any], path: str, method: str) -> bool:
    """Whether the document says that it needs no token."""
    return resolved(whole, whole["paths"][path])[method].get("security") == []
