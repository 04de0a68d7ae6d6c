"""YAML nodes as values that know their place: file, line, column and the path that led there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from harness.errors import ConfigError
from harness.yaml_document import located
from harness.yaml_scalars import Scalar, Surprise, interpolate, resolve_plain, shown

_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Value:
    """A node of the document, the path that led to it, and the environment for its `${NAME}`.

    Reached through an alias or a merge key, the path names the use and the mark the place where it is written.
    """

    node: yaml.Node
    path: str  # "scenarios.basic.tasks[0].count"
    environ: Mapping[str, str]
    key: yaml.ScalarNode | None = None  # in a mapping

    def error(self, problem: str, *, why: str = "", fix: str = "") -> ConfigError:
        """Return an error that points at this value."""
        return located(self.node.start_mark, problem, path=self.path, why=why, fix=fix)

    def key_error(self, problem: str, *, fix: str = "") -> ConfigError:
        """Return an error that points at the key, and at the mapping that holds it."""
        if self.key is None:
            return self.error(problem, fix=fix)
        holder = self.path.removesuffix(self.key.value).removesuffix(".")
        return located(self.key.start_mark, problem, path=holder, fix=fix)

    def expected(self, wanted: str, *, fix: str = "") -> ConfigError:
        """Return an error that says what should be here and what is."""
        if isinstance(self.node, yaml.ScalarNode) and isinstance(value := self.scalar(), Surprise):
            fix = value.fix
        return self.error(f"expected {wanted}, got {self.describe()}", fix=fix)

    @property
    def kind(self) -> Literal["mapping", "list", "scalar"]:
        if isinstance(self.node, yaml.ScalarNode):
            return "scalar"
        return "mapping" if isinstance(self.node, yaml.MappingNode) else "list"

    def describe(self) -> str:
        """Return what is here, in the words of a message."""
        if not isinstance(self.node, yaml.ScalarNode):
            return f"a {self.kind}"
        value = self.scalar()
        written = _describe_scalar(value)
        return f"{written} (from {shown(self.node.value)})" if "$" in self.node.value else written

    def scalar(self, wanted: str = "a single value") -> Scalar:
        """Return the single value here, interpolated; a mapping or a list is an error that names what is wanted."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.expected(wanted)
        try:
            text = interpolate(self.node.value, self.environ)
        except ConfigError as exc:
            raise self.error(exc.what, fix=exc.fix) from None
        if not _is_unicode(text):
            raise self.error("expected text that can be written as UTF-8")
        return resolve_plain(text.strip()) if self.node.style is None else text

    def elements(self) -> list[Value]:
        """Return the elements of the list here; anything else is an error."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.expected("a list")
        return [Value(node, f"{self.path}[{i}]", self.environ) for i, node in enumerate(self.node.value)]

    def mapping(self) -> dict[str, Value]:
        """Return the mapping here with its merge keys applied; anything else, or a key twice, is an error."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.expected("a mapping")
        return self._merged(self.node)

    def json(self) -> Any:
        """Return the whole value here as JSON has it."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.json() for key, value in self.mapping().items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [value.json() for value in self.elements()]
        value = self.scalar()
        if isinstance(value, Surprise):
            raise self.expected("a JSON value")
        return value

    def _merged(self, node: yaml.MappingNode) -> dict[str, Value]:
        """Return the mapping's own keys over those merged into it; of two merged ones the first counts."""
        own: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = "<<" if key.tag == _MERGE_TAG else self._key_text(key)
            if name in lines:
                problem = f"the key {shown(name)} is given twice; the first is in line {lines[name]}"
                raise located(key.start_mark, problem, path=self.path)
            lines[name] = key.start_mark.line + 1
            if key.tag != _MERGE_TAG:
                own[name] = Value(value, _join(self.path, name), self.environ, key)
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    raise Value(source, _join(self.path, "<<"), self.environ).expected("a mapping to merge")
                for inherited, inherited_value in self._merged(source).items():
                    merged.setdefault(inherited, inherited_value)
        return merged | own

    def _key_text(self, key: yaml.Node) -> str:
        fix = ""
        if isinstance(key, yaml.ScalarNode):
            text = resolve_plain(key.value) if key.style is None else key.value
            if isinstance(text, str) and text and text.isprintable():
                return text
            written, fix = _describe_scalar(text), "write the key in quotes"
        else:
            written = Value(key, "", {}).describe()
        raise located(key.start_mark, f"expected text as a key, got {written}", path=self.path, fix=fix)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _describe_scalar(value: Scalar) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Surprise():
            return f"{value.text}, {value.reading}"
        case str():
            return shown(value)
    return str(value)
