"""Plain Celery, as the promise matrix runs it: none of this project, and only what is measured is not a default.

Read as text and run with `python -c`, in the user's image or here, by whatever Celery is installed there; nothing
imports it. `MATRIX` is a JSON object, see `harness/matrix_nodes.py`; `MATRIX_BROKER_URL` holds the password, so it
stands apart; `BROKER_CA` and `BROKER_TLS_NAME` mean what they do in `worker/tls.py`. Every execution tells of its start
and its end in persistent messages that the broker has confirmed before it goes on: the account depends on no result
backend.
"""

import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from celery import Celery, Task, __version__, signals
from kombu import Connection, Producer, Queue

GIVEN = json.loads(os.environ["MATRIX"])
BROKER_URL = os.environ["MATRIX_BROKER_URL"]
#: What reaches the broker by a process of its own. On SIGUSR1 it closes every connection, says how many sockets that
#: were, and takes new ones.
RELAY = """
import signal, socket, sys, threading
target, sockets = (sys.argv[1], int(sys.argv[2])), set()
def close(*_):
    closed = list(sockets)
    for each in closed:
        try: each.shutdown(socket.SHUT_RDWR)
        except OSError: pass
    print(len(closed), flush=True)
def copy(source, sink):
    try:
        while data := source.recv(65536): sink.sendall(data)
    except OSError: pass
    for each in (source, sink):
        try: each.shutdown(socket.SHUT_RDWR)
        except OSError: pass
        sockets.discard(each)
def serve():
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(target)
        sockets.update((client, server))
        for pair in ((client, server), (server, client)): threading.Thread(target=copy, args=pair, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
signal.signal(signal.SIGUSR1, close)
threading.Thread(target=serve, daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()  # until the worker is gone
"""


def verified(url: str) -> dict[str, Any] | None:
    """Return Celery's `broker_use_ssl`: kombu by itself compares no name; None where the URL is not `amqps://`."""
    parts = urlsplit(url)
    if parts.scheme != "amqps":
        return None
    options = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": os.environ.get("BROKER_TLS_NAME") or parts.hostname}
    return options | ({"ca_certs": os.environ["BROKER_CA"]} if os.environ.get("BROKER_CA") else {})


TLS = verified(BROKER_URL)


def through_relay(url: str) -> tuple[str, subprocess.Popen[str]]:
    """Return a URL of the same broker by way of a relay, and the relay."""
    parts = re.fullmatch(r"(\w+://)(.*@)?([^:/@]*):?(\d*)(/.*)?", url)
    assert parts, "a broker URL"
    scheme, user, host, port, rest = parts.groups("")
    command = [sys.executable, "-c", RELAY, host or "localhost", port or ("5671" if TLS else "5672")]
    relay = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert relay.stdout
    return f"{scheme}{user}127.0.0.1:{relay.stdout.readline().strip()}{rest}", relay


def tell_of_cuts(relay: subprocess.Popen[str]) -> None:
    assert relay.stdout
    for line in relay.stdout:
        report("cut", sockets=int(line))


def report(what: str, **more: Any) -> None:
    said = {"what": what, "of": GIVEN["of"], "pid": os.getpid(), "parent": os.getppid(), "at": time.time(), **more}
    options = {"confirm_publish": True}
    with Connection(BROKER_URL, connect_timeout=10, ssl=TLS, transport_options=options) as connection:
        Producer(connection).publish(said, routing_key=GIVEN["reports"], delivery_mode=2, mandatory=True)


app = Celery("matrix", broker=BROKER_URL)
app.conf.update(
    broker_use_ssl=TLS,
    task_acks_late=GIVEN["acks"] != "early",
    task_reject_on_worker_lost=GIVEN["acks"] == "late+reject",
    task_queues=[Queue(GIVEN["queue"], no_declare=True, queue_arguments={"x-queue-type": GIVEN["queue_type"]})],
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=False,  # its queues would be left behind by what is killed
)
with contextlib.suppress(ImportError):  # Celery 5.5 and later declare 28 queues for delays, which nothing here has
    from celery.worker.consumer.delayed_delivery import DelayedDelivery

    DelayedDelivery.include_if = lambda self, c: False


@app.task(bind=True, name="matrix.task")
def task(self: Task, work_s: float) -> None:
    redelivered = bool(self.request.delivery_info.get("redelivered"))
    report("began", id=self.request.id, redelivered=redelivered)
    time.sleep(work_s)
    report("ended", id=self.request.id, redelivered=redelivered)


@signals.worker_ready.connect
def ready(**_: Any) -> None:
    report("ready", relay=relay and relay.pid, celery=__version__, python=sys.version.split()[0])


with Connection(BROKER_URL, connect_timeout=10, ssl=TLS) as first:
    first.ensure_connection(max_retries=1, interval_start=0)  # Celery would try for ever; the last line says why
url, relay = BROKER_URL, None
if GIVEN["relay"]:
    url, relay = through_relay(BROKER_URL)
    threading.Thread(target=tell_of_cuts, args=(relay,), daemon=True).start()
os.environ["BROKER_URL"] = url  # Celery's --broker takes its value from here, and stands above the app's own
slots = f"--concurrency={GIVEN['concurrency']}"
app.worker_main(["worker", slots, "--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel=INFO"])
