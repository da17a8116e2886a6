# SPDX-License-Identifier: Apache-2.0
"""The operator's port as somebody finds it who was not invited: its channel, spoken by a client that is not ours, and
what else it serves."""

import base64
import http.client
import json
import resource
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import websocket
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from installation import Installation
from kube_client import Namespace

AUDIENCE = "lifeboat.dev"
PORT, PROBE_PORT = 8443, 8081
CLOSED = websocket.ABNF.OPCODE_CLOSE


class Door:
    """The port of one of the operator's pods. Only from inside the cluster's network."""

    def __init__(self, installation: Installation, pod: str):
        self.address = installation.pod(pod)["status"]["podIP"]
        self.name = f"lifeboat-channel.{installation.namespace.name}.svc"
        secret = installation.namespace.get("Secret", "lifeboat-tls")
        authority = base64.b64decode(secret["data"]["ca.crt"]).decode()
        self.trust = ssl.create_default_context(cadata=authority)

    def channel(self, token: str | None = None) -> websocket.WebSocket:
        header = [f"Authorization: Bearer {token}"] if token is not None else []
        return websocket.create_connection(
            f"wss://{self.address}:{PORT}/channel", timeout=20, subprotocols=["lifeboat.v1"], header=header,
            sslopt={"context": self.trust, "server_hostname": self.name})

    def refusal(self, token: str | None = None, message: str | bytes | None = None) -> int:
        """The code with which the channel is closed to whoever says this, or nothing."""
        with self.opened(token) as connection:
            if isinstance(message, bytes):
                connection.send_binary(message)
            elif message is not None:
                connection.send(message)
            return close_code(connection)

    @contextmanager
    def opened(self, token: str | None = None) -> Iterator[websocket.WebSocket]:
        connection = self.channel(token)
        try:
            yield connection
        finally:
            connection.shutdown()

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        """Status and body."""
        raw = self.connect()
        connection = http.client.HTTPConnection(self.address, PORT)
        connection.sock = raw
        return _get(connection, path, token)

    def get_in_clear(self, path: str) -> tuple[int, str]:
        """The same of the port of the probes."""
        return _get(http.client.HTTPConnection(self.address, PROBE_PORT, timeout=20), path, None)

    def connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection((self.address, PORT), 20)
        return self.trust.wrap_socket(raw, server_hostname=self.name)


def _get(connection: http.client.HTTPConnection, path: str, token: str | None) -> tuple[int, str]:
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token is not None else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def greet(connection: websocket.WebSocket, pod: dict) -> None:
    """Says hello as that pod. Returns when it was heard."""
    connection.send(hello(pod))
    connection.ping()
    while connection.recv_data(control_frame=True)[0] != websocket.ABNF.OPCODE_PONG:
        pass


def close_code(connection: websocket.WebSocket) -> int:
    """Waits for the end of the connection."""
    while True:
        opcode, data = connection.recv_data(control_frame=True)
        if opcode == CLOSED:
            return int.from_bytes(data[:2], "big")


def close_code_so_far(connection: websocket.WebSocket) -> int:
    """0: it is open. Reads what else came."""
    while connection.sock.pending() > 0 or select.select([connection.sock], [], [], 0.02)[0]:
        opcode, data = connection.recv_data(control_frame=True)
        if opcode == CLOSED:
            return int.from_bytes(data[:2], "big")
    return 0


def hello(pod: dict) -> str:
    """What the sidecar of that pod says first."""
    who = {name: pod["metadata"][name] for name in ("namespace", "name", "uid")}
    return json.dumps({"version": 1, "type": "hello", "pod": who, "sidecarVersion": "0.1.0", "epoch": 0})


# Tokens

def token_of(namespace: Namespace, pod: str, audience: str = AUDIENCE) -> str:
    """As the kubelet mounts it into that pod."""
    found = namespace.get("Pod", pod)
    return _token(namespace, found["spec"]["serviceAccountName"], f"--audience={audience}", "--bound-object-kind=Pod",
                  f"--bound-object-name={pod}", f"--bound-object-uid={found['metadata']['uid']}")


def token_of_account(namespace: Namespace, account: str, audience: str | None = AUDIENCE) -> str:
    """Of no pod. Without an audience: for the API server."""
    return _token(namespace, account, *([f"--audience={audience}"] if audience is not None else []))


def _token(namespace: Namespace, account: str, *options: str) -> str:
    return namespace.kubectl("create", "token", account, *options).strip()


def sign_again(token: str, key: Path, **claims) -> str:
    """The same token with other claims, signed by the API server's own key."""
    header, payload, _ = token.split(".")
    changed = json.loads(_decode(payload)) | claims
    text = f"{header}.{_encode(json.dumps(changed).encode())}"
    signer = serialization.load_pem_private_key(key.read_bytes(), None)
    return f"{text}.{_encode(signer.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# Metrics

def metrics(text: str) -> dict[str, float]:
    """By name and labels, as they are written."""
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines()
                                                      if not line.startswith("#"))}


# Crowds

class Crowd:
    """Connections that say nothing. As soon as one is closed another takes its place."""

    def __init__(self, door: Door, size: int):
        self._door, self._size = door, size
        self._members: list[socket.socket] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up)
        self.opened = 0  # ever

    def __enter__(self) -> "Crowd":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()
        for member in self._members:
            member.close()

    def _keep_up(self) -> None:
        while not self._over.is_set():
            poll = select.poll()
            for member in self._members:
                poll.register(member, select.POLLIN | select.POLLHUP)
            gone = {descriptor for descriptor, _ in poll.poll(0)}
            for member in [member for member in self._members if member.fileno() in gone]:
                member.close()
                self._members.remove(member)
            self._admit(min(50, self._size - len(self._members)))
            time.sleep(0.05)

    def _admit(self, count: int) -> None:
        """Every other one gets as far as TLS does."""
        for _ in range(count):
            try:
                self._members.append(self._door.connect() if self.opened % 2 else
                                     socket.create_connection((self._door.address, PORT), 20))
            except OSError:
                continue  # refused: that is the operator's right
            self.opened += 1
