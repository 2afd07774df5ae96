"""Images that cost too much or are damaged: refused on one line, and never used in silence."""

import io
import random
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image, ImageFile

from evo_fair.data import image_cache, images
from evo_fair.data.decoding import LONGEST_SIDE, MOST_PIXELS, decode_pixels
from evo_fair.data.images import decode_images, list_folder, list_zip
from evo_fair.errors import DataError

from .fakes import encoded, jpeg


def png(width: int, height: int, rows: int = 3) -> bytes:
    """A grey PNG that says to have so many pixels and holds a few rows of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels = zlib.compress(bytes((width + 8) // 8 * rows), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 80, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is there a thousand times."""
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 40).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * 1000 + content[-2:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(1, 170_000_000), r"it says to have 1 x 170,000,000 pixels in \d+ bytes"),
        (png(170_000_000, 1, 0), r"it says to have 170,000,000 x 1 pixels in \d+ bytes"),
        (png(13_000, 13_000), r"it says to have 13,000 x 13,000 pixels in \d+ bytes, at most 67,108,864 and 65,536"),
        (png(10_000, 10_000), "it says to have 10,000 x 10,000 pixels"),
        (png(1, LONGEST_SIDE + 1), r"1 x 65,537 pixels"),
        (png(2**31 - 1, 2**31 - 1, 0), r"it says to have more than 178,956,970 pixels in \d+ bytes"),
        (bmp(12_000, 12_000), "it says to have 12,000 x 12,000 pixels in 54 bytes"),
        (many_scans(), r"it has 1\d{3} scans, at most 200 are decoded"),
    ],
)
def test_an_image_that_would_cost_too_much_is_refused_before_it_is_decoded(
    tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("it was decoded"))
    (tmp_path / "bomb.png").write_bytes(content)
    begun = time.perf_counter()
    with pytest.raises(DataError, match=message) as caught:
        decode_images("hostile", list(list_folder(tmp_path).values()), 64)
    assert time.perf_counter() - begun < 2
    assert str(tmp_path / "bomb.png") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not recwarn.list  # Pillow's own warnings would be lines of their own


def test_a_file_and_a_member_of_too_many_bytes_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_LARGEST_FILE", 10_000)
    with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("zeros.bmp", bytes(10_001))
    (tmp_path / "large.bmp").write_bytes(bytes(10_001))
    monkeypatch.setattr(ZipFile, "read", lambda *_: pytest.fail("it was read"))
    for found, mend in ((list_zip(tmp_path / "a.zip"), "get a.zip again"), (list_folder(tmp_path), "replace the file")):
        with pytest.raises(DataError, match=f"has 10001 bytes, at most 10000 are read; {mend}"):
            decode_images("hostile", list(found.values()), 64)


def test_threads_hold_no_more_pixels_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = type(decode_pixels.__globals__["_IN_MEMORY"])(100)
    with budget.of(60), budget.of(40):
        assert budget._left == 0
    assert budget._left == 100


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("RGBA", (9, 9), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (100, 0, 0, 51)), (224, 204, 204)),  # 0.2 of it and 0.8 of white
        (Image.new("RGBA", (9, 9), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("LA", (9, 9), (7, 0)), (255, 255, 255)),
        (Image.new("RGB", (9, 9), (1, 2, 3)), (1, 2, 3)),
    ],
)
def test_what_is_transparent_is_laid_on_white(image: Image.Image, pixel: tuple[int, int, int]) -> None:
    assert set(map(tuple, decode_pixels(encoded(image, "PNG"), 8).reshape(3, -1).T.tolist())) == {pixel}


def test_a_transparent_colour_of_a_palette_is_laid_on_white() -> None:
    palette = Image.new("P", (9, 9), 0)
    palette.putpalette([200, 0, 0, 0, 200, 0])
    stream = io.BytesIO()
    palette.save(stream, "PNG", transparency=0)
    assert (decode_pixels(stream.getvalue(), 8) == 255).all()


