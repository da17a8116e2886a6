# SPDX-License-Identifier: Apache-2.0
"""What breaks in the middle of a backup: the sidecar, the operator, both, the API server, the database's pod. No run is
lost, none runs twice, and what is committed in the end is sound in both regions."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import host
import processes
import pytest
from installation import Installation
from kube_client import condition_of
from kube_cluster import Cluster
from processes import SidecarProcesses
from protection import POLICY, Protection
from restored_copy import RestoredCopy
from shop import PRIMARY, STANDBY

# Two packs, with some seconds between them.
BALLAST = """CREATE TABLE ballast AS SELECT id, sha512(id::text::bytea) || sha512((-id)::text::bytea) AS bytes
FROM generate_series(1, 200000) id;
VACUUM (FREEZE, ANALYZE) ballast;"""
STEADY = {"compression": {"level": 16}, "parallelism": {"workers": 1, "uploads": 1}}
LOST = "SidecarLost"

pytestmark = pytest.mark.usefixtures("explained")


@pytest.fixture(scope="module", autouse=True)
def ballast(protection) -> None:
    for pod in (PRIMARY, STANDBY):  # a backup that is held for long keeps its connections
        protection.namespace.sql(pod, "ALTER SYSTEM SET wal_sender_timeout = 0")
        protection.namespace.sql(pod, "SELECT pg_reload_conf()")
    protection.namespace.sql(PRIMARY, BALLAST)
    protection.shop.wait_for_standby()
    protection.apply_policy(**STEADY)
    protection.wait_until_ready()


@pytest.fixture
def sidecar(machinery, protection) -> SidecarProcesses:
    """The standby's, which makes the backups."""
    protection.wait_until_ready()
    return SidecarProcesses(machinery, protection.namespace, STANDBY)


@contextmanager
def in_the_middle(protection: Protection, sidecar: SidecarProcesses, name: str) -> Iterator[dict]:
    """Begins a backup and holds it, while the block runs, where half of it lies in a bucket. Yields the attempt."""
    protection.back_up(name)
    attempt = protection.wait_until_under_way(name)
    with processes.held(sidecar.job()):
        assert attempt["pod"] == STANDBY and not protection.objects(f"manifests/{attempt['backupID']}")
        yield attempt


def kill_all(machinery: Cluster, installation: Installation) -> None:
    """Every replica of the operator at once, without a word: nobody releases the lease."""
    for pod in installation.pods():
        os.kill(machinery.first_process(pod, "operator"), signal.SIGKILL)


def reasons(protection: Protection, name: str) -> list[str]:
    """Why each attempt ended; empty for one that did well."""
    return [attempt.get("reason") or "" for attempt in protection.attempts(name)]


def is_still_under_way(protection: Protection, name: str, attempt: dict) -> bool:
    condition = condition_of(protection.namespace.get("Backup", name), "Succeeded")
    [known] = protection.attempts(name)
    return condition["reason"] == "Running" and known["backupID"] == attempt["backupID"] and "finished" not in known


def test_a_backup_whose_sidecar_is_killed_gets_another_attempt(protection, sidecar, program):
    with in_the_middle(protection, sidecar, "sidecar-killed") as attempt:
        sidecar.kill()
    protection.wait_until_succeeded("sidecar-killed")
    assert reasons(protection, "sidecar-killed") == [LOST, ""]
    assert protection.attempts("sidecar-killed")[1]["backupID"] != attempt["backupID"]
    protection.check(program, "sidecar-killed")


def test_a_backup_outlives_the_operator(machinery, installation, protection, sidecar, program):
    epoch = installation.epoch()
    with in_the_middle(protection, sidecar, "operator-killed") as attempt:
        kill_all(machinery, installation)
        installation.wait_for_leader(epoch)
        protection.wait_until_ready()
        assert is_still_under_way(protection, "operator-killed", attempt)
    protection.wait_until_succeeded("operator-killed")
    assert reasons(protection, "operator-killed") == [""]
    protection.check(program, "operator-killed")


def test_a_backup_that_loses_operator_and_sidecar_gets_another_attempt(machinery, installation, protection, sidecar,
                                                                       program):
    epoch = installation.epoch()
    with in_the_middle(protection, sidecar, "both-killed"):
        kill_all(machinery, installation)
        sidecar.kill()
    installation.wait_for_leader(epoch)
    protection.wait_until_succeeded("both-killed")
    assert reasons(protection, "both-killed") == [LOST, ""]
    protection.check(program, "both-killed")


def test_a_backup_that_ends_while_no_operator_is_there_is_no_less_a_success(installation, protection, sidecar,
                                                                            program):
    with in_the_middle(protection, sidecar, "unobserved") as attempt:
        installation.scale(0)
    try:
        protection.wait_for_manifest(attempt["backupID"])
        protection.namespace.apply({"apiVersion": "lifeboat.dev/v1alpha1", "kind": "Backup",
                                    "metadata": {"name": "asked-for-meanwhile"},
                                    "spec": {"policyRef": {"name": POLICY}, "type": "Incremental"}})
    finally:
        installation.scale(2)
    protection.wait_until_succeeded("unobserved")
    assert reasons(protection, "unobserved") == [""]
    protection.wait_until_succeeded("asked-for-meanwhile")
    protection.check(program, "unobserved")
    assert protection.check(program, "asked-for-meanwhile")["parent"] == attempt["backupID"]


