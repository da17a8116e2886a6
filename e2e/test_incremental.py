# SPDX-License-Identifier: Apache-2.0
"""Differential and incremental backups: each restores to the same database as its source, from one description without
a chain, and stores little more than what has changed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import ROLE, Postgres, assert_same_data, assert_sound, assert_verified

PAGE = 8192
FILLED = """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_visibility') THEN
            CREATE EXTENSION pg_visibility;
        END IF;
    END $$; -- the servers of some versions come without it
    CREATE TABLE large (id int PRIMARY KEY, data text);
    ALTER TABLE large ALTER data SET STORAGE PLAIN;
    INSERT INTO large SELECT i, (SELECT string_agg(md5(i * 100 + j || ''), '') FROM generate_series(1, 60) j)
    FROM generate_series(1, 4000) i;
    CREATE TABLE dropped AS TABLE large;
    CREATE TABLE truncated AS TABLE large;
    CREATE TABLE shortened AS TABLE large;
    CREATE TABLE extended (id int, data text);
    INSERT INTO extended SELECT i, md5(i || '') FROM generate_series(1, 5000) i;
    CREATE TABLE rewritten AS TABLE extended;
    CREATE TABLE moved AS TABLE extended;
    CREATE TABLE seen AS TABLE extended;
    CREATE INDEX ON seen (id);
"""


def make(cluster, major: int, checksums: bool = True, summaries: bool = True, name: str = "primary",
         **settings) -> Postgres:
    if summaries and major >= 17:
        settings["summarize_wal"] = "on"
    server = cluster(major, name=name, checksums=checksums, autovacuum="off", **settings)
    server.add_role(PASSWORD)
    return server


def filled(cluster, major: int, **options) -> Postgres:
    server = make(cluster, major, **options)
    server.sql(FILLED)
    server.sql("VACUUM")
    server.sql("CHECKPOINT")
    return server


def change(server: Postgres, *arguments: str) -> None:
    for statement in arguments:
        server.sql(statement)


@pytest.fixture
def bring_back(lifeboat, cluster, workspace) -> Callable[..., Postgres]:
    """Restores a backup, has PostgreSQL's own programs check it, and starts it."""
    count = 0

    def restore(source: Postgres, backup: dict) -> Postgres:
        nonlocal count
        count += 1
        copy = cluster.adopt(Postgres(source.major, workspace / f"copy{count}"))
        moved = []
        for location in source.tablespaces():
            moved += ["--tablespace", f"{location}={copy.home / location.name}"]
        lifeboat.restore(copy.data, "--backup", backup["id"], *moved)
        assert_verified(source.major, copy.data)
        return copy.start()

    return restore


@pytest.fixture
def same_again(bring_back) -> Callable[..., None]:
    """What a backup restores to is the source as it is now, to the last index entry and visibility bit."""
    def compare(source: Postgres, backup: dict) -> None:
        copy = bring_back(source, backup)
        assert_same_data(source, copy)
        assert_sound(copy)
        if copy.sql("SELECT count(*) FROM pg_extension WHERE extname = 'pg_visibility'") == "1":
            assert copy.sql("SELECT count(*) FROM pg_class, pg_check_visible(oid) WHERE relkind = 'r'") == "0"
        copy.stop("immediate")

    return compare


def incremental(lifeboat: Lifeboat, server: Postgres, parent: dict, kind: str = "incremental",
                source: str | None = None) -> dict:
    """The manifest of a backup that must have become what was asked for."""
    manifest = lifeboat.backup(server, "--type", kind)
    assert manifest["type"] == kind
    assert manifest["parent"] == parent["id"]
    assert manifest["fallback"] is None
    assert manifest["id"].split("-")[1] == kind[:4]
    if source:
        assert manifest["changeSource"] == source
    return manifest


