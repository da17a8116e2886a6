# SPDX-License-Identifier: Apache-2.0
"""What a RestoreJob left in a claim, started as a user does, in the image of the database itself, and judged by
PostgreSQL's own programs."""

import host
from kube_client import Namespace, assert_same_lines

IMAGE = "postgres:15"
PGDATA = "/var/lib/postgresql/data/pgdata"


class RestoredCopy:
    """A pod, named as its claim. Its PostgreSQL only begins if pg_verifybackup has nothing against the directory."""

    def __init__(self, namespace: Namespace, claim: str):
        self.namespace, self.name = namespace, claim

    def start(self) -> "RestoredCopy":
        container = {"image": IMAGE, "env": [{"name": "PGDATA", "value": PGDATA}],
                     "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                     "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"},
                                      {"name": "socket", "mountPath": "/var/run/postgresql"}]}
        self.namespace.apply({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {"runAsUser": 999, "runAsGroup": 999, "runAsNonRoot": True, "fsGroup": 999,
                                    "fsGroupChangePolicy": "OnRootMismatch",
                                    "seccompProfile": {"type": "RuntimeDefault"}},
                "initContainers": [{"name": "verify", "command": ["pg_verifybackup", PGDATA], **container}],
                "containers": [{"name": "postgresql", "command": ["postgres"], **container,
                                "readinessProbe": {"exec": {"command": ["pg_isready", "--username=postgres"]},
                                                   "periodSeconds": 1}}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": self.name}},
                            {"name": "socket", "emptyDir": {}}],
            }})
        self.namespace.wait_until_ready(self.name)
        return self

    def sql(self, statements: str) -> str:
        return self.namespace.sql(self.name, statements)

    def assert_same(self, dump: str) -> None:
        """Its content is that of a dump of before (Namespace.dump), and pg_amcheck finds nothing wrong with it."""
        host.wait_until(lambda: self.sql("SELECT pg_is_in_recovery()") == "f", "it has recovered")
        assert_same_lines(self.namespace.dump(self.name), dump)
        self.namespace.exec(self.name, "pg_amcheck", "--username=postgres", "--all", "--install-missing",
                            "--heapallindexed")

    def remove(self) -> None:
        self.namespace.delete("pod", self.name)
        self.namespace.delete("persistentvolumeclaim", self.name)
