"""Damaged and hostile ONNX files: refused in one line, in time and without much memory, or read.

`EVO_FAIR_MUTATIONS` says how many files are made, `EVO_FAIR_SEED` from which seed.
"""

import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from evo_fair.errors import EvoFairError
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict

from .onnx_zoo import ZOO, Shapes

COUNT = int(os.environ.get("EVO_FAIR_MUTATIONS", "400"))
SEED = int(os.environ.get("EVO_FAIR_SEED", "0"))
SOURCES = [
    *("tf-nhwc", "view-of-opset-9", "nested-functions", "loop-of-products", "scan-over-steps", "fused-by-onnxruntime"),
    *("boxes-by-nms", "encoder-torch-17", "lstm-torch-17", "squeeze-free-torch-17", "einsum-torch-17"),
    *("quantised-QDQ", "siamese-free-torch-17", "unet-torch-17", "group-norm-of-opset-21", "conv3d-torch-17"),
]
LONGEST_SECONDS = 10
MOST_GROWTH = 2 * 2**30
NUMBERS = [0, 1, 2, 3, -1, -2, 7, 64, 255, 2**15, 2**24, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1]
TEXTS = [
    "",
    "x",
    "y",
    "Conv",
    "Reshape",
    "Loop",
    "If",
    "Shape",
    "Constant",
    "LSTM",
    "Einsum",
    "\x00",
    "[bold]",
    "n" * 5000,
]

Random = np.random.Generator


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, Shapes]]:
    folder = tmp_path_factory.mktemp("zoo")
    found = []
    for name in SOURCES:
        shapes = ZOO[name](folder / "x.onnx")
        found.append(((folder / "x.onnx").read_bytes(), shapes))
    return found


def flipped(content: bytes, random: Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(int(random.integers(1, 8))):
        damaged[random.integers(len(damaged))] = int(random.integers(256))
    return bytes(damaged)


def cut(content: bytes, random: Random) -> bytes:
    begin, end = sorted(int(i) for i in random.integers(len(content) + 1, size=2))
    return content[:begin] if random.random() < 0.5 else content[:begin] + content[end:]


def zeroed(content: bytes, random: Random) -> bytes:
    begin = int(random.integers(len(content)))
    count = int(random.integers(1, 200))
    return content[:begin] + bytes(min(count, len(content) - begin)) + content[begin + count :]


def edited(content: bytes, random: Random) -> bytes:
    """Changes some fields of the message, wherever they are."""
    model = onnx.ModelProto.FromString(content)
    places = list(messages(model))
    for _ in range(int(random.integers(1, 4))):
        change(places[random.integers(len(places))], random)
    try:
        return model.SerializeToString()
    except Exception:  # protobuf does not write what it does not take
        return content


def messages(message: Message) -> Iterable[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from messages(inner)


def change(message: Message, random: Random) -> None:
    fields = [field for field, _ in message.ListFields()] or list(message.DESCRIPTOR.fields)
    field = fields[random.integers(len(fields))]
    if field.is_repeated:
        values = getattr(message, field.name)
        if len(values) and random.random() < 0.4:
            del values[random.integers(len(values))]
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            if len(values):
                values.add().CopyFrom(values[random.integers(len(values))])
        elif (value := drawn(field, random)) is not None:
            if len(values):
                values[random.integers(len(values))] = value
            else:
                values.append(value)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        message.ClearField(field.name)
    elif (value := drawn(field, random)) is not None:
        setattr(message, field.name, value)


def drawn(field: FieldDescriptor, random: Random) -> object:
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS[random.integers(len(TEXTS))]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return random.bytes(int(random.integers(40)))
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return [0.0, -1.0, 1e30, float("nan"), float("inf")][random.integers(5)]
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values
        return known[random.integers(len(known))].number
    number = NUMBERS[random.integers(len(NUMBERS))]
    return number if field.type == FieldDescriptor.TYPE_INT64 else number % 2**31


MUTATORS: list[Callable[[bytes, Random], bytes]] = [flipped, cut, zeroed, edited, edited, edited]


def refused(path: Path, shapes: Shapes, profile: Profile, note: str) -> str | None:
    """The refusal of a file, None for one that is read; other errors carry the note."""
    try:
        predict(read_onnx(path, shapes or None), profile).as_dict()
    except EvoFairError as refusal:
        return str(refusal)
    except BaseException as error:
        error.add_note(note)
        raise
    return None


def test_damaged_files_end_in_a_line_or_in_figures(sources: list[tuple[bytes, Shapes]], tmp_path: Path) -> None:
    profile = load_profile("raspberry-pi-4")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "x.onnx"
    read = 0
    for i in range(COUNT):
        random = np.random.default_rng((SEED, i))
        content, shapes = sources[random.integers(len(sources))]
        path.write_bytes(MUTATORS[random.integers(len(MUTATORS))](content, random))
        begun = time.perf_counter()
        refusal = refused(path, shapes, profile, f"mutation {i} of seed {SEED}")
        read += refusal is None
        assert "\n" not in (refusal or ""), f"mutation {i} of seed {SEED}"
        assert len(refusal or "") < 1500, f"mutation {i} of seed {SEED}"
        assert time.perf_counter() - begun < LONGEST_SECONDS, f"mutation {i} of seed {SEED}"
    assert 0.02 * COUNT < read < COUNT
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST_GROWTH
