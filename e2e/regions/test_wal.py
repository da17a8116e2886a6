# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log of a policy that streams it, through what befalls a database and its buckets, told in order: each
test goes on where the one before it ended, and what it tells ends in a restore that PostgreSQL judges."""

import os
import re
import signal

import pytest

import host
from archiving import Archiving, selling
from channel import Door, metrics
from journal import lsn, lsn_text
from kube_client import Namespace
from kube_cluster import Cluster
from protection import POLICY, Protection
from restored_copy import RestoredCopy
from shop import PRIMARY, STANDBY, Shop, assert_ended_well

STREAM = {"mode": "Stream", "flushSeconds": 2}
LATEST = ("--target-latest", "--target-action", "promote")

pytestmark = pytest.mark.usefixtures("explained", "machinery")


# What the tests share

@pytest.fixture(scope="module")
def protection(site, installation, shared_namespace) -> Protection:
    """What is written counts as safe when both regions have it."""
    shop = Shop(shared_namespace)
    shop.make_lifeboat_secret(site.stores)
    installation.permit_restores(shared_namespace)
    shop.start()
    shared_namespace.sql(PRIMARY, "CREATE TABLE sales (at timestamptz DEFAULT clock_timestamp(), memo text)")
    made = Protection(shop, site.stores, site.buckets, site.endpoints)
    made.apply_policy(quorum=2, wal=STREAM, compression={"level": 1}, parallelism={"workers": 2, "uploads": 2})
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def archiving(protection, program) -> Archiving:
    return Archiving(protection, program)


@pytest.fixture(scope="module")
def first(archiving, protection, program) -> str:
    """The database as it was when the first backup was made, which the standby made."""
    archiving.wait_for("True", "Streaming")
    dump = protection.namespace.dump(PRIMARY)
    protection.namespace.sql(PRIMARY, "SELECT pg_switch_wal(); CHECKPOINT")
    protection.shop.wait_for_standby()
    protection.wait_until_succeeded(protection.back_up("first"))
    protection.namespace.sql(PRIMARY, "SELECT pg_switch_wal()")  # a restore replays all of the segment in which it ended
    protection.check(program, "first")
    return dump


def sell(namespace: Namespace, pod: str, segments: int) -> None:
    """Fills that many segments of the write-ahead log."""
    for _ in range(segments):
        namespace.sql(pod, "INSERT INTO sales (memo) SELECT md5(id::text) FROM generate_series(1, 1000) id; "
                           "SELECT pg_switch_wal()")


def now(namespace: Namespace, pod: str) -> str:
    return namespace.sql(pod, "SELECT clock_timestamp()")


def test_the_primary_is_streamed_and_every_member_keeps_a_slot(archiving, first):
    archiving.wait_for("True", "Streaming", PRIMARY)
    host.wait_until(lambda: archiving.is_streamed(PRIMARY), "the primary is streamed")
    assert not archiving.is_streamed(STANDBY)
    assert len(archiving.slots(PRIMARY)) == 1
    host.wait_until(lambda: archiving.slots(STANDBY) == archiving.slots(PRIMARY), "each has its slot")


def test_a_policy_that_no_longer_streams_leaves_no_slot_behind(archiving, protection, first):
    protection.apply_policy(wal={"flushSeconds": 2})
    archiving.wait_for("False", "BackupOnly")
    host.wait_until(lambda: not archiving.slots(PRIMARY) + archiving.slots(STANDBY), "no slot is left")
    sell(protection.namespace, PRIMARY, 2)

    protection.apply_policy(wal=STREAM)
    archiving.wait_for("True", "Streaming")
    archiving.wait_until_durable(PRIMARY)
    host.wait_until(lambda: archiving.slots(STANDBY) == archiving.slots(PRIMARY), "each has its slot")
    archiving.assert_without_gap()
    archiving.check_copy(protection.namespace.dump(PRIMARY), *LATEST)


def test_us_restores_what_it_has_when_eu_is_gone(machinery, archiving, protection, first):
    namespace = protection.namespace
    sell(namespace, PRIMARY, 1)
    dump, moment = namespace.dump(PRIMARY), now(namespace, PRIMARY)
    namespace.sql(PRIMARY, "DELETE FROM orders WHERE id % 2 = 0")
    archiving.wait_until_durable(PRIMARY)
    with machinery.nodes["eu"].without_store():
        protection.restore("last-resort", region="us")
        archiving.check_copy(dump, "--region", "us", "--target-time", moment, "--target-action", "promote")
        assert protection.wait_until_restored("last-resort")["status"]["region"] == "us"
    copy = RestoredCopy(namespace, "last-resort").start()
    copy.assert_same(first)
    copy.remove()
    archiving.wait_for("True", "Streaming")


def test_a_bucket_that_is_away_is_told_of_and_what_it_missed_is_made_up_for(machinery, installation, archiving,
                                                                            protection, first, reader):
    namespace = protection.namespace
    with machinery.nodes["us"].without_store():
        sell(namespace, PRIMARY, 4)
        archiving.wait_for("False", "RegionUnreachable", "into 'us'", "is on the server only", "the server keeps",
                           "it has room for")
        sell(namespace, PRIMARY, 1)
        archiving.wait_for_event("Warning", "RegionUnreachable", "into 'us'")
        host.wait_until(lambda: archiving_metric(installation, reader) == 0, "the metric says so, too")
    archiving.wait_for("True", "Streaming")
    host.wait_until(lambda: archiving_metric(installation, reader) == 1, "the metric says so, too")
    archiving.wait_until_durable(PRIMARY)
    archiving.assert_without_gap()
    archiving.check_copy(namespace.dump(PRIMARY), "--region", "us", *LATEST)


def archiving_metric(installation, reader: str) -> float:
    found = metrics(Door(installation, installation.wait_until_ready()).get("/metrics", reader)[1])
    return next((value for name, value in found.items() if name.startswith("lifeboat_policy_archiving{")), -1)


def test_a_node_is_drained_while_a_bucket_is_away(machinery, archiving, protection, first):
    namespace = protection.namespace
    claim = namespace.get("PersistentVolumeClaim", f"data-{PRIMARY}")
    data = machinery.volume(claim["spec"]["volumeName"]) / "pgdata"
    with machinery.nodes["us"].without_store():
        sell(namespace, PRIMARY, 3)
        try:
            assert_ended_well(namespace.watch_end(PRIMARY, lambda: drain(namespace, "eu", "app=shop,role=primary")))
            control = host.run([host.tools() / "postgresql-15" / "bin" / "pg_controldata", data], privileged=True)
            assert re.search(r"^Database cluster state: +shut down$", control.stdout, re.MULTILINE), control.stdout
        finally:
            namespace.client.kubectl("uncordon", "eu")
        namespace.wait_until_ready(PRIMARY)
        sell(namespace, PRIMARY, 1)
    archiving.wait_for("True", "Streaming")
    archiving.wait_until_durable(PRIMARY)
    archiving.assert_without_gap()
    archiving.check_copy(namespace.dump(PRIMARY), *LATEST)


def drain(namespace: Namespace, node: str, selector: str) -> None:
    """Evicts the pods that are selected, of all namespaces."""
    namespace.client.kubectl("drain", node, f"--pod-selector={selector}", "--delete-emptydir-data", "--timeout=150s")


def test_a_standby_that_is_promoted_under_load_is_archived_without_a_gap(machinery, archiving, protection, program,
                                                                         first):
    namespace = protection.namespace
    dump_before, before = namespace.dump(PRIMARY), now(namespace, PRIMARY)
    with selling(namespace, PRIMARY):
        sell(namespace, PRIMARY, 2)
        kill_for_good(machinery, namespace, PRIMARY, "shop-eu")
    namespace.sql(STANDBY, "SELECT pg_promote()")
    with selling(namespace, STANDBY):
        archiving.wait_for("True", "Streaming", STANDBY)
        host.wait_until(lambda: archiving.is_streamed(STANDBY), "the new primary is streamed")
    dump_after = namespace.dump(STANDBY)
    namespace.sql(STANDBY, "SELECT pg_create_restore_point('after the switch')")
    namespace.sql(STANDBY, "DELETE FROM orders WHERE id % 3 = 0")
    archiving.wait_until_durable(STANDBY)
    archiving.assert_without_gap()
    archiving.check_copy(dump_before, "--target-time", before, "--target-action", "promote")
    archiving.check_copy(dump_after, "--target-name", "after the switch", "--target-action", "promote")

    protection.wait_until_succeeded(protection.back_up("of-the-new-primary"))
    assert protection.attempts("of-the-new-primary")[0]["pod"] == STANDBY
    protection.check(program, "of-the-new-primary")
    archiving.assert_without_gap()
    protection.check_restore(program, "of-the-new-primary", STANDBY)


def kill_for_good(machinery: Cluster, namespace: Namespace, pod: str, owner: str) -> None:
    """PostgreSQL dies in the middle of what it does, and nobody starts it again."""
    found = namespace.get("Pod", pod)
    process = machinery.first_process(found, "postgresql")
    namespace.kubectl("scale", f"statefulset/{owner}", "--replicas=0")
    namespace.wait_for("Pod", pod, lambda found: "deletionTimestamp" in found["metadata"], "is being deleted")
    os.kill(process, signal.SIGKILL)


def test_wal_that_is_lost_is_named_and_a_full_backup_begins_anew(machinery, archiving, protection, program, first):
    """The new primary of before keeps no log but for its slot, and not even that for ever."""
    namespace = protection.namespace
    namespace.sql(STANDBY, "ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'")
    namespace.sql(STANDBY, "SELECT pg_reload_conf()")
    dump_before, before = namespace.dump(STANDBY), now(namespace, STANDBY)
    namespace.sql(STANDBY, "DELETE FROM orders WHERE id % 5 = 0")
    archiving.wait_until_durable(STANDBY)
    with machinery.nodes["us"].without_store():
        sell(namespace, STANDBY, 8)
        namespace.sql(STANDBY, "CHECKPOINT")
        sell(namespace, STANDBY, 1)
    backup = wait_for_backup_of_gap(protection)
    policy = namespace.wait_for("BackupPolicy", POLICY, lambda policy: "closedBy" in policy["status"]["gap"],
                                "tells which backup closes the gap")
    archiving.wait_for("True", "Streaming", STANDBY)
    archiving.wait_until_durable(STANDBY)
    [gap] = archiving.windows()["gaps"]
    told = policy["status"]["gap"]
    assert (told["timeline"], told["fromLSN"], told["toLSN"]) == (gap["timeline"], gap["from"], gap["to"])
    assert told["backup"] == backup and told["closedBy"] == protection.check(program, backup)["id"]
    archiving.wait_for_event("Warning", "Gap", f"{gap['from']} to {gap['to']} of timeline 2")
    for region in ("eu", "us"):
        host.wait_until(lambda: [window.get("toLSN") for window in archiving.region(region)["windows"]][-2:]
                        == [gap["from"], None], f"the windows of {region} before and behind the gap are told")
    archiving.check_copy(dump_before, "--target-time", before, "--target-action", "promote")
    archiving.check_copy(namespace.dump(STANDBY), *LATEST)
    lost = lsn_text((lsn(gap["from"]) + lsn(gap["to"])) // 2)
    with protection.command_line(program) as lifeboat:
        lifeboat.failure("restore", "--to", lifeboat.home / "copy", "--target-lsn", lost).names(gap["from"], gap["to"])
    assert [name for name in protection.backups() if name.startswith(f"{POLICY}-gap-")] == [backup]


def wait_for_backup_of_gap(protection: Protection) -> str:
    """Its name."""
    def found() -> list[str]:
        return [name for name in protection.backups() if name.startswith(f"{POLICY}-gap-2-")]

    host.wait_until(lambda: bool(found()), "a full backup is due")
    [name] = found()
    assert protection.wait_until_succeeded(name)["status"]["type"] == "Full"
    return name
