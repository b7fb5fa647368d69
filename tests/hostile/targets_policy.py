"""Policies: what an administrator sends as HCL, JSON or base64 of either, read into rules and asked.

Whatever is read is written again and read again: the same tree. Whatever is refused is refused with a place that the
text has, or with a sentence of Vault's.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from node.policy import (
    Acl,
    Identity,
    PolicyError,
    builtin,
    document,
    hcl,
    json_form,
    match,
    parse_policy,
    templates,
    trie,
)
from tests.hostile.running import Target

EVERY = """
path "secret/+/{{identity.entity.name}}/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"] # all
  allowed_parameters = { "a" = ["x*", 1, 1.5e3, true, ["l"], { k = "v" }], "*" = [] }
  denied_parameters  = { b = [] } /* none */
  required_parameters = ["c"]
  min_wrapping_ttl = "1m", max_wrapping_ttl = 0xff
  pagination_limit = 5
  comment = <<-EOF
    some words
    EOF
}
path "/old" { policy = "write" } // as it was
path "kv/{{time.now.plus.1h}}" { capabilities = ["deny"] }
"""
JSON = json.dumps({"name": "p", "path": {"a/+": {"capabilities": ["read", "list"], "required_parameters": ["b"]}}})
PATHS = ("secret/data/ann/x", "old", "a/b", "a/", "", "kv/1")
ANN = Identity("1", "ann", {"team": "a"})
NUMBER_MAX = 10**hcl.NUMBER_CHARACTERS_MAX


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")


# ---- what is read is read again
def written(node: hcl.Node, *, top: bool = False) -> str:
    """The tree in one spelling of HCL."""
    if isinstance(node, hcl.ListNode):
        return "[" + ", ".join(map(written, node.items)) + "]"
    if isinstance(node, hcl.ObjectNode):
        items = "\n".join(written_item(item) for item in node.items)
        return items if top else f"{{\n{items}\n}}"
    value = node.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return repr(value)


def quoted(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def written_item(item: hcl.Item) -> str:
    keys = " ".join(map(quoted, item.keys))
    is_block = len(item.keys) > 1
    return f"{keys} {written(item.value)}" if is_block else f"{keys} = {written(item.value)}"


def plain(node: hcl.Node) -> Any:
    """The tree without its places; a float is its text, so that -0.0 is not 0.0."""
    if isinstance(node, hcl.Literal):
        return repr(node.value)
    if isinstance(node, hcl.ListNode):
        return [plain(part) for part in node.items]
    return {"items": [(item.keys, plain(item.value)) for item in node.items]}


def can_be_written(node: hcl.Node) -> bool:
    """HCL has no null, and no number of more than 40 characters; hexadecimal ones are longer when written in tens."""
    if isinstance(node, hcl.ListNode):
        return all(map(can_be_written, node.items))
    if isinstance(node, hcl.ObjectNode):
        return all(can_be_written(item.value) for item in node.items)
    return node.value is not None and not (isinstance(node.value, int) and abs(node.value) >= NUMBER_MAX // 10)


def read_tree(data: bytes) -> None:
    text = text_of(data)
    try:
        tree = hcl.parse(text)
    except hcl.HclError as error:
        check_place(text, error.line, error.column)
        raise
    again = written(tree, top=True)
    if can_be_written(tree) and len(again) <= hcl.TEXT_CHARACTERS_MAX and plain(hcl.parse(again)) != plain(tree):
        raise AssertionError("what was read is not read again")


def check_place(text: str, line: int, column: int) -> None:
    """Columns count to two behind the end, as Vault's do."""
    lines = text.split("\n")
    if not (1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 2):
        raise AssertionError("the place is not in the text")


# ---- what is read is compiled and asked
def read_policy(data: bytes) -> None:
    text = text_of(data)
    try:
        parsed = parse_policy(text)
    except PolicyError as error:
        sentence = str(error)
        if not sentence.startswith("failed to parse policy: "):
            raise AssertionError("not the sentence that clients know") from None
        raise
    packed = base64.b64encode(document.plain_text(text).encode()).decode()
    if parse_policy(packed) != parsed:
        raise AssertionError("base64 of a policy is another policy")
    for identity in (None, ANN):
        compiled = Acl.compile([("p", parsed), ("default", DEFAULT)], identity, 10)
        for path in PATHS:
            for operation in ("read", "list", "update"):
                compiled.check(operation, path, body={"a": "x", "c": [1]}, wrap_ttl_s=60)
            compiled.capabilities(path)
        compiled.patterns()


DEFAULT = parse_policy(builtin.DEFAULT_TEXT)
SEEDS = (EVERY.encode(), JSON.encode(), builtin.DEFAULT_TEXT.encode())

ALL = (
    Target("policy-tree", read_tree, (hcl.HclError,), SEEDS, (hcl, json_form), memory_factor=512),
    Target("policy", read_policy, (PolicyError,), (*SEEDS, base64.b64encode(EVERY.encode())),
           (hcl, json_form, document, templates, match, trie), memory_factor=1024),
)  # fmt: skip
