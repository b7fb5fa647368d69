"""One piece of work, or many in `batch_input`: parsed alike, done alike, answered in the order they came.

Pure. Invariants: an item that fails says so in its place and stops no other; a batch that would hold the loop too long
is refused before its first item; the repr of an item shows nothing.
Source: Vault API, transit, "batch_input", "partial_failure_response_code".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...auth.typed_fields import to_text
from ...request import Answer, Refusal
from ..fields import FieldError, Given, to_int
from ..json_values import NULL, Kind, kind_of, list_elements, object_fields, string_text
from .encoding import decode
from .key_types import ITEMS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .key_types import KeyType, Work

Result = dict[str, Any]

_REFERENCE = "reference"
_KEY_VERSION = "key_version"
_BODILESS = frozenset({204, 205, 304})


@dataclass(slots=True, repr=False)
class Item:
    """The texts of one piece of work, those that were given; `problem` where it cannot be done."""

    texts: dict[str, str]
    key_version: int = 0
    context: bytes = b""
    problem: str = ""

    def __repr__(self) -> str:
        return f"<Item with {len(self.texts)} texts>"

    def text(self, name: str) -> str:
        """The text of that name, "" without."""
        return self.texts.get(name, "")

    @property
    def associated_data(self) -> bytes:
        """The decoded associated data. Raises Refusal."""
        return decode(self.text("associated_data"))


@dataclass(slots=True)
class Batch:
    """Items, at least one; `is_batch` whether they came in `batch_input`."""

    items: list[Item]
    is_batch: bool

    def check_size(self, type_: KeyType, work: Work) -> None:
        """Refused with 400 unless the whole can be done in one turn of the loop."""
        most = type_.items_max(work)
        if len(self.items) > most:
            raise Refusal(400, f"batch_input has more than {most} items, the most with a key of type {type_}")

    def check_contexts(self) -> bool:
        """Whether items have a context: all of them or none. Raises Refusal."""
        with_context = bool(self.items[0].text("context"))
        if any(bool(item.text("context")) != with_context for item in self.items):
            raise Refusal(400, "context should be set either in all the request blocks or in none")
        return with_context

    def decode_contexts(self, objection: str = "") -> None:
        """Every item's context is decoded, or is its problem, in the words of `objection` if there are any."""
        for item in self.items:
            try:
                item.context = decode(item.text("context"))
            except Refusal as refusal:
                item.problem = item.problem or objection or refusal.texts[0]

    def work(self, do: Callable[[Item], Result]) -> list[Result]:
        """The result of each item. A single one that fails raises its Refusal."""
        return [self._one(do, item) for item in self.items]

    def _one(self, do: Callable[[Item], Result], item: Item) -> Result:
        problem, result = item.problem, {}
        if not problem:
            try:
                result = do(item)
            except Refusal as refusal:
                problem = refusal.texts[0]
        if problem and not self.is_batch:
            raise Refusal(400, problem)
        if problem:
            result = {"error": problem}
        if self.is_batch:
            result[_REFERENCE] = item.text(_REFERENCE)
        return result

    def answer(self, results: list[Result]) -> Answer:
        """200, whatever became of the items."""
        return Answer(data={"batch_results": results} if self.is_batch else results[0])

    def strict_answer(self, results: list[Result], given: Mapping[str, Given]) -> Answer:
        """400 if an item failed; if not all did, the status that the caller wants instead."""
        answer = self.answer(results)
        failed = sum("error" in result for result in results)
        if failed:
            answer.status = 400
            if failed < len(results) and "partial_failure_response_code" in given:
                _use_status(answer, to_int("partial_failure_response_code", given["partial_failure_response_code"]))
        return answer


def parse(given: Mapping[str, Given], names: Iterable[str], *, required: tuple[str, str] | None = None) -> Batch:
    """The items: of `batch_input` if there is one, else one made of the parameters themselves.

    `required` is a name that every item of a batch must have, and what it is for. Raises Refusal and FieldError.
    """
    raw = given.get("batch_input", NULL)
    assert not isinstance(raw, str)  # these are parameters of bodies
    value = bytes(raw)
    if value == NULL:
        return Batch([single(given, names)], is_batch=False)
    if kind_of(value) is not Kind.LIST:
        raise _unparsable(f"source data must be an array or slice, got {kind_of(value).value}")
    wanted = (*names, _REFERENCE)
    elements = list_elements(value)
    if not elements:
        raise Refusal(400, "missing batch input to process")
    if len(elements) > ITEMS_MAX:  # before any is looked at: what is too much for every key is too much to parse
        raise Refusal(400, f"batch_input has more than {ITEMS_MAX} items, the most with any key")
    items = [_item(at, element, wanted, required) for at, element in enumerate(elements)]
    return Batch(items, is_batch=True)


def single(given: Mapping[str, Given], names: Iterable[str]) -> Item:
    """The item that the parameters themselves are. Raises FieldError."""
    texts = {name: to_text(name, given[name]) for name in names if name in given}
    return Item(texts, to_int(_KEY_VERSION, given.get(_KEY_VERSION)))


def _item(at: int, element: bytes, names: Iterable[str], required: tuple[str, str] | None) -> Item:
    kind = kind_of(element)
    if kind is not Kind.OBJECT:
        raise _unparsable(f"[{at}] expected a map, got '{kind.value}'")
    fields = object_fields(element)
    if required is not None and required[0] not in fields:
        raise _unparsable(f"'[{at}].{required[0]}' missing {required[0]} to {required[1]}")
    texts = {}
    for name in names:
        if name in fields:
            value = bytes(fields[name])
            kind = kind_of(value)
            if kind is Kind.STRING:
                texts[name] = string_text(value)
            elif kind is not Kind.NULL:
                raise _unparsable(f"'[{at}].{name}' expected type 'string', got unconvertible type '{kind.value}'")
    try:
        key_version = to_int(_KEY_VERSION, fields.get(_KEY_VERSION))
    except FieldError:
        raise _unparsable(f"'[{at}].{_KEY_VERSION}' expected type 'int'") from None
    return Item(texts, key_version)


def _use_status(answer: Answer, status: int) -> None:
    if 200 <= status <= 599 and status not in _BODILESS:
        answer.status = status
        return
    text = "invalid HTTP response code override from partial_failure_response_code, reverting to"
    answer.warnings = [f"{text} {answer.status}"]


def _unparsable(text: str) -> Refusal:
    return Refusal(400, f"failed to parse batch input: {text}")
