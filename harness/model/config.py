"""test-config.yml, whole and valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.model.load import LoadProfile
from harness.model.scenario import Scenario
from harness.model.topology import WorkerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`settings:` of test-config.yml. None: not set there."""

    broker_url: str | None = None
    wait_workers_s: float | None = None
    results_dir: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceScaling:
    """How many replicas of a service `scale.py` starts."""

    default: int = 1  # where it is told `default`
    max: int = 10  # more than these only with --yes


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """test-config.yml, whole and valid."""

    path: str
    workers: tuple[WorkerSpec, ...]
    scenarios: tuple[Scenario, ...]
    settings: Settings = field(default_factory=Settings)
    scaling: Mapping[str, ServiceScaling] = field(default_factory=dict)  # by service; the others: as ServiceScaling()
    load: Mapping[str, LoadProfile] = field(default_factory=dict)  # by name
