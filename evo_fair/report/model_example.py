"""The script beside a published network that loads it: `example.py`, for arrays or for pictures."""

from evo_fair.report.network_cards import CardInput

__all__ = ["example_script", "example_use"]

_OF_ARRAYS = '''"""Loads the network beside this file with ONNX Runtime and names the label of each input."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))


def predict(x):
    """The labels of inputs `[batch, ...]`, raw values as the card's `input` describes them."""
    entry = CARD["input"]
    x = np.asarray(x, np.float32)
    if "columns" not in entry:  # a table's file prepares its columns itself
        shape = (-1, *[1] * (len(entry["shape"]) - 1))
        x = (x - np.float32(entry["mean"]).reshape(shape)) * np.float32(entry["scale"]).reshape(shape)
    session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: x})
    return [CARD["labels"][number] for number in logits.argmax(1)]


if __name__ == "__main__":
    print(predict(np.zeros((1, *CARD["input"]["shape"]), np.float32)))
'''

_OF_PICTURES = '''"""Names the label of pictures: python example.py picture.jpg [more.jpg ...]

Loads the network beside this file with ONNX Runtime. Pictures are read with Pillow, 11 or newer.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
SHAPE = tuple(CARD["input"]["shape"])  # channels, height, width
SESSION = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])


def read_picture(path):
    """A picture's file as the network takes it: uint8 `[channels, height, width]`, read as evo_fair reads images.

    The whole picture is turned as its EXIF data say, laid on white where it is transparent, and resized with Pillow's
    bilinear filter; red, green and blue, or grey for a network with one channel.
    """
    from PIL import Image, ImageOps

    channels, height, width = SHAPE
    with Image.open(path) as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        if picture.mode == "F" or picture.mode.startswith("I"):
            raise ValueError(f"its mode {picture.mode} is not 8 bits a channel: convert it")
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    if channels == 1:
        return np.asarray(picture.convert("L"))[None]
    return np.asarray(picture).transpose(2, 0, 1)


def probabilities(x):
    """How sure the network is of each label, `[batch, labels]`, of inputs `[batch, channels, height, width]`.

    Inputs are raw values from 0 to 255, as `read_picture` gives them.
    """
    x = np.asarray(x, np.float32)
    if x.shape[1:] != SHAPE:
        wanted = ", ".join(map(str, SHAPE))
        raise ValueError(
            f"inputs have the shape [batch, {wanted}] (channels, height, width), got {list(x.shape)}: "
            "read_picture makes such an array of a file"
        )
    entry = CARD["input"]
    mean, scale = (np.float32(entry[key]).reshape(-1, 1, 1) for key in ("mean", "scale"))
    (logits,) = SESSION.run(None, {SESSION.get_inputs()[0].name: (x - mean) * scale})
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def predict(x):
    """The labels of inputs `[batch, channels, height, width]`, raw values from 0 to 255."""
    return [CARD["labels"][number] for number in probabilities(x).argmax(1)]


def main(paths):
    """Prints the label of each picture with its probability."""
    if not paths:
        sys.exit("give files of pictures: python example.py picture.jpg [more.jpg ...]")
    for path in paths:
        try:
            x = read_picture(path)
        except Exception as reason:  # Pillow raises errors of many kinds for a file that is damaged
            sys.exit(f"{path} can't be read: {reason}; give files, those with blanks in their names in quotes")
        (shares,) = probabilities([x])
        print(f"{path}: {CARD['labels'][shares.argmax()]}, {100 * shares.max():.1f} %")


if __name__ == "__main__":
    main(sys.argv[1:])
'''


def example_script(entry: CardInput | None) -> str:
    """The text of `example.py` for a network: for pictures where it takes images of one channel or three, else arrays.

    Args:
        entry: What its card says of its input, None where it says nothing.
    """
    return _OF_ARRAYS if _picture_shape(entry) is None else _OF_PICTURES


def example_use(entry: CardInput | None) -> str:
    """How `example.py` is used, and what it needs, as Markdown; see `example_script`.

    Args:
        entry: What its card says of its input, None where it says nothing.
    """
    shape = _picture_shape(entry)
    if shape is None:
        return _USE_OF_ARRAYS
    channels, height, width = shape
    return (
        f"{_USE_OF_PICTURES}\n\n`read_picture` reads a file as evo_fair reads images: the whole picture, turned as its "
        f"EXIF data say, laid on white where it is transparent, as {'RGB' if channels == 3 else 'grey'} of {width} x "
        f"{height} pixels, resized with Pillow's bilinear filter. `predict` takes any array `[batch, {channels}, "
        f"{height}, {width}]` of such values, 0 to 255.\n\n`example.py` needs NumPy, ONNX Runtime and, for files, "
        "Pillow 11 or newer."
    )


def _picture_shape(entry: CardInput | None) -> tuple[int, int, int] | None:
    """Channels, height and width of a network that takes images of one channel or three; None for any other."""
    if entry is None or entry.columns is not None or len(entry.shape) != 3 or entry.shape[0] not in (1, 3):
        return None
    channels, height, width = entry.shape
    return channels, height, width


_USE_OF_ARRAYS = """```python
from example import predict

labels = predict(inputs)  # [batch, ...], raw values
```

`example.py` needs NumPy and ONNX Runtime."""

_USE_OF_PICTURES = """```sh
python example.py picture.jpg
```

prints the label of a picture with its probability. In Python:

```python
from example import predict, read_picture

labels = predict([read_picture("picture.jpg")])
```"""
