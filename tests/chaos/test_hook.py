"""The hook's protocol: words, exit codes, its one line of JSON, and what it is not told."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from chaos.nemesis.base import Scene
from chaos.nemesis.hook import Hooked, Owned
from chaos.nemesis.process import Kill
from chaos.targets.base import TargetError
from chaos.targets.hook import Hook, facts_of
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

URLS = {"n1": "http://a:1"}


def hook(folder: Path, body: str, **more: float) -> Hook:
    """A hook that first writes down its words."""
    script = folder / "hook.sh"
    script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/words\n{body}\n')
    script.chmod(0o700)
    return Hook(f"{script} --of mine", **{"pause_s": 0.0, **more})


def words(folder: Path) -> list[str]:
    return (folder / "words").read_text().splitlines()


def test_a_hook_is_told_what_and_whom(tmp_path: Path) -> None:
    """Behind its own words."""
    made = hook(tmp_path, "exit 0")

    assert made.inject("kill", ["n1", "n2"], URLS) == {"took_effect": True}
    assert made.heal("kill", ["n1", "n2"], URLS) == {}
    assert words(tmp_path) == ["--of mine inject kill n1 n2", "--of mine heal kill n1 n2"]


def test_what_it_prints_becomes_part_of_the_fault(tmp_path: Path) -> None:
    """The last object; `took_effect` is its word, and the history's own words are not."""
    made = hook(tmp_path, """echo working; echo '{"took_effect": false, "killed": 0, "fault": 9}'""")

    assert made.inject("kill", ["n1"], URLS) == {"took_effect": False, "killed": 0}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", {}),
        ("done\n", {}),
        ("[1]\n7\n", {}),
        ('{"a": 1}\n{"b": 2}\nbye\n', {"b": 2}),
        ('{"nodes": [], "leader": 1, "write_gap_s": 99, "c": 3}', {"c": 3}),
    ],
)
def test_facts_are_the_last_object(said: str, found: dict[str, Any]) -> None:
    """Anything else is talk."""
    assert facts_of(said) == found


def test_a_hook_that_fails_has_done_nothing(tmp_path: Path) -> None:
    """Its exit code is said; what it printed is not believed."""
    with pytest.raises(TargetError, match="inject kill n1 ended with 3"):
        hook(tmp_path, """echo '{"took_effect": true}'; exit 3""").inject("kill", ["n1"], URLS)


def test_healing_is_tried_again(tmp_path: Path) -> None:
    """And fails only after the last try."""
    made = hook(tmp_path, f'[ "$(wc -l < {tmp_path}/words)" -ge 3 ]')

    assert made.heal("kill", ["n1"], URLS) == {}
    assert len(words(tmp_path)) == 3
    with pytest.raises(TargetError, match="ended with 1"):
        hook(tmp_path, "exit 1").heal("kill", ["n1"], URLS)
    assert len(words(tmp_path)) == 6


def test_a_hook_that_hangs_is_ended(tmp_path: Path) -> None:
    """With everything that it started."""
    with pytest.raises(TargetError, match=r"took longer than 0\.3 s"):
        hook(tmp_path, "sleep 60 & sleep 60", timeout_s=0.3).inject("kill", ["n1"], URLS)


def test_a_hook_says_what_it_can(tmp_path: Path) -> None:
    """Or that it does not say: then it is asked for everything."""
    assert hook(tmp_path, "echo kill pause; echo unplug").abilities(URLS) == {"kill", "pause", "unplug"}
    assert hook(tmp_path, "exit 2").abilities(URLS) is None


def test_a_hook_knows_the_nodes_and_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HK2."""
    monkeypatch.setenv("STRONGROOM_TOKEN", "hvs.one")
    monkeypatch.setenv("VAULT_TOKEN", "hvs.two")
    made = hook(tmp_path, f"env > {tmp_path}/env")
    made.inject("kill", ["n1"], URLS)
    said = (tmp_path / "env").read_text()

    assert "hvs." not in said
    assert f"CHAOS_NODES={json.dumps(URLS)}" in said.splitlines()


@pytest.mark.parametrize("command", ["", "  ", "'open", "/no/such/hook"])
def test_what_is_no_command_is_refused(command: str) -> None:
    """Before anything is broken."""
    with pytest.raises(TargetError, match="hook"):
        Hook(command).abilities(URLS)


class Asked:
    """A target with a hook that notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def inject(self, fault: str, nodes: Sequence[str]) -> dict[str, Any]:
        self.said.append(f"inject {fault} {' '.join(nodes)}")
        return {"took_effect": True}

    def heal(self, fault: str, nodes: Sequence[str]) -> dict[str, Any]:
        self.said.append(f"heal {fault} {' '.join(nodes)}")
        return {}


def scene(**notes: Any) -> Scene:
    return Scene(FakeTarget(), random.Random(1), "n1", notes)


def test_a_fault_of_ours_is_asked_for_by_its_name() -> None:
    """Healing without injecting asks for nothing."""
    asked, at = Asked(), scene()
    nemesis = Hooked(Kill(), asked)
    nemesis.heal(at)
    nemesis.inject(at, ["n1"])
    nemesis.heal(at)

    assert asked.said == ["inject kill n1", "heal kill n1"]
    assert nemesis.needs == {"hook:kill"}


def test_a_fault_of_the_owners_is_named_in_its_options() -> None:
    """And has to be: a name that begins with a dash would be an option of the hook."""
    asked, at = Asked(), scene(fault="unplug")
    Owned(asked).inject(at, ["n2"])

    assert asked.said == ["inject unplug n2"]
    for wrong in (scene(), scene(fault=""), scene(fault="-x"), scene(fault=7)):
        with pytest.raises(TargetError, match="has no name"):
            Owned(asked).inject(wrong, ["n2"])
