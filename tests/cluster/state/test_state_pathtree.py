"""Folders: a function of the set of keys, cheap to list, walked in order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.state.pathtree import FEW, PathTree

M = b"m" * 16
KEYS = st.lists(st.text(alphabet="ab/", min_size=1, max_size=7).map(lambda text: M + text.encode()), max_size=40)


def tree_of(keys):
    tree = PathTree(16)
    for key in dict.fromkeys(keys):
        tree.add(key)
    return tree


def contents(tree):
    return {folder: list(children) for folder, children in tree.folders.items()}


def expected_names(keys, folder):
    names = set()
    for key in keys:
        if key.startswith(folder):
            end = key.find(b"/", len(folder))
            names.add(key[len(folder) :] if end < 0 else key[len(folder) : end + 1])
    return sorted(names)


@settings(max_examples=100, deadline=None)
@given(KEYS, KEYS)
def test_the_tree_is_a_function_of_the_set_of_keys(keys, gone):
    """Keys that came and went leave no folder; every folder lists exactly what lies below it."""
    tree = tree_of([*gone, *keys])
    for key in dict.fromkeys(gone):
        if key not in keys:
            tree.remove(key)

    assert contents(tree_of(sorted(keys))) == contents(tree)
    assert all(expected_names(keys, folder) == tree.names(folder) for folder in tree.folders)
    assert (M in tree.folders) == bool(keys)


@settings(max_examples=100, deadline=None)
@given(
    KEYS, st.sampled_from([M, M + b"a/", M + b"a/b/", M + b"/", M + b"nothing/"]), st.text(alphabet="ab/", max_size=5)
)
def test_a_walk_is_all_keys_in_order_and_goes_on_after_any_key(keys, folder, after):
    """Sorting keys folder by folder is sorting keys; `descend` has the same ones."""
    tree = tree_of(keys)
    below = sorted(key for key in set(keys) if key.startswith(folder))
    start = folder + after.encode()

    assert below == list(tree.walk(folder))
    assert [key for key in below if key > start] == list(tree.walk(folder, start))
    assert below == sorted(tree.descend(folder))


def test_descend_goes_level_by_level():
    """All names of a level before the first of the next."""
    tree = tree_of([M + path for path in (b"z", b"a/b/c", b"a/x", b"b/y", b"a/b/a")])

    assert [key[16:] for key in tree.descend(M)] == [b"z", b"a/x", b"b/y", b"a/b/a", b"a/b/c"]


def test_descend_survives_changes_of_the_tree():
    """What is gone when its turn comes is not shown; nothing raises."""
    tree = tree_of([M + b"a", M + b"b/c", M + b"d/e"])
    seen = []
    for key in tree.descend(M):
        seen.append(key[16:])
        if key == M + b"a":
            tree.remove(M + b"b/c")

    assert seen == [b"a", b"d/e"]


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (b"", 0, [b"a", b"b/", b"c"]),
        (b"", 2, [b"a", b"b/"]),
        (b"a", 0, [b"b/", b"c"]),
        (b"b/", 1, [b"c"]),
        (b"aa", 1, [b"b/"]),
        (b"c", 0, []),
        (b"zz", 5, []),
    ],
)
def test_a_list_comes_in_parts(after, limit, expected):
    """Names greater than `after`, no more than `limit`."""
    tree = tree_of([M + b"a", M + b"b/x", M + b"c", M + b"b/y"])

    assert expected == tree.names(M, after=after, limit=limit)
    assert tree.children_count(M) == 3
    assert tree.children_count(M + b"none/") == 0


def test_parts_of_a_large_folder_are_the_whole():
    """Each part costs what it answers; together they are every name once."""
    tree = tree_of([M + b"%06d" % number for number in range(5_000)])
    parts, after = [], b""
    while part := tree.names(M, after=after, limit=700):
        parts += part
        after = part[-1]

    assert [b"%06d" % number for number in range(5_000)] == parts


def test_a_folder_is_a_tuple_while_it_is_small():
    """So the collector forgets it; a list beyond; and back, but not at the same size."""
    keys = [M + b"%03d" % number for number in range(FEW + 1)]
    tree = tree_of(keys[:FEW])

    assert isinstance(tree.folders[M], tuple)
    tree.add(keys[FEW])
    assert isinstance(tree.folders[M], list)
    for key in keys[FEW // 2 :]:
        tree.remove(key)
    assert isinstance(tree.folders[M], tuple)
    assert [key[16:] for key in keys[: FEW // 2]] == tree.names(M)


def test_slashes_in_the_root_mean_nothing():
    """A mount uuid is 16 bytes of any kind."""
    root = b"////////////////"
    tree = PathTree(16)
    tree.add(root + b"a/b")

    assert {root: [root + b"a/"], root + b"a/": [root + b"a/b"]} == contents(tree)


def test_a_tree_without_a_root_lists_from_nothing():
    """Lease ids have no mount uuid."""
    tree = PathTree(0)
    for key in (b"db/creds/x", b"/odd", b"flat"):
        tree.add(key)

    assert tree.names(b"") == [b"/", b"db/", b"flat"]
    assert list(tree.walk(b"")) == [b"/odd", b"db/creds/x", b"flat"]
