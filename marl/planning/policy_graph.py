"""The bytes of a policy file, judged before onnxruntime sees them.

A stranger's graph could loop, read other files or hold weights that are no numbers. So the file is
walked as the protocol buffers that it is made of (protobuf.dev/programming-guides/encoding), and
only what `export` writes is let through: operators of a batch of rows and fixed, finite weights.
Time and memory are then bounded by the file's size times the rows.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MOST_BYTES = 64_000_000
DIGEST = "sha256"  # the property with the hash of the file, itself read as `NO_DIGEST`
NO_DIGEST = "0" * 64

# A new kind of graph adds its operators here: the axes of each one's inputs, -1 of the rows.
_AXES = {
    "Add": (-1, 1), "Cast": (-1,), "Gemm": (-1, 2, 1), "MatMul": (-1, 2), "ReduceSum": (-1, 1),
    "Relu": (-1,),
}  # fmt: skip
_OPERATORS = {*_AXES, "Transpose"}  # of one weight
_MOST_NODES = 500
_MOST_WIDTH = 10_000  # of a weight, along each of its axes
_KINDS = {7: "<i8", 11: "<f8"}  # of weights: int64 and double, as ONNX numbers them

# Field numbers of ONNX: github.com/onnx/onnx/blob/main/onnx/onnx.proto
_MODEL_GRAPH, _MODEL_PROPERTY = 7, 14
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14}  # all but training and functions
_GRAPH_NODE, _GRAPH_WEIGHT = 1, 5
_GRAPH_FIELDS = {1, 2, 5, 10, 11, 12, 13}  # all but sparse weights
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_NODE_FIELDS = {1, 2, 3, 4, 5, 6}  # all but another domain's operators
_ATTRIBUTE_FIELDS = {1, 3, 13, 20}  # a name and a whole number: no subgraph
_WEIGHT_SIZE, _WEIGHT_KIND, _WEIGHT_NAME, _WEIGHT_VALUES = 1, 2, 8, 9
_WEIGHT_FIELDS = {1, 2, 8, 9}  # all but values in other files

Value = int | bytes


class GraphError(ValueError):
    """What is wrong with the bytes of a policy file."""


@dataclass(frozen=True)
class PolicyBytes:
    """A policy file's bytes, taken apart."""

    content: bytes
    properties: dict[str, str]
    graph: bytes

    @classmethod
    def parse(cls, content: bytes) -> PolicyBytes:
        """Finds the graph and the properties.

        Raises:
            GraphError: if the bytes are no ONNX model.
        """
        fields = list(_iterate_fields(content, _MODEL_FIELDS))
        graphs = [_to_bytes(value) for number, value in fields if number == _MODEL_GRAPH]
        if len(graphs) != 1:
            raise GraphError("there is no graph, or more than one")
        properties = {}
        for number, value in fields:
            if number == _MODEL_PROPERTY:
                pair = {n: _to_text(v) for n, v in _iterate_fields(_to_bytes(value), {1, 2})}
                properties[pair.get(1, "")] = pair.get(2, "")
        return cls(content, properties, graphs[0])

    def check_digest(self) -> None:
        """Refuses a file that was changed after it was written.

        Raises:
            GraphError: if so.
        """
        digest = self.properties.get(DIGEST, "")
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or _hash(self.content, digest) != digest:
            raise GraphError("it was changed after export wrote it")

    def check_graph(self) -> int:
        """Refuses all that `export` does not write.

        Returns:
            The most values that the graph makes of a row: the longest axis of a weight.

        Raises:
            GraphError: names what is not allowed.
        """
        fields = list(_iterate_fields(self.graph, _GRAPH_FIELDS))
        weights = [_check_weight(_to_bytes(v)) for n, v in fields if n == _GRAPH_WEIGHT]
        fixed = {name: len(shape) for name, shape in weights}
        nodes = [_to_bytes(value) for number, value in fields if number == _GRAPH_NODE]
        if len(nodes) > _MOST_NODES:
            raise GraphError(f"its graph has {len(nodes)} nodes; at most {_MOST_NODES} are allowed")
        for node in nodes:
            _check_node(node, fixed)
        return max((size for _, shape in weights for size in shape), default=1)


