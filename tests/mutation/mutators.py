"""Small damages to files, each drawn from a `random.Random`: of bytes, lines, numbers, texts and structure.

A mutator takes a file's content and gives another. Structure is that of a kind of file: JSON, JSON lines, TOML, CSV,
`.npz` and safetensors are taken apart, changed in one place and put together again, so that the damage gets past the
parser to whoever believes the content.
"""

import copy
import csv
import io
import json
import random
import re
import tomllib
from collections.abc import Callable
from typing import Any

import numpy as np
import tomli_w

__all__ = ["KINDS", "Mutator", "mutate"]

Mutator = Callable[[random.Random, bytes], bytes]

WHOLE = [-1, 0, 1, 2, 7, 255, 256, 65536, 2**24, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400 - 1]
NUMBERS = [
    *map(str, WHOLE),
    *("1e308", "-1e308", "1e400", "5e-324", "0.5", "-0.0", "1e9", "nan", "inf", "-inf", "NaN", "Infinity", "true"),
    *("null", "0x10", "1_000", "١", "1e", "007", "--1", "9" * 5000),
]
TEXTS = [
    "",
    " ",
    "../../x",
    "/etc/passwd",
    "..",
    "C:\\x",
    "[/red]x",
    "[bold]",
    "\x1b[31mred",
    "a|b",
    "<script>",
    "=1+1",
    "NaN",
    "None",
    "true",
    "0",
    "\u202e",
    "\u0000",
    "é" * 40,
    "a\nb",
    "__import__('os')",
    "%s{0}",
    "x" * 300,
    "y" * 140_000,
]
VALUES: list[Any] = [None, True, False, 0, -1, 1, 0.5, 2**31, 2**53, 2**63, 10**30, 1e308, -1e308, 5e-324]
VALUES += ["", "x", "../../x", [], {}, [[]], [0], [None], ["a"], {"": {}}, {"a": 1}, [1e308] * 3, "z" * 140_000]


def mutate(rng: random.Random, kind: str, content: bytes) -> bytes:
    """A damaged version of `content`, a file of a kind out of `KINDS`; mostly one damage, now and then several."""
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        general = [_bytes, _lines, _numbers, _texts] if kind not in ("npz", "safetensors", "bytes") else [_bytes]
        structural = KINDS[kind]
        chosen = structural if structural and rng.random() < 0.5 else rng.choice(general)
        try:
            content = chosen(rng, content)
        except Exception:  # the damage before has left no structure to change, or the new one has no such form
            content = _bytes(rng, content)
    return content


def _bytes(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    at, length = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 4, 16, 200])
    match rng.randrange(8):
        case 0 if data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        case 1 if data:
            data[at % len(data)] = rng.randrange(256)
        case 2:
            del data[at : at + length]
        case 3:
            data[at:at] = rng.randbytes(length)
        case 4:
            data[at:at] = data[at : at + length]
        case 5:
            del data[at:]
        case 6:
            data[at : at + length] = bytes(len(data[at : at + length]))
        case _:
            data[at:at] = rng.choice([b"\n", b",", b'"', b"]", b"}", b"\xff", b"\xef\xbb\xbf", b"[" * 3000, b"\x00"])
    return bytes(data)


def _lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = b"\n"
        case 4:
            lines[at] = lines[at].rstrip(b"\r\n")
        case _:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)] + b"\n"
    return b"".join(lines)


def _numbers(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", content))
    chosen = rng.choice(found)
    return content[: chosen.start()] + rng.choice(NUMBERS).encode() + content[chosen.end() :]


def _texts(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb'"[^"\n]*"|[A-Za-z_][A-Za-z0-9_.-]*', content))
    chosen = rng.choice(found)
    text = rng.choice(TEXTS)
    new = json.dumps(text).encode() if chosen[0].startswith(b'"') and rng.random() < 0.7 else text.encode()
    return content[: chosen.start()] + new + content[chosen.end() :]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a nested value together with each of its keys."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((value, key))
        found += _places(value[key])
    return found


