"""What clients do while things break, one kind a file, and the words their histories use.

Workloads write these operations; checkers read them. `key` always names what is one independent object; `value` of an
invoke is the argument, of a completion the result.

| f | key | argument | result of ok | version, more |
|---|---|---|---|---|
| write | KV v2 path | marker | None | version made |
| cas | KV v2 path | [expected version, marker] | None; refused: outcome fail, more.mismatch true | version made |
| read | KV v2 path | None | marker, None if there is none | version read, 0 if there is none |
| add | set (a KV folder) | element | None | |
| members | set | None | sorted list of elements | |
| append | KV v2 path | [expected version, element] | None; refused as cas | version made |
| list | KV v2 path of append | None | list of elements | version read, 0 if there is none |
| issue | token, lease or wrap (a marker) | kind: "token", "lease", "wrap", "once" | None | more.parent: its parent |
| use | same | None | true: it was good; refused as no longer good: outcome fail, more.denied true | |
| revoke | same | None | None | more.tree true: its children, too |
| flip | policy (a marker) | "allow" or "deny" | None | |
| try | policy | None | "allow" or "deny": what the policy did to a request | |
| spoof | bound token | "read" or "write" | true: it was good; denied as use | more.claims: headers |
| login | role | None | None | |
| other | anything | what | None | for load alone: rates, audit, plaintext; nothing is checked of its result |

Every completion whose answer has a body has more.rid, the answer's request_id. A wrap or once is good for exactly one
ok use. After `info` of an append or cas the process reads before it writes again. Tokens and keys
are never in a history, only their markers; the markers of values all contain MARK, for the search of plaintext.
"""

from typing import Final

MARK: Final = "chaosmark"
