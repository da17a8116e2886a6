# SPDX-License-Identifier: Apache-2.0
"""Certificate authorities of the tests. The openssl program makes what it signs: files <name>.crt and <name>.key."""

from pathlib import Path

import host


class Authority:
    """A certificate authority with its files in `home`, a directory that programs may read."""

    def __init__(self, home: Path, subject: str, name: str = "ca"):
        self.home = home
        self.certificate, self._key = home / f"{name}.crt", home / f"{name}.key"
        if not self.certificate.exists():
            self._make(name, f"/CN={subject}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name: str, subject: str, *alternative_names: str) -> tuple[Path, Path]:
        """The files of a certificate, for client or server, and of its key. `subject` is like /O=group/CN=name,
        alternative names are like DNS:localhost or IP:127.0.0.1."""
        names = ["-addext", f"subjectAltName={','.join(alternative_names)}"] if alternative_names else []
        return self._make(name, subject, "-CA", self.certificate, "-CAkey", self._key, *names,
                          "-addext", "basicConstraints=critical,CA:FALSE",
                          "-addext", "extendedKeyUsage=serverAuth,clientAuth")

    def _make(self, name: str, subject: str, *options) -> tuple[Path, Path]:
        certificate, key = self.home / f"{name}.crt", self.home / f"{name}.key"
        host.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-days", "7", "-subj", subject, "-keyout", key, "-out", certificate, *options])
        return certificate, key
