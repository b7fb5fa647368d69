"""The arrows between the rooms, and who may touch the world: read from the source, not from good intentions.

docs/architecture.md has the picture. A rule that has to give way is changed here, with its reason, in the same commit.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("cluster", "node", "chaos")

# Names of the operating system that only seams.py, and these files for these reasons, may call.
WORLD = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.clock_gettime", "time.sleep",
    "os.urandom", "os.getrandom", "random.random", "random.Random", "random.randbytes", "secrets.token_bytes",
    "secrets.token_hex", "secrets.token_urlsafe", "secrets.SystemRandom", "uuid.uuid4", "uuid.uuid1",
    "datetime.now", "dt.datetime.now", "datetime.datetime.now", "datetime.utcnow",
}  # fmt: skip
WORLD_ALLOWED = {
    "cluster/seams.py": "the seam itself",
    "cluster/links/certs.py": "the dates of new certificates, made by the command line",
    "cluster/clockshim.py": "a shifted clock for tests of real processes, refused in production",
    "cluster/failpoints.py": "a pause where a test asks for one, refused in production",
    "node/cli/write_id.py": "the command line imports neither cluster nor its seams",
    "node/dev.py": "starts and watches processes",
    "node/tls.py": "self-signed certificates of dev",
}
PURE = ("cluster/state", "cluster/keyring", "node/identity", "node/policy", "node/engines")
PURE_EXCEPT = ("cluster/keyring/unsealers",)
IMPURE = {"os", "time", "random", "secrets", "asyncio", "logging", "socket", "subprocess", "threading"}


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(
    path: Path, *, types_too: bool = True, module: ast.Module | None = None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, imported names) of every import, late ones too; relative ones made absolute."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    hidden = set() if types_too else _type_checking_nodes(tree(path))
    for node in ast.walk(module or tree(path)):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), tuple(a.name for a in node.names)


def _type_checking_nodes(module: ast.Module) -> set[ast.AST]:
    return {
        child
        for node in ast.walk(module)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for child in ast.walk(statement)
    }


def resolved(path: Path, *, types_too: bool = True, module: ast.Module | None = None) -> Iterator[str]:
    """Every module of ours that is imported, `from . import files` told apart from `from .files import x`."""
    for found, names in imports(path, types_too=types_too, module=module):
        yield found
        for name in names:
            place = ROOT / Path(*found.split("."), name)
            if place.with_suffix(".py").is_file() or place.is_dir():
                yield f"{found}.{name}"


def offenders(folders: tuple[str, ...], forbidden: str, *, except_under: tuple[str, ...] = ()) -> list[str]:
    """Files of these folders that import the package."""
    return [
        f"{name_of(path)} imports {module}"
        for path in files(*folders)
        if not name_of(path).startswith(except_under or ("\0",))
        for module, _ in imports(path)
        if module == forbidden or module.startswith(f"{forbidden}.")
    ]


# ---- arrows
def test_node_imports_cluster_through_its_face_only() -> None:
    """`from cluster import …`, never a module below it."""
    assert [
        f"{name_of(path)} imports {module}"
        for path in files("node")
        for module in resolved(path)
        if module.startswith("cluster.")
    ] == []


def test_cluster_imports_neither_node_nor_chaos() -> None:
    """The lower room does not know the upper one, nor who tests it."""
    assert offenders(("cluster",), "node") + offenders(("cluster",), "chaos") + offenders(("cluster",), "tests") == []
    assert offenders(("node",), "chaos") + offenders(("node",), "tests") == []


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("aiohttp", ("node/http", "node/auth", "cluster/keyring/unsealers")),
        ("pysyncobj", ("cluster/raft",)),
        ("asyncpg", ("cluster/backup/sinks",)),
        ("sqlite3", ("cluster/backup/sinks",)),
        ("obstore", ("cluster/backup/sinks",)),
        ("click", ("node/cli", "node/__main__.py")),
        ("prometheus_client", ("node",)),
    ],
)
def test_a_library_stays_in_its_place(library: str, places: tuple[str, ...]) -> None:
    """Replacing it means changing these files and no others."""
    assert offenders(PRODUCT, library, except_under=places) == []


def test_the_simulator_runs_the_request_path_without_its_edge() -> None:
    """Raft below, and in its workload what a request goes through: no HTTP, no process, no command line."""
    assert offenders(("chaos/sim",), "node", except_under=("chaos/sim/workload",)) == []
    edges = ("node.http", "node.service", "node.build", "node.dev", "node.cli", "node.config")
    assert [found for edge in edges for found in offenders(("chaos/sim",), edge)] == []


@pytest.mark.parametrize("forbidden", ["pickle", "cPickle", "_pickle", "shelve", "marshal", "dill"])
def test_nothing_is_ever_pickled(forbidden: str) -> None:
    """Neither by import nor late."""
    assert offenders((*PRODUCT, "bench"), forbidden) == []


CIRCLES_ALLOWED = {
    "node.engines -> node.auth -> node.engines": "system paths judge tokens, and token paths are an engine",
}


def rooms(path: Path) -> str:
    """A room is a folder of a package; a file beside the folders is a room of its own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:2])


