"""The embedded broker: kombu's directory as a broker, with its races between processes closed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Messages appear whole, and one process at a time changes who is bound to an exchange.

    kombu 5.7 creates a message's file and fills it then: a reader in between takes an empty message and
    dies of it. It also makes an exchange's table without looking again, so of two workers that start
    together one may never hear a question.
    """

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        # in order of time, as wide as any; what follows the first dot is the queue
        name = f"{monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        folder = self.data_folder_out
        part = os.path.join(folder, f"{name}.part")
        with open(part, "wb") as file:
            file.write(dumps(payload).encode())
        os.replace(part, os.path.join(folder, name))

    def get_table(self, exchange: str) -> Any:
        with self._alone():
            return super().get_table(exchange)

    def _queue_bind(self, *args: Any) -> None:
        with self._alone():
            super()._queue_bind(*args)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.control_folder.mkdir(exist_ok=True)
        with open(self.control_folder / "lock", "wb") as file:
            filesystem.lock(file, filesystem.LOCK_EX)
            try:
                yield
            finally:
                filesystem.unlock(file)


class Transport(filesystem.Transport):
    Channel = Channel


def install() -> None:
    """Let `filesystem://` mean this transport."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