def _nested(rng: random.Random, value: Any) -> Any:
    """A nested value that differs in one place."""
    value = copy.deepcopy(value)
    places = _places(value)
    if not places or rng.random() < 0.03:
        return rng.choice(VALUES)
    container, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[rng.choice(TEXTS)] = container.pop(key)
        case 1:
            container.append(container[key])
        case 2:
            other, place = rng.choice(places)
            container[key] = copy.deepcopy(other[place])
        case 3 if isinstance(container[key], int | float):
            container[key] = rng.choice([-container[key], container[key] + 1, container[key] * 1000, 2**53, 1e300])
        case _:
            container[key] = copy.deepcopy(rng.choice(VALUES))
    return value


def _json(rng: random.Random, content: bytes) -> bytes:
    return json.dumps(_nested(rng, json.loads(content))).encode()


def _json_lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = json.dumps(_nested(rng, json.loads(lines[at])), separators=(",", ":")).encode() + b"\n"
    return b"".join(lines)


def _toml(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.05:
        return content + rng.choice([b"a" + b".a" * 9000 + b" = 1\n", b"x = [" * 3000, b"[" + b"b." * 2000 + b"c]\n"])
    return tomli_w.dumps(_nested(rng, tomllib.loads(content.decode()))).encode()


def _csv(rng: random.Random, content: bytes) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode())))
    row = rng.choice(rows)
    at = rng.randrange(len(row))
    match rng.randrange(6):
        case 0:
            del row[at]
        case 1:
            row.insert(at, rng.choice(row))
        case 2:
            row[at] = rng.choice(rng.choice(rows))
        case 3:
            for one in rows:
                del one[at : at + 1]
        case _:
            row[at] = rng.choice([*TEXTS, *NUMBERS])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    match rng.randrange(7):
        case 0:
            return array.astype(rng.choice(["<f4", "<f8", "<i8", "<u1", "<U3", "?", "<c8"]))
        case 1:
            return array[:-1] if array.ndim else array[None]
        case 2:
            return array[..., None]
        case 3:
            return np.concatenate([array, array]) if array.ndim else array
        case 4:
            return np.array(rng.choice([0, -1, 2**40, np.nan, "text", ""]))
        case _:
            changed = np.array(array)
            if changed.size and changed.dtype.kind in "iuf":
                value = rng.choice([-1, 1, 99, 255, 30000, np.nan, np.inf, 1e300])
                with np.errstate(all="ignore"):
                    changed.flat[rng.randrange(changed.size)] = np.array(value).astype(changed.dtype)
            return changed


def _npz(rng: random.Random, content: bytes) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    match rng.randrange(5):
        case 0:
            del arrays[name]
        case 1:
            arrays[rng.choice([*arrays, "x", "a/b"])] = arrays.pop(name)
        case _ if arrays[name].dtype.kind == "U" and not arrays[name].ndim:  # a text of JSON
            arrays[name] = np.array(_json(rng, str(arrays[name]).encode()).decode())
        case _:
            arrays[name] = _array(rng, arrays[name])
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def _safetensors(rng: random.Random, content: bytes) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    match rng.randrange(4):
        case 0:  # a tensor taken out, with its bytes, so that the file is whole
            name = rng.choice([name for name in header if name != "__metadata__"])
            start, end = header.pop(name)["data_offsets"]
            data = data[:start] + data[end:]
            for one in header.values():
                if "data_offsets" in one:
                    one["data_offsets"] = [at - (end - start) * (at > start) for at in one["data_offsets"]]
        case 1:
            name = rng.choice([name for name in header if name != "__metadata__"])
            header[name]["shape"] = rng.choice(
                [header[name]["shape"][::-1], [*header[name]["shape"], 1], [-1], [2**40]]
            )
        case 2 if data:
            flipped = bytearray(data)
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            data = bytes(flipped)
        case _:
            header = _nested(rng, header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


KINDS: dict[str, Mutator | None] = {
    "bytes": None,
    "csv": _csv,
    "json": _json,
    "jsonl": _json_lines,
    "npz": _npz,
    "safetensors": _safetensors,
    "text": None,
    "toml": _toml,
}
"""Kinds of files, and what changes the structure of one; `text` has lines, numbers and words alone, `bytes` nothing."""
