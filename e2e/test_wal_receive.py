# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log, streamed while the database works: nothing is left out, and the database never waits."""

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_same_data
from processes import children, words
from s3 import S3Server

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'lifeboat' AND state = 'streaming'"
SLOT = "FROM pg_replication_slots WHERE slot_name ~ '^lifeboat_[0-9a-f]{16}$'"
PROMISED_BYTES = (2 + 1) * (16 << 20) + (32 << 20)  # 2 uploads


@pytest.fixture
def server(cluster, newest) -> Postgres:
    server = cluster(newest, wal_keep_size="1GB", max_wal_size="2GB", wal_sender_timeout="0")
    server.add_role(PASSWORD)
    server.pgbench("--initialize", "--quiet", "--scale=5")
    return server


@pytest.fixture
def streaming(lifeboat) -> Lifeboat:
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": 1}
    return lifeboat


@pytest.fixture
def bucket() -> Iterator[S3Server]:
    """A server of the test's own, to be made sick."""
    with host.workspace() as home:
        server = S3Server(home / "s3")
        try:
            server.start().make_bucket("there")
            yield server
        finally:
            server.end()


@contextmanager
def receiving(lifeboat: Lifeboat, server: Postgres) -> Iterator[subprocess.Popen]:
    """Its log goes to a file: nobody reads a pipe meanwhile."""
    with open(lifeboat.home / "wal-receive.log", "a") as log:
        with host.running(lifeboat.argv("wal-receive", *at(server)), stdout=subprocess.DEVNULL, stderr=log) as process:
            command_line.wait_for(process, lambda: server.sql(STREAMS) == "1", "WAL is streamed")
            yield process


@contextmanager
def serving(lifeboat: Lifeboat, server: Postgres) -> Iterator[subprocess.Popen]:
    """The sidecar of a pod, which no operator ever reaches."""
    lifeboat.spec["connection"]["port"] = server.port
    lifeboat.write_policy()
    argv = [lifeboat.program, "serve", "--config", lifeboat.home, "--secrets", lifeboat.secrets, "--token", "/nowhere",
            "--host", server.home, "--pgdata", server.data]
    with open(lifeboat.home / "serve.log", "a") as log, host.running(argv, stdout=log, stderr=log) as process:
        yield process


def log_of(lifeboat: Lifeboat) -> list[dict]:
    return command_line.documents((lifeboat.home / "wal-receive.log").read_text())


def says(lifeboat: Lifeboat, message: str) -> bool:
    return any(line["message"] == message for line in log_of(lifeboat))


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(host.PATIENCE_S) == 0


def write(server: Postgres, mib: int) -> None:
    """So much write-ahead log, beside whatever else goes on."""
    server.sql("SELECT count(pg_logical_emit_message(true, 'load', repeat(md5(i::text || random()), 32768)))"
               f" FROM generate_series(1, {mib}) i")


def wait_until_stored(server: Postgres) -> str:
    """What was written so far."""
    lsn = server.sql("SELECT pg_current_wal_flush_lsn()")
    host.wait_until(lambda: server.sql(f"SELECT restart_lsn >= '{lsn}' {SLOT}") == "t", f"{lsn} is stored")
    return lsn


def gaps(lifeboat: Lifeboat) -> list[str]:
    """What is missing, of all WAL from the first backup to the newest there is."""
    result = lifeboat.json("verify")
    assert result["findings"]["count"] == 0, result["findings"]
    return [note["message"] for note in result["notes"]["first"] if note["kind"] == "gap"]


def newest_stored(lifeboat: Lifeboat) -> int:
    """The end of the newest WAL in the directory, as a number."""
    ends = []
    for path in lifeboat.repository().glob("wal/*/*/*"):
        found = re.match(r"[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})(?:\.[0-9a-f]{8}-([0-9a-f]{8}))?-", path.name)
        start = (int(found[1], 16) << 32) + (int(found[2], 16) << 24)
        ends.append(start + (int(found[3], 16) if found[3] else 1 << 24))
    return max(ends)


