# SPDX-License-Identifier: Apache-2.0
"""A throw-away Kubernetes API server with its etcd, on loopback: no nodes, no controllers.

As a program: `kube.py COMMAND...` runs a command that finds such a server in its environment: LIFEBOAT_TEST_KUBECONFIG
is a kubeconfig, with a client certificate, of somebody who may do everything. The resources of crds/ are there.
"""

import http.client
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

import host
from certificates import Authority

SERVICES = "10.252.0.0/24"  # of which the first address is that of the service `kubernetes`
ISSUER = "https://kubernetes.default.svc"
SERVER_NAMES = ("DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost",
                "IP:127.0.0.1", "IP:10.252.0.1")


def program(name: str) -> Path:
    return host.tools() / "kubernetes" / "bin" / name


class Credentials:
    """The certificate authority and the keys that an API server and its clients need."""

    def __init__(self, home: Path, url: str):
        self.home, self.url = home, url
        self._authority = Authority(home, "Lifeboat test Kubernetes")
        self.ca = self._authority.certificate
        self.ca_key = home / "ca.key"
        self.service_account_key = home / "service-accounts.key"
        if not self.service_account_key.exists():
            host.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-out", self.service_account_key])

    def server(self, name: str, subject: str, *alternative_names: str) -> tuple[Path, Path]:
        return self._authority.issue(name, subject, *alternative_names)

    def client(self, name: str, user: str, group: str = "") -> Path:
        """The kubeconfig of a user."""
        certificate, key = self._authority.issue(name, f"/O={group}/CN={user}" if group else f"/CN={user}")
        path = self.home / f"{name}.kubeconfig"
        path.write_text(f"""apiVersion: v1
kind: Config
current-context: lifeboat
contexts: [{{name: lifeboat, context: {{cluster: lifeboat, user: {name}}}}}]
clusters: [{{name: lifeboat, cluster: {{server: "{self.url}", certificate-authority: {self.ca}}}}}]
users: [{{name: {name}, user: {{client-certificate: {certificate}, client-key: {key}}}}}]
""")
        path.chmod(0o600)
        host.own(path)
        return path

    def is_ready(self, name: str) -> bool:
        """Whether the API server tells the client `name` that it is."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.home / f"{name}.crt", self.home / f"{name}.key")
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5, context=context) as answer:
                return answer.status == http.HTTPStatus.OK
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def etcd_command(data: Path, port: int, peer_port: int) -> list:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return ["etcd", "--data-dir", data, "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            "--unsafe-no-fsync", "--log-level=warn"]


def apiserver_command(credentials: Credentials, address: str, port: int, etcd_port: int) -> list:
    certificate, key = credentials.server("apiserver", "/CN=kube-apiserver", *SERVER_NAMES, f"IP:{address}")
    return [program("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            f"--bind-address={address}", f"--secure-port={port}",
            f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", f"--client-ca-file={credentials.ca}",
            f"--service-account-key-file={credentials.service_account_key}",
            f"--service-account-signing-key-file={credentials.service_account_key}",
            f"--service-account-issuer={ISSUER}", f"--service-cluster-ip-range={SERVICES}"]


class ApiServer:
    """Without controllers nobody makes service accounts, so a pod is admitted without one."""

    OPTIONS = ["--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--allow-privileged",
               "--endpoint-reconciler-type=none"]

    def __init__(self, home: Path):
        self.home = home if home.exists() else host.make_directory(home)
        self._port, self._etcd_port, self._peer_port = (host.free_port() for _ in range(3))
        self._credentials = Credentials(home, f"https://127.0.0.1:{self._port}")
        self.kubeconfig = self._credentials.client("admin", "admin", "system:masters")
        self.kubectl_command = [program("kubectl"), f"--kubeconfig={self.kubeconfig}"]
        self._servers = [host.Server(name, home / f"{name}.log") for name in ("etcd", "apiserver")]

    def start(self) -> "ApiServer":
        """Also starts again, on the same port and objects, after `end`."""
        etcd, apiserver = self._servers
        try:
            etcd.start(etcd_command(self.home / "etcd", self._etcd_port, self._peer_port))
            apiserver.start(apiserver_command(self._credentials, "127.0.0.1", self._port, self._etcd_port) + self.OPTIONS)
            apiserver.wait_until(self._is_ready)
        except BaseException:
            self.end()
            raise
        return self

    def end(self) -> None:
        for server in reversed(self._servers):
            server.end()

    def kubectl(self, *arguments, **options) -> str:
        """What kubectl prints; options are those of host.run."""
        return host.run([*self.kubectl_command, *arguments], **options).stdout

    def define_resources(self) -> None:
        """Those of crds/. Returns when they can be watched, which the API server prepares on the first request."""
        for path in sorted((host.CHECKOUT / "crds").glob("*.yaml")):
            self.kubectl("create", "--filename=-", stdin=path.read_text())
            group, plural = path.stem.split("_")
            host.wait_until(lambda: self._can_watch(f"/apis/{group}/v1alpha1/{plural}"), f"{plural} can be watched")

    def _can_watch(self, path: str) -> bool:
        try:
            self.kubectl("get", "--raw", f"{path}?watch=true&timeoutSeconds=1")
            return True
        except AssertionError:
            return False

    def _is_ready(self) -> bool:
        self._servers[0].check()
        return self._credentials.is_ready("admin")


def main(argv: list[str]) -> int:
    with host.workspace() as home:
        server = ApiServer(home / "kube")
        try:
            server.start()
            server.define_resources()
            return host.delegate(argv, {"LIFEBOAT_TEST_KUBECONFIG": str(server.kubeconfig)})
        finally:
            server.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
