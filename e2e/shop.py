# SPDX-License-Identifier: Apache-2.0
"""The database of the scenarios: docs/examples/two-regions.yaml in a namespace, with something in it."""

import base64
import json
import os
import secrets
from datetime import datetime

import yaml

import host
from kube_client import Namespace
from s3 import S3Store

PRIMARY, STANDBY = "shop-eu-0", "shop-us-0"
EXAMPLE = host.CHECKOUT / "docs" / "examples" / "two-regions.yaml"
SHUTDOWN_MAX_S = 60  # of a grace period of 120 s, which waiting for a bucket or a backup would use up
ROLE = host.CHECKOUT / "sidecar" / "role.sql"

KNOWN_ROW = "Ada Lovelace, 12 St James Square"
ROWS = f"""CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric(10, 2));
INSERT INTO orders SELECT id, 'customer ' || id % 997, id * 7919 % 10000 / 100.0 FROM generate_series(1, 99999) id;
INSERT INTO orders VALUES (100000, '{KNOWN_ROW}', 18.15);"""


class Shop:
    """A primary in `eu`, a standby in `us`, both members of the policy `shop`."""

    def __init__(self, namespace: Namespace):
        self.namespace = namespace
        self.password = secrets.token_hex(16)  # of Lifeboat's role
        self.lifeboat_secret: dict[str, str] = {}  # what is in the Secret `lifeboat-shop`

    def start(self, sidecar: bool = True) -> "Shop":
        """Returns when both run and the standby has what the primary has."""
        self.namespace.make_secret("shop", postgres=secrets.token_hex(16), standby=secrets.token_hex(16))
        objects = list(yaml.safe_load_all(EXAMPLE.read_text()))
        for found in objects:
            if found["kind"] == "StatefulSet" and not sidecar:
                del found["spec"]["template"]["spec"]["initContainers"]
        self.namespace.apply(objects)
        self.namespace.wait_until_ready(PRIMARY, STANDBY, timeout_s=180)
        self.namespace.sql(PRIMARY, ROLE.read_text())
        self.namespace.sql(PRIMARY, f"ALTER ROLE lifeboat PASSWORD '{self.password}'")
        self.namespace.sql(PRIMARY, ROWS)
        self.wait_for_standby()
        return self

    def wait_for_standby(self) -> None:
        """Until the standby has applied all that the primary has written by now."""
        written = self.namespace.sql(PRIMARY, "SELECT pg_current_wal_insert_lsn()")
        applied = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        host.wait_until(lambda: self.namespace.sql(STANDBY, applied) == "t", "the standby has caught up")

    def make_lifeboat_secret(self, stores: dict[str, S3Store]) -> None:
        """All secret material of the policy `shop`: keys <region>.access-key-id and so on."""
        values = {"password": self.password, "k1": base64.b64encode(os.urandom(32)).decode()}
        for region, store in stores.items():
            values |= {f"{region}_access-key-id": store.access_key, f"{region}_secret-access-key": store.secret_key,
                       f"{region}_ca_crt": store.ca.read_text()}
        self.lifeboat_secret = {key.replace("_", "."): value for key, value in values.items()}
        self.namespace.make_secret("lifeboat-shop", **values)

    def change_lifeboat_secret(self, changes: dict[str, str | None]) -> None:
        """In the cluster only: other values of keys, or None instead of a key."""
        data = {key: value if value is None else base64.b64encode(value.encode()).decode()
                for key, value in changes.items()}
        patch = json.dumps({"data": data})
        self.namespace.kubectl("patch", "secret", "lifeboat-shop", "--type=merge", f"--patch={patch}")

    def restore_lifeboat_secret(self) -> None:
        """As it was made; also if it was deleted."""
        self.namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lifeboat-shop"},
                              "data": {key: base64.b64encode(value.encode()).decode()
                                       for key, value in self.lifeboat_secret.items()}})


def assert_ended_well(pod: dict) -> None:
    """PostgreSQL ended by itself, before the kubelet lost patience."""
    ended = next(found["state"]["terminated"] for found in pod["status"]["containerStatuses"]
                 if found["name"] == "postgresql")
    asked = _moment(pod["metadata"]["deletionTimestamp"]) - pod["metadata"]["deletionGracePeriodSeconds"]
    assert ended["exitCode"] == 0, ended
    assert _moment(ended["finishedAt"]) - asked < SHUTDOWN_MAX_S, ended


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
