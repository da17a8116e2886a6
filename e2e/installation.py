# SPDX-License-Identifier: Apache-2.0
"""The operator as Helm installs it, and what may befall it."""

import hashlib
from pathlib import Path

import yaml

import host
from kube_client import KubeClient, Namespace

CHART = host.CHECKOUT / "charts" / "lifeboat"
NAME = "lifeboat-operator"  # of the Deployment, of the Lease
SELECTOR = "app.kubernetes.io/name=lifeboat,app.kubernetes.io/component=operator"


class Installation:
    def __init__(self, client: KubeClient):
        self.namespace = Namespace(client, "lifeboat-system")

    def install(self, image: Path | None = None) -> "Installation":
        """Returns when one leads. Also upgrades; `image` is the archive that the nodes got as the operator's image,
        so that other content begins a roll-out though its tag is the same. What others have set stays."""
        settings = []
        if image is not None:
            settings = ["--set", f"podAnnotations.image={hashlib.sha256(image.read_bytes()).hexdigest()[:32]}"]
        self.namespace.client.helm("upgrade", "--install", "lifeboat", CHART, "--reset-then-reuse-values",
                                   f"--namespace={self.namespace.name}", "--create-namespace", *settings)
        self.wait_until_ready()
        return self

    def permit_restores(self, namespace: Namespace) -> None:
        """What `restore.namespaces` of the chart means for this one, without an upgrade that others would feel."""
        rendered = self.namespace.client.helm("template", "lifeboat", CHART, f"--namespace={self.namespace.name}",
                                              "--show-only=templates/rbac.yaml", "--kube-version=1.33.0",
                                              "--set", f"restore.namespaces={{{namespace.name}}}")
        objects = [found for found in yaml.safe_load_all(rendered) if found is not None]
        namespace.apply([found for found in objects if found["metadata"].get("namespace") == namespace.name])

    # Looking at it

    def pods(self) -> list[dict]:
        """Those that are to stay."""
        return [pod for pod in self.namespace.list("Pod", SELECTOR)
                if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, name: str) -> dict | None:
        return next((pod for pod in self.pods() if pod["metadata"]["name"] == name), None)

    def lease(self) -> dict:
        return (self.namespace.get("Lease", NAME) or {}).get("spec") or {}

    def leader(self) -> str:
        """The name of the leader's pod; empty if there is none."""
        holder = self.lease().get("holderIdentity") or ""
        return holder if self.pod(holder) else ""

    def followers(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods() if pod["metadata"]["name"] != self.leader()]

    def epoch(self) -> int:
        return self.lease().get("leaseTransitions") or 0

    def wait_for_leader(self, above: int = -1) -> str:
        """Until one leads with an epoch above that. Returns its name."""
        host.wait_until(lambda: self.epoch() > above and bool(self.leader()), f"one leads above epoch {above}")
        return self.leader()

    def wait_until_ready(self, timeout_s: float = 120) -> str:
        """Until all replicas are ready and one of them leads. Returns the leader's name."""
        self.namespace.kubectl("rollout", "status", f"deployment/{NAME}", f"--timeout={timeout_s:.0f}s")
        return self.wait_for_leader()

    def report(self) -> str:
        parts = [f"lease: {self.lease()}", self.namespace.kubectl("get", "pods", "--output=wide", check=False)]
        for pod in self.namespace.list("Pod"):
            name = pod["metadata"]["name"]
            parts.append(f"--- log of {name}\n"
                         + self.namespace.kubectl("logs", name, "--tail=60", check=False))
        return "\n".join(parts)

    def scale(self, replicas: int) -> None:
        """Returns when so many run, and one of them leads."""
        self.namespace.kubectl("scale", f"deployment/{NAME}", f"--replicas={replicas}")
        if replicas > 0:
            self.wait_until_ready()
        else:
            host.wait_until(lambda: not self.namespace.list("Pod", SELECTOR), "no operator is left")
