"""Both KV engines under any body, and under sequences of requests against a plain model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.engines.kv1 import KvV1
from node.engines.kv2 import KvV2
from node.engines.kv_metadata import write_metadata
from node.request import Operation, Refusal
from tests.node.engines.fakes import Bench, make_request, plain

_NAMES = st.sampled_from(
    ["data", "options", "cas", "versions", "max_versions", "custom_metadata", "delete_version_after", "metadata_cas"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.dictionaries(_NAMES | st.text(max_size=3), _JSON, max_size=4).map(lambda body: json.dumps(body).encode())
_WRITES = [
    *[("update", f"{area}/a") for area in ("data", "metadata", "delete", "undelete", "destroy")],
    ("patch", "data/a"),
    ("patch", "metadata/a"),
    ("update", "config"),
]


@given(st.sampled_from(_WRITES), st.binary(max_size=40) | _BODIES)
@settings(max_examples=200)
def test_any_body_is_decided_or_refused_with_a_4xx(write, body):
    """Nothing else ever leaves the engine, and what was decided is readable."""
    kv = Bench(KvV2())
    kv.ask("update", "data/a", {"data": {"k": 1}})
    operation, path = write
    assert outcome_of(kv, operation, path, body) in {200, 400, 404, 413}
    for readable in ("data/a", "metadata/a", "subkeys/a", "config"):
        plain(kv.ask("read", readable))


@pytest.mark.parametrize(
    "body",
    [
        b'{"custom_metadata":{"k":"\\ud800 lone"}}',
        b'{"custom_metadata":{"k":"\xff"}}',
        b'{"custom_metadata":{"\\udfff":"v"}}',
        b'{"max_versions":"\\ud800x"}',
        b'{"max_versions":1E+400}',
        b'{"delete_version_after":"\xff"}',
        b'{"data":{},"\xff":1}',
    ],
)
@pytest.mark.parametrize("write", _WRITES)
def test_text_that_is_no_unicode_is_refused_everywhere(write, body):
    """Before any field is looked at."""
    kv = Bench(KvV2())
    kv.ask("update", "data/a", {"data": {"k": 1}})

    assert kv.refused(*write, body).status == 400


@given(st.binary(max_size=40) | _BODIES)
def test_any_body_of_kv_1_is_kept_exactly_or_refused(body):
    """And a kept one is spliced into answers as it is."""
    kv = Bench(KvV1())
    status = outcome_of(kv, "update", "a", body)

    assert status in {200, 400}
    if status == 200:
        assert kv.ask("read", "a").data == body.strip()
        json.loads(body)


def test_nothing_is_ever_stored_under_an_empty_path():
    """Also when it is not the edge that asks."""
    kv = Bench(KvV2())
    request = make_request(Operation.UPDATE, "kv", {"max_versions": 3})

    for attempt in (
        lambda: kv.engine.put(kv.context(), "", b"{}", cas=None),
        lambda: write_metadata(kv.context(), request, ""),
    ):
        with pytest.raises(Refusal) as caught:
            attempt()
        assert caught.value.texts == ("missing path",)


def outcome_of(kv: Bench, operation: str, path: str, body: bytes) -> int:
    """The status of a request; anything but an answer or a refusal is raised."""
    try:
        return kv.ask(operation, path, body).status
    except Refusal as refusal:
        return refusal.status


class Model:
    """One KV v2 path with `max_versions` 3, as a plain list of versions."""

    def __init__(self) -> None:
        self.versions: dict[int, list] = {}
        self.current = 0

    def put(self, value: int) -> None:
        self.current += 1
        self.versions[self.current] = [value, "live"]
        self.versions = {number: version for number, version in self.versions.items() if number > self.current - 3}

    def readable(self) -> dict[int, list]:
        return {number: [value if state == "live" else None, state] for number, (value, state) in self.versions.items()}

    def mark(self, number: int, *, given: tuple[str, ...], state: str) -> None:
        if number in self.versions and self.versions[number][1] in given:
            self.versions[number][1] = state


_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "undelete", "destroy", "drop"]), st.integers(1, 7)), max_size=25
)


@given(_STEPS)
@settings(max_examples=100)
def test_any_sequence_of_requests_agrees_with_a_plain_model(steps):
    """Every version of the path reads as the model says."""
    kv = Bench(KvV2())
    kv.ask("update", "config", {"max_versions": 3})
    model = Model()
    for step, number in steps:
        kv.now_ns += 1
        if step == "put":
            kv.ask("update", "data/a", {"data": {"k": number}})
            model.put(number)
        elif step == "drop":
            kv.ask("delete", "metadata/a")
            model = Model()
        else:
            kv.ask("update", f"{step}/a", {"versions": [number]})
            given_states = {"delete": ("live",), "undelete": ("deleted",), "destroy": ("live", "deleted")}[step]
            state = {"delete": "deleted", "undelete": "live", "destroy": "destroyed"}[step]
            model.mark(number, given=given_states, state=state)

        assert read_all(kv) == model.readable()


def read_all(kv: Bench) -> dict[int, list]:
    """Version → [value or None, state], as readers get them."""
    found: dict[int, list] = {}
    for number in range(1, 30):
        try:
            answer = kv.ask("read", "data/a", None, {"version": str(number)})
        except Refusal:
            continue
        metadata = plain(answer)["metadata"]
        state = "destroyed" if metadata["destroyed"] else "live" if answer.status == 200 else "deleted"
        found[number] = [plain(answer)["data"]["k"] if state == "live" else None, state]
    return found
