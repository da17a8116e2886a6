# SPDX-License-Identifier: Apache-2.0
"""Segments of WAL of another size than most: what is streamed, found and recovered is the same."""

import pytest

from lifeboat import PASSWORD
from postgres import Postgres
from receiving import receiving


def write(server: Postgres, mib: int) -> None:
    server.sql("SELECT count(pg_logical_emit_message(true, 'load', repeat(md5(i::text || random()), 32768)))"
               f" FROM generate_series(1, {mib}) i")


def position(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


@pytest.mark.parametrize("segment_mib", [1, 64])
def test_wal_of_any_segment_size_is_streamed_and_recovered(lifeboat, cluster, newest, workspace, segment_mib):
    server = cluster(newest, segment_mib=segment_mib, wal_keep_size="256MB")
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE story AS SELECT 0 AS i")
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": 1}
    lifeboat.backup(server)
    with receiving(lifeboat, server) as receiver:
        server.sql("INSERT INTO story VALUES (1)")
        write(server, segment_mib + 3)  # over the end of a segment
        server.sql("SELECT pg_create_restore_point('here')")
        server.sql("INSERT INTO story VALUES (2)")
        early = server.sql("SELECT pg_switch_wal()")  # the rest of its segment holds nothing
        server.sql("INSERT INTO story VALUES (3)")  # in a segment that is not complete
        receiver.wait_until_durable()
        peak_bytes = receiver.peak_memory_bytes()
        receiver.stop()
    assert peak_bytes < (3 * 16 + 48) << 20
    assert lifeboat.json("verify")["notes"]["count"] == 0
    [window] = lifeboat.json("list", "--windows")["windows"]
    assert position(window["to"]["lsn"]) >= position(early)

    for number, (target, expected) in enumerate([(["--target-name", "here"], "0 1"), (["--target-latest"], "0 1 2 3")]):
        copy = cluster.adopt(Postgres(newest, workspace / f"copy-{number}"))
        lifeboat.restore(copy.data, *target)
        copy.start().wait_until_recovered()
        assert copy.sql("SELECT string_agg(i::text, ' ' ORDER BY i) FROM story") == expected
        assert copy.sql("SHOW wal_segment_size") == f"{segment_mib}MB"
        copy.stop()
