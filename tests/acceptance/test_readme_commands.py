"""Every command in the shell blocks of README and docs/ is run, or a test that runs it is named, or why none can."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator

import pytest

from tests.acceptance.stack import ROOT, Stack, rabbitmqctl

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = ".venv/bin/python"

#: Run below, in this order, on containers that ./setup.sh started: what is put behind the command so that it takes
#: seconds instead of minutes, and the exit codes that it may have.
RUN: dict[str, tuple[str, set[int]]] = {
    f"{PYTHON} dispatch.py --format plain": ("", {0}),
    f"{PYTHON} dispatch.py --format json | jq .verdict": ("", {0}),
    f"{PYTHON} operate.py runs": ("", {0}),
    f"{PYTHON} scale.py set worker-a=3 worker-b=2": ("", {0}),
    f"{PYTHON} scale.py status": ("", {0}),
    f"{PYTHON} operate.py dead-letters": ("", {0}),
    f"{PYTHON} operate.py dead-letters redrive all": ("--yes", {0}),
    f"{PYTHON} operate.py dead-letters purge --queue queue_a.dead": ("--yes", {0}),
    "docker compose build": ("--quiet", {0}),
    f"{PYTHON} operate.py matrix --json matrix.json --html matrix.html": ("--only stop/late/quorum", {0}),
    f"{PYTHON} dispatch.py --tag fault": ("--list", {0}),
    f"{PYTHON} dispatch.py --tag broker-fault --local --allow-broker-faults": ("--list", {0}),
    "make load-test TASKS=20": ("", {0}),
    f"{PYTHON} load_test.py --rate 50/s --duration 1m --ramp 10s --work 20ms --threshold 'round_trip:p(95)<500ms'": (
        "--duration 3s --ramp 1s --max-lag 20s",
        {0, 99},  # how long a round trip takes here while other tests run is no promise of the README
    ),
    f"{PYTHON} load_test.py --in-flight 10 --duration 1m --warmup 5s --html load.html": (
        "--duration 3s --warmup 1s --work 20ms",
        {0},
    ),
    f"{PYTHON} load_test.py steady": ("--duration 4s --ramp 1s --warmup 1s --max-lag 20s", {0, 99}),
    f"{PYTHON} load_test.py --sweep 1,2,4 --in-flight 64 --duration 15s --work 50ms": (
        "--sweep 1,2 --duration 2s --mix task_a",
        {0},
    ),
}

#: Run by another test, on the real thing.
ELSEWHERE = {
    "./setup.sh": "test_setup.py::test_install_ends_with_the_main_job",
    "cp .env.example .env; chmod 600 .env": "test_readme_commands.py::test_the_set_up_by_hand",
    "sudo rabbitmqctl add_vhost celery-test": "test_readme_commands.py::test_the_set_up_by_hand",
    "sudo rabbitmqctl add_user tester": "test_readme_commands.py::test_the_set_up_by_hand",
    "sudo rabbitmqctl set_permissions -p celery-test tester '.*' '.*' '.*'": (
        "test_readme_commands.py::test_the_set_up_by_hand"
    ),
    "BROKER_URL=amqp://tester:PASSWORD@localhost:5672/celery-test": "test_readme_commands.py::test_the_set_up_by_hand",
    "WORKER_BROKER_URL=amqp://tester:PASSWORD@host.docker.internal:5672/celery-test": (
        "test_readme_commands.py::test_the_set_up_by_hand"
    ),
    "make up": "test_readme_commands.py::test_the_set_up_by_hand",
    "make run": "test_readme_commands.py::test_the_set_up_by_hand",
    "make down": "test_readme_commands.py::test_the_set_up_by_hand",
    "make demo": "test_readme_commands.py::test_the_demonstration",
    f"BROKER_URL=amqp://tester:PASSWORD@localhost:5672/celery-test {PYTHON} dispatch.py --local": (
        "test_dispatch_local.py::test_local_starts_workers_and_stops_them"
    ),
    f"{PYTHON} dispatch.py --resume eb71590413d1": (
        "test_dispatch_resume.py::test_a_dispatcher_killed_at_any_point_is_resumed_to_all_of_its_results"
    ),
    f"{PYTHON} dispatch.py --all --junit junit.xml --html report.html": (
        "test_scenarios.py::test_every_shipped_scenario_holds_and_is_reported"
    ),
    f"./setup.sh; {PYTHON} dispatch.py sums": "test_add_your_own_task.py::extended",
    f"BROKER_URL=amqp://tester:PASSWORD@localhost:5672/celery-test {PYTHON} dispatch.py sums --local": (
        "test_add_your_own_task.py::extended"
    ),
    "make monitoring": "test_monitoring.py::test_flower_sees_the_workers_and_what_they_do",
    f"{PYTHON} dispatch.py mixed-load --baseline OLD --fail-on 'round_trip.p(95):10%' --fail-on wall:500ms": (
        "test_scenarios.py::test_a_run_is_compared_with_an_earlier_one"
    ),
}

#: Not run by a test, and why.
NOT_RUN = {
    "make test": "it is what runs this",
    "make lint": "it runs beside the tests, and needs their linters",
    f"for run in $(seq 10); do {PYTHON} dispatch.py worker-kill --quiet && echo held; done | wc -l": (
        "it takes minutes; test_faults_on_containers.py runs the scenario once"
    ),
    "make bench": "it takes the whole machine, and minutes",
}


def commands() -> list[str]:
    pages = [
        path for path in sorted(ROOT.glob("docs/*.md")) if path.name != "your-own-app.md"
    ]  # see test_your_own_app.py
    text = "".join(path.read_text() for path in (ROOT / "README.md", *pages))
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    return [" ".join(command.split()) for line in lines if (command := line.partition(" #")[0].strip())]


def test_each_command_is_accounted_for_once() -> None:
    told = [*RUN, *ELSEWHERE, *NOT_RUN]
    assert sorted(set(commands())) == sorted(told)
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        path = next(path for path in (ROOT / "tests").rglob(file))
        assert f"def {name}" in path.read_text()


@pytest.fixture
def used(stack: Stack) -> Iterator[Stack]:
    """The shared stack; its replicas and its settings are afterwards as they were."""
    with stack.restored():
        yield stack


#: What `jq .verdict` prints, for a machine without jq.
JQ = f"{PYTHON} -c 'import json, sys; print(json.dumps(json.load(sys.stdin)[\"verdict\"]))'"


def test_the_commands_of_the_readme_do_what_it_says(used: Stack) -> None:
    said = {}
    for command, (more, codes) in RUN.items():
        line = f"{command} {more}".replace("jq .verdict", JQ)
        done = used.run("bash", "-o", "pipefail", "-c", line, timeout_s=120)
        assert done.returncode in codes, f"{line}\n{done.stdout}"
        assert "Traceback" not in done.stdout
        said[command] = done.stdout
    assert said[f"{PYTHON} dispatch.py --format json | jq .verdict"].strip().endswith('"passed"')
    status = said[f"{PYTHON} scale.py status"]
    assert re.search(r"^worker-a +queue_a +3 +3 +3 ", status, re.MULTILINE), status
    assert (used.root / "matrix.html").is_file()
    assert (used.root / "load.html").is_file()


def test_the_demonstration(fresh_copy: Stack) -> None:
    printed = fresh_copy.output("make", "demo")
    assert "Hello from Task A" in printed
    assert "Hello from Task B" in printed


def test_the_set_up_by_hand(needs_rabbitmq: object, needs_docker: object, fresh_copy: Stack) -> None:
    name, password = f"by-hand-{uuid.uuid4().hex[:6]}", uuid.uuid4().hex
    steps = commands()
    lines = steps[steps.index("cp .env.example .env; chmod 600 .env") : steps.index("make up")]
    try:
        for line in lines:
            line = line.replace("celery-test", name).replace("tester", name).replace("PASSWORD", password)
            if line.startswith("sudo rabbitmqctl"):
                words = [word.strip("'") for word in line.split()[2:]]
                rabbitmqctl(*words, *([password] if words[0] == "add_user" else []))  # it asks for the password
            elif "://" in line:
                setting = line.partition("=")[0]
                env = (fresh_copy.root / ".env").read_text()
                changed, count = re.subn(rf"^#? ?{setting}=.*$", line, env, flags=re.MULTILINE)
                assert count == 1, setting
                (fresh_copy.root / ".env").write_text(changed)
            else:
                fresh_copy.output("bash", "-c", line)
        fresh_copy.output("make", "up")
        fresh_copy.output("make", "run")
        fresh_copy.output("make", "down")
        (results,) = fresh_copy.root.glob("dispatch_results_*.json")
        assert json.loads(results.read_text())["verdict"] == "passed"
    finally:
        fresh_copy.run("docker", "compose", "down", "--rmi", "local", "--volumes")
        rabbitmqctl("delete_vhost", name)
        rabbitmqctl("delete_user", name)