def fell_back(lifeboat: Lifeboat, server: Postgres, *reasons: str) -> dict:
    """The manifest of a backup that had to become a full one."""
    manifest = lifeboat.backup(server, "--type", "incremental")
    assert (manifest["type"], manifest["parent"], manifest["changeSource"]) == ("full", None, "all")
    for reason in reasons:
        assert reason in manifest["fallback"]
    return manifest


def packs(lifeboat: Lifeboat, manifest: dict) -> list[Path]:
    return list((lifeboat.repository() / "packs" / manifest["id"]).iterdir())


def packed(lifeboat: Lifeboat, manifest: dict) -> int:
    """Bytes of a backup's own packs: what it stored but for WAL."""
    return sum(path.stat().st_size for path in packs(lifeboat, manifest))


def test_an_incremental_stores_what_changed_and_restores_alone(cluster, lifeboat, same_again, major):
    server = filled(cluster, major)
    full = lifeboat.backup(server)
    assert full["changeSource"] == "all"
    change(server, "UPDATE large SET data = reverse(data) WHERE id IN (7, 2000, 3999)", "CHECKPOINT")
    first = incremental(lifeboat, server, full)
    assert packed(lifeboat, first) < packed(lifeboat, full) / 10
    assert first["bytes"]["reused"] > first["bytes"]["total"] * 0.8
    same_again(server, first)

    change(server, "DELETE FROM large WHERE id = 8", "INSERT INTO extended VALUES (0, 'x')")
    second = incremental(lifeboat, server, first)
    referred = {packs["backup"] for packs in second["packs"]}
    assert {full["id"], second["id"]} <= referred
    same_again(server, second)

    third = incremental(lifeboat, server, full, "differential")
    assert first["id"] not in {packs["backup"] for packs in third["packs"]}
    same_again(server, third)
    listed = {row["id"]: row for row in lifeboat.list()}
    assert [listed[m["id"]]["parent"] for m in (full, first, second, third)] == \
        [None, full["id"], first["id"], full["id"]]


def test_unchanged_blocks_are_never_read_where_wal_is_summarized(cluster, lifeboat, same_again, newest):
    server = filled(cluster, newest)
    server.sql("CREATE TABLE elsewhere AS TABLE large")
    server.sql("CHECKPOINT")
    full = lifeboat.backup(server)
    before = full["bytes"]["total"]
    change(server, "UPDATE large SET data = reverse(data) WHERE id = 7", "DELETE FROM extended WHERE id > 4000",
           "VACUUM extended")
    manifest = incremental(lifeboat, server, full, source="walSummaries")
    relations = int(server.sql("SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relname ~ '^(large|elsewhere)'"))
    assert relations > 15_000_000
    assert manifest["bytes"]["read"] < before - relations + 100 * PAGE
    same_again(server, manifest)


@pytest.mark.parametrize("checksums, source", [(True, "pageLsn"), (False, "pageHash")])
def test_without_summaries_relations_are_read_but_only_changes_stored(cluster, lifeboat, same_again, newest, checksums,
                                                                      source):
    server = filled(cluster, newest, checksums=checksums, summaries=False)
    full = lifeboat.backup(server)
    change(server, "UPDATE large SET data = reverse(data) WHERE id = 7", "CHECKPOINT")
    manifest = incremental(lifeboat, server, full, source=source)
    assert packed(lifeboat, manifest) < packed(lifeboat, full) / 10
    same_again(server, manifest)


def test_summaries_that_were_removed_are_done_without(cluster, lifeboat, same_again, newest):
    server = filled(cluster, newest)
    full = lifeboat.backup(server)
    change(server, "UPDATE large SET data = 'x' WHERE id = 7", "CHECKPOINT", "CHECKPOINT")
    host.wait_until(lambda: len(summaries_since(server, full)) > 0, "the WAL since is summarized")
    for path in summaries_since(server, full):
        path.unlink()
    manifest = lifeboat.backup(server, "--type", "incremental")
    assert (manifest["parent"], manifest["changeSource"]) == (full["id"], "pageLsn")
    assert "no WAL summary has" in manifest["fallback"]
    same_again(server, manifest)


