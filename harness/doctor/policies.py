"""The check of policies: what an administrator gives our queues, whatever the app declares."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kombu import Queue

from harness.doctor.administration import Administered, Policy
from harness.finding import Finding, Level, Problem, judged

#: What of a policy drops, refuses, expires or redirects messages, or removes the queue (rabbitmq.com/docs/parameters).
_TELLING = re.compile(r"max-|message-ttl|expires|overflow|delivery-limit|dead-letter-")


def policies(declared: Sequence[Queue], told: Administered, vhost: str) -> Finding:
    """Judge whether a policy makes a queue of ours another one than the app declares."""
    problems: list[Problem] = []
    for policy in told.policies:
        names = [queue.name for queue in declared if _applies(policy, queue)]
        what = ", ".join(f"{key} {value}" for key, value in policy.definition.items() if _TELLING.match(key))
        if names and what:
            cause = f"the policy {policy.name} gives {', '.join(names)} {what}"
            problems.append((cause, f"rabbitmqctl clear_policy -p {vhost} {policy.name} (or clear_operator_policy)"))
    return judged("policies", problems, "none changes what becomes of messages in our queues", Level.WARNING)


def _applies(policy: Policy, queue: Queue) -> bool:
    kind = f"{(queue.queue_arguments or {}).get('x-queue-type', 'classic')}_queues"
    return policy.applies_to in ("all", "queues", kind) and re.search(policy.pattern, queue.name) is not None
