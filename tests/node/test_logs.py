"""Log records: one line each, with the request's id, and nothing that a client sent."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from node import logs
from node.logs import configure, request_id

SECRET = "planted-s3cr3t"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_is_one_json_object_that_names_the_node(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """With time, level, logger and the sentence."""
    configure("json", "info", "n1")
    logging.getLogger("strongroom.test").warning("the %s is full", "disk")

    (line,) = lines(capsys)
    assert {name: line[name] for name in ("event", "level", "logger", "node")} == {
        "event": "the disk is full",
        "level": "warning",
        "logger": "strongroom.test",
        "node": "n1",
    }
    assert line["timestamp"].endswith("Z")
    assert "request_id" not in line


def test_a_text_record_is_one_line(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """For eyes."""
    configure("text", "info", "n1")
    logging.getLogger("strongroom.test").warning("the disk is full")

    (line,) = capsys.readouterr().err.splitlines()
    assert "the disk is full" in line


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_written(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], level: str, shown: int
) -> None:
    """Records below it are dropped."""
    configure("json", level, "n1")
    logger = logging.getLogger("strongroom.test")
    logger.debug("a")
    logger.info("b")
    logger.error("c")

    assert len(lines(capsys)) == shown


def test_configuring_again_replaces_the_former(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """A reload does not write every record twice."""
    configure("json", "info", "n1")
    configure("json", "warning", "n1")
    logging.getLogger("strongroom.test").info("a")
    logging.getLogger("strongroom.test").warning("b")

    assert [line["event"] for line in lines(capsys)] == ["b"]


def test_a_record_made_for_a_request_names_it(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """And the next one, made for nobody, does not."""
    configure("json", "info", "n1")
    mark = request_id.set("00000000-0000-4000-8000-000000000001")
    logging.getLogger("strongroom.test").info("a")
    request_id.reset(mark)
    logging.getLogger("strongroom.test").info("b")

    found = [line.get("request_id") for line in lines(capsys)]
    assert found == ["00000000-0000-4000-8000-000000000001", None]


def _raise() -> None:
    secret = SECRET
    try:
        {}[secret]
    except KeyError:
        raise ValueError(f"invalid literal {secret!r}")  # noqa: B904 - the context is what is tested


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_its_type_and_places_alone(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Neither its text nor that of what it was raised from; both types and where they came from."""
    configure(form, "debug", "n1")
    logger = logging.getLogger("strongroom.test")
    try:
        _raise()
    except ValueError:
        logger.exception("it failed", stack_info=True)
        logger.error("again", exc_info=sys.exc_info())  # noqa: G201 - every way to hand one over

    text = capsys.readouterr().err
    assert SECRET not in text
    assert "invalid literal" not in text
    assert text.count("ValueError") == text.count("KeyError") == 2
    assert "._raise:" in text


def test_an_endless_chain_of_exceptions_ends(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """A cause may be raised from its own consequence."""
    configure("json", "info", "n1")
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    logging.getLogger("strongroom.test").error("it failed", exc_info=first)

    (line,) = lines(capsys)
    assert line["exception"].count(" from ") == logs.PLACES_MAX - 1


@pytest.mark.parametrize("name", ["asyncio", "aiohttp.server", "aiohttp.access"])
def test_libraries_near_the_wire_say_type_and_place_only(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Their sentences quote requests."""
    configure("json", "debug", "n1")
    try:
        _raise()
    except ValueError:
        logging.getLogger(name).exception("Error handling request %s", SECRET, extra={"token": SECRET})

    text = capsys.readouterr().err
    assert SECRET not in text
    assert "ValueError at " in text
