# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the scenarios on Kubernetes: a cluster of two regions, a namespace for each test, a database in it.

The cluster is that of e2e/kube_cluster.py, kept if it is there (`e2e/cluster up`), else for these tests only; or, with
E2E_KUBECONFIG, one that exists: see docs/testing.md.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import host
import kube_cluster
from channel import token_of_account
from installation import Installation
from kube_client import KubeClient, Namespace
from kube_cluster import Cluster
from protection import Protection
from s3 import S3Store
from shop import Shop

_failed = pytest.StashKey[bool]()


class Site:
    """Where scenarios run: a cluster with two regions and a bucket in each."""

    def __init__(self, kubeconfig: Path, stores: dict[str, S3Store], buckets: dict[str, str], endpoints: dict[str, str],
                 cluster: Cluster | None = None):
        self.client = KubeClient(kubeconfig)
        self.stores = stores  # by region; their endpoints are those for the tests
        self.buckets = buckets  # by region
        self.endpoints = endpoints  # by region, for pods
        self.cluster = cluster

    @classmethod
    def of_cluster(cls, cluster: Cluster) -> "Site":
        nodes = cluster.nodes
        return cls(cluster.kubeconfig, {name: node.store for name, node in nodes.items()},
                   {name: node.bucket for name, node in nodes.items()},
                   {name: node.store_endpoint for name, node in nodes.items()}, cluster)

    @classmethod
    def existing(cls, kubeconfig: Path) -> "Site":
        """The file E2E_STORES says for each region: endpoint, bucket, accessKey, secretKey, caFile."""
        regions = json.loads(Path(os.environ["E2E_STORES"]).read_text())
        stores = {name: S3Store(region["endpoint"], Path(region["caFile"]), region["accessKey"], region["secretKey"])
                  for name, region in regions.items()}
        return cls(kubeconfig, stores, {name: region["bucket"] for name, region in regions.items()},
                   {name: region["endpoint"] for name, region in regions.items()})


def pytest_report_header() -> str:
    if kubeconfig := os.environ.get("E2E_KUBECONFIG"):
        return f"cluster: that of {kubeconfig}"
    if Cluster().is_kept():
        return "cluster: the one that is up and stays up; `e2e/cluster down` removes it"
    return "cluster: one for these tests only"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    if kubeconfig := os.environ.get("E2E_KUBECONFIG"):
        yield Site.existing(Path(kubeconfig))
        return
    if os.geteuid() != 0:
        pytest.skip("only root can bring up a cluster; E2E_KUBECONFIG would name an existing one")
    subprocess.run([host.E2E / "images", "--tests"], check=True)
    cluster = Cluster()
    with kube_cluster.in_use(cluster):
        cluster.load_images()
        with cluster.inside():
            yield Site.of_cluster(cluster)


@pytest.fixture(scope="package")
def installation(site) -> Installation:
    """Lifeboat, installed by Helm. It stays, and with it the resources."""
    image = kube_cluster.IMAGES / "lifeboat-operator.tar" if site.cluster is not None else None
    return Installation(site.client).install(image)


@pytest.fixture(scope="package")
def machinery(site) -> Cluster:
    """The cluster itself, to break it."""
    if site.cluster is None:
        pytest.skip("breaks the cluster, and E2E_KUBECONFIG's is somebody else's")
    return site.cluster


@pytest.fixture
def namespace(request, site) -> Iterator[Namespace]:
    with _namespace(site) as made:
        yield made
        if request.node.stash.get(_failed, False):
            print(made.report())


@pytest.fixture(scope="module")
def shared_namespace(site) -> Iterator[Namespace]:
    """For the tests of a module that share a database; see `explained`."""
    with _namespace(site) as made:
        yield made


@pytest.fixture(scope="module")
def other_namespace(site) -> Iterator[Namespace]:
    with _namespace(site) as made:
        yield made


@pytest.fixture(scope="module")
def protection(site, installation, shared_namespace) -> Protection:
    """The example's databases under a policy that both sidecars have loaded."""
    shop = Shop(shared_namespace)
    shop.make_lifeboat_secret(site.stores)
    made = Protection(shop.start(), site.stores, site.buckets, site.endpoints)
    made.apply_policy()
    made.wait_until_ready()
    return made


@pytest.fixture
def explained(request, shared_namespace, installation) -> Iterator[None]:
    """A test that fails shows the state of what is shared."""
    yield
    if request.node.stash.get(_failed, False):
        print(shared_namespace.report())
        print(installation.report())


@pytest.fixture(scope="module")
def reader(shared_namespace) -> Iterator[str]:
    """A token that may read /metrics, as the chart lets it."""
    name, client = shared_namespace.name, shared_namespace.client
    client.kubectl("create", "clusterrolebinding", name, "--clusterrole=lifeboat-metrics-reader",
                   f"--serviceaccount={name}:prometheus")
    shared_namespace.kubectl("create", "serviceaccount", "prometheus")
    yield token_of_account(shared_namespace, "prometheus", None)
    client.kubectl("delete", "clusterrolebinding", name)


@contextmanager
def _namespace(site: Site) -> Iterator[Namespace]:
    made = Namespace(site.client, f"scenario-{secrets.token_hex(3)}")
    site.client.kubectl("create", "namespace", made.name)
    try:
        yield made
    finally:
        site.client.kubectl("delete", "namespace", made.name, "--wait=false")
        made.kubectl("delete", "pods", "--all", "--grace-period=1")
        site.client.kubectl("wait", "--for=delete", f"namespace/{made.name}", "--timeout=180s")
        if site.cluster is not None:
            site.cluster.renew_volumes()


@pytest.fixture
def shop(site, namespace) -> Shop:
    """The example's primary and standby, with rows, and the Secret of the policy `shop`."""
    made = Shop(namespace)
    made.make_lifeboat_secret(site.stores)
    return made.start()


@pytest.fixture
def database(namespace) -> Shop:
    """The same without Lifeboat."""
    return Shop(namespace).start(sidecar=False)
