# SPDX-License-Identifier: Apache-2.0
"""A throw-away Azure Blob Storage (Azurite) with TLS from a certificate authority of its own, and what gives its callers
tokens instead of Microsoft Entra ID.

As a program: `azure.py COMMAND...` runs a command that finds such a server, with an empty container, in its environment:
LIFEBOAT_TEST_AZURE_ENDPOINT, _HOST_ENDPOINT (with the account as the first label of the host), _CA (file), _ACCOUNT, _KEY,
_CONTAINER, _SAS (a shared access signature of the container); and what Azure AD Workload Identity sets in a pod,
AZURE_AUTHORITY_HOST, AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE.
"""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import ssl
import sys
import threading
import time
import urllib.parse
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from pathlib import Path
from xml.etree import ElementTree

import host
from tls_server import TlsServer

VERSION = "2021-08-06"
ACCOUNT = "lifeboattest"
KEY, OTHER_KEY = (base64.b64encode(hashlib.sha512(text).digest()).decode() for text in (b"Lifeboat test", b"another"))
DOMAIN = f"{ACCOUNT}.blob.localhost"
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"


class AzureServer(TlsServer):
    def __init__(self, home: Path):
        super().__init__(home, "blobs", DOMAIN)
        self.account, self.key = ACCOUNT, KEY  # it takes another key when it is started again

    def command(self) -> list:
        return [host.tools() / "azurite" / "bin" / "azurite-blob", "--silent", "--location", self.data,
                "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--oauth", "basic",
                "--cert", self.home / "server.crt", "--key", self.home / "server.key"]

    def environment(self) -> dict[str, str]:
        return {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}"}

    def sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(base64.b64decode(self.key), text.encode(), "sha256")).decode()

    def answers(self) -> bool:
        try:
            self.request("GET", "", {"comp": "list"})
        except ConnectionRefusedError:
            return False
        return True

    # A client, to look at containers and to damage them

    def request(self, method: str, path: str, parameters: dict[str, str] = {}, headers: dict[str, str] = {},
                body: bytes = b"") -> bytes:
        """`path` is that behind the account: container/blob. Signed with the account's key, by a program other than the one
        under test."""
        path = urllib.parse.quote(f"/{ACCOUNT}/{path}".rstrip("/"))
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION, **headers}
        own = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        resource = f"/{ACCOUNT}{path}" + "".join(f"\n{name}:{value}" for name, value in sorted(parameters.items()))
        length = str(len(body)) if body else ""
        headers["Authorization"] = f"SharedKey {ACCOUNT}:" + self.sign(f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{own}{resource}")
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        try:
            connection.putrequest(method, f"{path}?{urllib.parse.urlencode(parameters)}")
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status} {content.decode()}")
        return content

    def make_container(self, name: str) -> str:
        self.request("PUT", name, {"restype": "container"})
        return name

    def marks(self, container: str, prefix: str = "") -> dict[str, tuple]:
        """Each blob's name with what changes when somebody writes to it."""
        found, marker = {}, None
        while marker != "":
            parameters = {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker or ""}
            root = ElementTree.fromstring(self.request("GET", container, parameters).decode("utf-8-sig"))
            for blob in root.iter("Blob"):
                properties = blob.find("Properties")
                found[blob.findtext("Name")] = tuple(
                    properties.findtext(name) for name in ("Etag", "Last-Modified", "Content-Length"))
            marker = root.findtext("NextMarker") or ""
        return found

    def read(self, container: str, name: str) -> bytes:
        return self.request("GET", f"{container}/{name}")

    def replace(self, container: str, name: str, content: bytes) -> None:
        self.request("PUT", f"{container}/{name}", headers={"x-ms-blob-type": "BlockBlob"}, body=content)

    def remove(self, container: str, name: str) -> None:
        self.request("DELETE", f"{container}/{name}")

    def shared_access_signature(self, container: str, permissions: str = "rcwdl", hours: float = 1) -> str:
        """A service SAS of a container, "Create a service SAS", version 2020-12-06 and later."""
        end = (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = "\n".join([permissions, "", end, f"/blob/{ACCOUNT}/{container}", "", "", "https", VERSION, "c", *[""] * 7])
        return urllib.parse.urlencode({"sv": VERSION, "sr": "c", "sp": permissions, "se": end, "spr": "https",
                                       "sig": self.sign(text)})


def unsigned_token() -> str:
    """As Azurite takes it: it looks at what a token says, not at who signed it. It lasts longer than who gives it says, so
    that no slow machine has it end on its way."""
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": f"https://sts.windows.net/{TENANT}/", "nbf": now - 60, "iat": now - 60,
              "exp": now + 3600, "sub": CLIENT, "oid": CLIENT, "tid": TENANT}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)] + [b"not looked at"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


class Listener(http.server.ThreadingHTTPServer):
    """Is silent on clients that hang up in the middle, as tests of time limits do."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class IdentityServer:
    """Gives tokens for the service account's, as Microsoft Entra ID does."""

    def __init__(self, assertion: str, lifetime_s: int = 3600):
        self.assertion, self.lifetime_s = assertion, lifetime_s
        self.asked = 0
        identity = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                status, answer = identity.answer(self.path, form)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.authority = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict]:
        self.asked += 1
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT, "scope": "https://storage.azure.com/.default",
                  "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                  "client_assertion": self.assertion}
        if path != f"/{TENANT}/oauth2/v2.0/token" or form != wanted:
            return 400, {"error": "invalid_request", "error_description": "AADSTS900144: not what was expected\r\nTrace ID: 1"}
        return 200, {"token_type": "Bearer", "expires_in": self.lifetime_s, "ext_expires_in": self.lifetime_s,
                     "access_token": unsigned_token()}

    def environment(self, token_file: Path) -> dict[str, str]:
        return {"AZURE_AUTHORITY_HOST": self.authority, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT,
                "AZURE_FEDERATED_TOKEN_FILE": str(token_file)}

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def main(argv: list[str]) -> int:
    with host.workspace() as home:
        server, identity = AzureServer(home / "azure"), IdentityServer("the-pods-own-token")
        token_file = home / "token"
        token_file.write_text(identity.assertion + "\n")
        try:
            container = server.start().make_container("lifeboat")
            found = {"ENDPOINT": server.endpoint, "HOST_ENDPOINT": server.host_endpoint, "CA": str(server.ca),
                     "ACCOUNT": ACCOUNT, "KEY": KEY, "CONTAINER": container,
                     "SAS": server.shared_access_signature(container)}
            return host.delegate(argv, {**{f"LIFEBOAT_TEST_AZURE_{name}": value for name, value in found.items()},
                                        **identity.environment(token_file)})
        finally:
            server.end()
            identity.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
