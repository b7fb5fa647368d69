"""Lists in parts: what a query asks for, and that every list of an engine that has parts reads it so."""

from __future__ import annotations

import msgspec
import pytest

from cluster import Draft
from node.engines import entries, pages
from node.engines.fields import FieldError
from node.engines.kv1 import KvV1
from node.request import Operation, RawRequest, Refusal
from tests.node.engines.fakes import Bench, make_request

EVERYTHING = ["a", "b", "c", "deep/"]


class Kept(msgspec.Struct, array_like=True):
    name: str = ""


@pytest.fixture
def bench() -> Bench:
    bench = Bench(KvV1())
    for name in ("role/a", "role/b", "role/c", "role/deep/x", "other"):
        draft = Draft()
        entries.put(bench.context(), draft, name, Kept(name), None)
        bench.view.apply(draft)
    return bench


def asking(**query: str) -> RawRequest:
    return make_request(Operation.LIST, "kv/role/", None, query)


@pytest.mark.parametrize(
    ("query", "after", "limit"),
    [
        ({}, "", 0),
        ({"after": "b"}, "b", 0),
        ({"limit": "2"}, "", 2),
        ({"after": "b", "limit": "2"}, "b", 2),
        ({"limit": "0"}, "", 0),
        ({"limit": ""}, "", 0),
        ({"limit": "-1"}, "", 0),
    ],
)
def test_a_page_is_what_the_query_says(query, after, limit):
    """Absent is from the beginning and without a limit, and so is what is not positive."""
    assert pages.page(asking(**query)) == (after, limit)


@pytest.mark.parametrize("limit", ["seven", "1.5", "1,2", "9223372036854775808"])
def test_a_limit_that_is_no_number_is_no_limit_but_an_error(bench, limit):
    """It names the field, and does not fall back on everything."""
    with pytest.raises(FieldError, match='"limit"') as caught:
        pages.page(asking(limit=limit))
    assert limit not in str(caught.value)
    with pytest.raises(FieldError):
        pages.listed(bench.context(), asking(limit=limit), "role/")


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, EVERYTHING),
        ({"limit": "-7"}, EVERYTHING),
        ({"limit": "2"}, ["a", "b"]),
        ({"after": "a"}, ["b", "c", "deep/"]),
        ({"after": "aa", "limit": "1"}, ["b"]),
        ({"after": "a", "limit": "100"}, ["b", "c", "deep/"]),
    ],
)
def test_a_list_is_the_part_of_its_folder_that_was_asked_for(bench, query, keys):
    """Sorted; behind a name that need not be there; folders with their slash."""
    assert pages.listed(bench.context(), asking(**query), "role/").data == {"keys": keys}


@pytest.mark.parametrize(("query", "folder"), [({}, "none/"), ({"after": "deep/"}, "role/"), ({"after": "z"}, "role/")])
def test_an_empty_part_is_not_found(bench, query, folder):
    """As an empty list is: without a text."""
    with pytest.raises(Refusal) as caught:
        pages.listed(bench.context(), asking(**query), folder)
    assert (caught.value.status, caught.value.texts) == (404, ())
