# SPDX-License-Identifier: Apache-2.0
"""The program e2e/cluster."""

import os
import subprocess
import sys
from pathlib import Path

import kube_cluster
from kube_cluster import Cluster

USAGE = """usage: e2e/cluster up | load | renew-volumes | status | down
       e2e/cluster credentials DIRECTORY
       e2e/cluster exec COMMAND...
       e2e/cluster kubectl ARGUMENT...

A Kubernetes of two nodes, `eu` and `us`, on this machine; see e2e/kube_cluster.py. Needs root.

  up             brings it up; what an earlier one left is removed first
  load           gives the nodes the images that `e2e/images --tests` made
  renew-volumes  replaces volumes whose claims are gone by empty ones
  status         tells what runs
  down           removes it and all that it started
  credentials    writes files that open the buckets, lifeboat-<region>, as a policy's Secret has them
  exec           runs a command in the cluster's network, with KUBECONFIG set and kubectl and helm in PATH
  kubectl        the same as `exec kubectl`
"""


def up(cluster: Cluster) -> int:
    with kube_cluster.reserved():
        if cluster.is_kept():
            print("The cluster is up already; `e2e/cluster down` removes it.", file=sys.stderr)
            return 1
        cluster.up()
        cluster.keep()
    print(f"The cluster is up. Speak to it with: e2e/cluster kubectl get nodes\nIts directory is {cluster.home}")
    return 0


def down(cluster: Cluster) -> int:
    with kube_cluster.reserved():
        cluster.down()
    return 0


def status(cluster: Cluster) -> int:
    if not cluster.is_up():
        print("The cluster is down.")
        return 1
    for name in cluster.daemons.names():
        print(f"{name:<22} {'runs' if cluster.daemons.is_running(name) else 'has ended'}")
    return execute(cluster, ["kubectl", "get", "nodes,persistentvolumes"])


def load(cluster: Cluster) -> int:
    cluster.load_images()
    return 0


def renew_volumes(cluster: Cluster) -> int:
    with cluster.inside():
        cluster.renew_volumes()
    return 0


def credentials(cluster: Cluster, directory: Path) -> int:
    for region, node in cluster.nodes.items():
        values = {"access-key-id": node.store.access_key, "secret-access-key": node.store.secret_key,
                  "ca.crt": node.store.ca.read_text()}
        for name, value in values.items():
            (directory / f"{region}.{name}").write_text(value)
    return 0


def execute(cluster: Cluster, command: list[str]) -> int:
    with cluster.inside():
        return subprocess.run(command, env={**os.environ, **cluster.environment()}).returncode


def main(argv: list[str]) -> int:
    if os.geteuid() != 0:
        print("e2e/cluster: only root can make network namespaces and run kubelets", file=sys.stderr)
        return 1
    cluster = Cluster()
    commands = {"up": up, "load": load, "renew-volumes": renew_volumes, "status": status, "down": down}
    match argv:
        case [name] if name in commands:
            return commands[name](cluster)
        case ["credentials", directory]:
            return credentials(cluster, Path(directory))
        case ["exec", _, *_]:
            return execute(cluster, argv[1:])
        case ["kubectl", *_]:
            return execute(cluster, argv)
        case ["--help" | "-h"]:
            print(USAGE, end="")
            return 0
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
