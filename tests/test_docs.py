"""The documents: what they name exists, what they print is what the program prints.

Run as a program, this file writes docs/configuration.md anew.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from node.cli.root import root
from node.config import FIELDS, reference_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MADE_BY_READERS = ("tour", "data/", "certs", "api/", "renewed", "n1", "n2", "n3", "hvac-venv", "init.txt", ".venv")

PREFACE = """# Configuration

Printed by `strongroom config reference`; `strongroom config reference -format=toml` prints it as a file with every key
at its default. `strongroom config validate -config FILE` names every objection to a file, and
`strongroom config show -config FILE` each value with its source.

Sources, later ones win: defaults, files (`-config`, in order), the environment (`STRONGROOM_SECTION__KEY`, tables as
JSON), `-set section.key=value`. An unknown key is an error.

Some keys belong to what is not there yet (see "Not yet" in the README) and have no effect: the sections `trace`
and `consistency` but for `consistency.read_timeout_ms`, and `node.role`. What would be
believed to work, such as `trace.enabled`, is refused by the check.

"""


def page() -> str:
    """What docs/configuration.md must be."""
    return PREFACE + reference_markdown().rstrip("\n") + "\n"


def fenced(text: str) -> Iterator[str]:
    """Lines of code blocks that a reader is told to paste, continued lines joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if not language:
            yield from re.sub(r"<<EOF$.*?^EOF$", "", block, flags=re.MULTILINE | re.DOTALL).splitlines()


def inline(text: str) -> Iterator[str]:
    """What stands between backticks in running text."""
    running = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(words.split()) for words in re.findall(r"(?<!`)`([^`]+)`(?!`)", running))


def commands(text: str) -> list[list[str]]:
    """Every `strongroom …` of a document, as words; what follows a pipe, a semicolon or a redirection is left out."""
    found = []
    for line in [*fenced(text), *inline(text)]:
        for command in re.findall(r"(?:^|[\s(/{;])strongroom (?=[a-z])([^|;)>&#]*)", line):
            words = command.replace("…", "")
            found.append(shlex.split(words) if words.count('"') % 2 == 0 else words.split())
    return found


def objection(words: list[str]) -> str | None:
    """Why the command line does not have this command, or None."""
    command: click.Command = root
    context = click.Context(root)
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest:
            return None
        name = rest.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"no command {name!r} in {' '.join(words)!r}"
        command = found
    known = {spelling for option in command.get_params(context) for spelling in option.opts}
    for word in rest:
        if word.startswith("-") and len(word) > 1 and word.split("=", 1)[0] not in known:
            return f"no option {word!r} in {' '.join(words)!r}"
    return None


def targets(text: str) -> set[str]:
    """Every target of `make …` in a document."""
    found: set[str] = set()
    for line in [*fenced(text), *inline(text)]:
        for words in re.findall(r"^make ([a-z -]+)", line.split("#")[0]):
            found |= set(words.split())
    return found


def files(text: str) -> set[str]:
    """Every file or folder of the repository that a document names between backticks or links to."""
    tops = {path.name for path in ROOT.iterdir()}
    found = {word for word in inline(text) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", word) and "*" not in word}
    return {name for name in found if name.split("/")[0] in tops and not name.startswith(MADE_BY_READERS)}


def steps() -> list[tuple[str, str]]:
    """(file, name) of every row of the walks in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:\\\|)? ?\| `([\w/.]+\.py)` \| ([^|]+) \|", text, re.MULTILINE)
    return [(file, name) for file, names in rows for name in re.findall(r"`(\w+)`", names)]


def test_the_configuration_reference_is_current() -> None:
    """Run this file as a program to write it anew."""
    assert CONFIGURATION.read_text(encoding="utf-8") == page()


def test_the_configuration_reference_names_every_key() -> None:
    """A key that is not explained is not there for anybody."""
    missing = [field.key for field in FIELDS.values() if f"| `{field.name}` |" not in page()]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(document: Path) -> None:
    """Links are relative to the document, names between backticks to the repository."""
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    dead = [link for link in links if not (document.parent / link).exists()]
    absent = sorted(name for name in files(text) if not (ROOT / name).exists())

    assert (dead, absent) == ([], [])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_a_document_names_exist(document: Path) -> None:
    """Sub-commands, their options, and targets of make."""
    text = document.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wrong = [found for words in commands(text) if (found := objection(words)) is not None]
    unknown = sorted(name for name in targets(text) if not re.search(rf"^{name}:", makefile, re.MULTILINE))

    assert (wrong, unknown) == ([], [])


def test_a_command_that_does_not_exist_is_noticed() -> None:
    """The twin of the test above."""
    text = "```\nstrongroom kv fetch secret/a\nstrongroom kv get -shape=round secret/a\nmake coffee\n```\n"

    assert [objection(words) for words in commands(text)] == [
        "no command 'fetch' in 'kv fetch secret/a'",
        "no option '-shape=round' in 'kv get -shape=round secret/a'",
    ]
    assert targets(text) == {"coffee"}


def test_the_walks_name_functions_that_exist() -> None:
    """One write and one read, file by file: a renamed function is renamed there, too."""
    walked = steps()
    gone = [
        f"{file}: {name}"
        for file, name in walked
        if not re.search(rf"\b(?:def|class) {name}\b", (ROOT / file).read_text(encoding="utf-8"))
    ]

    assert gone == []
    assert len(walked) > 40


def test_the_invariants_that_are_named_exist() -> None:
    """The table says under which letters a module begins with them, the first and the last one."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`, ([A-Z])(\d)(?:-| and )[A-Z](\d)", text)
    gone = [
        f"{file}: {letter}{number}"
        for file, letter, first, last in named
        for number in (first, last)
        if not re.search(rf"^  {letter}{number}  ", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert gone == []
    assert len(named) > 20


def test_the_readme_begins_with_the_two_commands() -> None:
    """Nothing else is needed to begin."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"^make (\w+)", text, re.MULTILINE)[:2] == ["dev", "test"]


if __name__ == "__main__":
    CONFIGURATION.write_text(page(), encoding="utf-8")
