"""The table of routes: first match decides, the rest is refused in Vault's words."""

import pytest

from node.engines.base import Caller, Context, Plan
from node.engines.fields import FieldError
from node.engines.system.routes import Route, Router, no_handler
from node.request import Answer, Operation, Refusal
from tests.node.auth.world import World, make_request


def _bad_field(_context, _request, _captures):
    raise FieldError("f", "'' expected")


def _named(context, request, captures):
    return Answer(data=dict(captures))


ROUTER = Router(
    (
        Route("a/(?P<name>.+)/b", reads={Operation.READ: _named}, fields=frozenset({"known"}), help="first"),
        Route(
            "a/(?P<name>.+)",
            reads={Operation.READ: lambda *_: Answer(data="second"), Operation.UPDATE: _bad_field},
            decisions={Operation.DELETE: lambda *_: Plan(Answer())},
        ),
        Route("w", decisions={Operation.UPDATE: lambda *_: Plan(Answer(data={})), Operation.PATCH: _bad_field}),
        Route("silent", decisions={Operation.UPDATE: lambda *_: Plan(Answer())}),
    )
)


@pytest.fixture
def context() -> Context:
    world = World()
    return Context(world.state, world.now_ns, world.random, world.keys, Caller(is_root=True))


def _ask(context, operation, path, body=None, **rest):
    request = make_request(operation, f"sys/{path}", body, **rest)
    if ROUTER.is_write(request.operation, path):
        return ROUTER.decide(context, request, path).answer
    return ROUTER.read(context, request, path)


def _refused(context, operation, path, body=None):
    with pytest.raises(Refusal) as refused:
        _ask(context, operation, path, body)
    return refused.value.status, refused.value.texts, refused.value.wrapped


def test_the_first_match_decides_and_captures(context):
    """The longer pattern stands first."""
    assert _ask(context, "read", "a/x/y/b").data == {"name": "x/y"}
    assert _ask(context, "read", "a/x").data == "second"


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        ("read", "nosuch", (404, ("unsupported path",), True)),
        ("read", "a/", (404, ("unsupported path",), True)),
        ("read", "aa/x", (404, ("unsupported path",), True)),
        ("delete", "w", (405, ("unsupported operation",), True)),
        ("read", "w", (405, ("unsupported operation",), True)),
        ("list", "a/x", (405, ("unsupported operation",), True)),
        ("header", "a/x", (405, ("unsupported operation",), True)),
        ("update", "w/", (400, ("cannot write to a path ending in '/'",), False)),
        ("patch", "w/", (400, ("cannot write to a path ending in '/'",), False)),
        ("update", "nosuch/", (400, ("cannot write to a path ending in '/'",), False)),
    ],
)
def test_what_stands_in_no_route_is_refused(context, operation, path, expected):
    """Path before operation, the slash before both."""
    assert _refused(context, operation, path) == expected


@pytest.mark.parametrize(("operation", "path"), [("update", "a/x"), ("patch", "w")])
def test_a_field_of_the_wrong_type_is_400_for_reads_and_decisions(context, operation, path):
    """Vault's field validation."""
    text = "Field validation failed: error converting input for field \"f\": '' expected"

    assert _refused(context, operation, path, {}) == (400, (text,), False)


@pytest.mark.parametrize("body", [b'{"a":', b'{"a":"\xff"}', b'{"a":1E+400}'])
def test_a_body_that_is_not_json_all_through_is_400(context, body):
    """Before any handler looks at it, and without an excerpt."""
    status, texts, wrapped = _refused(context, "update", "w", body)

    assert (status, wrapped) == (400, False)
    assert texts[0].startswith("failed to decode JSON input")


@pytest.mark.parametrize(
    ("operation", "path", "write"),
    [
        ("update", "w", True),
        ("create", "w", True),
        ("read", "w", False),
        ("update", "a/x", False),
        ("delete", "a/x", True),
        ("update", "nosuch", False),
        ("help", "w", False),
    ],
)
def test_only_decisions_go_to_the_leader(operation, path, write):
    """A POST that changes nothing, and a path that is not there, are answered where they arrive."""
    assert ROUTER.is_write(Operation(operation), path) == write


def test_a_read_asked_as_a_decision_proposes_nothing(context):
    """A request of a limited token is decided by the leader even if it only reads."""
    plan = ROUTER.decide(context, make_request("read", "sys/a/x"), "a/x")

    assert (plan.answer.data, plan.draft.empty) == ("second", True)


def test_unknown_and_replaced_parameters_are_named_where_there_is_an_answer(context):
    """Sorted; query names that choose the operation are none; a 204 stays a 204."""
    given = {"known": "1", "zebra": "1", "ant": "1", "name": "1", "list": "false"}
    answer = _ask(context, "read", "a/x/b", query=given)

    assert answer.warnings == [
        "Endpoint ignored these unrecognized parameters: [ant zebra]",
        "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name]",
    ]
    assert _ask(context, "read", "a/x/b", query={"known": "1"}).warnings is None
    assert _ask(context, "update", "silent", {"zebra": 1}).empty


def test_every_route_has_help(context):
    """Bare, with an OpenAPI part; a path that is not there has none."""
    answer = _ask(context, "help", "a/x/b")

    assert answer.bare
    assert (answer.data["help"], answer.data["see_also"]) == ("first", None)
    assert list(answer.data["openapi"]["paths"]["/sys/a/x/b"]) == ["get"]
    assert _refused(context, "help", "nosuch")[0] == 404


def test_no_route_says_so():
    """Not in the multierror form."""
    refusal = no_handler("a/b")

    assert (refusal.status, refusal.texts, refusal.wrapped) == (
        404,
        ('no handler for route "a/b". route entry not found.',),
        False,
    )


def test_no_path_here_has_an_existence_check(context):
    """POST is always an update."""
    assert ROUTER.exists(context, "w") is None
