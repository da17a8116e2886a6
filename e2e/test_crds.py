# SPDX-License-Identifier: Apache-2.0
"""The resources of crds/ on a real API server: what it accepts and refuses and in which words, and what people see of
them. A policy is read by the sidecar as well, so every case is put to both."""

import copy
import json
import re
import subprocess
from collections.abc import Iterator

import pytest

import host
from kube import ApiServer

GROUP = "lifeboat.dev"
KINDS = {"backuppolicies": "BackupPolicy", "backups": "Backup", "restorejobs": "RestoreJob"}
ID = "20261121T082118Z-full-3fa2"
LONG = "x" * 400


@pytest.fixture(scope="module")
def api(api_server) -> ApiServer:
    api_server.define_resources()
    return api_server


@pytest.fixture(scope="module")
def definitions(api) -> dict[str, dict]:
    """The resources as the API server has them, by the plural of their names."""
    items = json.loads(api.kubectl("get", "customresourcedefinitions", "--output=json"))["items"]
    return {item["spec"]["names"]["plural"]: item for item in items}


def schema(definition: dict) -> dict:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def said_by_api(api: ApiServer, document: dict | str, *verb: str) -> str | None:
    """What the API server says against a document, which it does not store; None: it accepts it."""
    text = document if isinstance(document, str) else json.dumps(document)
    done = subprocess.run(
        [*api.kubectl_command, *(verb or ["create"]), "--dry-run=server", "--validate=strict", "--filename=-"],
        input=text, text=True, capture_output=True)
    return None if done.returncode == 0 else done.stderr


def policy(spec: dict, name: str = "shop") -> dict:
    return {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "BackupPolicy", "metadata": {"name": name},
            "spec": {**copy.deepcopy(LEAST), **spec}}


def region(name: str = "eu", **rest) -> dict:
    return {"name": name, **(rest or {"file": {"path": "/b"}})}


def s3(**rest) -> dict:
    return {"regions": [region(s3={"bucket": "backups", "credentials": "eu", **rest})]}


def azure(**rest) -> dict:
    return {"regions": [region(azure={"container": "backups", "account": "shop", "credentials": "eu", **rest})]}


def schedule(cron: str = "0 3 * * *", name: str = "daily", **rest) -> dict:
    return {"schedules": [{"name": name, "cron": cron, **rest}]}


LEAST = {"regions": [region()], "encryption": {"keys": ["k1"]}}
KEY = "a key of the policy's Secret"
LABEL = "a DNS label of at most {} characters"


# The definitions


def test_every_resource_is_established_without_complaint(definitions):
    assert set(definitions) == set(KINDS)
    for definition in definitions.values():
        conditions = {condition["type"]: condition["status"] for condition in definition["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def nodes(node: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        if path or name != "metadata":  # whose fields the API server describes
            yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}.*")


@pytest.mark.parametrize("plural", KINDS)
def test_every_field_is_described_and_bounded(definitions, plural):
    for path, node in nodes(schema(definitions[plural])):
        assert len(node.get("description", "")) > 3, f"{path} has no description"
        kind = node.get("type")
        if kind == "string":
            assert "maxLength" in node or "enum" in node, f"{path} has no maxLength"
        if kind == "array":
            assert "maxItems" in node, f"{path} has no maxItems"
            assert "x-kubernetes-list-type" in node, f"{path} has no list type"
        if kind == "object" and "additionalProperties" in node:
            assert "maxProperties" in node, f"{path} has no maxProperties"
        if "enum" in node:
            assert not {"yes", "no", "on", "off", "y", "n"} & {str(value).lower() for value in node["enum"]}, path


def part(definition: dict, path: str) -> dict:
    node = schema(definition)
    for name in path.split("."):
        node = node["properties"][name] if name != "[]" else node["items"]
    return node


def test_what_is_said_twice_is_the_same(definitions):
    policies, restores = definitions["backuppolicies"], definitions["restorejobs"]
    for name in ("regions", "encryption"):
        assert part(policies, f"spec.{name}")["type"] == part(restores, f"spec.source.repository.{name}")["type"]
    assert part(policies, "spec.regions.[]") == part(restores, "spec.source.repository.regions.[]")
    assert part(policies, "spec.encryption") == part(restores, "spec.source.repository.encryption")
    assert part(policies, "spec.drills.[].template")["properties"] == part(restores, "spec")["properties"]
    for field in ("conditions",):
        said = [{**part(definition, f"status.{field}"), "description": ""} for definition in definitions.values()]
        assert said[0] == said[1] == said[2]


@pytest.mark.parametrize("plural", KINDS)
def test_the_documentation_names_every_field_of_status(definitions, plural):
    text = (host.CHECKOUT / "docs/resources.md").read_text()
    chapter = re.search(rf"^## {KINDS[plural]}$(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", chapter))))
    shared = {"type", "status", "reason", "message", "lastTransitionTime"}
    attempts = {"pod", "podUID", "started", "finished", "reason", "error", "phase", "bytes", "totalBytes", "files",
                "percent", "updated"}
    for path, _ in nodes(part(definitions[plural], "status"), "status"):
        name = re.sub(r"\[\]$", "", path).rpartition(".")[2]
        if name != "status" and not (".conditions[]" in path and name in shared | {"observedGeneration"}):
            assert name in words or (".attempts[]" in path or ".progress" in path) and name in attempts, path


# Policies, by the API server and by the sidecar


def said_by_sidecar(program, document: dict | str) -> str | None:
    """What the sidecar says against a policy, before it does anything with it; None: it accepts it."""
    with host.workspace() as home:
        file = home / "policy.yaml"
        file.write_text(document if isinstance(document, str) else json.dumps(document, indent=1))
        file.chmod(0o644)
        done = host.run([program, "list", "--file", file, "--secrets", home], check=False)
    found = re.search(rf"{re.escape(str(file))}:\d+: (.*)", done.stderr)
    return found[1] if found else None


