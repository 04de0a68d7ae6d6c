"""Checks of the configuration: settings of an app and options of its tasks that Celery takes and never reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from celery import Celery, Task
from celery.app.defaults import NAMESPACES, flatten

from harness.app_facts import registered
from harness.finding import Finding, Problem, judged
from harness.spelling import hint

#: How alike a name and a known one are where the one is a slip of the other, 0 to 1.
ALIKE = 0.8

#: Every setting, in lower case (`celery.app.defaults`), and the names that they had before Celery 4.
_SETTINGS = dict(flatten(NAMESPACES))
_OLD_NAMES = {name.upper() for name in _SETTINGS} | set(
    flatten(NAMESPACES, keyfilter=lambda _, key, option: [old.format(key).upper() for old in option.old or ()])
)
_GROUPS = tuple(f"{group}_" for group, options in NAMESPACES.items() if isinstance(options, dict))

#: What `celery.app.autoretry` reads of a task beside the attributes of its class.
_AUTORETRY = frozenset(
    {"autoretry_for", "dont_autoretry_for", "retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter"}
)
_OPTIONS = _AUTORETRY | {name for name in dir(Task) if not name.startswith("_")}


def settings(app: Celery) -> Finding:
    """Judge the names of the settings given to `app`: Celery takes any, and says nothing of one that it ignores."""
    problems = [problem for name in _given(app) if (problem := _setting(name, app.namespace))]
    return judged("settings", problems, f"Celery knows each of the {len(_given(app))} that are set")


def _given(app: Celery) -> list[str]:
    """Return the names that were set, by `app.conf` or in a configuration object. The last map is the defaults."""
    app.conf.finalize()  # until then it only holds what is set by `app.conf`
    names = {str(name) for given in app.conf.maps[:-1] for name in given}
    return sorted(name for name in names if not name.startswith("_") and name != "deprecated_settings")


def _setting(name: str, namespace: str | None) -> Problem | None:
    """Return what is wrong with the name of a setting; None where it is one, or another's.

    A configuration object may hold what is no setting at all: a name is only judged where it begins as Celery's do
    (`task_...`), or is a slip of one.
    """
    plain = name
    if namespace:
        prefix = f"{namespace}_"
        if not name.startswith(prefix):
            return None
        plain = name.removeprefix(prefix)
    if plain in _OLD_NAMES or plain.lower() in _SETTINGS:
        return None
    option = plain.removeprefix("task_")
    if option != plain and option in _OPTIONS:
        return (
            f"{name} is ignored: {option} is an option of a task, not a setting",
            f"@app.task({option}=...), or task_annotations = {{'*': {{'{option}': ...}}}}",
        )
    if not plain.startswith(_GROUPS) and not difflib.get_close_matches(plain.lower(), _SETTINGS, cutoff=ALIKE):
        return None
    return f"{name} is ignored: Celery has no such setting{hint(plain.lower(), _SETTINGS)}", f"rename or remove {name}"


def task_options(app: Celery) -> Finding:
    """Judge the options of the tasks: what `@app.task(...)` does not know becomes an attribute that nobody reads."""
    names = registered(app)
    problems = [problem for name in names for problem in _slips(name, app.tasks[name])]
    return judged("task options", problems, f"Celery knows those of {', '.join(names) or 'no task'}")


def _slips(name: str, task: Task) -> Iterator[Problem]:
    """Yield the options of a task that are a slip of a known one; an attribute of the task's own is none."""
    for option, value in vars(type(task)).items():
        if option.startswith("_") or option in _OPTIONS or callable(value):
            continue
        if difflib.get_close_matches(option, _OPTIONS, cutoff=ALIKE):
            yield f"{name}: {option} is ignored{hint(option, _OPTIONS)}", f"rename {option} of {name}"
