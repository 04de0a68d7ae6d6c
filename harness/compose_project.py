"""What Compose makes of docker-compose.yml, .env and the environment: names, services, how many of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.docker_cli import DockerCli
from harness.errors import UnavailableError
from harness.settings import keep_settings

#: A number that comes from one variable: ${WORKER_A_REPLICAS:-1}.
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?-[0-9]+)?\}")


class ComposeProject:
    """The project of a directory. Its name and services are asked for once, in 0.2 s; the rest anew each time."""

    def __init__(self, cli: DockerCli) -> None:
        self._cli = cli

    @property
    def name(self) -> str:
        return str(self._described["name"])

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(self._described["services"])

    def replicas(self) -> Mapping[str, int]:
        """Return how many containers of each service `docker compose up` would have run."""
        return {service: int(number) for service, number in _replicas(self._config()).items()}

    def replica_variables(self) -> Mapping[str, str]:
        """Return the variable that each service takes its number of containers from, where there is one."""
        written = _replicas(self._config("--no-interpolate"))
        matches = {service: _VARIABLE.fullmatch(str(number)) for service, number in written.items()}
        return {service: match[1] for service, match in matches.items() if match}

    def keep(self, counts: Mapping[str, int], env_file: Path, exported: Mapping[str, str]) -> list[str]:
        """Write `counts` where the next `docker compose up` reads them; return a line for each that does not hold.

        Raises:
            UsageError: `env_file` cannot be written.
        """
        variables = self.replica_variables()
        keep_settings(
            env_file, {variables[service]: str(number) for service, number in counts.items() if service in variables}
        )
        lines = []
        for service in counts:
            if (name := variables.get(service)) is None:
                lines.append(
                    f"{service}: docker-compose.yml has no variable for its replicas; the next `up` sets them anew"
                )
            elif name in exported:
                lines.append(f"{service}: {name} is set in this shell and beats {env_file.name} in the next `up`")
        return lines

    def require(self, services: Iterable[str]) -> None:
        """Raises:
        UnavailableError: One of `services` is not in docker-compose.yml.
        """
        for service in services:
            if service not in self.services:
                raise UnavailableError(
                    f"there is no service {service}",
                    why=f"docker-compose.yml has {', '.join(self.services)}",
                    fix="docker compose config --services",
                )

    @cached_property
    def _described(self) -> dict[str, Any]:
        return self._config()

    def _config(self, *more: str) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self._cli.compose("config", "--format", "json", *more))
        return config


def _replicas(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: service.get("deploy", {}).get("replicas", 1) for name, service in config["services"].items()}
