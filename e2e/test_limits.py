# SPDX-License-Identifier: Apache-2.0
"""spec.limits: how fast is fast, as the kernel counts the bytes of a running command, and how it stands back."""

import json
import signal
import subprocess
import time
import warnings
from pathlib import Path

import pytest

import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified

MIB = 1 << 20
RATE = 10 * MIB
TOLERANCE = 0.05
WINDOW_S = 4.5  # long enough for what four threads have asked for and not moved yet, a fifth of a second's, to be within
LARGE_BYTES = 56 * MIB  # that no compression makes smaller


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest, max_wal_size="4GB", checkpoint_timeout="1h")
    server.add_role(PASSWORD)
    server.sql(f"""
        CREATE TABLE noise (data bytea);
        ALTER TABLE noise ALTER data SET STORAGE PLAIN;
        INSERT INTO noise SELECT (SELECT string_agg(sha256((i * 1000 + j)::text::bytea), '') FROM generate_series(1, 240) j)
        FROM generate_series(1, {LARGE_BYTES // 8192}) i;
        CHECKPOINT
    """)
    assert int(server.sql("SELECT pg_table_size('noise')")) >= LARGE_BYTES
    return server


@pytest.fixture
def backed_up(lifeboat, server) -> Lifeboat:
    lifeboat.backup(server)
    return lifeboat


