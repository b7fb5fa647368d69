"""The URLs of sinks: which are taken, which are refused before anything is opened, and what is shown of them."""

from __future__ import annotations

import pytest

from cluster.backup.sinks.base import SinkRefusedError
from cluster.backup.sinks.memory import MemorySink
from cluster.backup.sinks.postgres import PostgresSink
from cluster.backup.sinks.s3 import S3Sink
from cluster.backup.sinks.sqlite import SqliteSink
from cluster.backup.sinks.urls import open_sink

BEYOND = "postgresql://backup@db.example.com/vault"


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        ("memory:", MemorySink, "memory:"),
        ("sqlite:///data/backup.db", SqliteSink, "sqlite:///data/backup.db"),
        ("sqlite:///data/a%20b.db", SqliteSink, "sqlite:///data/a b.db"),
        (f"{BEYOND}?sslmode=verify-full", PostgresSink, "postgresql://db.example.com:5432/vault"),
        (
            "postgresql://backup@db.example.com:6432/vault?sslmode=verify-full&schema=other&sslrootcert=/etc/ca.pem",
            PostgresSink,
            "postgresql://db.example.com:6432/vault",
        ),
        ("postgresql://backup@127.0.0.1/vault", PostgresSink, "postgresql://127.0.0.1:5432/vault"),
        ("postgresql://backup@[::1]:1/vault?sslmode=disable", PostgresSink, "postgresql://[::1]:1/vault"),
        ("postgresql://backup@localhost/vault?sslmode=verify-full", PostgresSink, "postgresql://localhost:5432/vault"),
        ("postgresql://backup@/vault?host=/run/postgresql", PostgresSink, "postgresql:///vault"),
        ("s3://bucket", S3Sink, "s3://s3.us-east-1.amazonaws.com/bucket"),
        ("s3://bucket/a/b-c_d.e/?region=eu-west-1", S3Sink, "s3://s3.eu-west-1.amazonaws.com/bucket"),
        ("s3://bucket/prefix?endpoint=https://s3.example.com:9000/", S3Sink, "s3://s3.example.com:9000/bucket"),
        ("s3://bucket?endpoint=http://127.0.0.1:8333", S3Sink, "s3://127.0.0.1:8333/bucket"),
        ("s3://bucket?endpoint=http://[::1]:8333", S3Sink, "s3://[::1]:8333/bucket"),
    ],
)
def test_a_url_names_a_sink(url: str, kind: type, shown: str) -> None:
    """What is shown of it is scheme, host and name."""
    sink = open_sink(url, password="correct:horse")

    assert type(sink) is kind
    assert sink.url == shown
    assert "horse" not in repr(sink)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://backup:hunter2@127.0.0.1/vault", "must not hold a password"),
        ("postgresql://backup:@127.0.0.1/vault", "must not hold a password"),
        ("postgresql://backup@127.0.0.1/vault?password=hunter2", "must not hold a password"),
        ("postgresql://backup@127.0.0.1/vault?sslpassword=hunter2", "must not hold a password"),
        (BEYOND, "verify-full"),
        (f"{BEYOND}?sslmode=disable", "verify-full"),
        (f"{BEYOND}?sslmode=prefer", "verify-full"),
        (f"{BEYOND}?sslmode=require", "verify-full"),
        (f"{BEYOND}?sslmode=verify-ca", "verify-full"),
        (f"{BEYOND}?sslmode=", "verify-full"),
        (f"{BEYOND}?sslmode=verify-full&sslmode=disable", "verify-full"),
        ("postgresql://backup@127.0.0.1.example.com/vault", "verify-full"),
        ("postgresql://backup@/vault?host=db.example.com", "verify-full"),
        ("postgresql://backup@127.0.0.1/vault?sslmode=prefer", "sslmode"),
        ("postgresql://backup@127.0.0.1/vault?host=db.example.com", "two hosts"),
        ("postgresql://backup@127.0.0.1,db.example.com/vault", "one host"),
        ("postgresql://backup@%2Frun%2Fpostgresql/vault", "one host"),
        ("postgresql://127.0.0.1/vault", "USER@HOST"),
        ("postgresql://backup@127.0.0.1", "USER@HOST"),
        ("postgresql://backup@/vault", "USER@HOST"),
        ("postgresql://backup@127.0.0.1/vault?service=hunter2", "options"),
        ("postgresql://backup@127.0.0.1/vault?sslmodus", "cannot be read"),
        ("postgresql://backup@127.0.0.1/vault?schema=a;drop", "schema"),
        ("postgresql://backup@127.0.0.1/vault?schema=pg_catalog", "schema"),
        ("postgresql://backup@127.0.0.1:hunter2/vault", "cannot be read"),
        ("postgresql://backup@[::1/vault", "cannot be read"),
        ("postgres://backup@127.0.0.1/vault", "must begin with"),
        ("postgresql://backup@127.0.0.1/vault#hunter2", "#"),
        ("sqlite://backup.db", "sqlite:///PATH"),
        ("sqlite:///", "sqlite:///PATH"),
        ("sqlite:///data/backup.db?mode=memory", "sqlite:///PATH"),
        ("s3:///prefix", "s3://BUCKET/PREFIX"),
        ("s3://hunter2@bucket/prefix", "s3://BUCKET/PREFIX"),
        ("s3://bucket:8333/prefix", "s3://BUCKET/PREFIX"),
        ("s3://Bucket/prefix", "s3://BUCKET/PREFIX"),
        ("s3://bucket/a/../b", "s3://BUCKET/PREFIX"),
        ("s3://bucket/a//b", "s3://BUCKET/PREFIX"),
        ("s3://bucket/a%2fb", "s3://BUCKET/PREFIX"),
        ("s3://key:hunter2@bucket/prefix", "must not hold a password"),
        ("s3://bucket?secret_access_key=hunter2", "must not hold a password"),
        ("s3://bucket?access_key_id=hunter2", "options"),
        ("s3://bucket?endpoint=http://s3.example.com", "must be https"),
        ("s3://bucket?endpoint=http://127.0.0.1.example.com", "must be https"),
        ("s3://bucket?endpoint=ftp://127.0.0.1", "https://HOST"),
        ("s3://bucket?endpoint=https://hunter2@s3.example.com", "https://HOST"),
        ("s3://bucket?endpoint=https://s3.example.com/hunter2", "https://HOST"),
        ("s3://bucket?endpoint=https://s3.example.com:hunter2", "cannot be read"),
        ("s3://bucket?endpoint=", "https://HOST"),
        ("s3://bucket?region=hunter2.", "region"),
        ("hunter2", "must begin with"),
        ("", "must begin with"),
    ],
)
def test_a_url_that_is_not_understood_is_refused(url: str, words: str) -> None:
    """In words that repeat nothing of it."""
    with pytest.raises(SinkRefusedError, match=words) as raised:
        open_sink(url, password="correct:horse")

    assert "hunter2" not in str(raised.value)
    assert "horse" not in str(raised.value)