def test_a_change_of_leader_starts_no_second_run_and_loses_none(installation, protection, sidecar, program):
    leader, epoch = installation.wait_until_ready(), installation.epoch()
    with in_the_middle(protection, sidecar, "leader-changed") as attempt:
        installation.namespace.kubectl("delete", "pod", leader)
        assert installation.wait_for_leader(epoch) != leader
        protection.wait_until_ready()
        assert is_still_under_way(protection, "leader-changed", attempt)
    protection.wait_until_succeeded("leader-changed")
    assert reasons(protection, "leader-changed") == [""]
    protection.check(program, "leader-changed")


def test_a_restart_of_the_api_server_costs_no_run(machinery, installation, protection, sidecar, program):
    with in_the_middle(protection, sidecar, "api-server-restarted") as attempt:
        machinery.restart_api_server()
        installation.wait_until_ready()
        protection.wait_until_ready()
        assert is_still_under_way(protection, "api-server-restarted", attempt)
    protection.wait_until_succeeded("api-server-restarted")
    assert reasons(protection, "api-server-restarted") == [""]
    protection.check(program, "api-server-restarted")


def test_schedules_that_nobody_kept_for_an_hour_are_caught_up_by_one_backup(installation, protection, program):
    now = datetime.now(timezone.utc)
    newest = now.replace(second=0, microsecond=0) - timedelta(minutes=5)
    minutes = ",".join(str(minute) for minute in range(newest.minute % 15, 60, 15))  # the next one is in ten
    slots = [newest - timedelta(minutes=15 * index) for index in range(4)]
    protection.apply_policy(schedules=[{"name": "quarterly", "type": "Incremental", "cron": f"{minutes} * * * *"}])
    protection.wait_until_ready()
    installation.scale(0)
    try:
        before = set(protection.backups())
        status = {"schedules": [{"name": "quarterly", "lastSlot": written(slots[-1] - timedelta(minutes=15)),
                                 "next": written(slots[-1])}]}
        protection.namespace.kubectl("patch", "backuppolicy", POLICY, "--subresource=status", "--type=merge",
                                     f"--patch={json.dumps({'status': status})}")
    finally:
        installation.scale(2)
    name = f"{POLICY}-quarterly-{newest:%Y%m%d%H%M}"
    protection.namespace.wait_for("Backup", name, lambda _: True, "is made")
    protection.wait_until_succeeded(name)
    assert set(protection.backups()) - before == {name}
    [schedule] = protection.policy()["status"]["schedules"]
    assert schedule["lastSlot"] == written(newest)
    assert schedule["next"] == written(newest + timedelta(minutes=15))
    assert "SlotsDropped" in {event["REASON"] for event in protection.namespace.events("BackupPolicy", POLICY)}
    protection.check(program, name)
    protection.apply_policy(schedules=[])


def written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_a_backup_whose_pod_is_deleted_is_made_on_the_next_one(protection, sidecar, program):
    with in_the_middle(protection, sidecar, "pod-deleted"):
        gone = protection.namespace.delete_and_watch(STANDBY)
    [ended] = [found["state"]["terminated"] for found in gone["status"]["containerStatuses"]
               if found["name"] == "postgresql"]
    assert ended["exitCode"] == 0, ended
    protection.wait_until_succeeded("pod-deleted")
    first, second = protection.attempts("pod-deleted")
    assert first["reason"] in ("Canceled", "PodGone") and first["podUID"] == gone["metadata"]["uid"]
    assert second["podUID"] != first["podUID"]
    protection.check(program, "pod-deleted")


def test_a_restore_whose_image_cannot_be_pulled_says_so_and_leaves_nothing(installation, protection):
    namespace = protection.namespace
    image = namespace.get("Pod", STANDBY)["spec"]["initContainers"][0]["image"]
    made = protection.wait_until_succeeded(protection.back_up("to-be-restored", "Incremental"))
    installation.permit_restores(namespace)
    protection.apply_policy(sidecar={"image": "lifeboat-sidecar:nowhere"})
    protection.wait_until_ready()
    protection.restore("unpullable", spec={"deadlineSeconds": 60})
    namespace.wait_for("RestoreJob", "unpullable",
                       lambda job: "ImagePull" in condition_of(job, "Succeeded").get("message", ""),
                       "says that the image cannot be pulled")
    ended = namespace.wait_for_condition("RestoreJob", "unpullable", "Succeeded", "False", "DeadlineExceeded",
                                         timeout_s=300)
    assert "lifeboat-sidecar:nowhere" in condition_of(ended, "Succeeded")["message"]
    namespace.delete("RestoreJob", "unpullable")
    host.wait_until(lambda: namespace.get("PersistentVolumeClaim", "unpullable") is None
                    and not namespace.list("Pod", "lifeboat.dev/restorejob"), "its claim and its pod are gone")

    protection.apply_policy(sidecar={"image": image})
    protection.wait_until_ready()
    protection.restore("pullable")
    assert protection.wait_until_restored("pullable")["status"]["backup"] == made["status"]["backupID"]
    copy = RestoredCopy(namespace, "pullable").start()
    copy.assert_same(namespace.dump(PRIMARY))
    copy.remove()