def count(process: subprocess.Popen, what: str) -> int:
    """rchar, wchar: bytes of read(2), write(2) and their like; sockets, which use others, are not counted."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    return int(fields[what])


def rate_of(process: subprocess.Popen, what: str) -> float:
    """Bytes per second from where they begin to move, half a mebibyte at once. The times lie around the counts, so that a
    test which is held up finds less, never more."""
    started = time.monotonic()
    begun = count(process, what)
    while (now := count(process, what)) < begun + MIB // 4:
        assert process.poll() is None, command_line.outcome(process)
        started, begun = time.monotonic(), now
        time.sleep(0.01)
    time.sleep(WINDOW_S)
    moved = count(process, what) - begun  # of one that has ended meanwhile, too
    return moved / (time.monotonic() - started)


def assert_rate(process: subprocess.Popen, what: str, limit: int = RATE) -> None:
    """Never above the limit. That it is reached as well is shown where time is not real, in common/tests/test_throttle.c:
    here it depends on who else uses the machine."""
    rate = rate_of(process, what)
    done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    assert rate < limit * (1 + TOLERANCE), f"{rate / MIB:.2f} MiB/s, not {limit / MIB:.2f}"
    if rate < limit * (1 - TOLERANCE):
        warnings.warn(f"{rate / MIB:.2f} MiB/s where {limit / MIB:.2f} were allowed: is the machine that busy?", stacklevel=2)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_backup_reads_no_faster_than_it_may_with_any_number_of_workers(lifeboat, server, workers):
    lifeboat.spec |= {"limits": {"readBytesPerSecond": RATE}, "parallelism": {"workers": workers}}
    with lifeboat.running("backup", *at(server)) as process:
        assert_rate(process, "rchar")


def test_a_region_gets_no_more_than_it_may_from_all_uploads_together(lifeboat, server):
    lifeboat.spec |= {"limits": {"uploadBytesPerSecond": RATE}, "parallelism": {"uploads": 4}}
    with lifeboat.running("backup", *at(server)) as process:
        assert_rate(process, "wchar")


def test_each_region_has_a_limit_of_its_own(lifeboat, server):
    lifeboat.add_directory("there")
    lifeboat.spec |= {"limits": {"uploadBytesPerSecond": RATE}, "parallelism": {"uploads": 4}, "quorum": 2}
    with lifeboat.running("backup", *at(server)) as process:
        assert_rate(process, "wchar", 2 * RATE)


def assert_slow_enough(lifeboat: Lifeboat, server: Postgres) -> None:
    """Both ways, in all: what goes through sockets is not counted by the kernel."""
    lifeboat.spec["limits"] = {"uploadBytesPerSecond": RATE, "fetchBytesPerSecond": RATE}
    started = time.monotonic()
    stored = lifeboat.backup(server)["bytes"]["stored"]
    assert stored > 0.9 * LARGE_BYTES
    assert time.monotonic() - started > stored / RATE / (1 + TOLERANCE)

    started = time.monotonic()
    fetched = lifeboat.restore(lifeboat.home / "copy")["fetchedBytes"]
    assert fetched > 0.9 * LARGE_BYTES
    assert time.monotonic() - started > fetched / RATE / (1 + TOLERANCE)


def test_an_s3_region_gets_and_gives_no_more_than_it_may(lifeboat, server, s3):
    lifeboat.use_s3(s3, s3.make_bucket("limited"))
    assert_slow_enough(lifeboat, server)


def test_an_azure_region_gets_and_gives_no_more_than_it_may(lifeboat, server, azure):
    lifeboat.use_azure(azure, azure.make_container("limited"))
    assert_slow_enough(lifeboat, server)


@pytest.mark.parametrize("limit, what, workers", [("fetchBytesPerSecond", "rchar", 1), ("writeBytesPerSecond", "wchar", 4)])
def test_a_restore_is_no_faster_than_it_may(backed_up, newest, limit, what, workers):
    backed_up.spec |= {"limits": {limit: RATE}, "parallelism": {"workers": workers}}
    copy = backed_up.home / "copy"
    with backed_up.running("restore", "--to", copy) as process:
        assert_rate(process, what)
    assert_verified(newest, copy)


def test_a_backup_that_waits_for_its_limits_can_be_stopped(lifeboat, server):
    slowest = 65536
    lifeboat.spec["limits"] = {"readBytesPerSecond": slowest, "uploadBytesPerSecond": slowest}
    with lifeboat.running("backup", *at(server)) as process:
        begun = count(process, "rchar")
        command_line.wait_for(process, lambda: count(process, "rchar") > begun + 100_000, "it read")
        process.send_signal(signal.SIGTERM)
        done = command_line.outcome(process)
    assert command_line.failure_of(done.returncode, done.stdout, done.stderr).kind == "canceled"


def test_a_limited_backup_tells_its_progress_each_second(lifeboat, server):
    lifeboat.spec["limits"] = {"readBytesPerSecond": RATE}
    done = lifeboat.run("backup", "--progress", "json", *at(server))
    told = [json.loads(line)["progress"] for line in done.stderr.splitlines() if line.startswith('{"progress"')]
    copied = [line["bytes"] for line in told if line["phase"] == "copying"]
    assert copied == sorted(copied)
    assert len(copied) > 2, "it lasts five seconds, which may be long ones"


def priorities(process: subprocess.Popen) -> set[tuple[int, str]]:
    """Of each of its threads: nice, and what util-linux calls its class for disks."""
    found = set()
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        nice = int((task / "stat").read_text().rpartition(")")[2].split()[16])
        io = subprocess.run(["ionice", "-p", task.name], check=True, capture_output=True, text=True).stdout.strip()
        found.add((nice, io))
    return found


@pytest.mark.parametrize("priority, nice, io", [("Low", 10, "best-effort: prio 7"), ("Idle", 19, "idle")])
def test_all_threads_stand_back_as_the_policy_says(lifeboat, server, priority, nice, io):
    """Or further, if the tests themselves run so."""
    lifeboat.spec["limits"] = {"readBytesPerSecond": RATE, "priority": priority}
    with lifeboat.running("backup", *at(server)) as process:
        begun = count(process, "rchar")
        command_line.wait_for(process, lambda: count(process, "rchar") > begun + 4 * MIB, "it was under way")
        found = priorities(process)
        assert command_line.outcome(process).returncode == 0
    [(found_nice, found_io)] = found
    assert found_nice >= nice
    assert found_io in (io, "idle")


def test_a_restore_does_not_stand_back(backed_up):
    before = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[16])
    backed_up.spec["limits"] = {"writeBytesPerSecond": RATE, "priority": "Idle"}
    with backed_up.running("restore", "--to", backed_up.home / "copy") as process:
        command_line.wait_for(process, lambda: count(process, "wchar") > 4 * MIB, "it was under way")
        assert {nice for nice, _ in priorities(process)} == {before}
