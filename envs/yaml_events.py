"""YAML that is not ours, built from a parser's events: nothing is made that a limit forbids.

It is many times as fast as PyYAML's way over a graph of nodes, too: equal texts are read once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

MOST_DEPTH = 50  # of nested lists and mappings
MOST_VALUES = 5_000_000  # of a file; those that aliases repeat count each time

_TOO_DEEP = "nested too deeply"
_MOST_BITS = 1000  # of a whole number
# libyaml parses ten times as fast; a PyYAML that was built without it has only its own parser.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE_TAG, _MERGE = "tag:yaml.org,2002:merge", object()
_COLLECTION_TAGS = {None, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


def load_yaml(content: str) -> Any:
    """Returns the value of a YAML text, as `yaml.safe_load` does.

    Raises:
        yaml.YAMLError: if it is not valid.
        ValueError: if it is nested too deeply or too large, or a value looks like a date or a
            number and is none.
    """
    try:
        return _Builder().build(content)
    except yaml.scanner.ScannerError as error:
        if "nesting depth" in str(error.problem):  # libyaml has a limit of its own
            raise ValueError(_TOO_DEEP) from None
        raise


@dataclass
class _Group:
    """A list or mapping that is not at its end yet."""

    anchor: str | None
    before: int  # values read before it
    is_mapping: bool
    items: list[Any] = field(default_factory=list)  # keys and values in turn, of a mapping


class _Builder:
    """Builds the value of one document."""

    def __init__(self) -> None:
        self._groups: list[_Group] = []
        self._anchors: dict[str, tuple[Any, int]] = {}  # value, how many values are in it
        self._known: dict[str, Any] = {}  # plain text -> value
        self._total = 0
        self._document: Any = None
        self._loader = yaml.SafeLoader("")

    def build(self, content: str) -> Any:
        documents = 0
        for event in yaml.parse(content, Loader=_Parser):
            self._total += 1
            match event:
                case yaml.ScalarEvent():
                    self._add(self._read_scalar(event), event.anchor, 1)
                case yaml.CollectionStartEvent():
                    self._check_tag(event)
                    is_mapping = isinstance(event, yaml.MappingStartEvent)
                    self._groups.append(_Group(event.anchor, self._total, is_mapping))
                case yaml.CollectionEndEvent():
                    group = self._groups.pop()
                    value = (
                        self._make_mapping(group.items, event) if group.is_mapping else group.items
                    )
                    self._add(value, group.anchor, self._total - group.before)
                case yaml.AliasEvent():
                    # An alias inside its own anchor is not known yet: it would never end.
                    if event.anchor not in self._anchors:
                        raise _refuse("an alias without an anchor before it", event)
                    value, size = self._anchors[event.anchor]
                    self._total += size
                    self._add(value, None, size)
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise _refuse("a second document", event)
            if len(self._groups) > MOST_DEPTH:
                raise ValueError(_TOO_DEEP)
            if self._total > MOST_VALUES:
                raise ValueError(f"more than {MOST_VALUES:,} values, aliases counted in full")
        return self._document

    def _add(self, value: Any, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, size
        if self._groups:
            self._groups[-1].items.append(value)
        else:
            self._document = value

    def _read_scalar(self, event: yaml.ScalarEvent) -> Any:
        if event.tag is None and not event.implicit[0]:
            return event.value  # in quotes
        if event.tag is None and event.value in self._known:
            return self._known[event.value]
        loader: Any = self._loader
        mark: Any = event.start_mark
        tag = event.tag or loader.resolve(yaml.ScalarNode, event.value, (True, False))
        node = yaml.ScalarNode(tag, event.value, mark, mark)
        value = _MERGE if tag == _MERGE_TAG else loader.construct_object(node)
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise ValueError(f"a number of {len(event.value)} digits")
        if event.tag is None:
            self._known[event.value] = value
        return value

    @staticmethod
    def _check_tag(event: yaml.CollectionStartEvent) -> None:
        if event.tag not in _COLLECTION_TAGS:
            raise _refuse(f"the tag {str(event.tag)[:60]!r}", event)

    @staticmethod
    def _make_mapping(items: list[Any], event: yaml.Event) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if key is _MERGE:
                sources = value if isinstance(value, list) else [value]
                for source in sources:
                    if not isinstance(source, dict):
                        raise _refuse("a merge of what is no mapping", event)
                    merged = source | merged
            elif isinstance(key, dict | list):
                raise _refuse("a list or mapping as a key", event)
            else:
                found[key] = value
        return merged | found if merged else found


def _refuse(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
