"""Reads a YAML file into its one tree of nodes, and stops at what no configuration needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from harness.errors import ConfigError
from harness.yaml_scalars import shown

#: Far above any real file. They bound time and memory for a file that is none, or is made to hurt.
MAX_BYTES = 256 * 1024
MAX_NODES = 50_000  # an alias counts as often as it is used
MAX_DEPTH = 40

_TEXT_TAG = "tag:yaml.org,2002:str"


def read_node(path: Path) -> yaml.Node:
    """Return the one document of a YAML file; its marks carry the name of the file.

    Raises:
        ConfigError: The file cannot be read, or is not exactly one YAML document of plain data and of a
            reasonable size.
    """
    text = _read_text(path)
    try:
        loader = _GuardedLoader(text, str(path))
    except ReaderError as exc:
        fix = "remove that character, or write it as an escape in double quotes"
        raise ConfigError(
            f"{_place(path, text[: exc.position])}: a character that YAML does not allow", fix=fix
        ) from exc
    try:
        loader.check_node()  # reads past the start of the stream
        node = loader.get_node()
        if node is None:
            raise ConfigError(f"{path}:1:1: the file is empty", fix="start from the test-config.yml of this project")
        if loader.check_node():
            mark = loader.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise located(mark, "a second document begins here", fix="keep one document; remove this ---")
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark or loader.get_mark()
        raise located(mark, f"not YAML: {exc.problem}", why=exc.context or "", fix=_syntax_fix(text, mark)) from exc
    except (ValueError, OverflowError) as exc:  # PyYAML lets these out, for example for "\UFFFFFFFF"
        raise located(loader.get_mark(), "not YAML: a character or number out of range") from exc
    return node


def located(mark: yaml.Mark, problem: str, *, path: str = "", why: str = "", fix: str = "") -> ConfigError:
    """Return an error as FILE:LINE:COLUMN of the mark, the path within the document, and the problem."""
    where = f"{path}: " if path else ""
    return ConfigError(f"{mark.name}:{mark.line + 1}:{mark.column + 1}: {where}{problem}", why=why, fix=fix)


class _GuardedLoader(yaml.SafeLoader):
    """SafeLoader that stops at tags, at deep nesting, and at aliases that contain themselves or explode."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name  # marks carry it
        self._nodes = 0  # so far, each alias as large as what it stands for
        self._depth = 0
        self._deepest = 0  # below the node being composed
        self._sizes: dict[str, tuple[int, int]] = {}  # anchor -> nodes and levels of what it names

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark, anchor = event.start_mark, event.anchor
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.anchors and anchor not in self._sizes:
                raise located(mark, f"the alias *{anchor} is inside what it stands for")
            nodes, levels = self._sizes.get(anchor, (0, 0))
            self._grow(nodes, self._depth + levels, mark)
            return super().compose_node(parent, index)
        if event.tag is not None and (event.tag != _TEXT_TAG or not isinstance(event, yaml.ScalarEvent)):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise located(mark, f"the tag {shown(tag)} is not used here", fix="remove it")
        if anchor in self.anchors:
            raise located(mark, f"the anchor &{anchor} is taken", fix="give the second one another name")
        nodes_before, deepest_before = self._nodes, self._deepest
        self._grow(1, self._depth + 1, mark)
        self._depth += 1
        self._deepest = self._depth
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode) and event.tag is not None:
            node.style = '"'  # !!str says the same as quotes
        if anchor is not None:
            self._sizes[anchor] = (self._nodes - nodes_before, self._deepest - self._depth)
        self._deepest = max(deepest_before, self._deepest)
        return node

    def _grow(self, nodes: int, depth: int, mark: yaml.Mark) -> None:
        self._nodes += nodes
        self._deepest = max(self._deepest, depth)
        if self._nodes > MAX_NODES:
            raise located(mark, f"more than {MAX_NODES} values", why="an alias counts as often as it is used")
        if depth > MAX_DEPTH:
            raise located(mark, f"nested deeper than {MAX_DEPTH} levels")


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        fix = "name it with --config FILE, or run the command where test-config.yml is"
        raise ConfigError(f"{path}: there is no such file", fix=fix) from None
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise ConfigError(f"{path}: cannot be read", why=getattr(exc, "strerror", None) or str(exc)) from exc
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB, so hardly a configuration")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8-sig", errors="replace")
        raise ConfigError(f"{_place(path, before)}: not UTF-8 text", fix="save the file as UTF-8") from exc


def _place(path: Path, before: str) -> str:
    """Return FILE:LINE:COLUMN of the character that follows `before`."""
    return f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _syntax_fix(text: str, mark: yaml.Mark) -> str:
    """Return what to do about the two syntax errors that people make most, or nothing."""
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if line[max(mark.column - 1, 0) : mark.column + 1] == "${":
        return "write the entry over several lines: an unquoted ${NAME} cannot stand inside { } or [ ]"
    return "indent with spaces, not tabs" if line[mark.column : mark.column + 1] == "\t" else ""
