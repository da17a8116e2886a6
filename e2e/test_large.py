# SPDX-License-Identifier: Apache-2.0
"""A table of 2.5 GB: three segment files, a map of its own, and the memory that it must not cost."""

import json

import lifeboat as command_line
from lifeboat import PASSWORD, at
from postgres import Postgres, assert_verified

PROMISED_BYTES = 128 << 20  # for 2 workers
ROWS, ROW_BYTES = 1_280_000, 1950  # four rows to a page


def test_a_large_table_comes_back_in_little_memory(cluster, lifeboat, newest):
    source = cluster(newest, max_wal_size="4GB", checkpoint_timeout="1h", wal_compression="on")
    source.add_role(PASSWORD)
    source.sql(f"""
        CREATE TABLE large (id int, filler text);
        ALTER TABLE large ALTER filler SET STORAGE PLAIN;
        INSERT INTO large SELECT i, rpad(md5(i::text), {ROW_BYTES}, md5(i::text)) FROM generate_series(1, {ROWS}) i
    """)
    assert int(source.sql("SELECT pg_table_size('large')")) > 2_500_000_000

    with lifeboat.running("backup", *at(source)) as process:
        peak = command_line.peak_memory_bytes(process)
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"]["total"] > 2_500_000_000
    assert peak < PROMISED_BYTES, f"a backup took {peak >> 20} MiB"

    copy = cluster.adopt(Postgres(newest, lifeboat.home / "copy"))
    lifeboat.restore(copy.data)
    assert_verified(newest, copy.data)
    source.stop()
    copy.start()
    [found] = copy.sql(f"SELECT count(*), count(DISTINCT id), bool_and(left(filler, 32) = md5(id::text) "
                       f"AND length(filler) = {ROW_BYTES}) FROM large").splitlines()
    assert found == f"{ROWS}|{ROWS}|t"
    copy.tool("pg_amcheck", "--install-missing", "--table=large", "--no-dependent-indexes")
