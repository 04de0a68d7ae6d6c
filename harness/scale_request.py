"""What `scale.py` was asked for: how many replicas of which service, or why that is nonsense."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.config_workers import MAX_REPLICAS
from harness.errors import UsageError
from harness.model.config import Config, ServiceScaling
from harness.spelling import hint

#: Instead of a number: what `scaling:` of test-config.yml says.
DEFAULT = "default"
_NUMBER = re.compile(r"[0-9]{1,9}")


def of_some(config: Config, words: Sequence[str]) -> dict[str, int]:
    """Return the replicas that words such as `worker-a=3` or `queue_b=default` ask for, by service.

    Raises:
        UsageError: One of the words is none, names a service that there is not, or one twice; or all ask for none.
    """
    names = {worker.queue: worker.service for worker in config.workers}
    names |= {worker.service: worker.service for worker in config.workers}
    counts: dict[str, int] = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not (name and equals):
            raise UsageError(f"expected SERVICE=COUNT, got {word!r}", fix=f"scale.py set {config.workers[0].service}=3")
        if name not in names:
            services = ", ".join(worker.service for worker in config.workers)
            raise UsageError(f"no service or queue {name!r}{hint(name, names)}", why=f"{config.path} has {services}")
        service = names[name]
        if service in counts:
            raise UsageError(f"{service} is given twice", fix="give each service one number")
        counts[service] = _count(config, service, number)
    refuse_nothing_left(counts, {worker.service: 1 for worker in config.workers})
    return counts


def of_all(config: Config, number: str) -> dict[str, int]:
    """Return the same number of replicas for every service; it raises as `of_some` does."""
    return of_some(config, [f"{worker.service}={number}" for worker in config.workers])


def refuse_nothing_left(counts: Mapping[str, int], running: Mapping[str, int]) -> None:
    """Raises:
    UsageError: With `counts`, no service would have a replica.
    """
    if not any({**running, **counts}.values()):
        raise UsageError(
            "no service would have a replica left",
            why="nothing would consume any queue",
            fix="make down stops them all",
        )


def beyond_the_limits(config: Config, counts: Mapping[str, int]) -> list[str]:
    """Return in words what asks for more than `scaling:` of test-config.yml has as the most."""
    limits = {service: config.scaling.get(service, ServiceScaling()).max for service in counts}
    return [f"{s}={count} (at most {limits[s]})" for s, count in counts.items() if count > limits[s]]


def _count(config: Config, service: str, number: str) -> int:
    if number == DEFAULT:
        return config.scaling.get(service, ServiceScaling()).default
    if not _NUMBER.fullmatch(number) or int(number) > MAX_REPLICAS:
        raise UsageError(
            f"{service}: expected a whole number from 0 to {MAX_REPLICAS}, or {DEFAULT}, got {number!r}",
            fix=f"scale.py set {service}=3",
        )
    return int(number)