def test_neither_a_summarizer_nor_a_standby_that_lags_is_waited_for_for_ever(cluster, lifeboat, bring_back, same_again,
                                                                             newest):
    """Each is given a minute, the two of them the same one."""
    primary = filled(cluster, newest)
    standby = cluster.standby(primary)
    full = lifeboat.backup(primary)
    primary.sql("UPDATE large SET data = 'x' WHERE id = 7")
    standby.wait_for_replay(primary)
    standby.sql("SELECT pg_wal_replay_pause()")
    host.wait_until(lambda: standby.sql("SELECT pg_get_wal_replay_pause_state()") == "paused", "replay is paused")
    primary.sql("UPDATE large SET data = 'y' WHERE id = 8; CHECKPOINT")
    ahead = incremental(lifeboat, primary, full)
    change(primary, "UPDATE large SET data = 'z' WHERE id = 9", "CHECKPOINT")
    summarizer = stop_summarizer(primary)
    try:
        with lifeboat.running("backup", *at(standby), "--type", "incremental") as behind:
            of_primary = lifeboat.backup(primary, "--type", "incremental")
            of_standby = succeeded(behind)
    finally:
        os.kill(summarizer, signal.SIGCONT)
    assert (of_primary["parent"], of_primary["changeSource"]) == (ahead["id"], "pageLsn")
    assert "no WAL summary has" in of_primary["fallback"]
    assert of_standby["parent"] == full["id"]
    assert f"'{ahead['id']}' cannot be the parent: it st" in of_standby["fallback"]  # starts, stops too late
    same_again(primary, of_primary)
    copy = bring_back(standby, of_standby)  # comes as far as the segment goes that the primary's backup brought
    assert copy.sql("SELECT data FROM large WHERE id = 7") == "x"
    assert_sound(copy)


def test_a_standby_is_waited_for_until_it_has_replayed_what_the_parent_holds(cluster, lifeboat, same_again, newest):
    primary = filled(cluster, newest)
    standby = cluster.standby(primary)
    standby.wait_for_replay(primary)
    standby.sql("SELECT pg_wal_replay_pause()")
    primary.sql("UPDATE large SET data = 'x' WHERE id = 7; CHECKPOINT")
    full = lifeboat.backup(primary)
    with lifeboat.running("backup", *at(standby), "--type", "incremental") as process:
        wait_until_it_looks(process, standby, "last_wal_replay_lsn")
        standby.sql("SELECT pg_wal_replay_resume()")
        manifest = succeeded(process)
    assert (manifest["parent"], manifest["fallback"]) == (full["id"], None)
    same_again(standby, manifest)


