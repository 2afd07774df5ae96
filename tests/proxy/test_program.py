"""Operations on images give what torch gives for the same layer, whatever the shape and the number of threads."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from evo_fair.proxy.operations import NONE, Action
from evo_fair.proxy.packing import batch_statistics, pack_dense, pack_depthwise, pack_half
from evo_fair.proxy.program import Layer, Writer, padded
from evo_fair.proxy.runner import Runner
from evo_fair.proxy.tiles import BF16
from evo_fair.proxy.winograd import POINTS, pack_winograd, transform_weights

IMAGES = 3


def images(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    """Float32 `[images, height, width, channels]`, channels filled up with zeros."""
    x = np.zeros((IMAGES, height, width, padded(channels)), np.float32)
    x[..., :channels] = rng.standard_normal((IMAGES, height, width, channels))
    return x


def to_torch(x: np.ndarray, channels: int) -> torch.Tensor:
    return torch.from_numpy(x[..., :channels]).permute(0, 3, 1, 2)


def filled_up(values: np.ndarray) -> np.ndarray:
    return np.pad(values, (0, padded(len(values)) - len(values)))


@pytest.mark.parametrize(
    ("size", "c_in", "c_out", "kernel", "stride"),
    [
        *((size, 5, 12, 3, 1) for size in [(1, 1), (2, 3), (4, 4), (5, 7), (9, 16)]),
        *(((6, 13), 3, c_out, 1, 1) for c_out in [3, 8, 16, 24, 32, 40, 48, 56, 64, 72, 104]),
        *(
            ((8, 11), c_in, 20, kernel, stride)
            for c_in, kernel, stride in itertools.product([3, 8, 24], [1, 3, 5], [1, 2])
        ),
    ],
)
def test_a_convolution_is_that_of_torch(size: tuple[int, int], c_in: int, c_out: int, kernel: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    x = images(rng, *size, c_in)
    wide = rng.standard_normal((c_out + 4, c_in + 2, kernel + 2, kernel + 2)).astype(np.float32)
    scale, bias = (rng.standard_normal(c_out).astype(np.float32) for _ in range(2))
    packed = np.zeros(kernel**2 * padded(c_in) * padded(c_out), np.float32)
    pack_dense(wide, c_out, c_in, kernel, scale, packed)
    weight = torch.from_numpy(wide[:c_out, :c_in, 1:-1, 1:-1] * scale[:, None, None, None])
    expected = functional.conv2d(to_torch(x, c_in), weight, torch.from_numpy(bias), stride, kernel // 2)
    height, width = expected.shape[2:]
    other = images(rng, height, width, c_out)

    writer = Writer()
    entry = writer.buffer(0, *size, c_in, kernel // 2)
    residual = writer.buffer(1, height, width, c_out, 1)
    out = writer.buffer(2, height, width, c_out, 2)
    writer.load(0, entry, c_in)
    writer.load(1, residual, c_out)
    writer.dense(entry, out, Layer(packed, filled_up(bias)), kernel, stride, residual=residual, relu=True)
    writer.store(out)
    target = np.empty((IMAGES, height, width, padded(c_out)), np.float32)
    Runner(1).run(writer.program(), IMAGES, [x, other], target)
    expected = (expected + to_torch(other, c_out)).relu()
    torch.testing.assert_close(to_torch(target, c_out), expected, rtol=1e-5, atol=2e-5)
    assert (target[..., c_out:] == 0).all()


@pytest.mark.parametrize(
    ("size", "channels", "kernel", "stride"),
    [
        ((h, w), channels, kernel, stride)
        for (h, w), channels in [((1, 1), 8), ((2, 5), 12), ((4, 4), 40), ((7, 19), 24), ((16, 16), 16)]
        for kernel, stride in itertools.product([3, 5], [1, 2])
    ],
)
def test_a_depthwise_convolution_is_that_of_torch(
    size: tuple[int, int], channels: int, kernel: int, stride: int
) -> None:
    rng = np.random.default_rng(1)
    x = images(rng, *size, channels)
    weight = rng.standard_normal((channels, 1, 5, 5)).astype(np.float32)
    scale, bias = (rng.standard_normal(channels).astype(np.float32) for _ in range(2))
    packed = np.zeros(kernel**2 * padded(channels), np.float32)
    pack_depthwise(weight, channels, kernel, scale, packed)
    margin = (5 - kernel) // 2
    cut = weight[:, :, margin : 5 - margin, margin : 5 - margin] * scale[:, None, None, None]
    expected = functional.conv2d(
        to_torch(x, channels), torch.from_numpy(cut), torch.from_numpy(bias), stride, kernel // 2, 1, channels
    )

    writer = Writer()
    entry = writer.buffer(0, *size, channels, 2)
    out = writer.buffer(1, *expected.shape[2:], channels)
    writer.load(0, entry, channels)
    writer.depthwise(entry, out, Layer(packed, filled_up(bias)), kernel, stride, relu=False)
    writer.store(out)
    target = np.empty((IMAGES, *expected.shape[2:], padded(channels)), np.float32)
    Runner(1).run(writer.program(), IMAGES, [x], target)
    torch.testing.assert_close(to_torch(target, channels), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.skipif(not BF16, reason="the processor has no bfloat16 instructions")
@pytest.mark.parametrize(("kernel", "stride", "c_out"), [(1, 1, 8), (3, 1, 24), (3, 2, 40), (5, 1, 72)])
def test_a_convolution_of_halves_is_that_of_rounded_inputs_and_weights(kernel: int, stride: int, c_out: int) -> None:
    rng = np.random.default_rng(8)
    x = images(rng, 6, 13, 12)
    weight = rng.standard_normal((c_out, 12, kernel, kernel)).astype(np.float32)
    packed = np.zeros(kernel**2 * 16 * padded(c_out), np.float32)
    pack_dense(weight, c_out, 12, kernel, np.ones(c_out, np.float32), packed)
    pairs = np.empty(packed.size, np.uint16)
    pack_half(packed, c_out, kernel**2 * 16, pairs)
    rounded = (torch.from_numpy(array).bfloat16().float() for array in (to_torch(x, 12).numpy(), weight))
    expected = functional.conv2d(*rounded, None, stride, kernel // 2)

    writer = Writer()
    entry = writer.buffer(0, 6, 13, 12, kernel // 2)
    out = writer.buffer(1, *expected.shape[2:], c_out)
    writer.load(0, entry, 12)
    layer = Layer(pairs.view(np.float32), np.zeros(padded(c_out), np.float32), half=True)
    writer.dense(writer.halve(entry, 2), out, layer, kernel, stride, relu=False)
    writer.store(out)
    target = np.empty((IMAGES, *expected.shape[2:], padded(c_out)), np.float32)
    Runner(1).run(writer.program(), IMAGES, [x], target)
    torch.testing.assert_close(to_torch(target, c_out), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.skipif(not BF16, reason="features are kept in float16 where there is bfloat16")
def test_what_is_kept_in_float16_is_what_rounding_in_place_gives() -> None:
    rng = np.random.default_rng(9)
    x = 100 * images(rng, 5, 3, 24)
    scale, shift = (rng.standard_normal(24).astype(np.float32) for _ in range(2))
    kept = np.empty((IMAGES, 5, 3, 24), np.float16)
    keeping, loading, rounding = Writer(), Writer(), Writer()
    buffer = keeping.buffer(0, 5, 3, 24, 1)
    keeping.load(0, buffer, 24)
    keeping.store(buffer, half=True)
    loading.load(0, loading.buffer(0, 5, 3, 24, 1), 24, affine=(scale, shift), relu=True, half=True)
    loading.store(buffer)
    rounding.load(0, rounding.buffer(0, 5, 3, 24, 1), 24)
    rounding.round(buffer)
    rounding.scale(buffer, buffer, (scale, shift), relu=True)
    rounding.store(buffer)
    loaded, rounded = np.empty((2, IMAGES, 5, 3, 24), np.float32)
    Runner(1).run(keeping.program(), IMAGES, [x], kept)
    Runner(1).run(loading.program(), IMAGES, [kept], loaded)
    Runner(1).run(rounding.program(), IMAGES, [x], rounded)
    assert (kept == x.astype(np.float16)).all()
    assert (loaded == rounded).all()
    np.testing.assert_allclose(loaded, np.maximum(kept.astype(np.float32) * scale + shift, 0), rtol=1e-5, atol=1e-4)


def test_loading_scales_adds_and_fills_up() -> None:
    rng = np.random.default_rng(2)
    raw = rng.standard_normal((IMAGES, 3, 4, 3)).astype(np.float32)  # pixels of three values
    other = images(rng, 3, 4, 5)
    scale, shift = (rng.standard_normal(5).astype(np.float32) for _ in range(2))
    writer = Writer()
    narrow, wide = writer.buffer(0, 3, 4, 3, 1), writer.buffer(1, 3, 4, 5)
    writer.load(0, narrow, 3, step=3)
    writer.load(1, wide, 5, affine=(scale, shift))
    writer.load(1, wide, 5, add=True, relu=True)
    writer.store(wide)
    target = np.full((IMAGES, 3, 4, 8), np.nan, np.float32)
    Runner(1).run(writer.program(), IMAGES, [raw, other], target)
    expected = np.maximum(other[..., :5] * (scale + 1) + shift, 0)
    np.testing.assert_allclose(target[..., :5], expected, rtol=1e-5, atol=1e-5)
    assert (target[..., 5:] == 0).all()

    writer = Writer()
    narrow = writer.buffer(0, 3, 4, 3)
    writer.load(0, narrow, 3, step=3)
    writer.store(narrow)
    Runner(1).run(writer.program(), IMAGES, [raw], target)
    assert (target[..., :3] == raw).all()
    assert (target[..., 3:] == 0).all()


def test_statistics_are_those_of_the_whole_batch_even_far_from_zero() -> None:
    rng = np.random.default_rng(3)
    x = images(rng, 6, 5, 67)
    x[..., :67] += np.linspace(-1000, 1000, 67, dtype=np.float32)
    writer = Writer()
    buffer = writer.buffer(0, 6, 5, 67)
    writer.load(0, buffer, 67)
    writer.statistics(buffer)
    mean, variance = batch_statistics(Runner(1).run(writer.program(), IMAGES, [x], None, 72), 30)
    np.testing.assert_allclose(mean[:67], x.mean((0, 1, 2), np.float64)[:67], rtol=1e-6)
    np.testing.assert_allclose(variance[:67], x.astype(np.float64).var((0, 1, 2))[:67], rtol=1e-3)


def test_pooling_is_the_mean_of_the_map() -> None:
    x = images(np.random.default_rng(4), 3, 5, 9)
    writer = Writer()
    entry, out = writer.buffer(0, 3, 5, 9, 1), writer.buffer(1, 1, 1, 9)
    writer.load(0, entry, 9)
    writer.pool(entry, out)
    writer.store(out)
    target = np.empty((IMAGES, 16), np.float32)
    Runner(1).run(writer.program(), IMAGES, [x], target)
    np.testing.assert_allclose(target, x.mean((1, 2)), atol=1e-6)


def test_a_kernel_that_would_read_beyond_the_border_is_refused() -> None:
    writer = Writer()
    x, out = writer.buffer(0, 4, 4, 8, 1), writer.buffer(1, 4, 4, 8)
    with pytest.raises(ValueError, match="needs a border of 2"):
        writer.dense(x, out, Layer(np.zeros(0, np.float32), np.zeros(8, np.float32)), 5, 1)


def test_operations_are_records_whose_places_count_from_the_start_of_the_arena() -> None:
    writer = Writer()
    x, out = writer.buffer(0, 2, 3, 8, 1), writer.buffer(1, 2, 3, 16)
    writer.dense(x, out, Layer(np.zeros(9 * 8 * 16, np.float32), np.zeros(16, np.float32)), 3, 1)
    (op,) = writer.program().operations
    assert Action(op["action"]) is Action.DENSE
    assert [op[name] for name in ("x", "x_row", "x_step", "x_below", "rows", "length")] == [0, 40, 8, 40, 3, 24]
    assert [op[name] for name in ("out", "out_row", "height", "width", "channels")] == [160, 48, 2, 3, 16]
    assert [op[name] for name in ("weight", "bias", "residual", "relu", "border")] == [0, 1152, NONE, 1, 0]


def test_sources_of_another_type_or_too_few_images_are_refused() -> None:
    writer = Writer()
    buffer = writer.buffer(0, 2, 2, 8)
    writer.load(0, buffer, 8)
    for wrong in (np.zeros((2, 2, 2, 8)), np.zeros((1, 2, 2, 8), np.float32), np.zeros((2, 8, 2, 2), np.float32).T):
        with pytest.raises(ValueError, match="float32 or float16, contiguous and of 2 images"):
            Runner(1).run(writer.program(), 2, [wrong])


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((100, 4, 4, 8)).astype(np.float32)
    writer = Writer()
    entry, out = writer.buffer(0, 4, 4, 8, 1), writer.buffer(1, 4, 4, 8)
    writer.load(0, entry, 8)
    writer.dense(entry, out, Layer(rng.standard_normal(576).astype(np.float32), np.zeros(8, np.float32)), 3, 1)
    writer.statistics(out)
    writer.store(out)
    results = []
    for count in (1, threads):
        target = np.empty((100, 128), np.float32)
        with Runner(count) as runner:
            results.append((runner.run(writer.program(), 100, [x], target, 8), target))
    assert all((a == b).all() for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("kernel", "stride", "reach"), [(3, 2, 1), (3, 1, 1), (2, 2, 0), (5, 3, 2)])
def test_the_largest_under_a_window_is_that_of_torch(kernel: int, stride: int, reach: int) -> None:
    x = np.abs(images(np.random.default_rng(0), 9, 7, 20))
    expected = functional.max_pool2d(to_torch(x, 20), kernel, stride, reach)
    writer = Writer()
    entry = writer.buffer(0, 9, 7, 20, reach)
    out = writer.buffer(1, *expected.shape[2:], 20)
    writer.load(0, entry, 20)
    writer.max_pool(entry, out, kernel, stride, reach)
    writer.store(out)
    target = np.empty((IMAGES, out.height, out.width, out.channels), np.float32)
    Runner(1).run(writer.program(), IMAGES, [x], target)
    assert torch.equal(to_torch(target, 20), expected)


@pytest.mark.parametrize("relu", [0, 1, 6])
@pytest.mark.parametrize("winograd", [False, True])
def test_activations_are_those_of_torch(relu: int, winograd: bool) -> None:
    rng = np.random.default_rng(0)
    x, other = images(rng, 8, 8, 8), images(rng, 8, 8, 24)
    weight = rng.standard_normal((24, 8, 3, 3)).astype(np.float32)
    expected = functional.conv2d(to_torch(x, 8), torch.from_numpy(weight), padding=1) + to_torch(other, 24)
    expected = {0: expected, 1: expected.relu(), 6: functional.relu6(expected)}[relu]
    packed = np.zeros((POINTS * 8 + 1) * 24 if winograd else 9 * 8 * 24, np.float32)
    if winograd:
        pack_winograd(transform_weights(weight), 24, 8, np.ones(24, np.float32), packed)
    else:
        pack_dense(weight, 24, 8, 3, np.ones(24, np.float32), packed)
    writer = Writer()
    entry, residual, out = writer.buffer(0, 8, 8, 8, 1), writer.buffer(1, 8, 8, 24), writer.buffer(2, 8, 8, 24)
    writer.load(0, entry, 8)
    writer.load(1, residual, 24)
    layer = Layer(packed, np.zeros(24, np.float32), winograd=winograd)
    writer.dense(entry, out, layer, 3, 1, residual=residual, relu=relu)
    writer.store(out)
    target = np.empty((IMAGES, 8, 8, 24), np.float32)
    Runner(1).run(writer.program(), IMAGES, [x, other], target)
    torch.testing.assert_close(to_torch(target, 24), expected, rtol=1e-5, atol=2e-4)
