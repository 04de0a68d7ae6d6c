"""What is, and what is not, in the image and in the build context that it is made from."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.stack import ROOT, Stack

#: Files that a working copy may hold and that no Docker engine may be given.
PRIVATE = [".env", ".env.new", ".runs/run.jsonl", ".git/config", "dispatch_results_1.json", "ca-key.pem", "worker.env"]


def found(stack: Stack, script: str) -> list[str]:
    """Return what a shell script prints that runs as root in the worker's image."""
    image = stack.container("worker-a")["Config"]["Image"]
    return stack.output("docker", "run", "--rm", "--user", "0", image, "sh", "-c", script).splitlines()


def test_no_program_in_it_runs_as_another_user(stack: Stack) -> None:
    assert found(stack, "find / -xdev -type f -perm /6000") == []


def test_no_file_in_it_is_writable_by_everybody(stack: Stack) -> None:
    assert found(stack, "find / -xdev -type f -perm -0002") == []


def test_it_holds_no_package_cache_and_no_package_manager_of_python(stack: Stack) -> None:
    caches = "/var/cache/apt /var/lib/apt/lists /root /app /venv"
    wanted = "-name '*.deb' -o -name '*.whl' -o -name '*_Packages*' -o -name .cache -o -name pip"
    assert found(stack, f"find {caches} {wanted}") == []


def test_its_layers_and_settings_hold_no_secret(stack: Stack) -> None:
    (image,) = json.loads(stack.output("docker", "image", "inspect", stack.container("worker-a")["Image"]))
    history = stack.output("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image["Id"])

    assert {entry.partition("=")[0] for entry in image["Config"]["Env"]} <= {
        *("PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"),
        *("LANG", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"),  # of the official base image
    }
    for password in stack.passwords():
        assert password not in history + json.dumps(image)


@pytest.mark.usefixtures("needs_docker")
def test_the_build_context_holds_what_is_copied_and_nothing_else(fresh_copy: Stack) -> None:
    base = json.loads(fresh_copy.compose("config", "--format", "json"))["services"]["worker-a"]["build"]["args"]
    for name in PRIVATE:
        (fresh_copy.root / name).parent.mkdir(exist_ok=True)
        (fresh_copy.root / name).write_text("secret")
    tag = f"{fresh_copy.name}-context"
    (fresh_copy.root / "Everything").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY . /context\n")
    build = ["docker", "build", "--tag", tag, "--file", "Everything", "--build-arg", f"BASE_IMAGE={base['BASE_IMAGE']}"]
    try:
        fresh_copy.output(*build, ".")
        files = fresh_copy.output("docker", "run", "--rm", tag, "sh", "-c", "cd /context && find . -type f")
    finally:
        fresh_copy.run("docker", "image", "rm", "--force", tag)

    tops = {line.split("/")[1] for line in files.splitlines()}
    assert tops - {"Everything", "Dockerfile", ".dockerignore"} == {
        "requirements.txt",
        "celery_app.py",
        "worker",
        "deploy",
    }
    assert {line for line in files.splitlines() if line.startswith("./deploy/")} == {
        f"./deploy/monitoring/{path.name}" for path in (ROOT / "deploy/monitoring").iterdir() if path.is_file()
    }
