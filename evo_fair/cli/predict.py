"""`evo-fair predict`: the latency of any ONNX network on a device."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_fair.show import say

if TYPE_CHECKING:
    from evo_fair.latency.predict import Prediction

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    device: Annotated[
        str, typer.Option("--device", help="A device's name (see 'evo-fair devices') or the path of a profile.")
    ],
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="The input's shape with its batch, such as 1,3,224,224.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Predicts the latency of an ONNX network by layer and in total, with MACs, parameters and peak memory."""
    from evo_fair.latency import load_profile
    from evo_fair.latency.onnx_graph import read_onnx
    from evo_fair.latency.predict import predict as predict_graph

    profile = load_profile(device)
    prediction = predict_graph(read_onnx(model, _shape(input_shape)), profile)
    if json:
        content = {"model": str(model), **prediction.as_dict()}
        say(*json_format.dumps(content, indent=2, ensure_ascii=False).split("\n"))
    else:
        _show(model, prediction)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sizes = text.replace("x", ",").split(",")
    if not all(size.strip().isdecimal() and 0 < int(size) <= 2**24 for size in sizes):
        raise typer.BadParameter(f"{text!r} is no shape: give sizes above 0, such as 1,3,224,224")
    return tuple(int(size) for size in sizes)


def _show(model: Path, prediction: "Prediction") -> None:
    from evo_fair.tables import Table, print_table

    total = prediction.latency_ms
    table = Table()
    table.add_column("layer", overflow="fold")
    for column in ("operator", "shape"):
        table.add_column(column)
    for column in ("MACs", "params", "ms", "share"):
        table.add_column(column, justify="right")
    rows = zip(prediction.graph.layers, prediction.layer_ms, prediction.extrapolated, strict=True)
    for layer, ms, outside in rows:
        _, c_in, c_out, kernel, stride, _, h, w = layer.row
        window = f" {kernel}x{kernel}/{stride}" if layer.operator.startswith(("Conv", "MaxPool", "AveragePool")) else ""
        table.add_row(
            layer.name,
            layer.operator,
            f"{c_in}x{h}x{w} -> {c_out}{window}",
            f"{layer.macs:,}",
            f"{layer.params:,}",
            f"{ms:.4f}{'*' if outside else ' '}",
            f"{ms / total:.1%}",
        )
    table.add_row("fixed cost of a network", "", "", "", "", f"{prediction.profile.network_ms:.4f} ", "")
    print_table(table)
    held_out = prediction.profile.file.validation
    error = f"; mean error on networks it did not see: {held_out.mape:.1f} %" if held_out else ""
    lines = [
        "",
        f"{model} on {prediction.profile.name}: {total:.3f} ms{error}",
        f"{prediction.macs:,} MACs, {prediction.params:,} parameters, peak {prediction.peak_memory_bytes:,} bytes",
    ]
    if prediction.extrapolated.any():
        doubt = ": that error need not hold for them" if held_out else ""
        count, share = int(prediction.extrapolated.sum()), prediction.extrapolated_share
        lines.append(f"* {count} layers, {share:.0%} of the time, are outside what the profile was fitted to{doubt}")
    if prediction.graph.quantised != (prediction.profile.file.precision == "int8"):
        numbers = "8-bit integers" if prediction.graph.quantised else "floating-point numbers"
        lines.append(
            f"the file computes with {numbers}, the profile was measured in {prediction.profile.file.precision}"
        )
    if prediction.graph.unknown:
        named = ", ".join(f"{u.operator} ({u.nodes} nodes, {u.share:.1%})" for u in prediction.graph.unknown)
        lines.append(f"not in the total, because the model does not know them: {named} of the tensor traffic")
    say(*lines)
