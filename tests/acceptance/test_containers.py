"""The real containers: hardened, healthy, one queue each, and stopped without losing a task."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time

import pytest

from tests.acceptance.stack import Stack, wait_until

SERVICES = ("worker-a", "worker-b")


@pytest.mark.parametrize("service", SERVICES)
def test_a_worker_runs_without_root_and_without_rights(stack: Stack, service: str) -> None:
    status = stack.exec(service, "cat /proc/1/status /proc/1/task/1/children").stdout

    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize("path", ["/app/new", "/venv/new", "/etc/new"])
def test_nothing_can_be_written_but_tmp(stack: Stack, path: str) -> None:
    assert "Read-only file system" in stack.exec("worker-a", f"touch {path}").stdout
    assert stack.exec("worker-a", "touch /tmp/new && rm /tmp/new").returncode == 0


def test_tmp_holds_no_programs(stack: Stack) -> None:
    tried = stack.exec("worker-a", "cp /bin/true /tmp/program && /tmp/program; code=$?; rm /tmp/program; exit $code")

    assert tried.returncode == 126  # found, and not allowed to run


def test_the_limits_are_in_force(stack: Stack) -> None:
    for container in stack.containers():
        host = container["HostConfig"]
        assert host["Init"]
        assert host["ReadonlyRootfs"]
        assert host["Memory"] == 256 * 2**20
        assert host["PidsLimit"] == 64
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
        assert not host["PortBindings"]


def test_a_stop_waits_longer_than_the_longest_task(stack: Stack) -> None:
    limit_s = stack.output(".venv/bin/python", "-c", "from celery_app import app; print(app.conf.task_time_limit)")

    assert all(container["Config"]["StopTimeout"] > float(limit_s) for container in stack.containers())


def test_compose_shows_every_service_healthy(stack: Stack) -> None:
    stack.wait_healthy()

    shown = stack.compose("ps", "--format", "{{.Service}} {{.State}} {{.Health}}").splitlines()
    assert sorted(shown) == [f"{service} running healthy" for service in SERVICES]


def test_one_node_per_service_consumes_its_queue_alone(stack: Stack) -> None:
    answers = json.loads(_celery(stack, "inspect", "active_queues", "--timeout", "2", "--json"))

    nodes = {f"{service}@{stack.container(service)['Id'][:12]}" for service in SERVICES}
    assert set(answers) == nodes
    assert {node.split("@")[0]: [queue["name"] for queue in queues] for node, queues in answers.items()} == {
        "worker-a": ["queue_a"],
        "worker-b": ["queue_b"],
    }


def test_the_commands_differ_in_queue_and_name_alone(stack: Stack) -> None:
    services = json.loads(stack.compose("config", "--format", "json"))["services"]

    assert set(services) == set(SERVICES)
    for service, queue in zip(SERVICES, ("queue_a", "queue_b"), strict=True):
        assert services[service].pop("command") == [
            *("celery", "-A", "celery_app", "worker", "-Q", queue, "-n", f"{service}@%h", "--concurrency=2"),
            *("--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel=INFO"),
        ]
    assert services["worker-a"] == services["worker-b"]


def test_replicas_and_concurrency_come_from_settings(stack: Stack) -> None:
    settings = {"WORKER_A_REPLICAS": "3", "WORKER_CONCURRENCY": "5", "LOG_LEVEL": "DEBUG"}

    services = json.loads(stack.compose("config", "--format", "json", **settings))["services"]

    assert services["worker-a"]["deploy"]["replicas"] == 3
    assert services["worker-b"]["deploy"]["replicas"] == 1
    assert {"--concurrency=5", "--loglevel=DEBUG"} < set(services["worker-a"]["command"])


def test_the_image_holds_the_environment_and_the_app_and_nothing_else(stack: Stack) -> None:
    image = stack.container("worker-a")["Config"]["Image"]
    base = json.loads(stack.compose("config", "--format", "json"))["services"]["worker-a"]["build"]["args"][
        "BASE_IMAGE"
    ]

    added = _files_of(image) - _files_of(base)
    ours = {name for name in added if name.startswith("app/") and "__pycache__" not in name}
    others = {
        name
        for name in added - ours
        if not name.startswith(("venv/", "app/"))
        and "__pycache__" not in name
        # the user's entry, and the copies that useradd keeps of these files
        and name.rstrip("-") not in {"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid"}
    }

    modules = {str(path.relative_to(stack.root)) for path in (stack.root / "worker").glob("*.py")}
    assert ours == {f"app/{name}" for name in modules | {"celery_app.py"}}
    assert others == set()


def test_a_health_probe_starts_no_python(stack: Stack) -> None:
    stack.wait_healthy()
    container = stack.container("worker-a")
    (kind, probe) = container["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    assert probe == "test -n \"$(find /tmp/worker-healthy -newermt '10 seconds ago')\""

    def probes() -> set[str]:
        return {entry["Start"] for entry in stack.container("worker-a")["State"]["Health"]["Log"]}

    before, most = probes(), 0
    usual = _python_processes(stack, container["Id"])
    deadline = time.monotonic() + 30
    while len(probes() - before) < 2:
        assert time.monotonic() < deadline, "no second probe within 30 s"
        most = max(most, _python_processes(stack, container["Id"]))
    assert most == usual == 3  # the main process and its two children


def test_a_worker_that_is_stuck_becomes_unhealthy(stack: Stack) -> None:
    stack.wait_healthy()
    main = stack.exec("worker-b", "cat /proc/1/task/1/children").stdout.split()[0]
    assert stack.exec("worker-b", f"kill -STOP {main}").returncode == 0
    try:
        wait_until(
            lambda: stack.container("worker-b")["State"]["Health"]["Status"] == "unhealthy",
            timeout_s=35,  # 10 s until the file is old, two failures 5 s apart, and a margin
            what="worker-b unhealthy",
        )
    finally:
        stack.exec("worker-b", f"kill -CONT {main}")
    stack.wait_healthy()


LONG_TASK = """
import json, time
from celery_app import task_a
result = task_a.delay(work_s=4)
while result.state == "PENDING":
    time.sleep(0.05)
