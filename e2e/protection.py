# SPDX-License-Identifier: Apache-2.0
"""The policy of a shop and its backups: made and watched as a user does, and looked at from outside by the command
line, which needs neither operator nor cluster."""

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import host
from installation import Installation
from kube_client import assert_same_lines, condition_of, sql_of_dump
from lifeboat import Lifeboat, documents, wait_until_nobody_answers
from postgres import Postgres, assert_sound, assert_verified
from s3 import REGION, S3Store
from shop import Shop

POLICY = "shop"
IMAGE_MAJOR = 15  # of the example's image

# About 60 MB that cost the highest level of compression its time: a backup can be met in the middle.
BALLAST = """CREATE TABLE ballast AS
SELECT id, md5(id::text) || md5((id * 7)::text) || md5((id * 13)::text) AS text FROM generate_series(1, 450000) id;"""
SLOWLY = {"compression": {"level": 19}, "parallelism": {"workers": 1, "uploads": 1}}


class Protection:
    def __init__(self, shop: Shop, stores: Mapping[str, S3Store], buckets: Mapping[str, str],
                 endpoints: Mapping[str, str]):
        self.shop, self.namespace = shop, shop.namespace
        self.stores, self.buckets = stores, buckets
        self.spec = {
            "connection": {"passwordKey": "password"},
            "regions": [self._region(name, endpoints[name]) for name in stores],
            "encryption": {"keys": ["k1"]},
        } | SLOWLY

    def _region(self, name: str, endpoint: str) -> dict:
        return {"name": name, "s3": {"bucket": self.buckets[name], "endpoint": endpoint, "region": REGION,
                                     "pathStyle": True, "credentials": name, "caKey": f"{name}.ca.crt"}}

    # The policy

    def apply_policy(self, **changes) -> None:
        """With these fields of the spec instead of what they are; later calls build on earlier ones that were not
        refused."""
        spec = self.spec | changes
        self.namespace.apply({"apiVersion": "lifeboat.dev/v1alpha1", "kind": "BackupPolicy",
                              "metadata": {"name": POLICY}, "spec": spec})
        self.spec = spec

    def policy(self) -> dict:
        return self.namespace.get("BackupPolicy", POLICY)

    def wait_until_ready(self, timeout_s: float = 120) -> dict:
        """Until both sidecars are connected, have loaded the policy as it is now, and nothing is wrong."""
        def is_ready(policy: dict) -> bool:
            status = policy.get("status") or {}
            return (condition_of(policy, "Ready").get("reason") == "Ready" and status.get("members") == "2/2"
                    and status.get("observedGeneration") == policy["metadata"]["generation"])

        return self.namespace.wait_for("BackupPolicy", POLICY, is_ready, "is ready, with two members", timeout_s)

    def pod_status(self, pod: str) -> dict:
        """What the policy says of one of its members."""
        pods = (self.policy().get("status") or {}).get("pods") or []
        return next((found for found in pods if found["name"] == pod), {})

    # Backups

    def back_up(self, name: str, type: str = "Full") -> str:
        """Asks for one. Returns its name."""
        self.namespace.apply({"apiVersion": "lifeboat.dev/v1alpha1", "kind": "Backup", "metadata": {"name": name},
                              "spec": {"policyRef": {"name": POLICY}, "type": type}})
        return name

    def backups(self) -> dict[str, dict]:
        return {found["metadata"]["name"]: found for found in self.namespace.list("Backup")}

    def attempts(self, name: str) -> list[dict]:
        return (self.namespace.get("Backup", name).get("status") or {}).get("attempts") or []

    def wait_until_under_way(self, name: str, attempt: int = 1, timeout_s: float = 120) -> dict:
        """Until that attempt is in its middle: some of it lies in a bucket, its manifest in none. Returns the attempt."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.namespace.get("Backup", name)
            assert not condition_is_final(found), f"Backup '{name}' ended before its middle: {found['status']}"
            attempts = (found.get("status") or {}).get("attempts") or []
            if len(attempts) >= attempt and self.objects(f"packs/{attempts[attempt - 1]['backupID']}/"):
                assert not self.objects(f"manifests/{attempts[attempt - 1]['backupID']}"), "it is committed already"
                return attempts[attempt - 1]
            assert time.monotonic() < deadline, f"no pack of Backup '{name}' after {timeout_s} s: {found.get('status')}"
            time.sleep(0.2)

    def wait_for_manifest(self, backup_id: str, timeout_s: float = 120) -> None:
        """Until it is committed in all regions, whatever the operator knows."""
        host.wait_until(lambda: len(self.objects(f"manifests/{backup_id}")) == len(self.stores),
                        f"'{backup_id}' is committed", timeout_s)

    def wait_until_ended(self, name: str, timeout_s: float = 240) -> dict:
        return self.namespace.wait_for("Backup", name, condition_is_final, "has ended", timeout_s)

    def wait_until_succeeded(self, name: str, timeout_s: float = 240) -> dict:
        ended = self.wait_until_ended(name, timeout_s)
        assert condition_of(ended, "Succeeded")["status"] == "True", ended["status"]
        return ended

    # Restores

    def restore(self, name: str, backup: str = "Latest", spec: Mapping = {}, **source) -> dict:
        """Asks for a RestoreJob into a new claim of the same name; the rest is of its spec.source. Returns the job."""
        return self.namespace.create({
            "apiVersion": "lifeboat.dev/v1alpha1", "kind": "RestoreJob", "metadata": {"name": name},
            "spec": {"source": {"policyRef": {"name": POLICY}, "backup": backup, **source},
                     "destination": {"newVolumeClaim": {"name": name, "size": "10Gi"}}, **spec}})

    def wait_until_restored(self, name: str, timeout_s: float = 180) -> dict:
        ended = self.namespace.wait_for("RestoreJob", name, condition_is_final, "has ended", timeout_s)
        assert condition_of(ended, "Succeeded")["status"] == "True", ended["status"]
        return ended

    # The buckets

    def objects(self, prefix: str = "") -> dict[str, tuple]:
        """The keys of both regions that begin so in the policy's repository, as <region>:<key>, each with what
        changes when somebody writes to it."""
        return {f"{region}:{key}": mark
                for region, store in self.stores.items()
                for key, mark in store.marks(self.buckets[region], f"{self.repository}/").items()
                if key.split("/", 2)[2].startswith(prefix)}

    @property
    def repository(self) -> str:
        """Its name in the buckets."""
        return f"{self.namespace.name}.{POLICY}"

    @contextmanager
    def command_line(self, program: Path) -> Iterator[Lifeboat]:
        """The same policy and secrets for the command line on this machine."""
        with host.workspace() as home:
            lifeboat = Lifeboat(home / "lifeboat", program, POLICY, self.namespace.name)
            lifeboat.spec = copy.deepcopy(self.spec)
            for region in lifeboat.spec["regions"]:
                region["s3"]["endpoint"] = self.stores[region["name"]].endpoint
            for key, value in self.shop.lifeboat_secret.items():
                lifeboat.add_secret(key, value)
            yield lifeboat

    def check(self, program: Path, name: str) -> dict:
        """Exactly one manifest stands for the Backup that succeeded, and all that it refers to is sound in both
        regions, whatever these lack of other backups. Returns the manifest."""
        status = self.namespace.get("Backup", name)["status"]
        with self.command_line(program) as lifeboat:
            [manifest] = self.committed(lifeboat, name)
            assert manifest["id"] == status["backupID"] == status["attempts"][-1]["backupID"]
            assert sorted(manifest["regions"]) == sorted(status["regions"]) == sorted(self.stores)
            shown = lifeboat.json("show", manifest["id"])
            assert shown["sha256"] == status["manifestSHA256"]
            verified = lifeboat.run("verify", "--backup", manifest["id"], "-o", "json", check=False).stdout
            findings = documents(verified)[0]["findings"]["first"]
            assert not [found for found in findings if found["backup"] in (None, manifest["id"])], verified
        return manifest

    def check_restore(self, program: Path, name: str, pod: str) -> None:
        """What the command line restores of this Backup is sound, and holds what that pod's database holds now."""
        backup = self.namespace.get("Backup", name)["status"]["backupID"]
        self.check_copy(program, self.namespace.dump(pod), "--backup", backup)

    def check_copy(self, program: Path, dump: str, *arguments: str) -> None:
        """What the command line restores with these arguments is sound, recovers, and holds what was dumped before
        (Namespace.dump)."""
        with self.command_line(program) as lifeboat:
            copy = Postgres(IMAGE_MAJOR, lifeboat.home / "copy")
            lifeboat.restore(copy.data, *arguments)
            assert_verified(copy.major, copy.data)
            try:
                copy.start().wait_until_recovered()
                assert_same_lines(sql_of_dump(copy.tool("pg_dumpall").stdout), dump)
                assert_sound(copy)
            finally:
                copy.end()
            wait_until_nobody_answers(copy)

    def committed(self, lifeboat: Lifeboat, name: str) -> list[dict]:
        """The manifests that some attempt of this Backup has put into a bucket."""
        uid = self.namespace.get("Backup", name)["metadata"]["uid"]
        return [manifest for manifest in lifeboat.list() if (manifest.get("backup") or {}).get("uid") == uid]

    # When something went wrong

    def report(self, installation: Installation) -> str:
        return "\n".join([self.namespace.report(), installation.report(), "--- buckets", *self.objects("")])


def condition_is_final(found: dict) -> bool:
    return condition_of(found, "Succeeded").get("status") in ("True", "False")
