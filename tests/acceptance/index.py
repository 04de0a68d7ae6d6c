"""A company's network in small: a package index with a certificate of its own authority, reached by a proxy alone."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.acceptance.stack import ROOT
from tests.certificates import make_certificate

IMAGE_PYTHON = "3.13"
PLATFORMS = ("manylinux2014_{}", "manylinux_2_17_{}", "manylinux_2_28_{}")


#: Found by no name server: who asks for it must have asked the proxy.
NAME = "packages.test"


@dataclass
class Index:
    """How to reach it."""

    url: str
    proxy: str  # a URL, for containers too
    authority: Path
    clients: set[str] = field(default_factory=set)  # addresses that a wheel was sent to


def fetch_wheels(to: Path) -> None:
    """Fetch what requirements.txt asks for, for the image's Python and for this one, into PEP 503's folders."""
    machine = subprocess.run(["uname", "-m"], check=True, capture_output=True, text=True).stdout.strip()
    platforms = [word for name in PLATFORMS for word in ("--platform", name.format(machine))]
    wheels = to / "wheels"
    for version in (IMAGE_PYTHON, f"{sys.version_info.major}.{sys.version_info.minor}"):
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, "--only-binary", ":all:"),
                *("--python-version", version, *platforms, "--requirement", ROOT / "requirements.txt"),
            ],
            check=True,
            timeout=120,
        )
    for wheel in list(wheels.iterdir()):
        project = to / "simple" / re.sub("[-_.]+", "-", wheel.name.split("-")[0]).lower()
        project.mkdir(parents=True, exist_ok=True)
        wheel.rename(project / wheel.name)


@contextmanager
def serve_index(directory: Path, address: str) -> Iterator[Index]:
    """Have a proxy on `address` whose every tunnel ends at the index, whose pages are directory listings (PEP 503)."""
    fetch_wheels(directory)
    certificate = make_certificate(directory / "certificate", f"DNS:{NAME}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "server.pem", certificate / "server.key")

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # more than one request in a tunnel

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_GET(self) -> None:
            if self.path.endswith(".whl"):
                index.clients.add(self.client_address[0])
            super().do_GET()

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((address, 0), partial(Handler, directory=str(directory)))
    index = Index(f"https://{NAME}/simple", f"http://{address}:{server.server_port}", certificate / "ca.pem")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
