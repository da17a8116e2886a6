# SPDX-License-Identifier: Apache-2.0
"""From a policy that is applied to a copy that is queried: what docs/install.md promises, told in order. Each test goes
on where the one before it ended; a fixture is one step of the story."""

import re
from datetime import datetime, timedelta

import pytest
import yaml

import host
from kube_client import condition_of
from protection import POLICY, Protection
from restored_copy import RestoredCopy
from shop import KNOWN_ROW, PRIMARY, STANDBY, Shop

EXAMPLES = host.CHECKOUT / "docs" / "examples"
pytestmark = pytest.mark.usefixtures("explained")

AGE = r"\d+[smh](\d+s)?( ago)?"
SIZE = r"\d+(\.\d)? [kMG]?B"


# The steps


@pytest.fixture(scope="module")
def protection(site, installation, shared_namespace) -> Protection:
    """A shop that sells, and a policy for it."""
    shop = Shop(shared_namespace)
    shop.make_lifeboat_secret(site.stores)
    installation.permit_restores(shared_namespace)
    shop.start()
    shared_namespace.sql(PRIMARY, "ALTER SYSTEM SET autovacuum = off")  # nothing changes but what the tests change
    shared_namespace.sql(PRIMARY, "SELECT pg_reload_conf()")
    shared_namespace.sql(PRIMARY, "CREATE TABLE noise AS SELECT decode(string_agg(md5(random()::text), ''), 'hex') AS "
                                  "bytes FROM generate_series(1, 2000)")
    protection = Protection(shop, site.stores, site.buckets, site.endpoints)
    protection.apply_policy(compression={"level": 1}, parallelism={"workers": 2})
    protection.wait_until_ready()
    return protection


@pytest.fixture(scope="module")
def content(protection) -> dict[str, str]:
    """The whole database as SQL, by the name of the Backup made of it."""
    return {}


@pytest.fixture(scope="module")
def of_first_slot(protection, content) -> dict:
    """Of a schedule whose next one comes an hour later."""
    dump = protection.namespace.dump(PRIMARY)
    slot = datetime.now() + timedelta(seconds=90)
    protection.apply_policy(schedules=[{"name": "hourly", "cron": f"{slot.minute} * * * *", "timeZone": "Europe/Zurich"}])
    host.wait_until(protection.backups, "a slot has come")
    [name] = protection.backups()
    ended = protection.wait_until_succeeded(name)
    protection.wait_until_ready()
    content[name] = dump
    return ended


@pytest.fixture(scope="module")
def at_a_glance(protection, of_first_slot) -> dict[str, str]:
    """What `kubectl get` prints of the policy and its schedule, which is then suspended."""
    protection.namespace.wait_for_condition("BackupPolicy", POLICY, "Replicated", "True", "InAllRegions")
    [row] = protection.namespace.table("lbp", "--output=wide")
    protection.apply_policy(suspend=True)
    protection.namespace.wait_for_condition("BackupPolicy", POLICY, "Ready", "True", "Suspended")
    return row


@pytest.fixture(scope="module")
def scheduled(of_first_slot, at_a_glance) -> dict:
    """The Backup of the one slot that there was."""
    return of_first_slot


@pytest.fixture(scope="module")
def objects_of_the_first(protection, scheduled) -> dict[str, tuple]:
    """All that lay in the buckets before any other backup was made."""
    return protection.objects()


@pytest.fixture(scope="module")
def by_hand(protection, objects_of_the_first, content) -> dict:
    """The example's Backup, after a day's work."""
    protection.namespace.sql(PRIMARY, "UPDATE orders SET total = total + 1 WHERE id % 100 = 0")
    return back_up_as_it_is(protection, (EXAMPLES / "backup.yaml").read_text(), content)


@pytest.fixture(scope="module")
def incremental(protection, by_hand, content) -> dict:
    protection.namespace.sql(PRIMARY, "INSERT INTO orders VALUES (100001, 'Mary Somerville', 17.80)")
    text = (EXAMPLES / "backup.yaml").read_text().replace("type: Full", "type: Incremental")
    return back_up_as_it_is(protection, text, content)


def back_up_as_it_is(protection: Protection, manifest: str, content: dict[str, str]) -> dict:
    """A Backup of all that the primary has written by now, and of no log from before."""
    dump = protection.namespace.dump(PRIMARY)
    protection.namespace.sql(PRIMARY, "SELECT pg_switch_wal(); CHECKPOINT")
    protection.shop.wait_for_standby()
    name = protection.namespace.create(yaml.safe_load(manifest))["metadata"]["name"]
    ended = protection.wait_until_succeeded(name)
    content[name] = dump
    return ended