def wait_until_it_looks(process: subprocess.Popen, server: Postgres, at: str) -> None:
    """Until the last query of the sidecar is one that has `at`."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}' AND query LIKE '%{at}%'"
    command_line.wait_for(process, lambda: server.sql(query) == "1", f"the sidecar looks at {at}")


def stop_summarizer(server: Postgres) -> int:
    pid = int(server.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsummarizer'"))
    os.kill(pid, signal.SIGSTOP)
    return pid


def succeeded(process: subprocess.Popen) -> dict:
    """The manifest of a backup in the background."""
    done = command_line.outcome(process)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def summaries_since(server: Postgres, manifest: dict) -> list[Path]:
    """Files whose WAL begins at the start of a backup or behind it: <timeline><start><end>.summary."""
    high, low = manifest["startLSN"].split("/")
    start = f"{int(high, 16):08X}{int(low, 16):08X}"
    return [path for path in (server.data / "pg_wal" / "summaries").iterdir() if path.name[8:24] >= start]


def test_nothing_changed_is_nothing_stored(cluster, lifeboat, same_again, newest):
    server = filled(cluster, newest)
    full = lifeboat.backup(server)
    assert full["files"] > 900 and len(packs(lifeboat, full)) < 10  # small files share packs, and frames in them
    again = incremental(lifeboat, server, full)
    assert packed(lifeboat, again) < 200_000
    same_again(server, again)


def test_relations_that_are_truncated_dropped_recreated_extended_and_moved(cluster, lifeboat, same_again, major):
    server = filled(cluster, major)
    server.add_tablespace("other")
    server.sql("CREATE DATABASE travelling")
    server.sql("CREATE TABLE t AS SELECT i, md5(i || '') FROM generate_series(1, 20000) i", database="travelling")
    full = lifeboat.backup(server)
    change(server, "DROP TABLE dropped", "TRUNCATE truncated", "DELETE FROM shortened WHERE id > 100",
           "VACUUM shortened", "INSERT INTO shortened SELECT i, 'new' FROM generate_series(1, 3000) i",
           "INSERT INTO extended SELECT i, md5(i || '') FROM generate_series(1, 40000) i", "VACUUM FULL rewritten",
           "CREATE TABLE dropped AS SELECT i FROM generate_series(1, 1000) i",
           "ALTER TABLE moved SET TABLESPACE other", "UPDATE large SET data = 'short' WHERE id % 50 = 0",
           "CREATE DATABASE copied TEMPLATE travelling STRATEGY FILE_COPY",
           "CREATE DATABASE logged TEMPLATE travelling STRATEGY WAL_LOG",
           "ALTER DATABASE travelling SET TABLESPACE other")
    first = incremental(lifeboat, server, full)
    same_again(server, first)
    change(server, "DROP DATABASE copied", "ALTER DATABASE travelling SET TABLESPACE pg_default", "VACUUM FULL large",
           "CREATE DATABASE copied TEMPLATE logged STRATEGY FILE_COPY", "TRUNCATE shortened")
    server.sql("DELETE FROM t WHERE i % 3 = 0", database="copied")
    same_again(server, incremental(lifeboat, server, first))


def test_zero_pages_are_holes(cluster, lifeboat, bring_back, newest):
    server = filled(cluster, newest)
    relation = server.sql("SELECT pg_relation_filepath('extended')")
    server.stop()
    size = (server.data / relation).stat().st_size + 4096 * PAGE
    os.truncate(server.data / relation, size)  # as a crash leaves a table that was being extended
    server.start()
    full = lifeboat.backup(server)
    for manifest in (full, incremental(lifeboat, server, full)):
        copy = bring_back(server, manifest)
        found = (copy.data / relation).stat()
        assert found.st_size == size and found.st_blocks * 512 < size - 4000 * PAGE
        assert_sound(copy)
        copy.stop("immediate")


@pytest.mark.parametrize("checksums, summaries, source", [
    (True, True, "walSummaries"), (False, True, "walSummaries"), (True, False, "pageLsn"), (False, False, "pageHash")])
def test_visibility_that_changes_alone_is_not_lost(cluster, lifeboat, bring_back, newest, checksums, summaries,
                                                   source):
    """VACUUM marks pages all-visible; a DELETE in the copy must find that mark on the page to clear it in the map."""
    server = filled(cluster, newest, checksums=checksums, summaries=summaries)
    server.sql("UPDATE seen SET data = data WHERE id % 7 = 0")
    server.sql("SELECT count(*) FROM seen")
    server.sql("CHECKPOINT")
    full = lifeboat.backup(server)
    change(server, "VACUUM seen", "CHECKPOINT")
    copy = bring_back(server, incremental(lifeboat, server, full, source=source))
    assert copy.sql("SELECT count(*) FROM pg_check_visible('seen')") == "0"
    assert copy.sql("SELECT all_visible > 0 FROM pg_visibility_map_summary('seen')") == "t"
    unmarked = "SELECT count(*) FROM pg_visibility('seen') WHERE all_visible AND NOT pd_all_visible"
    assert copy.sql(unmarked) == "0"
    copy.sql("DELETE FROM seen WHERE id <= 1000")
    index_only = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(id) FROM seen WHERE id <= 1000"
    assert copy.sql(index_only).splitlines()[-1] == "0"
    assert_sound(copy)


def test_checksums_that_were_switched_on_need_a_full(cluster, lifeboat, same_again, newest):
    server = filled(cluster, newest, checksums=False)
    lifeboat.backup(server)
    server.stop()
    server.tool("pg_checksums", "--enable", "--pgdata", server.data)
    server.start()
    manifest = fell_back(lifeboat, server, "data checksums were switched on")
    same_again(server, incremental(lifeboat, server, manifest))


def test_the_first_backup_is_full_whatever_is_asked_for(cluster, lifeboat, newest):
    server = make(cluster, newest)
    fell_back(lifeboat, server, "there is no earlier backup")


def test_an_idle_standby_is_backed_up_three_times(cluster, lifeboat, same_again, major):
    primary = filled(cluster, major)
    standby = cluster.standby(primary)
    standby.wait_for_replay(primary)
    full = lifeboat.backup(standby)
    first = incremental(lifeboat, standby, full)
    second = incremental(lifeboat, standby, first)
    assert full["startLSN"] == first["startLSN"] == second["startLSN"]
    assert packed(lifeboat, second) < 200_000
    for manifest in (full, first, second):
        same_again(standby, manifest)


def test_primary_and_standby_take_turns(cluster, lifeboat, same_again, newest):
    primary = filled(cluster, newest)
    standby = cluster.standby(primary)
    parent = lifeboat.backup(primary)
    largest = packed(lifeboat, parent)
    for turn in range(4):
        source = (standby, primary)[turn % 2]
        if turn < 2:  # later ones find an idle server
            primary.sql(f"UPDATE large SET data = 'turn {turn}' WHERE id % 1000 = {turn}")
        parent = incremental(lifeboat, source, parent)
        assert packed(lifeboat, parent) < largest / 5
        standby.wait_for_replay(primary)
        same_again(source, parent)


def test_a_promoted_standby_goes_on_from_its_own_past(cluster, lifeboat, same_again, newest):
    primary = filled(cluster, newest)
    standby = cluster.standby(primary)
    full = lifeboat.backup(primary)
    standby.wait_for_replay(primary)
    standby.promote()
    primary.sql("UPDATE large SET data = 'lost' WHERE id = 1")
    diverged = incremental(lifeboat, primary, full)
    standby.sql("UPDATE large SET data = 'kept' WHERE id = 2")
    standby.sql("CHECKPOINT")
    manifest = lifeboat.backup(standby, "--type", "incremental")
    assert manifest["parent"] == full["id"]
    assert diverged["id"] in manifest["fallback"] and "left timeline 1" in manifest["fallback"]
    assert manifest["wal"][0]["timeline"] == 2
    same_again(standby, manifest)
    same_again(standby, incremental(lifeboat, standby, manifest))


@pytest.mark.parametrize("summaries, source", [(True, "walSummaries"), (False, "pageHash")])
def test_what_changed_is_told_over_a_change_of_the_timeline(cluster, lifeboat, same_again, newest, summaries, source):
    """In the files of the standby that the parent was taken from, so that summaries of both timelines count, and LSNs
    of neither."""
    primary = filled(cluster, newest, summaries=summaries)
    standby = cluster.standby(primary)
    standby.wait_for_replay(primary)
    full = lifeboat.backup(standby)
    primary.sql("UPDATE large SET data = 'before' WHERE id = 7")
    standby.wait_for_replay(primary)
    standby.promote()
    standby.sql("UPDATE large SET data = 'after' WHERE id = 3999")
    standby.sql("CHECKPOINT")
    manifest = incremental(lifeboat, standby, full, source=source)
    assert (full["wal"][0]["timeline"], manifest["wal"][0]["timeline"]) == (1, 2)
    assert packed(lifeboat, manifest) < packed(lifeboat, full) / 10
    relations = int(standby.sql("SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relname IN "
                                "('large', 'dropped', 'truncated', 'shortened')"))
    assert (manifest["bytes"]["read"] < full["bytes"]["total"] - relations + 100 * PAGE) == summaries
    same_again(standby, manifest)


def test_a_second_server_that_writes_the_same_history_harms_nobody(cluster, lifeboat, same_again, newest, workspace):
    """A volume was cloned and both servers run. What the second one says of the WAL is not taken."""
    one = filled(cluster, newest)
    full = lifeboat.backup(one)
    one.stop()
    other = cluster.adopt(Postgres(newest, workspace / "other"))
    host.run(["cp", "-a", one.data, other.data])
    other.start()
    for _ in range(3):  # or the backups' segment is the same of both, when their checkpoints are of the same second
        other.sql("SELECT pg_current_xact_id()")
    for server, value in ((one.start(), "one"), (other, "other")):
        server.sql(f"UPDATE large SET data = '{value}' WHERE id <= 100; CHECKPOINT; SELECT pg_switch_wal()")
    manifest = incremental(lifeboat, one, full)
    failure = lifeboat.failure("backup", *at(other), "--type", "incremental")
    assert failure.kind == "conflict"
    failure.names("wal/00000001/", "another server wrote on this timeline", "another prefix")
    same_again(one, manifest)
    same_again(one, incremental(lifeboat, one, manifest))


def test_wal_that_contradicts_itself_does_not_tell_what_changed(cluster, lifeboat, same_again, newest):
    """As two servers leave it that put the same segment at the same moment, before either could see the other's."""
    server = filled(cluster, newest)
    full = lifeboat.backup(server)
    [path, *_] = sorted(lifeboat.repository().glob("wal/*/*/*"))
    rival = path.with_name(path.name[:-1] + ("0" if path.name[-1] != "0" else "1"))
    rival.write_bytes(path.read_bytes())
    host.own(rival)
    server.sql("UPDATE large SET data = 'x' WHERE id = 7")
    manifest = fell_back(lifeboat, server, f"'{full['id']}' cannot be the parent", "are of different histories")
    same_again(server, manifest)


