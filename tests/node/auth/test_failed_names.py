"""Names under which logins failed: how many are remembered, and which are forgotten first."""

import pytest

from node.auth.failed_names import FailedNames, Failures

ONE, OTHER = b"mount 1", b"mount 2"


def put(names: FailedNames, *keys: str, mount: bytes = ONE, locked: bool = False, now_ns: int = 0) -> None:
    for key in keys:
        failures = Failures("secret", 1, now_ns, now_ns + 100, is_locked=locked)
        names.put(mount, key.encode(), failures, now_ns)


def held(names: FailedNames, mount: bytes = ONE) -> list[str]:
    keys = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if names.get(mount, letter.encode()) is not None]
    assert len(keys) == len(list(names.of_mount(mount)))
    return keys


def test_a_name_is_found_until_it_is_forgotten():
    """In its mount alone; forgetting what is not there is nothing."""
    names = FailedNames(10)
    put(names, "a")
    put(names, "b", locked=True)
    assert (held(names), held(names, OTHER), len(names)) == (["a", "b"], [], 2)
    for key in (b"a", b"b", b"c"):
        names.pop(ONE, key)
        names.pop(OTHER, key)
    assert (held(names), len(names)) == ([], 0)


def test_names_that_are_not_locked_are_forgotten_first():
    """Oldest first; locked ones only once they are more than nine tenths of all."""
    names = FailedNames(10)
    put(names, *"abcd", locked=True)
    put(names, *"efghijklm")
    assert held(names) == list("abcdhijklm")
    put(names, *"nopqrs", locked=True)
    assert held(names) == list("bcdmnopqrs")
    put(names, "t")
    assert held(names) == list("bcdnopqrst")
    put(names, "u")
    assert held(names) == list("bcdnopqrsu")


def test_a_flood_at_one_mount_pushes_out_its_own_names():
    """Whichever mount it comes to."""
    names = FailedNames(10)
    put(names, *"ab", mount=OTHER)
    put(names, *"abcdefghijklmnop")
    put(names, *"cd", mount=OTHER)
    assert (held(names, OTHER), held(names), len(names)) == (list("abcd"), list("klmnop"), 10)


@pytest.mark.parametrize(("now_ns", "left"), [(99, ["a", "b", "c"]), (100, ["c"])])
def test_what_counts_no_longer_makes_room(now_ns, left):
    """Whether it was locked or not."""
    names = FailedNames(10)
    put(names, "a")
    put(names, "b", locked=True)
    put(names, "c", now_ns=now_ns)
    assert held(names) == left


def test_no_text_holds_a_name():
    """It may be a password in the wrong field."""
    names = FailedNames(10)
    put(names, "a")
    assert (repr(names), repr(names.get(ONE, b"a"))) == ("<FailedNames 1>", "<Failures 1>")
    assert "secret" not in repr(list(names.of_mount(ONE)))
