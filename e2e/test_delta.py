# SPDX-License-Identifier: Apache-2.0
"""Restores over a database that is there: it becomes the backup, and little of it is fetched and written."""

import pytest

from lifeboat import PASSWORD, Lifeboat
from postgres import Postgres, assert_same_data, assert_sound, assert_verified


@pytest.fixture
def source(cluster, newest) -> Postgres:
    server = cluster(newest)
    server.add_role(PASSWORD)
    server.add_tablespace("fast")
    server.sql("CREATE TABLE rows TABLESPACE fast AS SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i")
    server.sql("CREATE TABLE kept AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i")
    server.sql("CREATE TABLE dropped AS SELECT generate_series(1, 10000) i")
    return server


def moved(source: Postgres, copy: Postgres) -> list[str]:
    return [text for location in source.tablespaces()
            for text in ("--tablespace", f"{location}={copy.home / location.name}")]


@pytest.fixture
def copy(source, cluster, lifeboat, workspace) -> Postgres:
    """Yesterday's copy, which went on by itself."""
    lifeboat.backup(source)
    copy = cluster.adopt(Postgres(source.major, workspace / "copy"))
    lifeboat.restore(copy.data, *moved(source, copy))
    copy.start()
    copy.sql("UPDATE rows SET i = -i WHERE i % 1000 = 0; TRUNCATE dropped; CREATE TABLE own AS SELECT 1")
    copy.sql("CREATE DATABASE scratch; CREATE UNLOGGED TABLE fleeting AS SELECT 1")
    return copy


def delta(lifeboat: Lifeboat, copy: Postgres, *options) -> dict:
    return lifeboat.json("restore", "--to", copy.data, "--delta", *options)


def test_a_copy_becomes_the_newest_backup(source, copy, lifeboat, newest):
    source.sql("UPDATE rows SET i = i + 1 WHERE i % 500 = 0; DROP TABLE dropped; CREATE TABLE later AS SELECT 2")
    source.sql("CHECKPOINT")
    lifeboat.backup(source, "--type", "incremental")
    lifeboat.failure("restore", "--to", copy.data, "--delta", *moved(source, copy)).names("PostgreSQL (process", copy.data)
    copy.stop()

    done = delta(lifeboat, copy, *moved(source, copy))
    assert done["keptBytes"] > done["bytes"] / 2
    assert_verified(newest, copy.data)
    copy.start()
    assert_same_data(source, copy)
    assert_sound(copy)
    assert copy.tablespaces() == [copy.home / location.name for location in source.tablespaces()]


def test_a_crashed_server_goes_back_in_its_own_place(source, lifeboat, newest):
    lifeboat.backup(source)
    before = source.sql("SELECT count(*), sum(i) FROM rows")
    source.sql("DELETE FROM rows WHERE i > 100; CREATE TABLE mistake AS SELECT 1")
    source.stop("immediate")
    (source.data / "postmaster.pid").unlink(missing_ok=True)

    done = delta(lifeboat, source)
    assert done["keptBytes"] > done["bytes"] / 2
    assert_verified(newest, source.data)
    source.start()
    assert source.sql("SELECT count(*), sum(i) FROM rows") == before
    assert source.sql("SELECT count(*) FROM pg_class WHERE relname = 'mistake'") == "0"
    assert_sound(source)


def test_what_is_not_the_databases_is_left_alone(source, copy, lifeboat, cluster, newest):
    copy.stop()
    notes = copy.data / "notes.txt"
    notes.write_text("mine")
    lifeboat.failure("restore", "--to", copy.data, "--delta", *moved(source, copy)).names("notes.txt", "move it away")
    assert notes.read_text() == "mine"
    notes.unlink()
    copy.start()  # nothing was changed
    copy.stop()

    other = cluster(newest, name="other")
    other.stop()
    lifeboat.failure("restore", "--to", other.data, "--delta", *moved(source, copy)).names(
        "is the data directory of database system", source.system_identifier())
    other.start()