def number(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def test_all_wal_is_stored_while_the_database_works(streaming, server):
    streaming.backup(server)
    with receiving(streaming, server) as process:
        with server.load():
            write(server, 100)
        lsn = wait_until_stored(server)
        stop(process)
    assert newest_stored(streaming) >= number(lsn)
    assert gaps(streaming) == []
    said = [line["message"] for line in log_of(streaming)]
    assert said == ["Began to stream WAL", "Stopped on request"]


def test_memory_is_bounded_and_bulk_load_is_kept_up_with(streaming, server):
    streaming.backup(server)
    with receiving(streaming, server) as process:
        server.sql("CREATE TABLE bulk AS SELECT md5(i::text) || md5((i + 1)::text) AS text FROM generate_series(1, 4000000) i")
        wait_until_stored(server)
        process.send_signal(signal.SIGTERM)
        peak = command_line.peak_memory_bytes(process)
    assert process.returncode == 0
    assert peak < PROMISED_BYTES, f"{peak >> 20} MiB"
    assert gaps(streaming) == []


def test_killed_at_any_moment_it_goes_on_from_the_bucket(streaming, server):
    streaming.backup(server)
    with server.load():
        for mib in (1, 20, 40):
            with receiving(streaming, server) as process:
                write(server, mib)
                process.kill()
                process.wait()
            host.wait_until(lambda: server.sql(STREAMS) == "0", "the connection is gone")
    with receiving(streaming, server) as process:
        lsn = wait_until_stored(server)
        stop(process)
    assert newest_stored(streaming) >= number(lsn)
    assert gaps(streaming) == []


def test_tails_go_when_their_segment_is_complete(streaming, server):
    with receiving(streaming, server) as process:
        server.sql("SELECT pg_switch_wal()")
        for turn in range(3):
            server.sql(f"CREATE TABLE t{turn}()")
            wait_until_stored(server)
        segment = server.sql("SELECT pg_walfile_name(pg_current_wal_flush_lsn())")

        def tails() -> list:
            return list(streaming.repository().glob(f"wal/*/*/{segment}.*"))

        assert 0 < len(tails()) <= 3
        server.sql("SELECT pg_switch_wal()")
        wait_until_stored(server)
        host.wait_until(lambda: not tails(), "the tails are gone")
        assert len(list(streaming.repository().glob(f"wal/*/*/{segment}-*"))) == 1
        stop(process)


@pytest.mark.parametrize("mib", [1, 100], ids=["a little", "much"])
def test_a_shutdown_never_waits_for_a_bucket_that_hangs(streaming, server, bucket, mib):
    streaming.use_s3(bucket, "there")
    streaming.backup(server)
    with receiving(streaming, server) as process:
        wait_until_stored(server)
        with bucket.hanging():
            write(server, mib)
            server.stop("fast")  # while it hangs
        server.start()
        host.wait_until(lambda: server.sql(STREAMS) == "1", "WAL is streamed again")
        wait_until_stored(server)
        stop(process)
    assert gaps(streaming) == []


def test_a_sidecar_left_alone_streams_and_holds_no_shutdown_up(streaming, server, bucket):
    """It waits half a minute for the operator's word."""
    streaming.use_s3(bucket, "there")
    streaming.backup(server)
    with serving(streaming, server) as process:
        for mode in ("smart", "fast"):
            host.wait_until(lambda: server.sql(STREAMS) == "1", "WAL is streamed")
            wait_until_stored(server)
            with bucket.hanging():
                write(server, 1)
                server.stop(mode)  # while it hangs
            server.start()
        host.wait_until(lambda: server.sql(STREAMS) == "1", "WAL is streamed again")
        wait_until_stored(server)
        stop(process)
    assert gaps(streaming) == []


def test_a_gap_that_nobody_heard_of_is_found_again_until_there_is_a_backup_behind_it(streaming, server):
    """No operator is there, and what found the gap does not live."""
    server.configure(wal_keep_size="0")
    server.reload()
    streaming.backup(server)
    with receiving(streaming, server) as process:
        wait_until_stored(server)
        stop(process)
    lose_wal(server)
    with serving(streaming, server) as process:
        [found] = wait_for_gaps(streaming, 1)
        kill_receiver(process.pid)
        assert wait_for_gaps(streaming, 2) == [found, found]
        host.wait_until(lambda: server.sql(STREAMS) == "1", "WAL is streamed")
        streaming.backup(server)
        kill_receiver(process.pid)
        host.wait_until(lambda: server.sql(STREAMS) == "1", "WAL is streamed again")
        write(server, 1)
        wait_until_stored(server)
        assert wait_for_gaps(streaming, 2) == [found, found]
        stop(process)
    assert len(gaps(streaming)) == 1  # of the backup before


def lose_wal(server: Postgres) -> None:
    """All that was not streamed yet."""
    server.sql(f"SELECT pg_drop_replication_slot(slot_name) {SLOT}")
    for _ in range(3):
        write(server, 20)
        server.sql("CHECKPOINT")


def wait_for_gaps(lifeboat: Lifeboat, count: int) -> list[tuple[str, str]]:
    """From where to where, each time that the sidecar said so; it decides alone after half a minute."""
    def told() -> list[tuple[str, str]]:
        said = command_line.documents((lifeboat.home / "serve.log").read_text())
        return [(line["from"], line["to"]) for line in said if line.get("message", "").startswith("Found a gap")]

    host.wait_until(lambda: len(told()) >= count, f"{count} gaps are told")
    return told()


def kill_receiver(sidecar: int) -> None:
    """The sidecar's process for WAL, as if it crashed; another one takes its place."""
    def receivers() -> list[int]:
        return [job for server in children(sidecar) for job in children(server) if "wal-receive" in words(job)]

    host.wait_until(lambda: len(receivers()) == 1, "there is one")
    [receiver] = receivers()
    os.kill(receiver, signal.SIGKILL)
    host.wait_until(lambda: not words(receiver), "it is gone")


def test_a_bucket_that_is_away_for_a_while_gets_everything(streaming, server, bucket):
    streaming.use_s3(bucket, "there")
    streaming.backup(server)
    with receiving(streaming, server) as process:
        with server.load():
            bucket.end()
            write(server, 60)
            host.wait_until(lambda: server.sql(STREAMS) == "0", "the server is let go")
            bucket.start()
            write(server, 20)
        wait_until_stored(server)
        stop(process)
    assert gaps(streaming) == []
    assert [line["message"] for line in log_of(streaming)].count("Began to stream WAL") > 1


def wait_until_alone(server: Postgres) -> None:
    host.wait_until(lambda: server.sql("SELECT count(*) FROM pg_stat_replication") == "0", "nobody streams")


def commit_waiting_for_everybody(server: Postgres) -> None:
    """From now on commits wait for one standby, whichever. We are the first of them in PostgreSQL's order."""
    listed = "SELECT string_agg(application_name, ' ') FROM pg_stat_replication"
    host.wait_until(lambda: server.sql(listed) == "lifeboat walreceiver", "we are listed before the standby")
    server.configure(synchronous_standby_names="*", synchronous_commit="on")
    server.reload()
    host.wait_until(lambda: server.sql("SHOW synchronous_standby_names") == "*", "the setting is read")


def takes_care(lifeboat: Lifeboat) -> bool:
    """The newest stream began with the knowledge that commits could wait for it."""
    return [line for line in log_of(lifeboat) if line["message"] == "Began to stream WAL"][-1]["synchronous"]


@contextmanager
def down(bucket: S3Server, how: str) -> Iterator[None]:
    if how == "hanging":
        with bucket.hanging():
            yield
    else:
        bucket.end()
        try:
            yield
        finally:
            bucket.start()


@pytest.mark.parametrize("how", ["refusing", "hanging"])
def test_no_commit_waits_for_us_while_the_bucket_is_down(streaming, server, cluster, bucket, workspace, how):
    """Another standby is there for that. Neither do shutdowns wait."""
    streaming.use_s3(bucket, "there")
    streaming.backup(server)
    server.sql("CREATE TABLE commits (i int)")
    ours = "SELECT pid, sync_state, flush_lsn FROM pg_stat_replication WHERE application_name = 'lifeboat'"
    wait_until_alone(server)
    with receiving(streaming, server) as process:
        standby = cluster.standby(server)
        commit_waiting_for_everybody(server)
        host.wait_until(lambda: takes_care(streaming), "the stream is one that is never a synchronous standby")
        wait_until_stored(server)  # by SQL
        with server.connect(autocommit=True) as connection, down(bucket, how):
            before = server.sql(ours)
            assert before.endswith("|async|")
            lsn = server.sql("SELECT pg_current_wal_insert_lsn()")
            connection.execute("INSERT INTO commits VALUES (1)")
            if how == "hanging":
                assert server.sql(ours) == before, "not because we went away"
            assert server.sql(f"SELECT restart_lsn <= '{lsn}' {SLOT}") == "t"
            server.pgbench("--transactions=20", "--client=4")
            connection.close()
            server.stop("fast")
            server.start()
            server.sql("INSERT INTO commits VALUES (2)")
            write(server, 60)
            server.sql("INSERT INTO commits VALUES (3)")
            assert server.sql(f"SELECT restart_lsn <= '{lsn}' {SLOT}") == "t"
        wait_until_stored(server)
        assert takes_care(streaming)
        stop(process)
    assert gaps(streaming) == []
    assert standby.sql("SELECT count(*) FROM commits") == "3"
    copy = cluster.adopt(Postgres(server.major, workspace / "copy"))
    streaming.restore(copy.data, "--target-latest", "--target-action", "promote")
    copy.start().wait_until_recovered()
    assert_same_data(server, copy)


def test_a_commit_that_waits_for_us_is_let_go_while_the_bucket_hangs(streaming, server, cluster, bucket):
    """We were no candidate when the stream began; PostgreSQL takes us at once."""
    streaming.use_s3(bucket, "there")
    streaming.backup(server)
    wait_until_alone(server)
    with receiving(streaming, server) as process:
        standby = cluster.standby(server)
        wait_until_stored(server)
        with bucket.hanging():
            commit_waiting_for_everybody(server)
            server.sql("CREATE TABLE committed()")
        host.wait_until(lambda: server.sql(STREAMS) == "1", "WAL is streamed again")
        wait_until_stored(server)
        stop(process)
    assert standby.sql("SELECT 1") == "1"
    assert gaps(streaming) == []


def test_a_promotion_is_followed(streaming, server, cluster):
    standby = cluster.standby(server)
    streaming.backup(server)
    with receiving(streaming, standby) as process:
        server.sql("CREATE TABLE before()")
        standby.wait_for_replay(server)
        server.stop()
        standby.promote()
        standby.sql("CREATE TABLE after()")
        lsn = wait_until_stored(standby)
        stop(process)
    assert [line for line in log_of(streaming) if line["message"] == "Began to stream WAL"][-1]["timeline"] == 2
    assert newest_stored(streaming) >= number(lsn)
    assert gaps(streaming) == []


def cloned(cluster, server: Postgres, home: Path) -> Postgres:
    """As if its volume was."""
    clone = cluster.adopt(Postgres(server.major, home))
    server.stop()
    host.run(["cp", "-a", server.data, clone.data])
    server.start()
    clone.start()
    return clone


def test_two_servers_on_one_timeline_are_refused(streaming, server, cluster, workspace):
    """What came first stays."""
    streaming.backup(server)
    clone = cloned(cluster, server, workspace / "clone")
    with receiving(streaming, server) as process:
        server.sql("CREATE TABLE one(); SELECT pg_switch_wal()")
        wait_until_stored(server)
        stop(process)
    before = streaming.objects()
    clone.sql("CREATE TABLE other(); SELECT pg_switch_wal(); CREATE TABLE more(); SELECT pg_switch_wal()")
    failure = streaming.failure("wal-receive", *at(clone))
    assert failure.kind == "conflict"
    failure.names("another server wrote on this timeline")
    after = streaming.objects()
    assert {name for name in before if "/wal/" in name} == {name for name in after if "/wal/" in name}


def test_of_two_servers_that_stream_at_the_same_time_one_is_left(streaming, server, cluster, workspace):
    """Or none, if both look at the same moment. What is left can be restored, and nothing contradicts it."""
    streaming.backup(server)
    clone = cloned(cluster, server, workspace / "clone")
    with receiving(streaming, server) as first, receiving(streaming, clone) as second:
        left = {"one": (server, first), "other": (clone, second)}
        for table, (writer, _) in left.items():
            writer.sql(f"CREATE TABLE {table}()")
        host.wait_until(lambda: any(process.poll() is not None for _, process in left.values()), "one is refused")
        for table, (writer, process) in list(left.items()):
            lsn = writer.sql("CREATE TABLE more(); SELECT pg_switch_wal()")
            stored = f"SELECT restart_lsn >= '{lsn}' {SLOT}"
            host.wait_until(lambda: process.poll() is not None or writer.sql(stored) == "t", f"{lsn} is stored")
            if process.poll() is None:
                stop(process)
            else:
                assert left.pop(table)[1].returncode == 1
    refusals = [line for line in log_of(streaming) if line.get("kind") == "conflict"]
    assert refusals and all("another server wrote on this timeline" in line["error"] for line in refusals)
    copy = cluster.adopt(Postgres(server.major, workspace / "copy"))
    streaming.restore(copy.data, "--target-latest", "--target-action", "promote")
    copy.start().wait_until_recovered()
    tables = copy.sql("SELECT relname FROM pg_class WHERE relname IN ('one', 'other', 'more') ORDER BY 1").split()
    assert tables == sorted([*left, "more"]) if left else not {"one", "other"} <= set(tables)


def test_a_mode_without_streaming_is_refused(streaming, server):
    streaming.spec["wal"] = {"mode": "BackupOnly"}
    streaming.failure("wal-receive", *at(server)).names("spec.wal.mode is BackupOnly")


@pytest.mark.parametrize("trouble", ["resetting", "stalled"])
def test_told_to_end_it_puts_the_last_seconds_though_a_region_is_down(streaming, server, s3, flaky_s3, trouble):
    streaming.spec["wal"]["flushSeconds"] = 600  # nothing goes by itself
    streaming.add_s3("there", flaky_s3, s3.make_bucket(f"there-{secrets.token_hex(4)}"))
    streaming.backup(server)
    with receiving(streaming, server) as process, getattr(flaky_s3.proxy, trouble)():
        write(server, 20)  # so a segment is on its way, and a part of one is there
        server.sql("CREATE TABLE last()")
        lsn = server.sql("SELECT pg_current_wal_flush_lsn()")
        host.wait_until(lambda: server.sql(f"SELECT bool_and(sent_lsn >= '{lsn}') FROM pg_stat_replication") == "t",
                        f"{lsn} is on its way to us")
        stop(process)  # while the region is down
    assert newest_stored(streaming) >= number(lsn)


def test_a_region_that_was_away_is_taken_in_again(streaming, server, bucket):
    streaming.add_s3("there", bucket, "there")
    streaming.backup(server)
    with receiving(streaming, server) as process:
        wait_until_stored(server)
        bucket.end()
        write(server, 20)
        wait_until_stored(server)  # by the other region
        host.wait_until(lambda: says(streaming, "Lost a region for the rest of the job"), "the region is left out")
        bucket.start()
        host.wait_until(lambda: says(streaming, "Found a lost region again"), "the region is found again")
        server.sql("SELECT pg_switch_wal()")
        wait_until_stored(server)
        names = {path.name for path in streaming.repository().glob("wal/*/*/*")}
        host.wait_until(lambda: any(key.rsplit("/", 1)[1] in names for key in bucket.keys("there", "some/where")
                                    if "/wal/" in key), "WAL goes there again")
        stop(process)
