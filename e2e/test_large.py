# SPDX-License-Identifier: Apache-2.0
"""A table of 2.5 GB: three segment files, maps of their own, and the memory that they must not cost. An incremental
after the table was cut off in its second segment and grew into the third again."""

import json

import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified

PROMISED_BYTES = ((2 + 2) * 16 + 32) << 20  # for 2 workers and 2 uploads
ROWS, ROW_BYTES, PAGE = 1_280_000, 1950, 8192  # four rows to a page
SEGMENT_ROWS = 4 * (1 << 30) // PAGE
KEPT, GROWN = 1_000_000, 1_100_000
ROW = f"rpad(md5(%s::text), {ROW_BYTES}, md5(%s::text))"


def backed_up(lifeboat: Lifeboat, source: Postgres, kind: str) -> dict:
    """The manifest; it may not take more memory than is promised."""
    with lifeboat.running("backup", *at(source), "--type", kind) as process:
        peak = command_line.peak_memory_bytes(process)
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    assert peak < PROMISED_BYTES, f"a backup took {peak >> 20} MiB"
    return json.loads(done.stdout)


def test_a_large_table_comes_back_in_little_memory(cluster, lifeboat, newest):
    summaries = {"summarize_wal": "on"} if newest >= 17 else {}
    source = cluster(newest, max_wal_size="4GB", checkpoint_timeout="1h", wal_compression="on", autovacuum="off",
                     **summaries)
    source.add_role(PASSWORD)
    source.sql(f"""
        CREATE TABLE large (id int, filler text);
        ALTER TABLE large ALTER filler SET STORAGE PLAIN;
        INSERT INTO large SELECT i, {ROW % ("i", "i")} FROM generate_series(1, {ROWS}) i;
        VACUUM large
    """)
    assert int(source.sql("SELECT pg_table_size('large')")) > 2_500_000_000
    full = backed_up(lifeboat, source, "full")
    assert full["bytes"]["total"] > 2_500_000_000

    assert SEGMENT_ROWS < KEPT < 2 * SEGMENT_ROWS < GROWN < ROWS
    source.sql(f"""
        UPDATE large SET filler = {ROW % ("(-id)", "(-id)")} WHERE id IN (1, {SEGMENT_ROWS + 1});
        DELETE FROM large WHERE id > {KEPT};
        VACUUM large;
        INSERT INTO large SELECT i, {ROW % ("(-i)", "(-i)")} FROM generate_series({KEPT + 1}, {GROWN}) i
    """)
    manifest = backed_up(lifeboat, source, "incremental")
    assert (manifest["parent"], manifest["fallback"]) == (full["id"], None)
    assert manifest["bytes"]["reused"] > (KEPT - 1000) // 4 * PAGE
    if summaries:
        assert manifest["changeSource"] == "walSummaries"
        assert manifest["bytes"]["read"] < full["bytes"]["read"] - (KEPT - 1000) // 4 * PAGE

    copy = cluster.adopt(Postgres(newest, lifeboat.home / "copy"))
    lifeboat.restore(copy.data)
    assert_verified(newest, copy.data)
    source.stop()
    copy.start()
    changed = f"id > {KEPT} OR id IN (1, {SEGMENT_ROWS + 1})"
    [found] = copy.sql(f"SELECT count(*), count(DISTINCT id), bool_and(length(filler) = {ROW_BYTES} AND "
                       f"left(filler, 32) = md5((CASE WHEN {changed} THEN -id ELSE id END)::text)) "
                       "FROM large").splitlines()
    assert found == f"{GROWN}|{GROWN}|t"
    copy.tool("pg_amcheck", "--install-missing", "--table=large", "--no-dependent-indexes")
