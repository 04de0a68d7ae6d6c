"""Checks of the configuration: settings of an app and options of its tasks that Celery takes and never reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import timedelta

from celery import Celery, Task
from celery.app.defaults import NAMESPACES, flatten

from harness.app_facts import registered
from harness.finding import Finding, Problem, judged
from harness.spelling import hint

#: How alike a name and a known one are where the one is a slip of the other, 0 to 1.
ALIKE = 0.8

#: Every setting, in lower case (`celery.app.defaults`), and the groups that most are in: task, worker, redis, ...
_SETTINGS = dict(flatten(NAMESPACES))
_GROUPS = tuple(f"{group}_" for group, settings in NAMESPACES.items() if isinstance(settings, dict))
#: The groups that no other program's settings have. `DATABASE_URL` may be anybody's.
_OWN = ("beat", "control", "event", "result", "broker", "worker", "task")
#: The setting that somebody means who leaves out its group; a name of one word may be the user's own.
_WITHOUT_GROUP = {key: f"{group}_{key}" for group in _OWN for key in NAMESPACES[group] if "_" in key}
#: What the names of before Celery 4 begin with, in lower case.
_OLD = ("celery_", "celeryd_", "celerybeat_")
#: A Django project's, which is read where there is no `timezone` (`celery.app.utils.Settings`).
_DJANGOS = "TIME_ZONE"
#: In `broker_transport_options`, of kombu's transports.
_TRANSPORT_OPTIONS = frozenset({"confirm_publish", "visibility_timeout", "priority_steps", "queue_order_strategy"})
#: What the value of a setting can be.
_PLAIN = (str, int, float, timedelta, tuple, list, set, dict, type(None))

#: What `celery.app.autoretry` reads of a task beside the attributes of its class.
_AUTORETRY = frozenset(
    {"autoretry_for", "dont_autoretry_for", "retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter"}
)
_OPTIONS = _AUTORETRY | {name for name in dir(Task) if not name.startswith("_")}


def settings(app: Celery) -> Finding:
    """Judge the names of the settings given to `app`: Celery takes any, and says nothing of one that it ignores."""
    app.conf.finalize()  # until then it only holds what is set by `app.conf`
    given = dict(_given(app))
    ignored = given.keys() - _read(app)
    problems = [problem for name in sorted(ignored) if (problem := _ignored(app, name, given[name]))]
    return judged("settings", problems, f"Celery knows each of the {len(given) - len(ignored)} that are set")


def _given(app: Celery) -> Iterator[tuple[str, str]]:
    """Yield the names that were set, each also without the namespace of its configuration object.

    What is set on `app.conf` has none. In an object, a name without it is somebody else's, such as Django's; and so may
    be what no setting can be, such as an `Exchange` that is called `default_exchange`.
    """
    prefix = app.conf.prefix or ""
    changes, *objects, _defaults = app.conf.maps
    yield from ((name, name) for name in changes if not name.startswith("_") and name != "deprecated_settings")
    for found in objects:
        names = [str(name) for name in found if str(name).startswith(prefix) and not str(name).startswith("_")]
        yield from ((name, name.removeprefix(prefix)) for name in names if isinstance(found[name], _PLAIN))


def _read(app: Celery) -> set[str]:
    """Return the names by which Celery looks for a setting: its own, that of before Celery 4 (`CELERY_ACKS_LATE`), and
    both in a namespace. Others in upper case, such as `TASK_ACKS_LATE`, are none.
    """
    return {name for setting in _SETTINGS for name in app.conf._to_keys(setting)} | {_DJANGOS}


def _ignored(app: Celery, name: str, plain: str) -> Problem | None:
    """Return what is wrong with a name that Celery does not look for; None where it may be the user's own.

    A configuration object may hold what is no setting at all: a name is only judged where it is that of a setting
    or an option in another form, begins as Celery's do (`task_...`), or is a slip of one.
    """
    small = plain.lower()
    if (setting := _meant(small)) and app.conf.value_set_for(setting):
        return None  # by its right name too: this one helped to say it
    if setting:
        return _in_another_form(app, name, setting)
    option = small.removeprefix("task_")
    if option in _OPTIONS and "_" in option:
        return (
            f"{name} is ignored: {option} is an option of a task, not a setting",
            f"@app.task({option}=...), or task_annotations = {{'*': {{'{option}': ...}}}}",
        )
    if small in _TRANSPORT_OPTIONS:
        return (
            f"{name} is ignored: it is an option of the broker's transport, not a setting",
            f"broker_transport_options = {{'{small}': ...}}",
        )
    slip = small not in _SETTINGS and difflib.get_close_matches(small, _SETTINGS, cutoff=ALIKE)
    if not slip and not plain.startswith(_GROUPS) and not small.startswith(_OLD):
        return None
    return f"{name} is ignored: Celery has no such setting{hint(small, _SETTINGS)}", f"rename or remove {name}"


def _meant(small: str) -> str:
    """Return the setting that a name in lower case is, in another form; empty where it is none."""
    without_celery = small.removeprefix("celery_")
    anybodys = small.startswith(_GROUPS) and not small.startswith(tuple(f"{group}_" for group in _OWN))
    if without_celery in _SETTINGS and not anybodys:
        return without_celery
    return _WITHOUT_GROUP.get(small, "")


def _in_another_form(app: Celery, name: str, setting: str) -> Problem:
    """Return what is wrong with the name of a setting in a form that Celery does not read."""
    right = app.conf._to_keys(setting)[0]
    if name == f"CELERY_{setting.upper()}":
        cause = "Celery reads names with CELERY_ in a namespace alone"
        return f"{name} is ignored: {cause}", f"rename it to {setting}, or config_from_object(..., namespace='CELERY')"
    return f"{name} is ignored: Celery reads it as {right}", f"rename {name} to {right}"


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