def _files(folder: Path, count: int = 12) -> list[images.ImageFile]:
    for i in range(count):
        (folder / f"{i:02}.png").write_bytes(jpeg(i))
    return [image for _, image in sorted(list_folder(folder).items())]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:300] + bytes([content[300] ^ 1]) + content[301:],  # a pixel's lowest bit
        lambda content: content[:1000] + bytes(200) + content[1200:],
        lambda content: content[:-5] + bytes([content[-5] ^ 128]) + content[-4:],  # a hash
        lambda content: content[: -12 * image_cache.HASH_BYTES],  # as it was kept before there were hashes
        lambda content: content.replace(b"False", b"True "),
        lambda content: content.replace(b"(12,", b"(12 "),
        lambda content: b"",
        lambda content: bytes(len(content)),
    ],
)
def test_a_damaged_cache_is_noticed_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    found = _files(tmp_path)
    expected = np.array(decode_images("zoo", found, 8).pixels)
    (cached,) = (tmp_path / "cache" / "images").iterdir()
    whole = cached.read_bytes()
    damaged = damage(whole)
    assert damaged != whole
    cached.write_bytes(damaged)
    np.testing.assert_array_equal(decode_images("zoo", found, 8).pixels, expected)
    assert cached.read_bytes() == whole


def test_a_cache_is_hashed_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    found = _files(tmp_path)
    first = decode_images("zoo", found, 8)
    monkeypatch.setattr(image_cache, "_hashes", lambda *_: pytest.fail("hashed again"))
    np.testing.assert_array_equal(decode_images("zoo", found, 8).hashes, first.hashes)


def _mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with one of the usual kinds of damage: flipped bits, zeros, a cut, a repeat, an odd number."""
    place, kind = draw.randrange(len(content)), draw.randrange(6)
    if kind == 0:
        return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]
    if kind == 1:
        return content[:place] + bytes(min(draw.randrange(1, 64), len(content) - place)) + content[place + 64 :]
    if kind == 2:
        return content[:place]
    if kind == 3:
        return content[:place] + content[max(0, place - 100) : place] * draw.randrange(1, 4) + content[place:]
    if kind == 4:
        place = draw.randrange(min(64, len(content)))
    return content[:place] + draw.randbytes(draw.randrange(1, 5)) + content[place + 4 :]


def _refused(read: Callable[[], object]) -> bool:
    """Whether it is refused, on one line; anything but a `DataError` fails the test."""
    try:
        read()
    except DataError as error:
        message = str(error)
    else:
        return False
    assert "\n" not in message
    assert len(message) < 1000
    return True


def _samples() -> dict[str, bytes]:
    noise = Image.effect_noise((40, 30), 60)
    samples = {}
    for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP"):
        samples[kind] = encoded(noise.convert("RGB"), kind)
    samples["PNG alpha"] = encoded(Image.merge("RGBA", [noise] * 4), "PNG")
    samples["PNG palette"] = encoded(noise.convert("P"), "PNG")
    stream = io.BytesIO()
    noise.save(
        stream, "JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0"
    )
    return samples | {"JPEG progressive": stream.getvalue()}


@pytest.mark.parametrize("kind", list(_samples()))
def test_a_mutated_image_is_read_or_refused_on_one_line(tmp_path: Path, kind: str, mutations: int) -> None:
    draw, content = random.Random(kind), _samples()[kind]
    refused = 0
    path = tmp_path / "one.png"
    for number in range(mutations):
        path.write_bytes(_mutated(content, draw))
        image = images.ImageFile(path, None, path.stat().st_size, number)
        begun = time.perf_counter()
        refused += _refused(lambda image=image: decode_images("mutated", [image], 8))
        assert time.perf_counter() - begun < 10
    assert refused


def test_a_mutated_zip_is_read_or_refused_on_one_line(tmp_path: Path, mutations: int) -> None:
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"part/{i}.jpg", jpeg(i))
    draw, path, refused = random.Random(0), tmp_path / "a.zip", 0
    for _ in range(mutations):
        path.write_bytes(_mutated(stream.getvalue(), draw))
        refused += _refused(lambda: decode_images("mutated", list(list_zip(path).values()), 8))
    assert refused


def test_the_limits_let_a_camera_s_image_through() -> None:
    assert MOST_PIXELS > 8688 * 5792  # the largest of 35 mm cameras of its day
