"""Whether systemd runs the broker, from the control group of its process."""

from __future__ import annotations

import pytest

from harness.broker_process import systemd_unit


@pytest.mark.parametrize(
    "cgroup",
    [
        "0::/system.slice/rabbitmq-server.service\n",
        "12:pids:/system.slice/rabbitmq-server.service\n1:name=systemd:/system.slice/rabbitmq-server.service\n0::/\n",
    ],
    ids=["version 2", "version 1"],
)
def test_a_broker_of_systemd_is_known_by_its_unit(cgroup: str) -> None:
    assert systemd_unit(cgroup) == "rabbitmq-server.service"


@pytest.mark.parametrize(
    "cgroup",
    [
        "",
        "0::/\n",
        "0::/user.slice/user-1000.slice/session-3.scope\n",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n",
        "0::/system.slice/ci-runner.service\n",
        "0::/system.slice/docker-0123456789ab.scope\n",
    ],
)
def test_a_broker_that_was_started_by_hand_has_no_unit(cgroup: str) -> None:
    assert systemd_unit(cgroup) is None
