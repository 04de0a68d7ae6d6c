"""An earlier run's results as the measure of this one: the figures that are compared, and the comparison."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.baseline_rules import AGGREGATES, Rule
from harness.errors import UsageError
from harness.model.metrics import Summary
from harness.model.report import SCHEMA_VERSION, Check, Report
from harness.render.figures import duration_text
from harness.render.visible import visible

#: The last line of a results document before its outcomes, which are not needed here and may be many.
_OUTCOMES = '"outcomes": ['
#: What a document has to have.
_SHAPE: Mapping[str, type] = {
    "schema_version": int,
    "run_id": str,
    "exit_code": int,
    "exit_meaning": str,
    "embedded": bool,
    "scenario": dict,
    "metrics": dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What of a results document is compared."""

    path: str
    run_id: str
    exit_code: int
    exit_meaning: str
    embedded: bool
    scenario: Mapping[str, Any]  # as the document has it
    metrics: Mapping[str, Any]
    nodes: Mapping[str, int]  # service -> nodes that answered

    def figure_s(self, rule: Rule) -> float | None:
        """Return what the baseline measured, in seconds; None where it measured nothing."""
        if rule.aggregate is None:
            return _number(self.metrics.get("wall_s"))
        summary = self.metrics.get(rule.metric)
        return _number(summary.get(AGGREGATES[rule.aggregate])) if isinstance(summary, Mapping) else None


def load_baseline(path: str | Path) -> Baseline:
    """Read the results document of an earlier run.

    Raises:
        UsageError: It cannot be read, is no results document, or one of another schema version.
    """
    document = _document(Path(path))
    if "schema_version" not in document:
        raise _no_document(path, "it has no 'schema_version'")
    if (version := document["schema_version"]) != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: a results document of schema version {visible(version)}, not {SCHEMA_VERSION}",
            why="its figures may mean something else",
            fix="run the scenario again and take that file as the baseline",
        )
    for key, kind in _SHAPE.items():
        if not isinstance(document.get(key), kind):
            raise _no_document(path, f"it has no {key!r} of the right kind")
    roster = document.get("roster")
    nodes = roster.get("nodes") if isinstance(roster, dict) else None
    return Baseline(
        path=str(path),
        run_id=document["run_id"],
        exit_code=document["exit_code"],
        exit_meaning=document["exit_meaning"],
        embedded=document["embedded"],
        scenario=document["scenario"],
        metrics=document["metrics"],
        nodes=Counter(str(node["service"]) for node in nodes or [] if isinstance(node, dict) and "service" in node),
    )


def _document(path: Path) -> dict[str, Any]:
    """Return the document, without its outcomes where it was laid out as we do it."""
    try:
        with path.open(encoding="utf-8") as file:
            head = []
            for line in file:
                head.append(line)
                if line.strip() == _OUTCOMES:
                    break
            text = "".join(head)
            try:
                document = json.loads(text + "]}")
            except ValueError:  # other software wrote it again, in its own layout
                document = json.loads(text + file.read())
            else:
                if not _SHAPE.keys() <= document.keys():  # sorted by key: there is more to come
                    document = json.loads(text + file.read())
    except OSError as exc:
        raise UsageError(f"{path}: the baseline cannot be read", why=exc.strerror or str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise _no_document(path, f"it is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise _no_document(path, "it is no JSON object")
    return document


def _no_document(path: str | Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: not a results document of dispatch.py",
        why=why,
        fix="name a dispatch_results_<time>.json, or a file that -o wrote",
    )


def compare(report: Report, baseline: Baseline, rules: Sequence[Rule]) -> tuple[Check, ...]:
    """Return a check for each rule, to be added to the report's thresholds."""
    return tuple(_compared(report, baseline, rule) for rule in rules)


def _compared(report: Report, baseline: Baseline, rule: Rule) -> Check:
    name = f"{rule.figure} at most {rule.allowed} over the baseline"
    before_s, now_s, count = baseline.figure_s(rule), *_measured(report, rule)
    if before_s is None or now_s is None:
        who = "the baseline" if before_s is None else "this run"
        return Check(name=name, passed=False, evidence=f"nothing was measured in {who}")
    if count < rule.takes:  # in the baseline as many: it is of the same load
        most = f"{duration_text(now_s)}, was {duration_text(before_s)}, over {count:,} measured"
        return Check(name=name, passed=False, evidence=f"{most}: too few, {rule.aggregate} takes {rule.takes:,}")
    more_s = abs(before_s) * rule.share if rule.share is not None else rule.more_s or 0.0
    change = f" ({100 * (now_s - before_s) / before_s:+.1f}%)" if before_s > 0 else ""
    evidence = f"{duration_text(now_s)}, was {duration_text(before_s)}{change}, over {count:,} measured"
    # to the microsecond, as the document has it: the same figure is never above itself
    passed = round(now_s, 6) <= round(before_s + more_s, 6)
    return Check(name=name, passed=passed, evidence=evidence + _other_nodes(report, baseline))


def _measured(report: Report, rule: Rule) -> tuple[float | None, int]:
    if rule.aggregate is None:
        return report.metrics.wall_s, report.ledger.attempted
    summary: Summary | None = getattr(report.metrics, rule.metric)
    if summary is None:
        return None, 0
    return getattr(summary, AGGREGATES[rule.aggregate]), summary.count


def _other_nodes(report: Report, baseline: Baseline) -> str:
    """Say where the deployment was another one: that may be the point of the comparison, or the cause."""
    now = Counter(node.service for node in report.roster.nodes)
    if now == Counter(baseline.nodes):
        return ""
    services = sorted(now.keys() | baseline.nodes.keys())
    words = (f"{service} {baseline.nodes.get(service, 0)} and {now[service]}" for service in services)
    return f"; nodes then and now: {', '.join(words)}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
