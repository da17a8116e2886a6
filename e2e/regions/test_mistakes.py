# SPDX-License-Identifier: Apache-2.0
"""Everything that a person can get wrong with a policy, its Secret, its pods, its runs. Each mistake is refused at once
or becomes a condition that names field, value and remedy; and when it is put right, all goes on, without another
push."""

import re

import pytest

import host
from archiving import Archiving
from kube_client import condition_of
from protection import BALLAST, POLICY, SLOWLY, Protection
from restored_copy import RestoredCopy
from shop import PRIMARY, STANDBY, Shop

pytestmark = pytest.mark.usefixtures("explained")

NO_SUCH_BACKUP = "20200101T000000Z-full-0000"


@pytest.fixture(scope="module")
def protection(site, installation, shared_namespace) -> Protection:
    """A shop whose policy is ready, with a backup."""
    shop = Shop(shared_namespace)
    shop.make_lifeboat_secret(site.stores)
    installation.permit_restores(shared_namespace)
    shop.start()
    shared_namespace.sql(PRIMARY, BALLAST)
    shop.wait_for_standby()
    protection = Protection(shop, site.stores, site.buckets, site.endpoints)
    protection.apply_policy(compression={"level": 1}, parallelism={"workers": 2})
    protection.wait_until_ready()
    protection.wait_until_succeeded(protection.back_up("before"))
    return protection


@pytest.fixture(autouse=True)
def all_is_well_again(request, protection):
    """However a test went wrong for its user: behind it the policy is ready, and what was in the buckets is there. For
    a test that failed, what it did not come to is done."""
    working, before = dict(protection.spec), protection.objects("manifests/")
    failures = request.session.testsfailed
    yield
    if request.session.testsfailed > failures:
        protection.shop.restore_lifeboat_secret()
        protection.apply_policy(**working)
        protection.namespace.kubectl("scale", "statefulset", "shop-us", "--replicas=1")
    protection.wait_until_ready()
    now = protection.objects("manifests/")
    assert {key: now.get(key) for key in before} == before


def assert_not_ready(protection: Protection, reason: str, *texts: str, policy: str = POLICY, status: str = "False",
                     timeout_s: float = 120) -> str:
    """Until the policy's condition has that reason, in words that contain all these texts. Returns the words."""
    def is_told(found: dict) -> bool:
        ready = condition_of(found, "Ready")
        return ((ready.get("status"), ready.get("reason")) == (status, reason)
                and all(text in ready["message"] for text in texts))

    told = protection.namespace.wait_for("BackupPolicy", policy, is_told,
                                         f"has Ready={status} {reason} with {texts}", timeout_s)
    return condition_of(told, "Ready")["message"]


def assert_failed(protection: Protection, kind: str, name: str, reason: str, *texts: str,
                  timeout_s: float = 120) -> dict:
    """Until the run has failed for that reason, in words that contain all these texts. Returns the object."""
    failed = protection.namespace.wait_for_condition(kind, name, "Stalled", "True", reason, timeout_s)
    assert condition_of(failed, "Succeeded")["status"] == "False"
    message = condition_of(failed, "Succeeded")["message"]
    assert [text for text in texts if text not in message] == [], message
    return failed


# The policy


def daily(cron: str = "0 3 * * *", **rest) -> dict:
    return {"schedules": [{"name": "daily", "cron": cron, **rest}]}


