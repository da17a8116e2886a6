# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy (Toxiproxy) that delays, stalls and resets what goes through it, and an S3 server behind one.

Faults are blocks: `with proxy.stalled(): ...`. Those that have one name cannot be nested.
"""

import http.client
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
from s3 import S3Server, S3Store


class Toxiproxy:
    """The server of all proxies; its log is that of their connections."""

    def __init__(self, home: Path):
        if not home.exists():
            host.make_directory(home, 0o755)
        self.port = host.free_port()
        self._server = host.Server("Toxiproxy", home / "log")
        self._made = 0

    def start(self) -> "Toxiproxy":
        argv = [host.tools() / "toxiproxy" / "bin" / "toxiproxy-server", "-host", "127.0.0.1", "-port", str(self.port)]
        self._server.start(argv)
        self._server.wait_until(self._answers)
        return self

    def end(self) -> None:
        self._server.end()

    def proxy(self, upstream: int) -> "Proxy":
        """A new one, to that port of this machine."""
        self._made += 1
        return Proxy(self, f"proxy{self._made}", upstream)

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {content}"
        return json.loads(content) if content else {}

    def _answers(self) -> bool:
        try:
            self.call("GET", "/version")
        except ConnectionRefusedError:
            return False
        return True


class Proxy:
    def __init__(self, server: Toxiproxy, name: str, upstream: int):
        self._server, self._path, self._upstream = server, f"/proxies/{name}", upstream
        self.port = host.free_port()
        server.call("POST", "/proxies", {"name": name, "listen": _address(self.port), "upstream": _address(upstream)})

    def remove(self) -> None:
        self._server.call("DELETE", self._path)

    @contextmanager
    def delayed(self, ms: int, jitter_ms: int = 0) -> Iterator[None]:
        """Every answer comes so much later."""
        with self._toxic("latency", latency=ms, jitter=jitter_ms):
            yield

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Connections are taken, and nothing comes through in either direction. At the end they are closed."""
        with self._toxic("timeout", "upstream", timeout=0), self._toxic("timeout", timeout=0):
            yield

    @contextmanager
    def resetting(self, share: float = 1.0, after_ms: int = 0) -> Iterator[None]:
        """So many of the connections, between 0 and 1, are reset so long after their first byte."""
        with self._toxic("reset_peer", "upstream", share, timeout=after_ms):
            yield

    @contextmanager
    def redirected(self, upstream: int) -> Iterator[None]:
        """Another port answers. Connections are closed at the beginning and at the end."""
        self._lead_to(upstream)
        try:
            yield
        finally:
            self._lead_to(self._upstream)

    @contextmanager
    def _toxic(self, kind: str, stream: str = "downstream", share: float = 1.0, **attributes) -> Iterator[None]:
        name = f"{kind}_{stream}"
        self._server.call("POST", f"{self._path}/toxics", {"name": name, "type": kind, "stream": stream,
                                                          "toxicity": share, "attributes": attributes})
        try:
            yield
        finally:
            self._server.call("DELETE", f"{self._path}/toxics/{name}")

    def _lead_to(self, upstream: int) -> None:
        """The proxy gives up its port for a moment, in which connections to it may still be closing."""
        self._server.call("PATCH", self._path, {"upstream": _address(upstream), "enabled": False})

        def listens() -> bool:
            try:
                return self._server.call("PATCH", self._path, {"enabled": True})["enabled"]
            except AssertionError as failure:
                if "address already in use" in str(failure):
                    return False
                raise

        host.wait_until(listens, f"port {self.port} is free again")


class FlakyS3(S3Store):
    """An S3 server as it is seen through a proxy. Whoever wants to look at its buckets undisturbed asks the server."""

    def __init__(self, server: S3Server, proxy: Proxy):
        super().__init__(f"https://127.0.0.1:{proxy.port}", server.ca, server.access_key, server.secret_key)
        self.server, self.proxy = server, proxy

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Every request is answered by 503 SlowDown."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server.home / "server.crt", self.server.home / "server.key")
        with _Refusing(("127.0.0.1", 0), _SlowDown) as refusing:
            # the handshake is made by the thread of the connection, with its first byte
            refusing.socket = context.wrap_socket(refusing.socket, server_side=True, do_handshake_on_connect=False)
            threading.Thread(target=refusing.serve_forever, daemon=True).start()
            try:
                with self.proxy.redirected(refusing.server_port):
                    yield
            finally:
                refusing.shutdown()


class _Refusing(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that go away are none of our business."""


class _SlowDown(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    _BODY = (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
             b"<Message>Please reduce your request rate.</Message></Error>")

    def _refuse(self) -> None:
        self._read_body()
        self.send_response(503, "Slow Down")
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(self._BODY)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self._BODY)

    def _read_body(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse

    def log_message(self, *_):
        pass


def _address(port: int) -> str:
    return f"127.0.0.1:{port}"