def test_a_diverged_history_needs_a_full(cluster, lifeboat, same_again, newest):
    primary = filled(cluster, newest)
    standby = cluster.standby(primary)
    standby.wait_for_replay(primary)
    standby.promote()
    lifeboat.backup(primary)
    same_again(standby, fell_back(lifeboat, standby, "left timeline 1"))


def test_a_copy_that_takes_the_place_of_its_source_leaves_the_history_behind(cluster, lifeboat, bring_back, same_again,
                                                                             newest):
    """It goes on with the same timeline. Once it has come further than a backup that was made behind the one that it
    was restored from, nothing but the content tells that its pages are of another history."""
    source = filled(cluster, newest)
    full = lifeboat.backup(source)
    source.sql("UPDATE large SET data = 'lost' WHERE id <= 1000")
    left = incremental(lifeboat, source, full)
    copy = bring_back(source, full)
    for turn in range(6):
        copy.sql(f"CREATE TABLE other{turn} AS TABLE large; CHECKPOINT; SELECT pg_switch_wal()")
    manifest = lifeboat.backup(copy, "--type", "incremental")
    assert manifest["parent"] == left["id"]
    same_again(copy, manifest)


def test_parents_that_are_damaged_gone_or_retired_are_passed_over(cluster, lifeboat, same_again, newest):
    server = filled(cluster, newest)
    full = lifeboat.backup(server)
    server.sql("UPDATE large SET data = 'one' WHERE id = 1")
    first = incremental(lifeboat, server, full)
    server.sql("UPDATE large SET data = 'two' WHERE id = 1")
    next_second()
    second = incremental(lifeboat, server, first)
    server.sql("UPDATE large SET data = 'three' WHERE id = 1")
    retire(lifeboat, second)
    next_second()
    manifest = lifeboat.backup(server, "--type", "incremental")
    assert manifest["parent"] == first["id"]
    assert f"'{second['id']}' cannot be the parent: it is retired" in manifest["fallback"]
    same_again(server, manifest)

    for path in (lifeboat.repository() / "packs" / manifest["id"]).iterdir():
        path.unlink()
    damage(next((lifeboat.repository() / "manifests").glob(first["id"])))
    manifest = lifeboat.backup(server, "--type", "incremental")
    assert manifest["parent"] == full["id"]
    assert "is not in every region" in manifest["fallback"]
    same_again(server, manifest)

    retire(lifeboat, full)
    retire(lifeboat, manifest)
    same_again(server, fell_back(lifeboat, server))