# What a user sees of it


def test_helm_says_what_to_do_next_and_two_operators_are_ready(installation):
    system = installation.namespace
    notes = system.client.helm("status", "lifeboat", f"--namespace={system.name}")
    for command in ("rollout status deployment/lifeboat-operator", "create secret generic lifeboat-shop",
                    "get lbp -o wide"):
        assert command in notes
    [deployment] = system.table("deployment", "lifeboat-operator")
    assert deployment["READY"] == "2/2"
    assert [pod["READY"] for pod in system.table("pods")] == ["1/1", "1/1"]


def test_a_schedule_backs_up_the_standby_into_both_regions(protection, scheduled, program):
    name, status = scheduled["metadata"]["name"], scheduled["status"]
    assert re.fullmatch(rf"{POLICY}-hourly-20\d{{10}}", name)
    [attempt] = status["attempts"]
    assert (attempt["pod"], attempt["region"]) == (STANDBY, "us")
    assert sorted(status["regions"]) == ["eu", "us"] and not status.get("missingRegions")
    assert condition_of(scheduled, "Succeeded")["reason"] == "Committed"
    assert (condition_of(scheduled, "Reconciling")["status"], condition_of(scheduled, "Stalled")["status"]) == (
        "False", "False")
    manifest = protection.check(program, name)
    assert manifest["backup"] == {"name": name, "uid": scheduled["metadata"]["uid"]}


