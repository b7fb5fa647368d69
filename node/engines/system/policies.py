"""ACL policies: list, read, write, delete, under sys/policies/acl and the old sys/policy.

Pure. Invariants: a policy is stored as its author wrote it, under its name in lower case; a text that cannot be
read is never stored; root and response-wrapping are nobody's to change.
Source: Vault API, "sys/policies/acl", "sys/policy".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft, Policy, Table, look, records

from ...auth.access import policy_text
from ...auth.typed_fields import to_text
from ...policy import PolicyError, builtin, parse_policy, plain_text
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import Given, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .routes import Captures

FIELDS = frozenset({"policy"})
OLD_FIELDS = frozenset({"policy", "rules"})
NAME_CHARACTERS_MAX = 512


def read_list(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The names, sorted, root last; response-wrapping is hidden."""
    return Answer(data={"keys": _names(context)})


def read_old_list(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The names, twice, as the old path answers."""
    names = _names(context)
    return Answer(data={"keys": names, "policies": names}, inject=True)


def read_policy(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """Exactly name and text: clients compare the whole object."""
    name, text = _found(context, captures)
    return Answer(data={"name": name, "policy": text})


def read_old_policy(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """Name and text as the old path calls them."""
    name, text = _found(context, captures)
    return Answer(data={"name": name, "rules": text}, inject=True)


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The policy has this text from now on, for every token that names it."""
    return _write(context, captures["name"], parameters(request), None)


def decide_old_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """As `decide_write`; the text may be called `rules`."""
    given = parameters(request)
    if "policy" in given or "rules" not in given:
        return _write(context, captures["name"], given, None)
    warning = "'rules' is deprecated, please use 'policy' instead"
    return _write(context, captures["name"], {"policy": given["rules"]}, warning)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The policy is gone: tokens that name it have nothing from it; 204 also where there is none."""
    name = builtin.normalise_name(captures["name"])
    try:
        builtin.check_delete(name)
    except PolicyError as error:
        raise Refusal(400, str(error)) from None
    found = context.view.get(Table.POLICY, name.encode())
    draft = Draft()
    if found is not None:
        draft.expect(Table.POLICY, name.encode(), found[0])
        draft.drop(Table.POLICY, name.encode())
    return Plan(Answer(), draft)


def _write(context: Context, given_name: str, given: Mapping[str, Given], warning: str | None) -> Plan:
    name = builtin.normalise_name(given_name)
    text = to_text("policy", given.get("policy"))
    if not text:
        raise Refusal(400, "'policy' parameter not supplied or empty")
    if not name or len(name) > NAME_CHARACTERS_MAX:
        raise Refusal(400, f"a policy name has 1 to {NAME_CHARACTERS_MAX} characters")
    try:
        parse_policy(text)
        text = plain_text(text)
        builtin.check_update(name)
    except PolicyError as error:
        raise Refusal(400, str(error)) from None
    key = name.encode()
    found = look(context.view, Table.POLICY, Policy, key)
    draft = Draft()
    if found is None:
        draft.expect(Table.POLICY, key, 0)
        draft.put(Table.POLICY, key, Policy(text=text, modified_ns=context.now_ns))
    else:
        record = context.view.get(Table.POLICY, key)
        assert record is not None, "it was found in this very view"
        changed = records.change(Policy, record[1], text=text, version=found[1].version + 1, modified_ns=context.now_ns)
        draft.expect(Table.POLICY, key, found[0])
        draft.put(Table.POLICY, key, changed)
    warnings = [warning] if warning else []
    if name != given_name:
        warnings.append(f"policy name was converted to {name}")
    return Plan(Answer(warnings=warnings or None), draft)


def _names(context: Context) -> list[str]:
    names = (key.decode() for key, _, _ in context.view.items(Table.POLICY))
    return [*sorted(name for name in names if name != builtin.RESPONSE_WRAPPING), builtin.ROOT]


def _found(context: Context, captures: Captures) -> tuple[str, str]:
    name = builtin.normalise_name(captures["name"])
    text = policy_text(context.view, name)
    if text is None:
        raise Refusal(404)
    return name, text
