"""A device counts as opened for the request that named it, and for no other."""

import pytest

from node.audit import ProbedRules
from node.audit.probes import REMEMBERED_MAX
from node.request import StaleLabour

OPTIONS = {"file_path": "a.log"}


@pytest.fixture
def rules():
    rules = ProbedRules("/var/lib/audit", production=True)
    rules.opened("id", "a/", "file", OPTIONS)
    return rules


def test_the_device_that_was_opened_may_be_enabled(rules):
    """As often as the decision is made again."""
    for _ in range(2):
        rules.check_opened("id", "a/", "file", dict(OPTIONS))


@pytest.mark.parametrize(
    ("request_id", "path", "type_", "options"),
    [
        ("other", "a/", "file", OPTIONS),
        ("id", "b/", "file", OPTIONS),
        ("id", "a/", "socket", OPTIONS),
        ("id", "a/", "file", {}),
        ("id", "a/", "file", OPTIONS | {"fdatasync": "true"}),
    ],
)
def test_any_other_device_is_opened_first(rules, request_id, path, type_, options):
    """Of another request, at another path, of another type, with other options."""
    with pytest.raises(StaleLabour):
        rules.check_opened(request_id, path, type_, options)


def test_options_are_kept_as_they_were(rules):
    """Whoever opened it may go on with its own."""
    options = dict(OPTIONS)
    rules.opened("id", "a/", "file", options)
    options["file_path"] = "b.log"

    rules.check_opened("id", "a/", "file", OPTIONS)
    with pytest.raises(StaleLabour):
        rules.check_opened("id", "a/", "file", options)


def test_what_is_forgotten_was_not_opened(rules):
    """The newest ones are remembered."""
    for number in range(REMEMBERED_MAX - 1):
        rules.opened(f"id-{number}", "a/", "file", OPTIONS)
    rules.check_opened("id", "a/", "file", OPTIONS)
    rules.opened("one-more", "a/", "file", OPTIONS)

    rules.check_opened("one-more", "a/", "file", OPTIONS)
    with pytest.raises(StaleLabour):
        rules.check_opened("id", "a/", "file", OPTIONS)
