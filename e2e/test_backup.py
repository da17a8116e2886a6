# SPDX-License-Identifier: Apache-2.0
"""The main thing: a running server is backed up, the backup restored, and what starts there is the same database."""

import json
from collections.abc import Callable
from contextlib import ExitStack

import psycopg
import pytest

import dataset
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat
from postgres import Postgres, assert_same_data, assert_sound, assert_verified


@pytest.fixture(scope="module")
def source(shared_cluster, major):
    """A primary with everything in it, which the tests of one version share."""
    server = shared_cluster(major, name=f"primary{major}")
    server.add_role(PASSWORD)
    dataset.fill(server)
    yield server
    server.end()


@pytest.fixture(scope="module")
def standby(shared_cluster, source, major):
    server = shared_cluster.standby(source, name=f"standby{major}")
    yield server
    server.end()


@pytest.fixture
def bring_back(lifeboat, cluster, workspace) -> Callable[[Postgres], Postgres]:
    """Restores the newest backup of a server with its tablespaces moved, has PostgreSQL's own program check it, and
    starts it."""
    def restore_and_start(source: Postgres) -> Postgres:
        copy = cluster.adopt(Postgres(source.major, workspace / "copy"))
        moved = []
        for location in source.tablespaces():
            moved += ["--tablespace", f"{location}={copy.home / location.name}"]
        lifeboat.restore(copy.data, *moved)
        assert_verified(source.major, copy.data)
        copy.start()
        assert copy.tablespaces() == [copy.home / location.name for location in source.tablespaces()]
        return copy

    return restore_and_start


def back_up_while(lifeboat: Lifeboat, server: Postgres, happens: Callable[[], None]) -> dict:
    """Backs up `server`; `happens` runs between the backup's start and the first byte that is copied."""
    with psycopg.connect(host=str(server.home), port=server.port, user="postgres", autocommit=True) as session:
        with lifeboat.running("backup", *command_line.at(server)) as process:
            streams = "SELECT count(*) FROM pg_stat_replication WHERE usename = 'lifeboat' AND state = 'streaming'"
            command_line.wait_for(process, lambda: session.execute(streams).fetchone() == (1,), "WAL is streamed")
            with command_line.paused(process):
                happens()
            done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_primary_comes_back_as_it_was_when_the_load_stopped(source, lifeboat, bring_back):
    def load_goes_on_and_stops():
        source.wait_for_writes(4 << 20)
        load.close()

    with ExitStack() as load:
        load.enter_context(source.load(database="bench"))
        manifest = back_up_while(lifeboat, source, load_goes_on_and_stops)
    assert manifest["source"]["role"] == "primary"
    assert manifest["pageErrors"]["count"] == 0
    assert manifest["files"] > 2 * dataset.SMALL_TABLES

    copy = bring_back(source)
    assert_same_data(source, copy)
    assert_sound(copy)
    assert copy.sql("SELECT count(*) FROM sessions") == "0"  # unlogged: there, and empty
    copy.sql("INSERT INTO sessions VALUES (1, 'x')")


def test_a_primary_comes_back_consistent_from_under_load(source, lifeboat, bring_back, s3, major):
    lifeboat.use_s3(s3, s3.make_bucket(f"load{major}"))
    with source.load(database="bench"):
        lifeboat.backup(source)
        copy = bring_back(source)
    assert len(dataset.balances(copy)) == 1
    copy.tool("pg_amcheck", "--database=bench", "--install-missing", "--heapallindexed")


def test_a_standby_comes_back_as_it_was_when_the_load_stopped(source, standby, lifeboat, bring_back, s3, major):
    def load_goes_on_and_stops():
        source.wait_for_writes(4 << 20)
        load.close()
        source.sql("SELECT pg_switch_wal()")
        source.sql("CREATE TABLE last_words AS SELECT 'in a segment of its own, on no disk yet'")
        standby.wait_for_replay(source)

    lifeboat.use_s3(s3, s3.make_bucket(f"standby{major}"), virtual_host=True)
    with ExitStack() as load:
        load.enter_context(source.load(database="bench"))
        manifest = back_up_while(lifeboat, standby, load_goes_on_and_stops)
    assert manifest["source"]["role"] == "standby"

    copy = bring_back(standby)
    assert copy.sql("SELECT pg_is_in_recovery()") == "f"
    assert_same_data(source, copy)


@pytest.mark.parametrize("checksums", [True, False], ids=["checksums", "no-checksums"])
def test_an_idle_standby_can_be_backed_up_again_and_again(cluster, lifeboat, bring_back, major, checksums):
    primary = cluster(major, checksums=checksums)
    primary.add_role(PASSWORD)
    primary.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) i")
    standby = cluster.standby(primary)
    standby.wait_for_replay(primary)
    first, second = lifeboat.backup(standby), lifeboat.backup(standby)
    assert first["startLSN"] == second["startLSN"]
    assert first["postgresql"]["checksums"] == checksums
    assert_same_data(primary, bring_back(standby))


def test_a_primary_without_checksums_comes_back(cluster, lifeboat, bring_back, major):
    source = cluster(major, checksums=False)
    source.add_role(PASSWORD)
    source.sql("CREATE TABLE t AS SELECT i, repeat('x', 3000) FROM generate_series(1, 1000) i")
    assert not lifeboat.backup(source)["postgresql"]["checksums"]
    assert_same_data(source, bring_back(source))
