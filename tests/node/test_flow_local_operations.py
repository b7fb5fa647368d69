"""Paths that a node answers itself, asked as something else than what they do: `?help` and `?list` open nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.node.flow_site import running

if TYPE_CHECKING:
    from pathlib import Path

ASKED = [("GET", "help=1"), ("GET", "list=true"), ("GET", "scan=true"), ("POST", "help=1"), ("PUT", "help=1")]


async def test_no_local_path_does_anything_for_who_asks_for_help(tmp_path: Path) -> None:
    """Help is for everybody who has a token: a handler that looks at the method would act for all of them."""
    async with running(tmp_path) as site:
        node = site.leader.node
        poor, _ = await site.new_token(("nothing", "deny"))
        before = node.member.view.applied_index
        done = []
        for path in sorted(node.local._handlers):
            for method, query in (*ASKED, ("DELETE", "help=1")):
                reply = await site.leader.ask(method, f"{path}?{query}", token=poor)
                if reply.status not in {400, 403, 404, 405}:
                    done.append((method, path, query, reply.status))

        assert done == []
        assert (node.member.sealed, node.member.is_leader, node.member.view.applied_index) == (False, True, before)


async def test_what_help_does_not_open_is_open_to_who_may(tmp_path: Path) -> None:
    """The twin: the same path without it."""
    async with running(tmp_path) as site:
        status = await site.ask("GET", "strongroom/status")
        helped = await site.ask("GET", "strongroom/status?help=1")

        assert (status.status, helped.status) == (200, 405)


async def test_a_local_path_is_never_answered_unwrapped(tmp_path: Path) -> None:
    """Where wrapping is asked for and there is none."""
    async with running(tmp_path) as site:
        replies = [
            await site.ask("GET", path, headers=[("X-Vault-Wrap-TTL", "60")])
            for path in ("sys/init", "strongroom/status", "sys/leader")
        ]

        assert [reply.status for reply in replies] == [400, 400, 200]  # who leads is no secret


async def test_what_is_refused_so_is_audited(tmp_path: Path) -> None:
    """But for what is about nobody's data, which is audited never."""
    async with running(tmp_path, audited=True) as site:
        replies = [await site.ask("GET", f"{path}?help=1") for path in ("strongroom/status", "sys/leader")]
        kinds = [[line["type"] for line in site.leader.audit_lines(reply.request_id)] for reply in replies]

        assert [reply.status for reply in replies] == [405, 405]
        assert kinds == [["request", "response"], []]
