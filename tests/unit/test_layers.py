"""The house: imports point down, each outside thing has its modules, and no module is named after nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

#: From the ground up. A module imports only from rows above its own in this list, or its own row.
LAYERS = [
    {"harness.errors", "harness.interrupts", "harness.matrix_app"},  # the last is run elsewhere, and imported nowhere
    {
        "harness.matrix",
        "harness.model",
        "harness.reply",
        "harness.finding",
        "harness.flags",
        "harness.intervals",
        "harness.service_status",
        "harness.stats",
        "harness.spelling",
    },
    {"harness.yaml_scalars"},
    {"harness.yaml_document", "harness.quantities"},
    {"harness.yaml_nodes", "harness.threshold_grammar", "harness.load_pacing"},
    {"harness.yaml_fields", "harness.load_plan"},
    {"harness.config_faults", "harness.config_workers", "harness.expect_run", "harness.expect_task"},
    {"harness.load_report"},
    {"harness.config_load", "harness.config_scaling", "harness.load_figures", "harness.sweep"},
    {"harness.in_flight", "harness.task_ids"},
    {"harness.strike"},
    {"harness.config", "harness.settings", "harness.ledger", "harness.journal", "harness.pacing"},
    {"harness.load_request", "harness.scale_request", "harness.scenario_choice", "harness.unfinished"},
    {"harness.earlier_faults", "harness.faults", "harness.replay", "harness.telling"},
    {"harness.tally", "harness.thresholds", "harness.activity"},
    {"harness.expected", "harness.placement", "harness.run_metrics"},
    {"harness.expected_run", "harness.parallelism"},
    {"harness.checks"},
    {"harness.baseline_rules"},
    {"harness.render"},
    {"harness.app_facts", "harness.baseline"},
    {"harness.comparable", "harness.report_files", "harness.resumable"},
    {"harness.measure"},
    {
        "harness.docker_cli",
        "harness.memory",
        "harness.process_group",
        "harness.processors",
        "harness.relay",
        "harness.victim",
    },
    {
        "harness.fleet",
        "harness.compose",
        "harness.compose_project",
        "harness.local",
        "harness.swarm",
        "harness.matrix_nodes",
    },
    {"harness.broker", "harness.broker_process", "harness.results_file", "harness.terminal", "harness.link"},
    {"harness.batch", "harness.outgoing", "harness.virtual_link"},
    {"harness.amqp_link", "harness.gatherer", "harness.publisher"},
    {"harness.deployment", "harness.replicas"},
    {"harness.broker_node", "harness.output", "harness.malformed", "harness.reconnect", "harness.roster"},
    {"harness.dead_letters", "harness.unacked", "harness.unread_results", "harness.whereabouts"},
    {"harness.scaling"},
    {"harness.doctor"},
    {"harness.app_import", "harness.command", "harness.matrix_bench", "harness.redrive"},
    {"harness.matrix_run"},
    {"harness.courier", "harness.fault_actions", "harness.presenter", "harness.watch"},
    {"harness.aftermath", "harness.held", "harness.load_watch", "harness.newcomers"},
    {"harness.run"},
    {"harness.load_run", "harness.stage", "harness.sweep_run"},
    {"harness.load_stage"},
    {"harness.operate"},
    {"dispatch", "load_test", "operate", "scale"},
]
#: Who may import what comes from outside.
OWNERS = {
    "celery": {
        "harness.aftermath",
        "harness.app_facts",
        "harness.app_import",
        "harness.broker",
        "harness.broker_node",
        "harness.dead_letters",
        "harness.fault_actions",
        "harness.load_run",
        "harness.load_stage",
        "harness.load_watch",
        "harness.malformed",
        "harness.matrix_app",
        "harness.matrix_bench",
        "harness.matrix_run",
        "harness.newcomers",
        "harness.reconnect",
        "harness.redrive",
        "harness.roster",
        "harness.unread_results",
        "harness.watch",
        "harness.whereabouts",
        "harness.courier",
        "harness.amqp_link",
        "harness.batch",
        "harness.virtual_link",
        "harness.run",
        "harness.scaling",
        "harness.stage",
        "harness.sweep_run",
        "harness.unacked",
        "dispatch",
        "harness.doctor.broker",
        "harness.doctor.facts",
        "harness.doctor.hung",
        "harness.doctor.ignored",
        "harness.doctor.lint",
        "harness.doctor.nodes",
        "harness.doctor.routes",
        "harness.doctor.topology",
        "harness.doctor.workers",
        "harness.operate.dead_letters",
        "harness.operate.matrix",
    },
    "kombu": {
        "harness.broker",
        "harness.dead_letters",
        "harness.batch",
        "harness.virtual_link",
        "harness.load_watch",
        "harness.matrix_app",
        "harness.matrix_bench",
        "harness.reconnect",
        "harness.redrive",
        "harness.roster",
        "harness.whereabouts",
        "harness.scaling",
        "harness.unacked",
        "harness.doctor.broker",
        "harness.doctor.facts",
        "harness.doctor.hung",
        "harness.doctor.lint",
        "harness.doctor.nodes",
        "harness.doctor.permissions",
        "harness.doctor.policies",
        "harness.doctor.topology",
    },
    "amqp": {
        "harness.broker",
        "harness.dead_letters",
        "harness.amqp_link",
        "harness.outgoing",
        "harness.malformed",
        "harness.matrix_bench",
        "harness.redrive",
        "harness.roster",
        "harness.doctor.broker",
        "harness.doctor.permissions",
        "harness.doctor.topology",
    },
    "yaml": {"harness.yaml_scalars", "harness.yaml_document", "harness.yaml_nodes"},
    "subprocess": {"harness.broker_process", "harness.docker_cli", "harness.matrix_app", "harness.process_group"},
    "colorama": {"harness.terminal"},
    "pythonjsonlogger": {"harness.output"},
}
NAMELESS = {"utils", "helpers", "common", "base", "misc"}

SOURCES = sorted([*ROOT.glob("*.py"), *ROOT.glob("harness/**/*.py"), *ROOT.glob("worker/**/*.py")])


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, also inside functions and for types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def layer(name: str) -> int | None:
    """Return the row of a module: of itself, or of the package that it is in."""
    for number, row in enumerate(LAYERS):
        if any(name == member or name.startswith(member + ".") for member in row):
            return number
    return None


HARNESS = [path for path in SOURCES if module(path).startswith("harness.")]


@pytest.mark.parametrize("path", HARNESS, ids=module)
def test_a_module_of_the_harness_has_its_layer_and_imports_only_downwards(path: Path) -> None:
    own = layer(module(path))
    assert own is not None, f"{module(path)} is in no layer"
    above = {name for name in imports(path) if (layer(name) or 0) > own}
    assert not above


@pytest.mark.parametrize("path", HARNESS, ids=module)
def test_the_harness_knows_neither_the_app_nor_the_worker(path: Path) -> None:
    assert not {name for name in imports(path) if name.partition(".")[0] in ("celery_app", "worker", "dispatch")}


@pytest.mark.parametrize("path", [p for p in SOURCES if module(p).startswith("worker")], ids=module)
def test_the_worker_knows_only_itself_so_that_the_image_needs_nothing_else(path: Path) -> None:
    assert not {name for name in imports(path) if name.partition(".")[0] in ("harness", "celery_app", "dispatch")}


def test_the_app_imports_of_ours_only_the_worker() -> None:
    ours = {name.partition(".")[0] for name in imports(ROOT / "celery_app.py")} & {"harness", "dispatch", "worker"}
    assert ours == {"worker"}


@pytest.mark.parametrize("outside", OWNERS)
def test_an_outside_thing_is_imported_by_its_owners_alone(outside: str) -> None:
    users = {
        module(path)
        for path in SOURCES
        if module(path).startswith("harness") or module(path) == "dispatch"
        if any(name.partition(".")[0] == outside for name in imports(path))
    }
    assert users <= OWNERS[outside]


def test_no_module_is_named_after_nothing_or_hides_the_standard_library() -> None:
    import sys

    names = {path.stem for path in SOURCES}
    assert not names & NAMELESS
    top = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert not top & set(sys.stdlib_module_names)
    assert "dispatch" not in {path.name for path in ROOT.iterdir() if path.is_dir()}