print(result.state, flush=True)
print(json.dumps(result.get(timeout=60)), flush=True)
"""


def test_a_stopped_worker_finishes_its_task(stack: Stack) -> None:
    stack.wait_healthy()
    env = stack.env | {"BROKER_URL": stack.setting("BROKER_URL")}
    with subprocess.Popen(
        [".venv/bin/python", "-c", LONG_TASK], cwd=stack.root, env=env, stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "STARTED\n"
        stack.compose("stop", "worker-a")
        state = stack.container("worker-a")["State"]
        result = json.loads(caller.stdout.readline())
    stack.compose("up", "--detach", "--no-build", "--wait")

    assert state["ExitCode"] == 0
    assert not state["OOMKilled"]
    assert (result["attempt"], result["redelivered"], result["execution_time"] >= 4) == (1, False, True)


def _celery(stack: Stack, *arguments: str) -> str:
    return stack.output(".venv/bin/celery", "-A", "celery_app", *arguments, BROKER_URL=stack.setting("BROKER_URL"))


def _python_processes(stack: Stack, container: str) -> int:
    shown = stack.output("docker", "top", container, "-o", "pid,args").splitlines()[1:]
    return sum("python" in line and "docker-init" not in line for line in shown)


def _files_of(image: str) -> set[str]:
    """Return the name of each file in an image."""
    created = subprocess.run(["docker", "create", image, "true"], check=True, capture_output=True, text=True)
    container = created.stdout.strip()
    try:
        exported = subprocess.run(["docker", "export", container], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", container], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as members:
        return {member.name for member in members if member.isfile()}