def seal(content: bytes) -> bytes:
    """Returns a policy file with its digest in the place of `NO_DIGEST`."""
    assert content.count(NO_DIGEST.encode()) == 1, "the digest has one place"
    return content.replace(NO_DIGEST.encode(), _hash(content, NO_DIGEST).encode())


def _hash(content: bytes, digest: str) -> str:
    return hashlib.sha256(content.replace(digest.encode(), NO_DIGEST.encode())).hexdigest()


def _check_weight(tensor: bytes) -> tuple[str, list[int]]:
    """The weight's name and shape, once its values are known to be finite and in the file."""
    sizes: list[int] = []
    kind, name, values = 0, "", b""
    for number, value in _iterate_fields(tensor, _WEIGHT_FIELDS):
        if number == _WEIGHT_SIZE:
            sizes += _list_varints(value) if isinstance(value, bytes) else [value]
        elif number == _WEIGHT_KIND:
            kind = _to_int(value)
        elif number == _WEIGHT_NAME:
            name = _to_text(value)
        elif number == _WEIGHT_VALUES:
            values = _to_bytes(value)
    if len(sizes) > 2 or max(sizes, default=0) > _MOST_WIDTH:
        raise GraphError(f"weight {name[:60]!r} is too large")
    if kind not in _KINDS or len(values) != math.prod(sizes) * 8:
        raise GraphError(f"weight {name[:60]!r} does not have the size that it declares")
    if not np.isfinite(np.frombuffer(values, _KINDS[kind])).all():
        raise GraphError(f"weight {name[:60]!r} is not finite")
    return name, sizes


def _check_node(node: bytes, fixed: dict[str, int]) -> None:
    """Refuses a node that `export` does not write.

    Args:
        node: its bytes.
        fixed: axes of the weights that no node has taken yet; those of this node are taken out, for
            one that many nodes took would make the time grow beyond the file's size.
    """
    fields = list(_iterate_fields(node, _NODE_FIELDS))
    (operator, *_) = [*(_to_text(v) for n, v in fields if n == _NODE_OPERATOR), ""]
    if operator not in _OPERATORS:
        raise GraphError(f"operator {operator[:60]!r} is not allowed")
    for number, value in fields:
        if number == _NODE_ATTRIBUTE:
            list(_iterate_fields(_to_bytes(value), _ATTRIBUTE_FIELDS))
    inputs = [_to_text(value) for number, value in fields if number == _NODE_INPUT]
    outputs = [_to_text(value) for number, value in fields if number == _NODE_OUTPUT]
    axes = tuple(fixed.pop(name, -1) for name in inputs)
    if operator == "Transpose" and axes == (2,):
        fixed.update(dict.fromkeys(outputs, 2))
    elif axes != _AXES.get(operator):
        # Two batches multiplied would grow with the square of the rows.
        raise GraphError(
            f"operator {operator!r} must have one input that is no weight, and weights of its own"
        )


def _iterate_fields(message: bytes, allowed: set[int]) -> Iterator[tuple[int, Value]]:
    """Yields a message's fields, by number."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        number, wire = tag >> 3, tag & 7
        if number not in allowed:
            raise GraphError(f"field {number} is not allowed")
        if wire == 0:
            value, place = _read_varint(message, place)
            yield number, value
        elif wire == 2:
            size, place = _read_varint(message, place)
            if place + size > len(message):
                raise GraphError("it ends too early")
            yield number, message[place : place + size]
            place += size
        else:
            raise GraphError(f"a field of kind {wire} is not allowed")


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number of 7 bits a byte, and the place after it."""
    value = 0
    for i, byte in enumerate(message[place : place + 10]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, place + i + 1
    raise GraphError("it ends too early")


def _list_varints(packed: bytes) -> list[int]:
    values, place = [], 0
    while place < len(packed):
        value, place = _read_varint(packed, place)
        values.append(value)
    return values


def _to_bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise GraphError("a number stands where bytes are meant")
    return value


def _to_int(value: Value) -> int:
    if not isinstance(value, int):
        raise GraphError("bytes stand where a number is meant")
    return value


def _to_text(value: Value) -> str:
    try:
        return _to_bytes(value).decode()
    except UnicodeDecodeError:
        raise GraphError("a name is not UTF-8") from None
