"""setup.sh on a terminal: its questions, what it shows meanwhile, and its list of changes, which uninstall empties."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.index import Index, serve_index
from tests.acceptance.stack import Stack
from tests.acceptance.terminal import OnTerminal

QUESTION = re.compile(r"([^\r\n]*\?) \[([^]\r\n]*)\] $")
CHANGES = "==> changed on this machine; ./setup.sh uninstall takes it back:"

#: A line of that list, and whether what it names is there.
THERE: dict[str, Callable[[Stack, str], object]] = {
    "file": lambda stack, name: (stack.root / name).exists(),
    "virtual host": lambda stack, name: name in stack.on_broker()["vhosts"],
    "broker user": lambda stack, name: name in [user["name"] for user in stack.on_broker()["users"]],
    "containers, network, images": lambda stack, name: name == f"Compose project {stack.name}" and stack.in_docker(),
}


@pytest.fixture
def index(needs_docker: object, fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory) -> object:
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    address = fresh_copy.output("docker", "network", "inspect", "bridge", "--format", gateway)
    with serve_index(tmp_path_factory.mktemp("index"), address) as served:
        yield served


def converse(session: OnTerminal, answers: dict[str, str], last: str) -> dict[str, str]:
    """Answer each question, by Enter where `answers` has none, until `last` is answered.

    Returns:
        The default that each question showed.
    """
    defaults: dict[str, str] = {}
    read = 0
    while last not in defaults:
        session.wait_for(lambda text, start=read: QUESTION.search(text, start))
        read = len(session.text)
        asked = QUESTION.search(session.text)
        assert asked
        defaults[asked[1]] = asked[2]
        session.type(answers.get(asked[1], "").encode() + b"\n")
    return defaults


@pytest.mark.usefixtures("needs_rabbitmq", "needs_docker")
def test_each_question_has_a_default_and_no_is_taken_for_an_answer(fresh_copy: Stack) -> None:
    before = fresh_copy.files()
    authority = "File (PEM) of the authority that signed the index's or the proxy's certificate?"
    answers = {"Package index?": "https://me:secret@packages.example.org/simple", "Go on?": "n"}

    with OnTerminal(["./setup.sh"], fresh_copy.root, fresh_copy.env) as session:
        defaults = converse(session, answers, "Go on?")
        code = session.end()

    assert list(defaults)[:4] == [
        "Which RabbitMQ?",
        "Base image, with Python 3.11 or newer?",
        "Package index?",
        authority,
    ]
    assert defaults.pop("Serve it?", "y/N") == "y/N"  # the broker may serve its page already
    assert list(defaults.values()) == [*("this machine", "python:3.13-slim", "PyPI", "the public authorities", "Y/n")]
    assert code == 130
    assert fresh_copy.files() == before


@pytest.mark.usefixtures("needs_rabbitmq")
def test_a_broker_elsewhere_is_a_question_too(fresh_copy: Stack) -> None:
    answers = {"Which RabbitMQ?": "amqps://tester:secret@localhost/x"}

    with OnTerminal(["./setup.sh"], fresh_copy.root, fresh_copy.env) as session:
        defaults = converse(session, answers, "File (PEM) of the authority that signed its certificate?")
        code = session.end()

    assert list(defaults.values()) == ["this machine", "the system's authorities"]
    assert code == 2
    assert "error: --broker holds a password" in session.text


@pytest.mark.usefixtures("needs_rabbitmq")
def test_the_defaults_set_it_up_from_a_private_index_and_uninstall_takes_back_each_change(
    fresh_copy: Stack, index: Index
) -> None:
    before = fresh_copy.files()
    environment = fresh_copy.env | {"PIP_INDEX_URL": index.url, "HTTPS_PROXY": index.proxy}
    try:
        arguments = ["./setup.sh", "--build-ca", str(index.authority)]
        with OnTerminal(arguments, fresh_copy.root, environment) as session:
            defaults = converse(session, {}, "Go on?")
            code = session.end(within_s=150)
        assert code == 0, session.text
        shown = session.text.replace("\r\n", "\n")
        changes = re.findall("^      ([^:]*): (.*)$", shown.partition(CHANGES)[2].partition("==>")[0], re.MULTILINE)
        there_after_install = [THERE[kind](fresh_copy, name) for kind, name in changes]
        image = json.loads(fresh_copy.output("docker", "image", "inspect", f"{fresh_copy.name}-worker-a"))[0]
        history = fresh_copy.output("docker", "history", "--no-trunc", image["Id"])
        trusted = trust(fresh_copy, image["Id"])
        trusted_by_base = trust(fresh_copy, defaults["Base image, with Python 3.11 or newer?"])
        made_again = fresh_copy.output("./setup.sh", "--dry-run")
    finally:
        removed = fresh_copy.run("./setup.sh", "uninstall", "--yes")

    assert defaults["Package index?"] == index.url
    assert len(index.clients) == 2  # this machine, and the container of the build
    assert re.search(r"\r\x1b\[K    \d+ s  Step \d+/\d+ :|\r\x1b\[K    \d+ s  #\d+ ", session.text)  # progress
    assert changes == [
        ("file", ".venv"),
        ("virtual host", fresh_copy.name),
        ("file", ".env"),
        *(("broker user", f"{fresh_copy.name}-{role}") for role in ("dispatcher", "worker", "monitor")),
        ("containers, network, images", f"Compose project {fresh_copy.name}"),
    ]
    assert all(there_after_install), changes
    assert "[todo]" not in made_again  # .env has what the image was made with
    for word in (index.url, index.proxy, "BUILD_CA", "PIP_", "PROXY"):
        assert word not in history + json.dumps(image)
    assert trusted == trusted_by_base
    assert removed.returncode == 0, removed.stdout
    assert [change for change in changes if THERE[change[0]](fresh_copy, change[1])] == []
    assert fresh_copy.files() == before


def trust(stack: Stack, image: str) -> str:
    """Return the checksum of every file of certificates outside the worker's packages."""
    script = (
        "find / -xdev -path /venv -prune -o -type f '(' -name '*.pem' -o -name '*.crt' ')' -print | sort | xargs cksum"
    )
    return stack.output("docker", "run", "--rm", "--user", "0", image, "sh", "-c", script)


@pytest.mark.parametrize("content", ["no certificate", "-----BEGIN CERTIFICATE-----\n" + "A" * 65536])
def test_an_authority_that_cannot_be_used_is_an_error_of_usage(
    fresh_copy: Stack, tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    before = fresh_copy.files()
    path: Path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_text(content)

    done = fresh_copy.run("./setup.sh", "--yes", "--build-ca", str(path))

    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == f"error: --build-ca {path} cannot be used"
    assert len(done.stdout.splitlines()) == 3
    assert fresh_copy.files() == before
