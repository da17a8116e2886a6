# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes on this machine: two nodes, each a region of its own in a network namespace of its own.

The control plane, the name server of the cluster and the node `eu` are in the namespace lb-eu, the node `us` is in
lb-us, and each region has an S3 server with TLS. What runs there, or looks at it from inside, reaches these two
namespaces and nothing else. Everything lies in one directory and one cgroup; there is one such cluster on a machine.
Needs root.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import host
import kube
import network
from certificates import Authority
from daemons import Cgroup, Daemons
from s3 import S3Store, gateway, gateway_environment

HOME = Path("/tmp/lifeboat-cluster")  # short, for Unix sockets; one a machine, as are the names of the namespaces
CGROUP = "/lifeboat-e2e"
IMAGES = host.CHECKOUT / "build" / "images"
DEVICE = "wan"
DNS = "10.252.0.10"
STORE_PORT = 7070
STORE_DOMAIN = "test"  # s3.<region>.test, which the cluster's name server knows
VOLUMES = 8  # persistent volumes a node
SYNC_SECONDS = 5  # after how long, about, a kubelet shows a pod the new content of a ConfigMap

# What a kubelet changes on the machine itself.
KERNEL_SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
                   "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")


class Node:
    """A region: its node, its network namespace, its S3 server with one bucket."""

    def __init__(self, cluster: "Cluster", name: str, number: int):
        self.name, self.home = name, cluster.home / name
        self.namespace = f"lb-{name}"
        self.address = f"10.250.0.{number}"
        self.pods = f"10.251.{number}.0/24"
        self.socket = self.home / "containerd.sock"
        self.volumes = self.home / "volumes"
        self.store = S3Store(f"https://{self.address}:{STORE_PORT}", cluster.store_ca,
                             f"access-{name}", f"secret-{name}")
        self.bucket = f"lifeboat-{name}"
        self.store_name = f"s3.{name}.{STORE_DOMAIN}"
        self.store_endpoint = f"https://{self.store_name}:{STORE_PORT}"  # as pods find it
        self.cgroup = Cgroup(f"{CGROUP}/{name}")
        self._cluster = cluster

    def start(self, program: str, argv: list, **options) -> None:
        self._cluster.daemons.start(f"{program}-{self.name}", network.command(self.namespace, argv), **options)

    # Faults

    def stop(self, program: str, number: int = signal.SIGTERM) -> None:
        """`program` is kubelet, containerd, proxy or store. Pods go on without them."""
        self._cluster.daemons.stop(f"{program}-{self.name}", number)

    @contextmanager
    def without_objects(self, prefix: str) -> Iterator[None]:
        """Takes what lies below a prefix out of the region's bucket while the block runs, which must not write there."""
        objects = self.home / "store" / "objects" / self.bucket / prefix
        hidden = self.home / "store" / "hidden" / prefix
        hidden.parent.mkdir(exist_ok=True)
        objects.rename(hidden)
        try:
            yield
        finally:
            hidden.rename(objects)

    @contextmanager
    def without_store(self) -> Iterator[None]:
        """Nobody answers where the region's bucket was while the block runs. What lies in it stays."""
        self.stop("store", signal.SIGKILL)
        try:
            yield
        finally:
            self.start_store()
            host.wait_until(self.store.answers, f"the S3 server of {self.name} answers")

    def first_process(self, container: str) -> int:
        """The pid on this machine of the first process of a container, whose id is as a pod's status has it."""
        name = container.removeprefix("containerd://")
        lines = self._ctr("tasks", "list").splitlines()[1:]
        return next(int(pid) for task, pid, *_ in map(str.split, lines) if task == name)

    def start_kubelet(self) -> None:
        kubeconfig = self._cluster.credentials.home / f"node-{self.name}.kubeconfig"
        self.start("kubelet", [kube.program("kubelet"), f"--kubeconfig={kubeconfig}",
                               f"--config={self.home}/kubelet.yaml", f"--hostname-override={self.name}",
                               f"--node-ip={self.address}", f"--root-dir={self.home}/kubelet",
                               f"--node-labels=topology.kubernetes.io/region={self.name}"])

    def start_containerd(self) -> None:
        self.start("containerd", ["containerd", "--config", self.home / "containerd.toml"])

    def start_proxy(self) -> None:
        kubeconfig = self._cluster.credentials.home / "proxy.kubeconfig"
        self.start("proxy", [kube.program("kube-proxy"), f"--kubeconfig={kubeconfig}", "--proxy-mode=iptables",
                             "--cluster-cidr=10.251.0.0/16", f"--hostname-override={self.name}",
                             "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
                             "--conntrack-tcp-timeout-close-wait=0s"])

    def start_store(self) -> None:
        argv = gateway(self.home / "store", f"{self.address}:{STORE_PORT}")
        self.start("store", argv, env=gateway_environment(self.store))

    # Images

    def load(self, archive: Path) -> None:
        """Imports an image, unless it was imported already, also under its name without `localhost`: there is no
        registry here, so that it stands for the image of this name in the examples and in the chart."""
        loaded = self.home / "loaded" / archive.name
        if loaded.exists() and loaded.stat().st_mtime > archive.stat().st_mtime:
            return
        name = self._ctr("images", "import", archive).split()[1]
        self._ctr("images", "tag", "--force", name, name.replace("localhost/", "docker.io/library/"))
        loaded.touch()

    def _ctr(self, *arguments) -> str:
        return host.run(["ctr", "--address", self.socket, "--namespace", "k8s.io", *arguments], privileged=True).stdout

    def configure(self) -> None:
        """Writes the files of containerd and kubelet."""
        for name in ("cni", "static", "kubelet", "loaded", "volumes"):
            (self.home / name).mkdir()
        self.cgroup.make()
        (self.home / "containerd.toml").write_text(f"""version = 2
root = "{self.home}/containerd/root"
state = "{self.home}/containerd/state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
        (self.home / "cni" / "pods.conflist").write_text(f"""{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
    "ipam": {{"type": "host-local", "dataDir": "{self.home}/ipam", "ranges": [[{{"subnet": "{self.pods}"}}]],
             "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
]}}
""")
        credentials = self._cluster.credentials
        certificate, key = credentials.server(f"kubelet-{self.name}", f"/CN={self.name}", f"DNS:{self.name}",
                                              f"IP:{self.address}")
        credentials.client(f"node-{self.name}", f"system:node:{self.name}", "system:nodes")
        (self.home / "kubelet.yaml").write_text(f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{x509: {{clientCAFile: {credentials.ca}}}, anonymous: {{enabled: false}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
cgroupRoot: {self.cgroup.path}
failCgroupV1: false
failSwapOn: false
clusterDNS: [{DNS}]
clusterDomain: cluster.local
resolvConf: {self._cluster.home}/resolv.conf
containerRuntimeEndpoint: unix://{self.socket}
staticPodPath: {self.home}/static
podLogsDir: {self.home}/logs # kubelets that share one remove each other's
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
syncFrequency: {SYNC_SECONDS}s
localStorageCapacityIsolation: false # the file system of this machine may be of any kind
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
""")

    def make_store(self, authority: Authority) -> None:
        home = self.home / "store"
        home.mkdir()
        (home / "objects").mkdir()
        for made in authority.issue(f"store-{self.name}", f"/CN={self.store_name}", f"DNS:{self.store_name}",
                                    f"IP:{self.address}"):
            shutil.copy(made, home / f"server{made.suffix}")


