# SPDX-License-Identifier: Apache-2.0
"""Segments of WAL of another size than most: what is streamed, found and recovered is the same."""

import pytest

import host
from lifeboat import PASSWORD, documents
from postgres import Postgres, assert_same_data
from receiving import Receiver, receiving


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


def places(receiver: Receiver) -> list[int]:
    """Where each stream began so far."""
    return [position(line["from"]) for line in documents(receiver.log.read_text()) if line["message"] == "Began to stream WAL"]


def test_a_receiver_goes_on_within_a_large_segment(lifeboat, cluster, newest, workspace):
    """Killed or stopped: in each of the segment's blocks of 16 MiB, and once in the same one."""
    server = cluster(newest, segment_mib=64, max_wal_size="512MB")
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE story (i int)")
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": 1}
    lifeboat.backup(server)
    server.sql("SELECT pg_switch_wal()")
    segment, durable = server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"), 0
    for number, mib in enumerate([20, 17, 10, 2]):
        receiver = Receiver(lifeboat, server).start()
        try:
            assert places(receiver)[-1] >= durable, "nothing that is stored is asked for again"
            server.sql(f"INSERT INTO story VALUES ({number})")
            write(server, mib)
            receiver.wait_until_durable()
            durable = position(server.sql("SELECT flush_lsn FROM pg_stat_replication"))
            if number % 2 == 1:
                receiver.stop()
        finally:
            receiver.end()
        host.wait_until(lambda: server.sql("SELECT count(*) FROM pg_stat_replication") == "0", "the connection is gone")
        server.sql(f"INSERT INTO story VALUES (-{number})")  # that nobody streams
    assert server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())") == segment

    for number, complete in enumerate([False, True]):
        with receiving(lifeboat, server) as receiver:
            if complete:
                server.sql("SELECT pg_switch_wal()")
            receiver.wait_until_durable()
        assert lifeboat.json("verify")["notes"]["count"] == 0
        copy = cluster.adopt(Postgres(newest, workspace / f"copy-{number}"))
        lifeboat.restore(copy.data, "--target-latest", "--target-action", "promote")
        copy.start().wait_until_recovered()
        assert_same_data(server, copy)
        copy.stop()
