"""TLS to the broker: its certificate is verified, and the name in it."""

from __future__ import annotations

import os
import ssl
from typing import Any
from urllib.parse import urlsplit


def tls(broker_url: str) -> dict[str, Any] | None:
    """Return Celery's `broker_use_ssl` for a broker URL; None where it is not `amqps://`.

    Without it kombu accepts any certificate that one of the system's authorities has signed, whatever name it is
    for: py-amqp 5.4 compares the name only where it is given one (`SSLTransport._wrap_socket_sni`).

    `BROKER_CA` is a file with the authorities to trust instead of the system's, `BROKER_TLS_NAME` the name that
    the certificate is for where the URL has another one, as behind a relay or from inside a container.
    """
    try:
        parts = urlsplit(broker_url)
    except ValueError:
        return None  # no URL: whoever connects says so
    if parts.scheme != "amqps":
        return None
    options = {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": os.environ.get("BROKER_TLS_NAME") or parts.hostname,
    }
    if authorities := os.environ.get("BROKER_CA"):
        options["ca_certs"] = authorities
    return options