class Cluster:
    def __init__(self, home: Path = HOME):
        self.home = home
        self.daemons = Daemons(home / "run", Cgroup(CGROUP))
        self.store_ca = home / "stores" / "ca.crt"
        self.nodes = {name: Node(self, name, number) for number, name in enumerate(("eu", "us"), 1)}
        self.control = self.nodes["eu"]
        self.kubeconfig = home / "credentials" / "admin.kubeconfig"
        self._credentials: kube.Credentials | None = None

    @property
    def credentials(self) -> kube.Credentials:
        if self._credentials is None:
            self._credentials = kube.Credentials(self.home / "credentials", f"https://{self.control.address}:6443")
        return self._credentials

    # Life

    def up(self) -> None:
        """Whatever an earlier cluster left is removed first."""
        self.down()
        self.home.mkdir()
        self.home.chmod(0o755)
        for directory in ("run", "etcd", *self.nodes):
            (self.home / directory).mkdir()
        self._save_kernel_settings()
        self._make_network()
        self._configure()
        with self.inside():
            self._start()

    def down(self) -> None:
        """Leaves no process, mount, namespace, cgroup or file, in whatever state the cluster is."""
        self.daemons.end()
        self._remove_shim_sockets()
        self._unmount()
        for node in self.nodes.values():
            network.remove(node.namespace)
        self._restore_kernel_settings()
        if self.home.exists():
            shutil.rmtree(self.home)

    def remains(self) -> list[str]:
        """What is still there of it; nothing, after `down`. Looks for itself, not in our own records."""
        found = [f"namespace {node.namespace}" for node in self.nodes.values() if network.exists(node.namespace)]
        found += [f"mount {target}" for target in self._mounts()]
        found += [str(path) for path in (self.home, *Cgroup(CGROUP).directories()) if path.exists()]
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = command.read_text(errors="replace").replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"{self.home}/" in words:
                found.append(f"process {command.parent.name}: {words}")
        return found

    def is_up(self) -> bool:
        return (self.home / "up").exists()

    def is_kept(self) -> bool:
        """Whether somebody brought it up to stay."""
        return self.is_up() and (self.home / "kept").exists()

    def keep(self) -> None:
        (self.home / "kept").touch()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Only from inside the cluster's network can one speak to its servers; see network.inside."""
        with network.inside(self.control.namespace):
            yield

    def environment(self) -> dict[str, str]:
        """Lets programs speak to the cluster."""
        tools = [host.tools() / tool / "bin" for tool in ("kubernetes", "helm")]
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]])}

    def kubectl(self, *arguments, **options) -> str:
        """What kubectl prints. Only from inside; options are those of host.run."""
        return host.run([kube.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments], privileged=True,
                        **options).stdout

    def load_images(self) -> None:
        """Gives the nodes what `e2e/images --tests` made."""
        for archive in sorted(IMAGES.glob("*.tar")):
            for node in self.nodes.values():
                node.load(archive)

    # Faults

    def restart_api_server(self) -> None:
        """Kills it, as a crash of its machine does. Only from inside."""
        self.control.stop("apiserver", signal.SIGKILL)
        self._start_api_server()

    def cut(self) -> None:
        """Breaks the connection between the regions, until `mend`."""
        network.set_up(self.control.namespace, DEVICE, False)

    def mend(self) -> None:
        network.set_up(self.control.namespace, DEVICE, True)
        self._route()

    def first_process(self, pod: dict, container: str) -> int:
        """The pid on this machine of the first process of a pod's container."""
        statuses = [*pod["status"].get("initContainerStatuses", []), *pod["status"]["containerStatuses"]]
        [identity] = [status["containerID"] for status in statuses if status["name"] == container]
        return self.nodes[pod["spec"]["nodeName"]].first_process(identity)

    # Volumes

    def renew_volumes(self) -> None:
        """Released volumes are never claimed again: replaces them by empty ones. Only from inside."""
        columns = "--output=custom-columns=NAME:.metadata.name,PHASE:.status.phase"
        lines = self.kubectl("get", "persistentvolumes", columns, "--no-headers").splitlines()
        for name in [name for name, phase in map(str.split, lines) if phase in ("Released", "Failed")]:
            self.kubectl("delete", "persistentvolume", name)
            region, number = name.rsplit("-", 1)
            shutil.rmtree(self.volume(name))
            self._make_volumes([(self.nodes[region], number)])

    def volume(self, name: str) -> Path:
        """Where what a PersistentVolume holds lies on this machine."""
        region, number = name.rsplit("-", 1)
        return self.nodes[region].volumes / number

    def _make_volumes(self, wanted: list[tuple[Node, str]]) -> None:
        for node, number in wanted:
            (node.volumes / number).mkdir()
        self.kubectl("create", "--filename=-", stdin="---\n".join(_volume(node, number) for node, number in wanted))

    # How it comes up

    def _make_network(self) -> None:
        eu, us = self.nodes.values()
        for node in (eu, us):
            network.make(node.namespace)
        network.connect(eu.namespace, us.namespace, DEVICE)
        for node in (eu, us):
            network.address(node.namespace, DEVICE, f"{node.address}/24")
            with network.inside(node.namespace):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self._route()

    def _route(self) -> None:
        eu, us = self.nodes.values()
        for node, other in ((eu, us), (us, eu)):
            for target in ("default", other.pods):
                network.route(node.namespace, target, other.address)

    def _configure(self) -> None:
        host.make_directory(self.home / "credentials", 0o755)
        self.credentials.client("admin", "admin", "system:masters")
        for name in ("controller-manager", "scheduler"):
            self.credentials.client(name, f"system:kube-{name}")
        self.credentials.client("proxy", "system:kube-proxy")
        self.credentials.client("coredns", "coredns", "system:masters")
        authority = Authority(host.make_directory(self.home / "stores", 0o755), "Lifeboat test stores")
        (self.home / "resolv.conf").write_text(f"nameserver {DNS}\n")
        for node in self.nodes.values():
            node.configure()
            node.make_store(authority)
        names = "".join(f"    {node.address} {node.store_name}\n" for node in self.nodes.values())
        (self.home / "Corefile").write_text(f""".:53 {{
  bind {self.control.address}
  errors
  hosts {{
{names}    fallthrough
  }}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {self.home}/credentials/coredns.kubeconfig
    ttl 1
  }}
}}
""")

    def _start(self) -> None:
        self.control.start("etcd", kube.etcd_command(self.home / "etcd", 2379, 2380))
        for node in self.nodes.values():
            node.start_containerd()
            node.start_store()
        self._start_api_server()
        self._start_controllers()
        for node in self.nodes.values():
            node.start_kubelet()
            node.start_proxy()
        self.kubectl("create", "--filename=-", stdin=_OBJECTS.replace("$ADDRESS", self.control.address))
        self.control.start("coredns", [host.tools() / "coredns" / "bin" / "coredns", "-conf", self.home / "Corefile"])
        self._make_volumes([(node, str(number)) for node in self.nodes.values() for number in range(VOLUMES)])
        for node in self.nodes.values():
            host.wait_until(node.store.answers, f"the S3 server of {node.name} answers")
            node.store.make_bucket(node.bucket)
            host.wait_until(lambda: self._is_registered(node), f"the node {node.name} is registered")
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")
        self.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=180s")
        (self.home / "up").touch()

    def _is_registered(self, node: Node) -> bool:
        return node.name in self.kubectl("get", "nodes", "--output=name")

    def _start_api_server(self) -> None:
        certificate, key = self.credentials.home / "kubelet-client.crt", self.credentials.home / "kubelet-client.key"
        if not certificate.exists():
            self.credentials.server("kubelet-client", "/O=system:masters/CN=apiserver")
        command = kube.apiserver_command(self.credentials, self.control.address, 6443, 2379)
        self.control.start("apiserver", [
            *command, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true", f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}",
            f"--kubelet-certificate-authority={self.credentials.ca}",
            "--kubelet-preferred-address-types=InternalIP"])
        host.wait_until(lambda: self.credentials.is_ready("admin"), "the API server is ready")

    def _start_controllers(self) -> None:
        home = self.credentials.home
        common = ["--leader-elect=false", "--bind-address=127.0.0.1"]
        self.control.start("controller-manager", [
            kube.program("kube-controller-manager"), f"--kubeconfig={home}/controller-manager.kubeconfig", *common,
            f"--service-account-private-key-file={self.credentials.service_account_key}",
            f"--root-ca-file={self.credentials.ca}", "--use-service-account-credentials"])
        self.control.start("scheduler", [kube.program("kube-scheduler"),
                                         f"--kubeconfig={home}/scheduler.kubeconfig", *common])

    # How it goes down

    def _remove_shim_sockets(self) -> None:
        """containerd keeps them in /run/containerd, whatever its own directory is."""
        for address in self.home.glob("*/containerd/state/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)

    def _mounts(self) -> list[str]:
        targets = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [target for target in targets if target.startswith(f"{self.home}/")]

    def _unmount(self) -> None:
        for target in reversed(self._mounts()):
            host.run(["umount", "--lazy", target], privileged=True)

    def _save_kernel_settings(self) -> None:
        directory = self.home / "kernel"
        for name in KERNEL_SETTINGS:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(Path("/proc/sys", name).read_text())

    def _restore_kernel_settings(self) -> None:
        for name in KERNEL_SETTINGS:
            if (saved := self.home / "kernel" / name).exists() and saved.read_text():
                Path("/proc/sys", name).write_text(saved.read_text())


def _volume(node: Node, number: str) -> str:
    return f"""apiVersion: v1
kind: PersistentVolume
metadata:
  name: {node.name}-{number}
spec:
  storageClassName: local
  capacity: {{storage: 10Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {{path: {node.volumes}/{number}}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{{key: topology.kubernetes.io/region, operator: In, values: [{node.name}]}}]
"""


_OBJECTS = f"""apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {DNS}
  ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53, protocol: TCP}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: [$ADDRESS]}}]
ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53, protocol: TCP}}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: local, annotations: {{storageclass.kubernetes.io/is-default-class: "true"}}}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
"""


@contextmanager
def reserved() -> Iterator[None]:
    """Waits until nobody else brings the cluster up or down or tests with it. A process that dies frees it."""
    with _lock() as lock:
        _take(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(cluster: Cluster) -> Iterator[None]:
    """The cluster that is kept, shared with others who use it, or else one that is up while the block runs."""
    with _lock() as lock:
        _take(lock, fcntl.LOCK_SH)
        if not cluster.is_kept():
            _take(lock, fcntl.LOCK_EX)
        if cluster.is_kept():  # also by somebody for whom we waited
            _take(lock, fcntl.LOCK_SH)
            yield
            return
        try:
            cluster.up()
            yield
        finally:
            cluster.down()
            assert cluster.remains() == []


def _lock() -> IO:
    return open(HOME.with_suffix(".reserved"), "w")


def _take(lock: IO, how: int) -> None:
    """Takes the lock, or changes how it is held."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for the cluster, which somebody else uses", flush=True)
        fcntl.flock(lock, how)