def test_a_parent_that_is_retired_meanwhile_is_seen_before_the_commit(cluster, lifeboat, newest):
    server = filled(cluster, newest)
    full = lifeboat.backup(server)
    change(server, "UPDATE large SET data = 'x' WHERE id = 7", "CHECKPOINT")
    summarizer = stop_summarizer(server)
    try:
        with lifeboat.running("backup", *at(server), "--type", "incremental") as process:
            wait_until_it_looks(process, server, "wal_summaries")  # it has chosen its parent
            retire(lifeboat, full)
            os.kill(summarizer, signal.SIGCONT)
            done = command_line.outcome(process)
    finally:
        os.kill(summarizer, signal.SIGCONT)
    failure = command_line.failure_of(done.returncode, done.stdout, done.stderr)
    assert failure.kind == "conflict"
    failure.names(f"parent '{full['id']}'", "it is retired")
    assert [row["id"] for row in lifeboat.list()] == [full["id"]]


def next_second() -> None:
    """Ids tell backups apart by seconds; a manifest that is damaged or retired is known by its id only."""
    time.sleep(1.01 - time.time() % 1)


def retire(lifeboat: Lifeboat, manifest: dict) -> None:
    directory = lifeboat.repository() / "retired"
    path = (directory if directory.exists() else host.make_directory(directory)) / manifest["id"]
    path.write_text("{}")
    host.own(path)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.unlink()
    path.write_bytes(content)
    host.own(path)


