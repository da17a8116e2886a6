# SPDX-License-Identifier: Apache-2.0
"""Throw-away servers with TLS from a certificate authority of their own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
from certificates import Authority


class TlsServer:
    """On a free port of 127.0.0.1, with all its files in `home`, what it keeps for its callers in `data` there. It is also
    reached as localhost and by `domain`, names below localhost needing no name server: libcurl itself knows what they mean.
    What to run, and whether it answers, is for the classes below to say."""

    def __init__(self, home: Path, data: str, domain: str):
        self.home = home if home.exists() else host.make_directory(home, 0o755)
        self.port, self.domain = host.free_port(), domain
        self.endpoint, self.host_endpoint = f"https://127.0.0.1:{self.port}", f"https://{domain}:{self.port}"
        self.data, self.ca, self.log = home / data, home / "ca.crt", home / "log"
        self._server = host.Server(type(self).__name__, self.log)

    def command(self) -> list:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self):
        """Also starts again, on the same port and data, after `end`."""
        if not self.data.exists():
            host.make_directory(self.data)
            names = ("IP:127.0.0.1", "DNS:localhost", f"DNS:{self.domain}", f"DNS:*.{self.domain}")
            Authority(self.home, "Lifeboat test CA").issue("server", f"/CN=Lifeboat test {type(self).__name__}", *names)
        self._server.start(self.command(), env=self.environment())
        self._server.wait_until(self.answers)
        return self

    def end(self) -> None:
        self._server.end()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections, as the kernel does, and answers nothing while the block runs."""
        self._server.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.process.send_signal(signal.SIGCONT)