REFUSED = {
    "a minute": (daily("61 3 * * *"), ["spec.schedules[0].cron", "61 3 * * *", "0 to 59"]),
    "a cron in words": (daily("every morning"), ["spec.schedules[0].cron", "every morning", "five cron fields"]),
    "a time zone": (daily(timeZone="Zurich, Europe"),
                    ["spec.schedules[0].timeZone", "Zurich, Europe", "Europe/Berlin"]),
    "a region": ({"source": {"region": "asia"}}, ["spec.source.region", "'asia' is none of spec.regions"]),
    "a quorum": ({"quorum": 3}, ["spec.quorum", "3 is more than the 2 regions", "lower it, or add regions"]),
}
NEVER = {
    "a place": (daily(timeZone="Europe/Atlantis"), ["spec.schedules[0].timeZone", "Europe/Atlantis"]),
    "a day": (daily("0 3 31 2 *"), ["spec.schedules[0].cron", "0 3 31 2 *"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_policy_that_cannot_work_is_refused_at_once(protection, case):
    change, said = REFUSED[case]
    with pytest.raises(AssertionError) as refused:
        protection.apply_policy(**change)
    assert [text for text in said if text not in str(refused.value)] == []


def test_a_region_with_two_stores_is_refused_at_once(protection):
    eu, us = protection.spec["regions"]
    both = {**eu, "azure": {"account": "shop", "container": "backups", "credentials": "eu"}}
    with pytest.raises(AssertionError, match="region 'eu' needs exactly one of s3, azure and file, but has s3 azure"):
        protection.apply_policy(regions=[both, us])


@pytest.mark.parametrize("case", NEVER)
def test_a_schedule_that_never_comes_is_a_condition(protection, case):
    change, said = NEVER[case]
    protection.apply_policy(**change)
    assert_not_ready(protection, "Invalid", *said)
    protection.apply_policy(**daily())
    ready = protection.wait_until_ready()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT03:00:00Z", ready["status"]["nextBackup"])


def test_a_region_without_a_member_is_a_condition(protection):
    annotation = "lifeboat.dev/region"
    protection.apply_policy(source={"region": "us"})
    protection.namespace.kubectl("annotate", "pod", STANDBY, f"{annotation}=asia", "--overwrite")
    assert_not_ready(protection, "UnknownRegion", "spec.source.region", "'us'", f"'{STANDBY}' is in asia", annotation)
    protection.namespace.kubectl("annotate", "pod", STANDBY, f"{annotation}=us", "--overwrite")
    protection.wait_until_ready()
    protection.apply_policy(source={})


# Members


def test_a_policy_without_members_says_what_pods_need(protection):
    other = {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "BackupPolicy", "metadata": {"name": "other"},
             "spec": protection.spec}
    protection.namespace.apply(other)
    assert_not_ready(protection, "NoMembers", "lifeboat.dev/policy: other", policy="other")
    protection.namespace.delete("lbp", "other")


def test_a_pod_that_is_claimed_by_two_policies_serves_neither(protection):
    """Its label names one, its sidecar mounts the ConfigMap of the other."""
    other = {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "BackupPolicy", "metadata": {"name": "other"},
             "spec": protection.spec}
    protection.namespace.apply(other)
    protection.namespace.kubectl("label", "pod", STANDBY, "lifeboat.dev/policy=other", "--overwrite")
    assert_not_ready(protection, "MemberRefused", STANDBY, "lifeboat.dev/policy: other", "ConfigMap 'lifeboat-shop'",
                     policy="other")
    protection.namespace.wait_for("BackupPolicy", POLICY, lambda found: found["status"].get("members") == "1/1",
                                  "has lost a member")
    protection.namespace.kubectl("label", "pod", STANDBY, f"lifeboat.dev/policy={POLICY}", "--overwrite")
    protection.wait_until_ready()
    protection.namespace.delete("lbp", "other")


def test_a_backup_waits_for_the_standby_that_the_policy_insists_on(protection):
    protection.apply_policy(source={"fallback": False})
    protection.wait_until_ready()
    protection.namespace.kubectl("scale", "statefulset", "shop-us", "--replicas=0")
    assert_not_ready(protection, "NoStandby", "spec.source.fallback is false", "start a standby, or set it to true")
    protection.back_up("insisting")
    waiting = protection.namespace.wait_for_condition("Backup", "insisting", "Reconciling", "True", "Pending")
    assert "no standby can make the backup; set source.fallback: true" in condition_of(waiting, "Succeeded")["message"]
    protection.namespace.kubectl("scale", "statefulset", "shop-us", "--replicas=1")
    ended = protection.wait_until_succeeded("insisting")
    assert {attempt["pod"] for attempt in ended["status"]["attempts"]} == {STANDBY}
    protection.apply_policy(source={})


# The Secret


def test_a_secret_that_comes_later_is_found(protection, shared_namespace):
    shared_namespace.delete("secret", "lifeboat-shop")
    message = assert_not_ready(protection, "SecretIncomplete", "lifeboat-shop")
    assert [key for key in protection.shop.lifeboat_secret if key not in message] == []
    protection.back_up("without-secret")
    waiting = shared_namespace.wait_for_condition("Backup", "without-secret", "Reconciling", "True", "Pending")
    assert "refuses the policy" in condition_of(waiting, "Succeeded")["message"]
    protection.shop.restore_lifeboat_secret()
    protection.wait_until_succeeded("without-secret")


@pytest.mark.parametrize("key, field", [("k1", "spec.encryption.keys[0]"), ("password", "spec.connection.passwordKey"),
                                        ("us.secret-access-key", "region 'us': s3.credentials")])
def test_a_key_that_comes_later_is_found(protection, key, field):
    protection.shop.change_lifeboat_secret({key: None})
    assert_not_ready(protection, "SecretIncomplete", key, field, "lifeboat-shop")
    protection.shop.restore_lifeboat_secret()
    protection.wait_until_ready()


def test_wrong_credentials_of_one_bucket_cost_only_that_region(protection):
    protection.shop.change_lifeboat_secret({"us.secret-access-key": "mistyped"})
    message = assert_not_ready(protection, "Degraded", "region 'us'", "SignatureDoesNotMatch", status="True")
    assert "mistyped" not in message
    regions = {region["name"]: region for region in protection.policy()["status"]["regions"]}
    assert (regions["eu"]["reachable"], regions["us"]["reachable"]) == (True, False)

    protection.apply_policy(quorum=2)
    assert_not_ready(protection, "RegionUnreachable", "region 'us'", "spec.quorum: 2")
    protection.apply_policy(quorum=1)
    status = protection.wait_until_succeeded(protection.back_up("one-region"))["status"]
    assert (status["regions"], status["missingRegions"]) == (["eu"], ["us"])
    replicated = protection.namespace.wait_for_condition("BackupPolicy", POLICY, "Replicated", "False",
                                                         "MissingRegions")
    assert "region 'us'" in condition_of(replicated, "Replicated")["message"]

    protection.shop.restore_lifeboat_secret()
    protection.wait_until_ready()
    status = protection.wait_until_succeeded(protection.back_up("both-regions"))["status"]
    assert sorted(status["regions"]) == ["eu", "us"]
    protection.namespace.wait_for_condition("BackupPolicy", POLICY, "Replicated", "True", "InAllRegions")


def test_a_wrong_password_of_the_database_is_a_condition(protection):
    protection.shop.change_lifeboat_secret({"password": "mistyped"})
    message = assert_not_ready(protection, "DatabaseUnreachable", "password authentication failed",
                               "connection.passwordKey")
    assert "mistyped" not in message
    protection.shop.restore_lifeboat_secret()
    protection.wait_until_ready()


# In mid-run


def test_a_run_ends_with_the_policy_that_it_began_with(protection, program):
    protection.apply_policy(**SLOWLY)
    protection.wait_until_ready()
    protection.wait_until_under_way(protection.back_up("begun-before"))
    eu, us = protection.spec["regions"]
    protection.apply_policy(regions=[eu], compression={"level": 1}, parallelism={"workers": 2})
    assert sorted(protection.wait_until_succeeded("begun-before")["status"]["regions"]) == ["eu", "us"]
    assert len(protection.attempts("begun-before")) == 1
    after = protection.wait_until_succeeded(protection.back_up("begun-after"))["status"]
    assert after["regions"] == ["eu"] and not after.get("missingRegions")
    protection.apply_policy(regions=[eu, us])
    protection.check(program, "begun-before")


def test_a_policy_that_is_deleted_takes_its_run_and_its_slots_along_and_can_come_back(protection, program):
    archiving = Archiving(protection, program)
    protection.apply_policy(**SLOWLY, wal={"mode": "Stream"})
    protection.wait_until_ready()
    archiving.wait_for("True", "Streaming")
    host.wait_until(lambda: archiving.slots(PRIMARY) and archiving.slots(STANDBY), "each server has its slot")
    attempt = protection.wait_until_under_way(protection.back_up("abandoned"))
    protection.namespace.delete("lbp", POLICY)
    assert_failed(protection, "Backup", "abandoned", "PolicyDeleted", "policy 'shop' was deleted during the run")
    host.wait_until(lambda: not archiving.slots(PRIMARY) + archiving.slots(STANDBY), "no slot keeps WAL for it")
    host.wait_until(lambda: protection.namespace.get("ConfigMap", "lifeboat-shop") is None, "its ConfigMap is gone")
    protection.apply_policy(compression={"level": 1}, parallelism={"workers": 2}, wal={"mode": "BackupOnly"})
    protection.wait_until_ready()
    with protection.command_line(program) as lifeboat:
        assert attempt["backupID"] not in [manifest["id"] for manifest in lifeboat.list()]
    assert not protection.objects(f"manifests/{attempt['backupID']}")
    protection.wait_until_succeeded(protection.back_up("taken-up"))


def test_a_backup_of_a_policy_that_is_not_there_yet_waits_for_it(protection):
    protection.namespace.delete("lbp", POLICY)
    protection.back_up("early")
    waiting = protection.namespace.wait_for_condition("Backup", "early", "Reconciling", "True", "Pending")
    assert "there is no BackupPolicy 'shop'" in condition_of(waiting, "Succeeded")["message"]
    protection.apply_policy()
    protection.wait_until_succeeded("early")


# Restores


def test_a_restore_that_cannot_be_is_refused_and_leaves_nothing(protection, shared_namespace):
    protection.restore("no-such-backup", NO_SUCH_BACKUP)
    protection.restore("no-such-region", region="asia")
    protection.restore("no-region-left", excludeRegions=["eu", "us"])
    assert_failed(protection, "RestoreJob", "no-such-region", "RegionNotFound", "spec.source.region", "asia")
    assert_failed(protection, "RestoreJob", "no-region-left", "RegionNotFound", "spec.source.excludeRegions")
    assert_failed(protection, "RestoreJob", "no-such-backup", "BackupNotFound", "spec.source.backup", NO_SUCH_BACKUP)
    host.wait_until(lambda: not shared_namespace.list("Pod", "lifeboat.dev/restorejob"), "no pod is left")
    shared_namespace.delete("restorejob", "no-such-backup")
    host.wait_until(lambda: shared_namespace.get("PersistentVolumeClaim", "no-such-backup") is None,
                    "the claim of a restore that failed goes with it")


def test_a_claim_that_is_there_is_left_alone(protection, shared_namespace):
    claim = f"data-{PRIMARY}"
    before = shared_namespace.get("PersistentVolumeClaim", claim)
    protection.restore(claim)
    assert_failed(protection, "RestoreJob", claim, "ClaimExists", "spec.destination.newVolumeClaim.name", f"'{claim}'",
                  "nothing is overwritten: give another name")
    shared_namespace.delete("restorejob", claim)
    assert shared_namespace.get("PersistentVolumeClaim", claim) == before
    assert shared_namespace.sql(PRIMARY, "SELECT count(*) FROM orders") == "100000"


def test_after_all_of_this_a_backup_comes_back(protection, shared_namespace, program):
    protection.shop.wait_for_standby()
    dump = shared_namespace.dump(PRIMARY)
    backup = protection.wait_until_succeeded(protection.back_up("at-last"))["status"]["backupID"]
    protection.check(program, "at-last")
    protection.restore("at-last", backup, excludeRegions=["eu"])
    assert protection.wait_until_restored("at-last")["status"]["region"] == "us"
    RestoredCopy(shared_namespace, "at-last").start().assert_same(dump)