ACCEPTED = {
    "the least": {},
    "no encryption": {"encryption": {"mode": "None"}},
    "an active key": {"encryption": {"activeKey": "k1", "keys": ["k2", "k1"]}},
    "a key with all characters": {"encryption": {"keys": ["K.a_b-c..9", ".k"]}},
    "eight regions": {"regions": [region(f"r{i}") for i in range(8)], "quorum": 8},
    "a region to read from only": {"regions": [region(access="ReadOnly", file={"path": "/b"})]},
    "a quorum of all that can be written": {"quorum": 1, "regions": [region(), region("us", access="ReadOnly",
                                                                                      file={"path": "/c"})]},
    "a source": {"source": {"prefer": "Primary", "fallback": False, "mode": "Single", "region": "eu"}},
    "an S3 service": s3(prefix="a/b.c/_d-", endpoint="https://s3.example.com:9000", region="eu-central-1",
                        pathStyle=True, caKey="eu.ca.crt", storageClass="STANDARD_IA", serverSideEncryption="aws:kms",
                        kmsKey="arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab"),
    "the role of a service account": {"regions": [region(s3={"bucket": "abc", "auth": "WebIdentity"})]},
    "the role of the machine": {"regions": [region(s3={"bucket": "abc", "auth": "Instance"})]},
    "Object Lock": s3(objectLock={"days": 36500, "mode": "Compliance"}),
    "an S3 service at an IPv6 address": s3(endpoint="http://[2001:db8::1]:65535"),
    "dots in a prefix": s3(prefix=".../a..b"),
    "no prefix": s3(prefix=""),
    "a directory": {"regions": [region(file={"path": "/a b/..c//d/"})]},
    "a container of Azure": azure(prefix="a/b", endpoint="https://blob.example.com:10000", caKey="eu.ca.crt"),
    "an identity of Azure": {"regions": [region(azure={"container": "abc", "account": "abc", "auth": "WebIdentity"})]},
    "a login": {"connection": {"port": 65535, "user": "My User", "database": "ü" * 31, "passwordKey": "password",
                               "sslMode": "verify-full"}},
    "limits": {"limits": {"readBytesPerSecond": 65536, "uploadBytesPerSecond": 10 ** 12, "fetchBytesPerSecond": 10 ** 6,
                          "writeBytesPerSecond": 10 ** 7, "priority": "Idle"}},
    "most work at once": {"compression": {"level": 19}, "parallelism": {"workers": 64, "uploads": 64}},
    "schedules": {"schedules": [{"name": f"s{i}", "cron": "0 3 * * *"} for i in range(16)]},
    "suspended schedules without a region to write to": {
        "regions": [region(access="ReadOnly", file={"path": "/b"})], "suspend": True, **schedule()},
    "a schedule with everything": schedule(type="Incremental", timeZone="America/Argentina/Buenos_Aires",
                                           jitterSeconds=86400, startingDeadlineSeconds=2678400),
    "a longest name": schedule(name="a" * 20),
    "write-ahead log": {"wal": {"mode": "Stream", "flushSeconds": 3600}},
    "a retention": {"retention": {"fulls": 0, "windowDays": 10000, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 2,
                                  "minimum": 2}},
    "a verification": {"verification": {"cron": "@daily", "timeZone": "UTC", "mode": "Full"}},
    "a drill": {"drills": [{"name": "d", "cron": "@monthly", "template": {
        "destination": {"drill": {}}, "checks": {"amcheck": True, "queries": [
            {"name": "rows", "sql": "SELECT count(*) > 0 FROM t", "expect": "t"}]}}}]},
    "objectives": {"objectives": {"recoveryPointSeconds": 0, "recoveryTimeSeconds": 2678400, "backupSeconds": 1}},
    "a sidecar": {"sidecar": {"image": "registry.example.com:5000/a/b:v1.2@sha256:00ff", "runAsUser": 4294967294,
                              "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": 1000}}}},
    "the rest": {"suspend": True, "deadlineSeconds": 2678400},
    **{f"cron {cron}": schedule(cron) for cron in (
        "* * * * *", "0 0 1 1 0", "59 23 31 12 7", "*/5 */2 */3 */4 */5", "0-59/7 1-3,5,7-9 1,15 JAN-MAR,dec mon-FRI",
        "5/10 0 * * Sun", "00 03 01 01 00", " 0\t3  * * * ", "@hourly", "@Weekly", "@annually", "@midnight")},
    **{f"time zone {zone}": schedule(timeZone=zone) for zone in ("UTC", "Etc/GMT+5", "Europe/Berlin")},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_good_policy_is_accepted_by_the_api_server_and_by_the_sidecar(api, program, case):
    document = policy(ACCEPTED[case])
    assert said_by_api(api, document) is None
    assert said_by_sidecar(program, document) is None


