"""`evo-fair predict`: the latency of any ONNX network on a device."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_fair.show import say

if TYPE_CHECKING:
    from evo_fair.latency.onnx_graph import UnknownOperator
    from evo_fair.latency.predict import Prediction

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    device: Annotated[
        str, typer.Option("--device", help="A device's name (see 'evo-fair devices') or the path of a profile.")
    ],
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape",
            help="The input's shape with its batch, such as 1,3,224,224; of a network of several inputs "
            "NAME=1,3,64,64, repeatable.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Predicts the latency of an ONNX network by layer and in total, with MACs, parameters and peak memory."""
    from evo_fair.jobs.predict import predict as predict_latency

    prediction = predict_latency(model, device, input_shape=_shapes(input_shape or []))
    if json:
        content = {"model": str(model), **prediction.as_dict()}
        say(*json_format.dumps(content, indent=2, ensure_ascii=False).split("\n"))
    else:
        _show(model, prediction)


_LARGEST_SIZE = 2**24


def _shapes(options: list[str]) -> dict[str, tuple[int, ...]] | None:
    """Shapes by input; that of the first input, where it is not named, has the empty name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for option in options:
        name, _, text = option.rpartition("=")
        if name in shapes:
            raise typer.BadParameter(f"{option!r} is a second shape of the same input: give one for each")
        shapes[name] = _shape(option, text)
    return shapes or None


def _shape(option: str, text: str) -> tuple[int, ...]:
    sizes = text.replace("x", ",").split(",")
    digits = [size.strip() for size in sizes]
    if large := next((size for size in digits if size.isdecimal() and _is_too_large(size)), ""):
        raise typer.BadParameter(
            f"{option[:80]!r}: the size {large[:20]} is above {_LARGEST_SIZE:,}: give a smaller one"
        )
    if not all(size.isdecimal() and int(size) > 0 for size in digits):
        raise typer.BadParameter(f"{option[:80]!r} is no shape: give sizes above 0, such as 1,3,224,224")
    return tuple(int(size) for size in digits)


def _is_too_large(size: str) -> bool:
    return len(size.lstrip("0")) > 9 or int(size) > _LARGEST_SIZE


def _show(model: Path, prediction: "Prediction") -> None:
    from evo_fair.tables import Table, print_table

    total = prediction.latency_ms
    table = Table()
    table.add_column("layer", overflow="fold")
    for column in ("operator", "shape"):
        table.add_column(column)
    doubted = prediction.layer_interval_ms is not None
    for column in ("MACs", "params", "ms", *(["90 % within"] if doubted else []), "share"):
        table.add_column(column, justify="right")
    rows = zip(prediction.graph.layers, prediction.layer_ms, prediction.extrapolated, prediction.bounds, strict=True)
    for layer, ms, outside, bounds in rows:
        _, c_in, c_out, kernel, stride, _, h, w = layer.row
        window = f" {kernel}x{kernel}/{stride}" if layer.operator.startswith(("Conv", "MaxPool", "AveragePool")) else ""
        table.add_row(
            layer.name if layer.repeats == 1 else f"{layer.name} ({layer.repeats:,} times)",
            layer.operator,
            f"{c_in}x{h}x{w} -> {c_out}{window}",
            f"{layer.macs * layer.repeats:,}",
            f"{layer.params:,}",
            f"{ms:.4f}{'*' if outside else ' '}",
            *([] if bounds is None else [f"{bounds[0]:.4f} to {bounds[1]:.4f}"]),
            f"{ms / total:.1%}",
        )
    table.add_row(
        "fixed cost of a network", "", "", "", "", f"{prediction.profile.network_ms:.4f} ", *[""] * (1 + doubted)
    )
    print_table(table)
    say("", *_lines(model, prediction))


def _lines(model: Path, prediction: "Prediction") -> list[str]:
    """The totals, and all that a reader should know of them."""
    graph, profile = prediction.graph, prediction.profile
    error = prediction.held_out_mape
    known = f"; mean error on networks it did not see: {error:.1f} %" if error is not None else ""
    within = (
        "" if prediction.interval_ms is None else ", 90 % within {:.3f} to {:.3f} ms".format(*prediction.interval_ms)
    )
    least, least_macs, least_params = (
        "at least " if bound else "" for bound in (graph.time_at_least, graph.macs_at_least, graph.params_at_least)
    )
    macs, params = f"{least_macs}{prediction.macs:,} MACs", f"{least_params}{prediction.params:,} parameters"
    lines = [
        f"{model} on {profile.name}: {least}{prediction.latency_ms:.3f} ms{within}{known}",
        f"{macs}, {params}, peak {least}{prediction.peak_memory_bytes:,} bytes",
        _of_what(prediction),
    ]
    if prediction.extrapolated.any():
        doubt = ": that error need not hold for them" if error is not None else ""
        count, share = int(prediction.extrapolated.sum()), prediction.extrapolated_share
        lines.append(f"* {count} layers, {share:.0%} of the time, are outside what the profile was fitted to{doubt}")
    if graph.quantised != (profile.file.precision == "int8"):
        numbers = "8-bit integers" if graph.quantised else "floating-point numbers"
        lines.append(f"the file computes with {numbers}, the profile was measured in {profile.file.precision}")
    if graph.stand_ins:
        named = ", ".join(
            f"{s.operator} ({s.nodes} nodes, {s.macs / max(prediction.macs, 1):.1%} of the MACs)"
            for s in graph.stand_ins
        )
        lines.append(f"counted by formula and priced as plain layers, which is a lower bound: {named}")
    if graph.unknown:
        named = ", ".join(_named(operator, prediction) for operator in graph.unknown)
        lines.append(f"not in the total, because the model does not know them: {named}")
    return lines


def _of_what(prediction: "Prediction") -> str:
    """Whether the figures are those of one sample or of a whole input, and of which shapes."""
    graph = prediction.graph
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in graph.inputs)
    if graph.batch is None:
        return f"for one run on the whole input: {shapes}"
    return f"per sample, the first axis being the batch (of {graph.batch}): {shapes}"


def _named(operator: "UnknownOperator", prediction: "Prediction") -> str:
    """An operator that is left out, with its share of the weights and what is not known of it."""
    facts = [f"{operator.nodes} nodes"]
    if operator.params:
        facts.append(f"{operator.params / max(prediction.params, 1):.1%} of the parameters")
    facts.append("multiplications unknown" if operator.multiplies else "no multiplications")
    if operator.reason:
        facts.append(operator.reason)
    return f"{operator.operator} ({', '.join(facts)})"
