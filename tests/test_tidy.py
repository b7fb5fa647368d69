"""Small things that grow when nobody looks: length, leftovers, sleeping tests, traces of one machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PRODUCT = ("cluster", "node", "chaos")
EVERYWHERE = (*PRODUCT, "tests", "bench", "docs", "deploy", "client")
SUFFIXES = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".json", ".cfg"}
THIS = Path(__file__).name


def texts(*folders: str) -> list[tuple[str, str]]:
    """(name, text) of every file of ours."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES]
    found += [path for path in sorted(ROOT.iterdir()) if path.suffix in SUFFIXES or path.name == "Makefile"]
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in found
        if path.is_file() and path.name != THIS and "conformance/contract" not in path.as_posix()
    ]


def sources(*folders: str) -> list[tuple[str, str]]:
    return [(name, text) for name, text in texts(*folders) if name.endswith(".py")]


def test_no_file_of_the_product_is_longer_than_a_reader_can_hold() -> None:
    """Split it where its two subjects meet."""
    assert [f"{name}: {text.count(chr(10))}" for name, text in sources(*PRODUCT) if text.count("\n") > LINES_MAX] == []


def test_a_function_fits_a_screen_or_two() -> None:
    """Branches above, straight lines below; the docstring counts."""
    assert [
        f"{name}:{node.lineno} {node.name}"
        for name, text in sources(*PRODUCT)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ] == []


def test_nothing_is_left_for_later() -> None:
    """What is not done is not there; what is known to be missing stands in the documentation."""
    leftovers = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplemented\b|pytest\.mark\.(skip\b|xfail)|pytest\.skip\(")

    assert [
        f"{name}: {match.group()}"
        for name, text in sources(*EVERYWHERE)
        if (match := leftovers.search(text)) is not None
    ] == []


def test_a_method_without_a_body_is_an_interface() -> None:
    """`raise NotImplementedError` stands in the layers of Raft, which name what the next layer implements."""
    allowed = ("cluster/raft/", "cluster/turns.py")

    assert [
        name for name, text in sources(*PRODUCT) if "NotImplementedError" in text and not name.startswith(allowed)
    ] == []


def test_no_test_sleeps() -> None:
    """It waits for what happens, or moves a clock of its own."""
    sleeps = re.compile(r"\btime\.sleep\(|from time import sleep")
    processes = ("tests/process/", "tests/conformance/")  # they wait for other processes, in their harness
    processes += ("tests/chaos/test_targets_processes.py",)  # what it starts sleeps

    assert [
        name for name, text in sources("tests") if sleeps.search(text) is not None and not name.startswith(processes)
    ] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """A path below somebody's own folder says nothing to whoever reads it."""
    traces = re.compile(r"(?<!\w)/(?:(?:workspace|work|src)/|root/\.|home/(?!me/)\w+/|Users/)")

    assert [
        f"{name}: {match.group()}" for name, text in texts(*EVERYWHERE) if (match := traces.search(text)) is not None
    ] == []


def test_test_files_have_names_of_their_own() -> None:
    """Test modules are imported by name: two of one name would be one."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]

    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_every_module_of_the_product_begins_with_what_it_is_for() -> None:
    """A paragraph, before anything else."""
    assert [
        name for name, text in sources(*PRODUCT) if text.strip() and not ast.get_docstring(ast.parse(text))
    ] == []