# What is wrong: the spec, the field as both name it, what the API server says of it.
REFUSED = {
    "no region": ({"regions": []}, "spec.regions", "should have at least 1 items"),
    "nine regions": ({"regions": [region(f"r{i}") for i in range(9)]}, "spec.regions", "must have at most 8 items"),
    "no store": ({"regions": [{"name": "eu"}]}, "spec.regions[0]",
                 "region 'eu' needs exactly one of s3, azure and file, but has none"),
    "both stores": ({"regions": [region(file={"path": "/b"}, s3={"bucket": "abc", "credentials": "eu"})]},
                    "spec.regions[0]", "region 'eu' needs exactly one of s3, azure and file, but has s3 file"),
    "S3 and Azure at once": (
        {"regions": [region(s3={"bucket": "abc", "credentials": "eu"},
                            azure={"container": "abc", "account": "abc", "credentials": "eu"})]},
        "spec.regions[0]", "region 'eu' needs exactly one of s3, azure and file, but has s3 azure"),
    "a region twice": ({"regions": [region(), region()]}, "spec.regions[1]", "Duplicate value"),
    "a region without a name": ({"regions": [{"file": {"path": "/b"}}]}, "spec.regions[0].name", "Required value"),
    "a region's name": ({"regions": [region("US")]}, "spec.regions[0].name", LABEL.format(63) + ".*'US'"),
    "an access": ({"regions": [region(access="Write", file={"path": "/b"})]}, "spec.regions[0].access",
                  '"Write": supported values: "ReadWrite", "ReadOnly"'),
    "a quorum above the regions": ({"quorum": 2}, "spec.quorum", "2 is more than the 1 regions with access: ReadWrite"),
    "a quorum with a region to read from": (
        {"quorum": 2, "regions": [region(), region("us", access="ReadOnly", file={"path": "/c"})]}, "spec.quorum",
        "2 is more than the 1 regions with access: ReadWrite: lower it, or add regions"),
    "a quorum of none": ({"quorum": 0}, "spec.quorum", "greater than or equal to 1"),
    "a source in an unknown region": ({"source": {"region": "mars"}}, "spec.source.region",
                                      "'mars' is none of spec.regions"),
    "a source's preference": ({"source": {"prefer": "Standby"}}, "spec.source.prefer", 'supported values: "Replica"'),
    "an active key that is none of the keys": ({"encryption": {"activeKey": "k3", "keys": ["k1"]}},
                                               "spec.encryption.activeKey", "'k3' is none of keys: add it there"),
    "no keys": ({"encryption": {}}, "spec.encryption.keys", "openssl rand -base64 32.*or set mode: None"),
    "an empty list of keys": ({"encryption": {"keys": []}}, "spec.encryption.keys", "needs at least one key"),
    "keys that are not used": ({"encryption": {"mode": "None", "keys": ["k1"]}}, "spec.encryption.keys",
                               "would not be used with mode: None"),
    "an active key that is not used": ({"encryption": {"mode": "None", "activeKey": "k1"}}, "spec.encryption.activeKey",
                                       "'k1' would not be used with mode: None"),
    "a key twice": ({"encryption": {"keys": ["k1", "k1"]}}, "spec.encryption.keys[1]", "Duplicate value"),
    "a key's name": ({"encryption": {"keys": ["a/b"]}}, "spec.encryption.keys[0]", KEY + ".*'a/b'"),
    "seventeen keys": ({"encryption": {"keys": [f"k{i}" for i in range(17)]}}, "spec.encryption.keys", "at most 16"),
    "a mode": ({"encryption": {"mode": "AES", "keys": ["k1"]}}, "spec.encryption.mode", '"AES256GCM", "None"'),
    "no bucket": ({"regions": [region(s3={"credentials": "eu"})]}, "spec.regions[0].s3.bucket", "Required value"),
    "no credentials": ({"regions": [region(s3={"bucket": "abc"})]}, "spec.regions[0].s3.credentials",
                       "with 'eu' these are eu.access-key-id and eu.secret-access-key"),
    "a bucket": (s3(bucket="My_bucket"), "spec.regions[0].s3.bucket", "a bucket's name .*'My_bucket'"),
    "a bucket with two dots": (s3(bucket="a..b"), "spec.regions[0].s3.bucket", "'a..b'"),
    "a prefix": (s3(prefix="/a"), "spec.regions[0].s3.prefix", "between single slashes.*'/a'"),
    "a prefix that climbs": (s3(prefix="a/../b"), "spec.regions[0].s3.prefix", "'a/../b'"),
    "an endpoint without a scheme": (s3(endpoint="s3.example.com"), "spec.regions[0].s3.endpoint",
                                     "https://s3.example.com:9000, not 's3.example.com'"),
    "an endpoint with a path": (s3(endpoint="https://a/b"), "spec.regions[0].s3.endpoint", "'https://a/b'"),
    "an endpoint's port": (s3(endpoint="https://a:65536"), "spec.regions[0].s3.endpoint", "'https://a:65536'"),
    "a signing region": (s3(region="eu west"), "spec.regions[0].s3.region", "'eu west'"),
    "a key of a certificate": (s3(caKey=".."), "spec.regions[0].s3.caKey", KEY),
    "credentials": (s3(credentials="a b"), "spec.regions[0].s3.credentials", "start of keys.*'a b'"),
    "a storage class": (s3(storageClass="standard"), "spec.regions[0].s3.storageClass", "'standard'"),
    "a frozen storage class": (s3(storageClass="GLACIER"), "spec.regions[0].s3.storageClass",
                               "cannot be read at once: use GLACIER_IR"),
    "credentials of a role": (s3(auth="Instance"), "spec.regions[0].s3.credentials",
                              "'eu' would not be used with auth: Instance: remove it, or set auth: Static"),
    "a retention without days": (s3(objectLock={"mode": "Governance"}), "spec.regions[0].s3.objectLock.days", "Required value"),
    "a retention of no days": (s3(objectLock={"days": 0}), "spec.regions[0].s3.objectLock.days", "greater than or equal to 1"),
    "a retention's mode": (s3(objectLock={"days": 1, "mode": "GOVERNANCE"}), "spec.regions[0].s3.objectLock.mode",
                           "Governance"),
    "an encryption by the server": (s3(serverSideEncryption="aes"), "spec.regions[0].s3.serverSideEncryption", "AES256"),
    "a key of KMS": (s3(serverSideEncryption="aws:kms", kmsKey="the key"), "spec.regions[0].s3.kmsKey", "AWS KMS.*'the key'"),
    "a key that the server does not use": (s3(serverSideEncryption="AES256", kmsKey="k"), "spec.regions[0].s3.kmsKey",
                                           "'k' would not be used: set serverSideEncryption: aws:kms"),
    "a container": (azure(container="a--b"), "spec.regions[0].azure.container", "a container's name .*'a--b'"),
    "an account": (azure(account="Shop"), "spec.regions[0].azure.account", "a storage account's name .*'Shop'"),
    "an endpoint of Azure": (azure(endpoint="blob.example.com"), "spec.regions[0].azure.endpoint", "'blob.example.com'"),
    "no credentials of Azure": ({"regions": [region(azure={"container": "abc", "account": "abc"})]},
                                "spec.regions[0].azure.credentials", "is missing: name the start of the key in the Secret"),
    "credentials that nobody uses": (azure(auth="Instance"), "spec.regions[0].azure.credentials",
                                     "'eu' would not be used with auth: Instance"),
    "a directory that is not absolute": ({"regions": [region(file={"path": "b"})]}, "spec.regions[0].file.path",
                                         "absolute path of a directory, without '..', not 'b'"),
    "a directory that climbs": ({"regions": [region(file={"path": "/a/../b"})]}, "spec.regions[0].file.path", "/a/../b"),
    "a port": ({"connection": {"port": 65536}}, "spec.connection.port", "less than or equal to 65535"),
    "a user": ({"connection": {"user": ""}}, "spec.connection.user", "a name of 1 to 63 bytes"),
    "a user of too many bytes": ({"connection": {"user": "ü" * 32}}, "spec.connection.user", "1 to 63 bytes"),
    "a database": ({"connection": {"database": "a\nb"}}, "spec.connection.database", "a name of 1 to 63 bytes"),
    "an SSL mode": ({"connection": {"sslMode": "on"}}, "spec.connection.sslMode", '"verify-full"'),
    "a level": ({"compression": {"level": 20}}, "spec.compression.level", "less than or equal to 19"),
    "workers": ({"parallelism": {"workers": 0}}, "spec.parallelism.workers", "greater than or equal to 1"),
    "a limit that nothing ends with": ({"limits": {"readBytesPerSecond": 65535}}, "spec.limits.readBytesPerSecond",
                                       "greater than or equal to 65536"),
    "a limit for nothing": ({"limits": {"writeBytesPerSecond": 0}}, "spec.limits.writeBytesPerSecond",
                            "greater than or equal to 65536"),
    "a priority": ({"limits": {"priority": "High"}}, "spec.limits.priority", "Unsupported value"),
    "uploads": ({"parallelism": {"uploads": 65}}, "spec.parallelism.uploads", "less than or equal to 64"),
    "schedules without a region to write to": (
        {"regions": [region(access="ReadOnly", file={"path": "/b"})], **schedule()}, "spec.schedules",
        "no region has access: ReadWrite, so no backup can be made"),
    "seventeen schedules": ({"schedules": [{"name": f"s{i}", "cron": "@daily"} for i in range(17)]}, "spec.schedules",
                            "at most 16"),
    "a schedule twice": ({"schedules": [{"name": "a", "cron": "@daily"}, {"name": "a", "cron": "@hourly"}]},
                         "spec.schedules[1]", "Duplicate value"),
    "a schedule's name": (schedule(name="Daily"), "spec.schedules[0].name", LABEL.format(20) + ".*'Daily'"),
    "a schedule's long name": (schedule(name="a" * 21), "spec.schedules[0].name", "may not be more than 20"),
    "a schedule without times": ({"schedules": [{"name": "a"}]}, "spec.schedules[0].cron", "Required value"),
    "a type": (schedule(type="full"), "spec.schedules[0].type", '"Full", "Differential", "Incremental"'),
    "a jitter": (schedule(jitterSeconds=86401), "spec.schedules[0].jitterSeconds", "less than or equal to 86400"),
    "a starting deadline": (schedule(startingDeadlineSeconds=0), "spec.schedules[0].startingDeadlineSeconds", "to 1"),
    "a time zone": (schedule(timeZone="/etc/passwd"), "spec.schedules[0].timeZone", "Europe/Berlin, not '/etc/passwd'"),
    "four fields": (schedule("0 3 * *"), "spec.schedules[0].cron", r"five cron fields .*'0 3 \* \*'"),
    "six fields": (schedule("0 0 3 * * *"), "spec.schedules[0].cron", "five cron fields"),
    "an interval": (schedule("@every 5m"), "spec.schedules[0].cron", "five cron fields .*'@every 5m'"),
    "a zone in cron": (schedule("TZ=UTC 0 3 * * *"), "spec.schedules[0].cron", "five cron fields"),
    "a command in cron": (schedule("0 3 * * SUN; rm"), "spec.schedules[0].cron", "five cron fields"),
    "a minute": (schedule("60 3 * * *"), "spec.schedules[0].cron", "the minute, first field of '60 3 .* 0 to 59"),
    "an hour": (schedule("0 24 * * *"), "spec.schedules[0].cron", "the hour, second field of .* 0 to 23"),
    "a day": (schedule("0 3 0 * *"), "spec.schedules[0].cron", "the day, third field of .* 1 to 31"),
    "a month": (schedule("0 3 * 13 *"), "spec.schedules[0].cron", "the month, fourth field of .* JAN to DEC"),
    "a month's name": (schedule("0 3 * XYZ *"), "spec.schedules[0].cron", "the month, fourth field"),
    "a weekday": (schedule("0 3 * * 8"), "spec.schedules[0].cron", "the weekday, last field of .* SUN to SAT"),
    "a step of none": (schedule("*/0 3 * * *"), "spec.schedules[0].cron", "the minute, first field"),
    "an open list": (schedule("1, 3 * * *"), "spec.schedules[0].cron", "the minute, first field"),
    "a verification without times": ({"verification": {"mode": "Full"}}, "spec.verification.cron", "Required value"),
    "a verification's mode": ({"verification": {"cron": "@daily", "mode": "All"}}, "spec.verification.mode", "Sample"),
    "a drill's name": ({"drills": [{"name": "D", "cron": "@daily"}]}, "spec.drills[0].name", LABEL.format(20)),
    "a drill's template": ({"drills": [{"name": "d", "cron": "@daily", "template": {"pod": 5}}]},
                           "spec.drills[0].template.pod", "must be of type object"),
    "nine drills": ({"drills": [{"name": f"d{i}", "cron": "@daily"} for i in range(9)]}, "spec.drills", "at most 8"),
    "a mode of the log": ({"wal": {"mode": "Archive"}}, "spec.wal.mode", '"Stream", "BackupOnly"'),
    "a flush": ({"wal": {"flushSeconds": 0}}, "spec.wal.flushSeconds", "greater than or equal to 1"),
    "a retention": ({"retention": {"fulls": -1}}, "spec.retention.fulls", "greater than or equal to 0"),
    "an objective": ({"objectives": {"backupSeconds": 2678401}}, "spec.objectives.backupSeconds", "2678400"),
    "a deadline": ({"deadlineSeconds": 0}, "spec.deadlineSeconds", "greater than or equal to 1"),
    "an image": ({"sidecar": {"image": "a b"}}, "spec.sidecar.image", "a container image, not 'a b'"),
    "root": ({"sidecar": {"runAsUser": 0}}, "spec.sidecar.runAsUser", "greater than or equal to 1"),
    "an unknown field": ({"bukcet": 1}, "spec.bukcet", "unknown field"),
    "an unknown field below": (s3(bukcet="x"), "spec.regions[0].s3.bukcet", "unknown field"),
    "a text for a number": ({"quorum": "1"}, "spec.quorum", "must be of type integer"),
    "a number for a text": ({"encryption": {"keys": [1]}}, "spec.encryption.keys[0]", "must be of type string"),
    "a text for a truth value": ({"suspend": "true"}, "spec.suspend", "must be of type boolean"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_policy_is_refused_by_the_api_server_and_by_the_sidecar(api, program, case):
    spec, field, complaint = REFUSED[case]
    document = policy(spec)
    said = said_by_api(api, document)
    assert said is not None and field in said, said
    assert re.search(complaint, said), said
    # A list's element that is there twice is told with its key: spec.regions[1] is spec.regions[1].name.
    assert field.split("[1]")[0] in (said_by_sidecar(program, document) or "")


def test_a_policy_without_encryption_is_told_the_choice(api, program):
    document = policy({})
    del document["spec"]["encryption"]
    assert "spec.encryption: Invalid value" in said_by_api(api, document)
    assert "name a key of the policy's Secret in keys, or set mode: None" in said_by_api(api, document)
    assert "spec.encryption.keys: needs at least one key" in said_by_sidecar(program, document)


@pytest.mark.parametrize("name, good", [("a" * 40, True), ("0-a", True), ("a" * 41, False), ("a.b", False)])
def test_the_name_of_a_policy_is_a_label_of_forty(api, program, name, good):
    said = said_by_api(api, policy({}, name))
    assert (said is None, said_by_sidecar(program, policy({}, name)) is None) == (good, good)
    assert good or re.search(f"metadata.name: .*{LABEL.format(40)}.*'{name}'", said), said


# The table of docs/policy.md: what the API server accepts and the sidecar refuses.
ONLY_API = {
    "a source per region": ({"source": {"mode": "PerRegion"}}, "spec.source.mode"),
    "a range that runs backwards": (schedule("0 5-3 * * *"), "spec.schedules[0].cron"),
}
# And the other way round.
ONLY_SIDECAR = {
    "leading zeros": (schedule("0003 3 * * *"), "spec.schedules[0].cron"),
    "a drill's template, below its first level": (
        {"drills": [{"name": "d", "cron": "@daily", "template": {"destination": {"newVolumeClaim": {"size": "1Gi"}}}}]},
        "a drill's data is thrown away: use destination.drill"),
    "a drill of another policy": (
        {"drills": [{"name": "d", "cron": "@daily", "template": {"source": {"policyRef": {"name": "other"}}}}]},
        "a drill restores its own policy: remove policyRef and repository"),
    "resources that are none": ({"sidecar": {"resources": {"limits": {"memory": "much"}}}}, "spec.sidecar.resources"),
}


@pytest.mark.parametrize("case", ONLY_API)
def test_the_schema_is_wider_where_the_documentation_says_so(api, program, case):
    spec, complaint = ONLY_API[case]
    assert said_by_api(api, policy(spec)) is None
    assert complaint in (said_by_sidecar(program, policy(spec)) or "")


@pytest.mark.parametrize("case", ONLY_SIDECAR)
def test_the_sidecar_is_wider_where_the_documentation_says_so(api, program, case):
    spec, complaint = ONLY_SIDECAR[case]
    assert complaint in (said_by_api(api, policy(spec)) or "")
    assert said_by_sidecar(program, policy(spec)) is None


def test_what_the_api_server_gives_back_the_sidecar_reads(api, program):
    """With the defaults filled in, as the operator puts it into the ConfigMap."""
    for text in (json.dumps(policy({})), (host.CHECKOUT / "docs/examples/policy.yaml").read_text()):
        stored = api.kubectl("create", "--dry-run=server", "--output=json", "--filename=-", stdin=text)
        spec = json.loads(stored)["spec"]
        assert spec["connection"]["port"] == 5432 and spec["encryption"]["mode"] == "AES256GCM"
        assert "wal" not in policy({})["spec"] and ("wal" in spec) == ("wal" in text)
        assert said_by_sidecar(program, stored) is None


@pytest.mark.parametrize("example", sorted(path.name for path in (host.CHECKOUT / "docs/examples").glob("*.yaml")))
def test_the_examples_are_accepted(api, program, example):
    text = (host.CHECKOUT / "docs/examples" / example).read_text()
    assert said_by_api(api, text) is None
    if "kind: BackupPolicy" in text:
        assert said_by_sidecar(program, text) is None


# Backups and restores


def backup(spec: dict, name: str = "now") -> dict:
    return {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "Backup", "metadata": {"name": name},
            "spec": {"policyRef": {"name": "shop"}, **spec}}


def restore(spec: dict, name: str = "copy") -> dict:
    return {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "RestoreJob", "metadata": {"name": name},
            "spec": {"source": {"policyRef": {"name": "shop"}}, "destination": {"newVolumeClaim": {"size": "1Gi"}},
                     **spec}}


def source(**rest) -> dict:
    return {"source": {"policyRef": {"name": "shop"}, **rest}}


def claim(**rest) -> dict:
    return {"destination": {"newVolumeClaim": {"size": "1Gi", **rest}}}


REPOSITORY = {"policyName": "shop", "secretName": "lifeboat-shop", **LEAST}


@pytest.mark.parametrize("document", [
    backup({}), backup({"type": "Incremental", "hold": True, "deletionPolicy": "Delete"}), backup({}, "a" * 80),
    backup({}, "shop-weekly-202611210300"),
    restore({}), restore({}, "a" * 57),
    restore(source(backup=ID, region="eu", excludeRegions=["us"])),
    restore({"source": {"repository": {**REPOSITORY, "policyNamespace": "other", "systemIdentifier": "7"}}}),
    restore({"recoveryTarget": {"time": "2026-11-21T08:21:18Z", "inclusive": False, "timeline": "2",
                                "action": "Pause"}}),
    restore({"recoveryTarget": {"latest": True, "immediate": False, "timeline": "current"}}),
    restore(claim(name="shop-copy.1", storageClassName="fast", size="1.5Ti", accessModes=["ReadWriteMany"],
                  volumeName="pv-7", labels={"a": "b"}, annotations={"a": "b"})),
    restore({"destination": {"volumeClaim": {"name": "data", "delta": True}}}),
    restore({"destination": {"standby": {"volumeClaim": {"name": "data"}, "slot": "copy_1",
                                         "primary": {"host": "shop-0.shop", "passwordKey": "password"}}}}),
    restore({"database": {"image": "postgres:17", "binDir": "/usr/lib/postgresql/17/bin",
                          "parameters": {"shared_buffers": "1GB", "pg_stat_statements.max": "100"},
                          "preloadLibraries": ["$libdir/x"], "resources": {"limits": {"memory": "1Gi"}}},
             "pod": {"serviceAccountName": "x", "runAsUser": 999, "nodeSelector": {"a": "b"},
                     "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
                     "affinity": {"nodeAffinity": {}}, "imagePullSecrets": [{"name": "registry"}]},
             "checks": {"queries": [{"name": "rows", "sql": "SELECT 1", "expect": "1"}]},
             "objectives": {"recoveryTimeSeconds": 60}, "parallelism": {"workers": 8}, "deadlineSeconds": 60,
             "ttlSecondsAfterFinished": 0}),
], ids=lambda document: json.dumps(document["spec"])[:60])
def test_a_good_run_is_accepted(api, document):
    assert said_by_api(api, document) is None


@pytest.mark.parametrize("document, complaint", [
    (backup({}, "a" * 81), "metadata.name: .*at most 80 characters, not 'aaa"),
    (backup({"policyRef": {}}), "spec.policyRef.name: Required value"),
    (backup({"policyRef": {"name": "Shop"}}), "spec.policyRef.name: .*name of a BackupPolicy .*not 'Shop'"),
    (backup({"policyRef": {"name": "a" * 41}}), "spec.policyRef.name: Too long: may not be more than 40"),
    (backup({"type": "full"}), 'spec.type: Unsupported value: "full": .*"Differential"'),
    (backup({"deletionPolicy": "Orphan"}), 'spec.deletionPolicy: .*"Retain", "Delete"'),
    (restore({}, "a" * 58), "metadata.name: .*at most 57 characters .*because names of its pods begin with it"),
    (restore({}, "a.b"), "metadata.name: .*DNS label of at most 57 characters .*'a.b'"),
    (restore({"source": {}}), "spec.source: .*exactly one of policyRef and repository, but has none"),
    (restore(source(repository=REPOSITORY)), "spec.source: .*exactly one of policyRef and repository, but has both"),
    (restore({"source": {"repository": {**REPOSITORY, "secretName": "root"}}}),
     "spec.source.repository.secretName: .*begins with 'lifeboat-', not 'root'"),
    (restore({"source": {"repository": {**REPOSITORY, "systemIdentifier": "x"}}}),
     "spec.source.repository.systemIdentifier: .*not 'x'"),
    (restore(source(backup="latest")), f"spec.source.backup: .*such as {ID}, or Latest, not 'latest'"),
    (restore(source(region="eu", excludeRegions=["eu"])), "spec.source.excludeRegions: .*'eu' is region as well"),
    (restore(source(excludeRegions=["eu", "eu"])), "spec.source.excludeRegions\\[1\\]: Duplicate value"),
    (restore({"recoveryTarget": {"time": "2026-11-21T08:21:18Z", "lsn": "0/1"}}),
     "spec.recoveryTarget: .*at most one of time, lsn, xid, name, immediate and latest, but has time lsn"),
    (restore({"recoveryTarget": {"immediate": True, "latest": True}}), "spec.recoveryTarget: .*has immediate latest"),
    (restore({"recoveryTarget": {"time": "yesterday"}}), "spec.recoveryTarget.time: .*must be of type date-time"),
    (restore({"recoveryTarget": {"lsn": "3000028"}}), "spec.recoveryTarget.lsn: .*0/3000028, not '3000028'"),
    (restore({"recoveryTarget": {"xid": "-1"}}), "spec.recoveryTarget.xid: .*number of a transaction, not '-1'"),
    (restore({"recoveryTarget": {"xid": 7}}), "spec.recoveryTarget.xid: .*must be of type string"),
    (restore({"recoveryTarget": {"lsn": "0/1", "timeline": "0"}}), "spec.recoveryTarget.timeline: .*not '0'"),
    (restore({"recoveryTarget": {"name": "x", "inclusive": True}}), "spec.recoveryTarget.inclusive: .*time, lsn or xid"),
    (restore({"recoveryTarget": {"action": "Pause"}}), "spec.recoveryTarget.action: .*only together with time"),
    (restore({"destination": {}}), "spec.destination: .*exactly one of drill, .* but has none"),
    (restore({"destination": {"drill": {}, "volumeClaim": {"name": "x"}}}), "spec.destination: .*has drill volumeClaim"),
    (restore({"destination": {"newVolumeClaim": {}}}), "spec.destination.newVolumeClaim.size: Required value"),
    (restore(claim(size="large")), "spec.destination.newVolumeClaim.size: .*such as 100Gi, not 'large'"),
    (restore(claim(size="0")), "spec.destination.newVolumeClaim.size: .*not '0'"),
    (restore(claim(name="My_claim")), "spec.destination.newVolumeClaim.name: .*not 'My_claim'"),
    (restore(claim(accessModes=["ReadOnlyMany"])), "spec.destination.newVolumeClaim.accessModes"),
    (restore({"destination": {"standby": {"volumeClaim": {"name": "x"}, "primary": {"host": "a b"}}}}),
     "spec.destination.standby.primary.host: .*not 'a b'"),
    (restore({"destination": {"standby": {"volumeClaim": {"name": "x"}, "slot": "A", "primary": {"host": "a"}}}}),
     "spec.destination.standby.slot: .*not 'A'"),
    (restore({"database": {"parameters": {"restore_command": "rm -rf /"}}}), "spec.database.parameters: .*restore_comm"),
    (restore({"database": {"parameters": {"a b": "c"}}}), "spec.database.parameters: .*names of PostgreSQL's parameters"),
    (restore({"database": {"preloadLibraries": ["a'b"]}}), "spec.database.preloadLibraries\\[0\\]: .*not 'a'b'"),
    (restore({"database": {"image": "a b"}}), "spec.database.image: .*not 'a b'"),
    (restore({"database": {"binDir": "bin"}}), "spec.database.binDir: .*absolute path.*not 'bin'"),
    (restore({"database": {"resources": {"limits": {"cpu": "x"}}}}), "spec.database.resources.limits.cpu"),
    (restore({"pod": {"runAsUser": 0}}), "spec.pod.runAsUser: .*greater than or equal to 1"),
    (restore({"checks": {"queries": [{"name": "a", "sql": "SELECT 1"}]}}), "spec.checks.queries\\[0\\].expect: Required"),
    (restore({"checks": {"queries": [{"name": "A", "sql": "SELECT 1", "expect": ""}]}}),
     "spec.checks.queries\\[0\\].name: .*not 'A'"),
    (restore({"deadlineSeconds": 0}), "spec.deadlineSeconds: .*greater than or equal to 1"),
], ids=str)
def test_a_bad_run_is_refused(api, document, complaint):
    said = said_by_api(api, document)
    assert said is not None and re.search(complaint, said), said


# What people see


def apply_status(api: ApiServer, document: dict, status: dict) -> str:
    """As the operator does it."""
    wanted = {name: document[name] for name in ("apiVersion", "kind")}
    wanted |= {"metadata": {"name": document["metadata"]["name"], "namespace": "default"}, "status": status}
    return api.kubectl("apply", "--server-side", "--field-manager=lifeboat", "--subresource=status", "--validate=strict",
                       "--filename=-", stdin=json.dumps(wanted))


def condition(kind: str, status: str, reason: str, message: str = "all is well") -> dict:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-11-21T08:25:30Z"}


def columns(api: ApiServer, *arguments: str) -> dict[str, str]:
    """The one line that kubectl get prints, by its headers."""
    header, line = api.kubectl("get", *arguments).splitlines()
    starts = [found.start() for found in re.finditer(r"(?<!\S)\S+(?: \S+)*", header)]
    cut = list(zip(starts, [*starts[1:], None]))
    return {header[start:end].strip(): line[start:end].strip() for start, end in cut}


@pytest.fixture(scope="module")
def objects(api) -> ApiServer:
    """One of each kind, as they are after a while."""
    for document in (policy({}), backup({}), restore({})):
        api.kubectl("create", "--filename=-", stdin=json.dumps(document))
    apply_status(api, policy({}), {
        "observedGeneration": 1, "members": "2/2", "nextBackup": "2026-11-22T03:00:00Z",
        "conditions": [condition("Ready", "True", "Ready", "2 of 2 members are connected"),
                       condition("Archiving", "True", "Streaming"),
                       condition("Recoverable", "True", "BackupExists"),
                       condition("Replicated", "True", "InAllRegions")],
        "schedules": [{"name": "daily", "lastSlot": "2026-11-21T03:00:00Z", "next": "2026-11-22T03:00:00Z"}],
        "regions": [{"name": "eu", "reachable": True, "backups": 3, "bytes": 5000000000, "size": "4.7 GiB",
                     "lastBackup": ID, "recoverableFrom": "2026-11-20T08:25:30Z",
                     "recoverableTo": "2026-11-21T08:25:00Z", "lagSeconds": 0,
                     "windows": [{"timeline": 1, "fromLSN": "0/2000028", "toLSN": "0/3000000",
                                  "from": "2026-11-20T08:25:30Z", "to": "2026-11-21T01:00:00Z"},
                                 {"timeline": 2, "fromLSN": "FFFFFFFF/FFFFFFFF"}]}],
        "gap": {"timeline": 1, "fromLSN": "0/3000000", "toLSN": "0/5000000", "found": "2026-11-21T01:00:00Z",
                "backup": "shop-gap-1-0000000005000000", "closedBy": ID},
        "lastBackup": {"name": "now", "backupID": ID, "type": "Full", "finished": "2026-11-21T08:25:30Z",
                       "bytesStored": 1300000000, "size": "1.2 GiB", "manifestSHA256": "0" * 64},
        "pods": [{"name": "shop-0", "uid": "u0", "region": "eu", "role": "Primary", "connected": True, "generation": 1},
                 {"name": "shop-1", "uid": "u1", "region": "us", "role": "Standby", "connected": True, "generation": 1,
                  "lagSeconds": 0}]})
    attempt = {"pod": "shop-1", "podUID": "u1", "started": "2026-11-21T08:21:18Z", "finished": "2026-11-21T08:25:30Z"}
    done = [condition("Succeeded", "True", "Committed", "it is in eu, us"),
            condition("Reconciling", "False", "Committed"), condition("Stalled", "False", "Committed")]
    apply_status(api, backup({}), {
        "observedGeneration": 1, "conditions": done, "attempts": [{"backupID": ID, "region": "us", **attempt}],
        "backupID": ID, "type": "Full", "changeSource": "all", "startLSN": "0/3000028", "stopLSN": "0/3000120",
        "timeline": 1, "started": "2026-11-21T08:21:18Z", "finished": "2026-11-21T08:25:30Z", "duration": "4m12s",
        "bytesTotal": 9000000000000, "bytesRead": 9000000000000, "bytesStored": 1300000000, "bytesReused": 0,
        "size": "1.2 GiB", "files": 1000, "regions": ["eu", "us"], "regionNames": "eu, us", "pageErrors": 0,
        "systemIdentifier": "7351234567890123456", "versionNum": 170004, "manifestSHA256": "0" * 64})
    apply_status(api, restore({}), {
        "observedGeneration": 1, "conditions": done, "attempts": [{"id": "copy-1", **attempt, "pod": "copy-1"}],
        "progress": {"phase": "restore", "bytes": 5, "totalBytes": 10, "files": 1, "percent": 50},
        "backup": ID, "region": "eu", "claim": "copy", "claimUID": "u2", "bytes": 9000000000000, "size": "8.2 TiB",
        "files": 1000, "fetchedBytes": 1300000000, "restoreSeconds": 600, "started": "2026-11-21T08:21:18Z",
        "finished": "2026-11-21T08:31:18Z", "duration": "10m0s"})
    return api


def test_columns_say_whether_it_is_fine_and_how_old_it_is(objects):
    seen = columns(objects, "lbp")
    age, last = seen.pop("AGE"), seen.pop("LAST BACKUP")
    assert re.fullmatch(r"\d+[smhd]", age) and last != "<none>"
    assert seen == {"NAME": "shop", "READY": "True", "REASON": "Ready", "ARCHIVING": "Streaming", "MEMBERS": "2/2",
                    "SIZE": "1.2 GiB", "NEXT": "2026-11-22T03:00:00Z"}
    seen = columns(objects, "lbk")
    del seen["AGE"]
    assert seen == {"NAME": "now", "POLICY": "shop", "TYPE": "Full", "STATUS": "Committed", "SIZE": "1.2 GiB",
                    "REGIONS": "eu, us", "DURATION": "4m12s"}
    seen = columns(objects, "lrj")
    del seen["AGE"]
    assert seen == {"NAME": "copy", "POLICY": "shop", "BACKUP": ID, "STATUS": "Committed", "CLAIM": "copy",
                    "SIZE": "8.2 TiB", "DURATION": "10m0s"}


def test_wide_columns_say_more(objects):
    assert columns(objects, "lbp", "--output=wide")["MESSAGE"] == "2 of 2 members are connected"
    assert columns(objects, "lbk", "--output=wide")["ID"] == ID
    assert columns(objects, "lrj", "--output=wide")["PROGRESS"] == "50"


def test_the_category_lists_all_kinds(objects):
    assert sorted(objects.kubectl("get", "lifeboat", "--output=name").split()) == [
        "backup.lifeboat.dev/now", "backuppolicy.lifeboat.dev/shop", "restorejob.lifeboat.dev/copy"]


@pytest.mark.parametrize("resource, selector, found", [
    ("lbk", "spec.policyRef.name=shop", True), ("lbk", "spec.policyRef.name=other", False),
    ("lbk", "spec.type=Full", True), ("lbk", f"status.backupID={ID}", True), ("lrj", "spec.source.policyRef.name=shop", True),
])
def test_objects_are_found_by_their_fields(objects, resource, selector, found):
    assert bool(objects.kubectl("get", resource, f"--field-selector={selector}", "--output=name")) is found


def test_conditions_can_be_waited_for(objects):
    objects.kubectl("wait", "lbk/now", "--for=condition=Succeeded", "--timeout=60s")
    objects.kubectl("wait", "lbp/shop", "--for=condition=Ready", "--timeout=60s")


@pytest.mark.parametrize("change, complaint", [
    (backup({"policyRef": {"name": "other"}}), "spec.policyRef.name: .*cannot be changed from 'shop' to 'other'"),
    (backup({"type": "Incremental"}), "spec.type: .*cannot be changed from 'Full' to 'Incremental'"),
    (restore(source(backup=ID)), "spec: .*cannot be changed: make another RestoreJob"),
    (restore({"deadlineSeconds": 5}), "spec: .*cannot be changed"),
], ids=str)
def test_a_run_cannot_be_changed(objects, change, complaint):
    said = said_by_api(objects, change, "replace")
    assert said is not None and re.search(complaint, said), said


def test_what_may_change_in_a_run_does(objects):
    assert said_by_api(objects, backup({"hold": True}), "replace") is None
    assert said_by_api(objects, {**restore({}), "metadata": {"name": "copy", "labels": {"a": "b"}}}, "replace") is None


def test_a_status_is_merged_by_its_keys(objects):
    """Another manager's condition and the operator's stand side by side."""
    mine = condition("Archived", "True", "ByHand")
    objects.kubectl("apply", "--server-side", "--field-manager=somebody", "--subresource=status", "--filename=-",
                    stdin=json.dumps({"apiVersion": "lifeboat.dev/v1alpha1", "kind": "Backup",
                                      "metadata": {"name": "now", "namespace": "default"},
                                      "status": {"conditions": [mine]}}))
    stored = json.loads(objects.kubectl("get", "lbk/now", "--output=json"))["status"]
    assert {entry["type"] for entry in stored["conditions"]} == {"Succeeded", "Reconciling", "Stalled", "Archived"}


@pytest.mark.parametrize("field", ["lbp.spec.regions.s3.endpoint", "lbk.status.attempts", "lrj.spec.destination"])
def test_kubectl_explains_the_fields(objects, field):
    assert "DESCRIPTION:" in objects.kubectl("explain", field)