def test_a_policy_says_at_a_glance_whether_all_is_well(at_a_glance):
    assert at_a_glance.items() >= {"NAME": POLICY, "READY": "True", "REASON": "Ready", "MEMBERS": "2/2",
                                   "RECOVERABLE": "True", "REPLICATED": "True"}.items()
    assert at_a_glance["MESSAGE"] == "2 of 2 sidecars are connected, all of 2 regions can be used"
    assert re.fullmatch(AGE, at_a_glance["LAST BACKUP"]) and re.fullmatch(AGE, at_a_glance["AGE"])
    assert re.fullmatch(SIZE, at_a_glance["SIZE"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:00Z", at_a_glance["NEXT"])


def test_a_backup_by_hand_is_made_while_the_schedule_is_suspended(protection, by_hand, program):
    assert by_hand["metadata"]["name"].startswith("shop-by-hand-")
    assert by_hand["status"]["attempts"][0]["pod"] == STANDBY
    protection.check(program, by_hand["metadata"]["name"])
    [row] = protection.namespace.table("lbp")
    assert (row["READY"], row["REASON"], row["NEXT"]) == ("True", "Suspended", "")


def test_an_incremental_backup_stores_what_has_changed(protection, by_hand, incremental, program):
    full, status = by_hand["status"], incremental["status"]
    assert (status["type"], status["parent"]) == ("Incremental", full["backupID"])
    assert status["bytesStored"] * 4 < full["bytesStored"] and status["bytesReused"] > 0
    manifest = protection.check(program, incremental["metadata"]["name"])
    assert manifest["parent"] == full["backupID"]


def test_backups_say_at_a_glance_how_they_went(protection, scheduled, by_hand, incremental):
    rows = {row["NAME"]: row for row in protection.namespace.table("lbk", "--output=wide")}
    assert list(rows) == sorted(found["metadata"]["name"] for found in (scheduled, by_hand, incremental))
    for found in (scheduled, by_hand, incremental):
        row = rows[found["metadata"]["name"]]
        assert (row["POLICY"], row["TYPE"], row["STATUS"]) == (POLICY, found["status"]["type"], "Committed")
        assert row["ID"] == found["status"]["backupID"]
        assert row["MESSAGE"] == f"'{row['ID']}' is in {row['REGIONS']}"
        assert row["REGIONS"] in ("eu, us", "us, eu")
        assert re.fullmatch(SIZE, row["SIZE"]) and re.fullmatch(AGE, row["DURATION"])


def test_events_tell_the_story(protection, scheduled, incremental):
    names = [scheduled["metadata"]["name"], incremental["metadata"]["name"]]
    for name in names:
        told = {event["REASON"]: event for event in protection.namespace.events("Backup", name)}
        assert STANDBY in told["Running"]["MESSAGE"] and "is in eu, us" in told["Committed"]["MESSAGE"]
        assert {event["TYPE"] for event in told.values()} == {"Normal"}
    told = {event["REASON"]: event for event in protection.namespace.events("BackupPolicy", POLICY)}
    assert names[0] in told["BackupCreated"]["MESSAGE"]
    assert {"Ready", "BackupExists", "InAllRegions", "Suspended"} <= set(told)
    described = protection.namespace.kubectl("describe", "lbk", names[0])
    assert "Committed" in described.partition("Events:")[2]


# What comes back


def test_the_newest_backup_becomes_a_copy_that_can_be_queried(protection, content, incremental):
    """docs/examples/restorejob.yaml as it is, but for a size that the test cluster has."""
    namespace = protection.namespace
    example = yaml.safe_load((EXAMPLES / "restorejob.yaml").read_text())
    example["spec"]["destination"]["newVolumeClaim"]["size"] = "10Gi"
    name = namespace.create(example)["metadata"]["name"]
    status = protection.wait_until_restored(name)["status"]
    assert (status["backup"], status["claim"]) == (incremental["status"]["backupID"], "shop-copy")
    assert status["region"] == "eu" and status["bytes"] > status["fetchedBytes"] > 0 and status["files"] > 0
    [row] = namespace.table("lrj", name, "--output=wide")
    assert (row["POLICY"], row["BACKUP"], row["STATUS"], row["CLAIM"], row["REGION"]) == (
        POLICY, status["backup"], "Restored", "shop-copy", "eu")
    assert row["MESSAGE"] == "the data is in the directory 'pgdata' of claim 'shop-copy'"
    assert {"Starting", "Restored"} <= {event["REASON"] for event in namespace.events("RestoreJob", name)}

    # Nobody but the user removes the claim, whatever becomes of the job, and no pod keeps it busy.
    namespace.delete("restorejob", name)
    host.wait_until(lambda: not namespace.list("Pod", f"lifeboat.dev/restorejob={name}"), "its pod is gone")
    assert not namespace.get("PersistentVolumeClaim", "shop-copy")["metadata"].get("ownerReferences")
    copy = RestoredCopy(namespace, "shop-copy").start()
    assert copy.sql("SELECT customer FROM orders WHERE id >= 100000 ORDER BY id") == f"{KNOWN_ROW}\nMary Somerville"
    copy.assert_same(content[incremental["metadata"]["name"]])
    copy.remove()


def test_an_older_backup_comes_back_from_us_when_eu_has_lost_everything(machinery, protection, content, scheduled):
    with machinery.nodes["eu"].without_objects(protection.repository):
        protection.restore("last-resort", scheduled["status"]["backupID"], region="eu")
        status = protection.wait_until_restored("last-resort")["status"]
    assert (status["backup"], status["region"]) == (scheduled["status"]["backupID"], "us")
    copy = RestoredCopy(protection.namespace, "last-resort").start()
    copy.assert_same(content[scheduled["metadata"]["name"]])
    copy.remove()


# What must not have happened


def test_nothing_in_the_buckets_was_overwritten(protection, objects_of_the_first, incremental):
    now = protection.objects()
    assert {key: now.get(key) for key in objects_of_the_first} == objects_of_the_first
    assert len(now) > len(objects_of_the_first)
    assert len(protection.backups()) == 3  # the suspended schedule made no more


def test_the_buckets_keep_what_lies_in_them_to_themselves(protection, incremental):
    noise = protection.namespace.sql(PRIMARY, "SELECT encode(substr(bytes, 10001, 24), 'hex') FROM noise")
    known = [KNOWN_ROW.encode(), bytes.fromhex(noise), b"customer 99", b"Mary Somerville",
             *[value.encode() for value in secret_values(protection)]]
    for region, store in protection.stores.items():
        keys = store.keys(protection.buckets[region], protection.repository)
        assert keys
        for key in keys:
            body = store.read(protection.buckets[region], key)
            assert [text for text in known if text in body] == [], f"{region}: {key}"


def test_no_secret_shows_anywhere_else(installation, protection, incremental):
    config_map = protection.namespace.get("ConfigMap", f"lifeboat-{POLICY}")
    assert set(config_map["data"]) == {"policy.yaml", "ca.crt", "endpoint"}
    assert "PRIVATE KEY" not in config_map["data"]["ca.crt"]
    shown = [protection.namespace.kubectl("get", "lifeboat,configmaps,events,pods,statefulsets", "--output=yaml"),
             protection.namespace.kubectl("describe", "lifeboat")]
    shown += [protection.namespace.logs(pod, "lifeboat") for pod in (PRIMARY, STANDBY)]
    shown += [installation.namespace.logs(pod["metadata"]["name"], "operator") for pod in installation.pods()]
    for text in shown:
        assert text.strip()
        assert [value for value in secret_values(protection) if value in text] == []


def secret_values(protection: Protection) -> list[str]:
    """What is in the Secret, but for the certificates, which are no secrets, and names of accounts."""
    return [value for key, value in protection.shop.lifeboat_secret.items()
            if not key.endswith((".ca.crt", ".access-key-id"))]
