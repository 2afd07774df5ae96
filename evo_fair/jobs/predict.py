"""Predicting the latency of an ONNX network on a device."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evo_fair.arguments import as_path, as_text, as_wholes
from evo_fair.latency import Profile, load_profile
from evo_fair.latency.onnx_file import ShapeOption
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import Prediction
from evo_fair.latency.predict import predict as predict_graph

__all__ = ["predict"]


def predict(
    model: str | Path,
    device: str | Path | Profile,
    *,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> Prediction:
    """The latency of an ONNX network on a device, by layer and in total, with MACs, parameters and peak memory.

    Args:
        model: An ONNX file.
        device: A device's name, the path of its profile, or the profile.
        input_shape: The input's shape with its batch, such as `(1, 3, 224, 224)`; by
            the inputs' names for a network with several. Default: the shape that the
            file states.

    Returns:
        The prediction: `latency_ms`, `macs`, `params` and `peak_memory_bytes` of one
        sample (of the whole input where that holds no batch), `layers`, a `DataFrame`
        with a row a layer, what is not counted, and `as_dict()`.

    Raises:
        ProfileError: The file is no ONNX network that can be read, or there is no such
            profile.
        UnknownNameError: There is no device of this name.

    Example:
        >>> network = next(ef.load_run("results/digits").path.glob("networks/*.onnx"))
        >>> prediction = ef.predict(network, "raspberry-pi-4")
        >>> slowest = prediction.layers.nlargest(3, "ms")
        >>> bool(slowest["ms"].sum() < prediction.latency_ms)
        True
    """
    profile = device if isinstance(device, Profile) else load_profile(device)
    return predict_graph(read_onnx(as_path("model", model), _shape(input_shape)), profile)


def _shape(given: Sequence[int] | Mapping[str, Sequence[int]] | None) -> ShapeOption | None:
    if isinstance(given, Mapping):
        return {as_text("input_shape", name): as_wholes(f"input_shape: {name}", sizes) for name, sizes in given.items()}
    return None if given is None else as_wholes("input_shape", given)