def test_a_damaged_page_is_never_taken_over(cluster, lifeboat, newest):
    server = filled(cluster, newest)
    relation = server.data / server.sql("SELECT pg_relation_filepath('large')")
    server.sql("CHECKPOINT")
    server.stop()
    with open(relation, "r+b") as file:
        file.seek(5 * PAGE + 4000)
        file.write(b"rot")
    server.start()
    full = lifeboat.backup(server)
    manifest = incremental(lifeboat, server, full)
    again = incremental(lifeboat, server, manifest)
    for backup in (full, manifest, again):
        assert backup["pageErrors"]["count"] == 1
        assert backup["pageErrors"]["first"][0]["block"] == 5


def test_a_new_region_needs_a_full(cluster, lifeboat, same_again, newest):
    server = filled(cluster, newest)
    lifeboat.backup(server)
    lifeboat.add_directory("there")
    same_again(server, fell_back(lifeboat, server, "it is not in every region"))


def test_a_restore_fetches_little_of_packs_that_little_is_wanted_of(cluster, lifeboat, newest):
    server = make(cluster, newest)
    for number in range(20):
        server.sql(f"CREATE TABLE t{number} AS SELECT (SELECT string_agg(md5(random()::text || i || j), '') "
                   "FROM generate_series(1, 60) j) AS data FROM generate_series(1, 1200) i")
    full = lifeboat.backup(server)
    server.sql("".join(f"DROP TABLE t{number};" for number in range(20) if number % 4))
    server.sql("CHECKPOINT")
    incremental = lifeboat.backup(server, "--type", "incremental")
    whole = lifeboat.restore(lifeboat.home / "whole", "--backup", full["id"])
    part = lifeboat.restore(lifeboat.home / "part", "--backup", incremental["id"])
    assert_verified(newest, lifeboat.home / "part")
    assert part["fetchedBytes"] < whole["fetchedBytes"] * 2 / 3