@cache
def room_graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for path in files("cluster", "node"):
        room = rooms(path)
        graph.setdefault(room, set())
        for module in resolved(path, types_too=False):
            parts = module.split(".")
            if parts[0] in {"cluster", "node"} and len(parts) > 1 and ".".join(parts[:2]) != room:
                graph[room].add(".".join(parts[:2]))
    return graph


def test_rooms_do_not_import_each_other_in_circles() -> None:
    """Imports for types alone do not count: they are not there when the program runs."""
    graph = room_graph()
    done: set[str] = set()
    circles: list[str] = []

    def visit(room: str, way: list[str]) -> None:
        if room in way:
            circles.append(" -> ".join([*way[way.index(room) :], room]))
            return
        if room in done:
            return
        for other in sorted(graph.get(room, ())):
            visit(other, [*way, room])
        done.add(room)

    for room in sorted(graph):
        visit(room, [])

    assert [circle for circle in circles if circle not in CIRCLES_ALLOWED] == []


def test_modules_do_not_import_each_other_in_circles() -> None:
    """Not even inside a room; a late import inside a function is a way out that says so."""
    graph = {
        module_of(path): {m for m in top_imports(path) if m.startswith(("cluster.", "node."))}
        for path in files("cluster", "node")
        if path.name != "__init__.py"
    }
    left = dict(graph)
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]

    assert sorted(left) == []


def top_imports(path: Path) -> set[str]:
    """Modules that are loaded when this one is: imports at its top, not for types."""
    hidden = _type_checking_nodes(tree(path))
    top = [node for node in tree(path).body if node not in hidden]
    found = ast.Module([node for node in top if isinstance(node, (ast.Import, ast.ImportFrom))], [])
    return set(resolved(path, types_too=False, module=found))


# ---- purity
def pure_files() -> list[Path]:
    return [path for path in files(*PURE) if not name_of(path).startswith(PURE_EXCEPT)]


@pytest.mark.parametrize("folder", PURE)
def test_a_pure_room_touches_nothing(folder: str) -> None:
    """No I/O, clock, randomness, tasks or logging: it decides and returns data."""
    assert [
        f"{name_of(path)} imports {module}"
        for path in pure_files()
        if name_of(path).startswith(f"{folder}/")
        for module, _ in imports(path)
        if module.split(".")[0] in IMPURE
    ] == []


def test_a_pure_room_has_no_failpoint() -> None:
    """Apply is the same on every node: nothing in it can be told to die or to wait."""
    assert [
        f"{name_of(path)} imports {module}"
        for path in pure_files()
        for module in resolved(path)
        if module.rpartition(".")[2] in {"failpoint", "failpoints"}
        or "failpoint" in [name for _, names in imports(path) for name in names]
    ] == []


def test_a_pure_room_awaits_and_opens_nothing() -> None:
    """Only shells do."""
    assert [
        f"{name_of(path)}:{node.lineno}"  # type: ignore[attr-defined]
        for path in pure_files()
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncWith, ast.AsyncFor))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "print", "input"})
    ] == []


# ---- seams
def calls_of_the_world(path: Path) -> Iterator[str]:
    """Calls and uses of clocks and random sources, by the names they are imported under."""
    renamed: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            renamed.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            renamed.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.Attribute, ast.Name)):
            said = ast.unparse(node)
            head, dot, tail = said.partition(".")
            meant = renamed.get(head, head) + dot + tail
            if meant in WORLD or said in WORLD:
                yield f"{name_of(path)}:{node.lineno} {meant}"


def test_clocks_and_randomness_come_through_the_seams() -> None:
    """That is what lets the simulator run the product's own code."""
    assert [
        found
        for path in files("cluster", "node")
        if name_of(path) not in WORLD_ALLOWED
        for found in calls_of_the_world(path)
    ] == []


def test_every_exception_is_still_needed() -> None:
    """An entry that nothing needs any more hides the next mistake."""
    assert [name for name in WORLD_ALLOWED if not (ROOT / name).is_file()] == []


def test_the_simulator_draws_from_seeds_only() -> None:
    """No wall clock but for printing how fast it was, no generator without a seed."""
    found = [
        line for path in files("chaos/sim") for line in calls_of_the_world(path) if not line.endswith("random.Random")
    ]

    assert found == []


# ---- what starts with what
def loaded_by(*words: str) -> set[str]:
    """Top packages that are loaded when a command has run."""
    program = (
        "import sys\n"
        "from node.__main__ import main\n"
        f"sys.argv = ['strongroom', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n' + ' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "STRONGROOM_ADDR": "http://127.0.0.1:1", "HOME": "/nonexistent"},
    )  # fmt: skip
    return set(ran.stdout.splitlines()[-1].split())


def test_the_command_line_reads_a_secret_without_the_server() -> None:
    """`strongroom kv get` starts in a tenth of a second: no cluster, no aiohttp, no cryptography."""
    loaded = loaded_by("kv", "get", "secret/x")

    assert "click" in loaded
    assert loaded & {"cluster", "aiohttp", "cryptography", "pysyncobj", "uvloop", "prometheus_client"} == set()
