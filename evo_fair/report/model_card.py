"""A network of a run as a folder to publish: `model.onnx`, a Hugging Face model card and an example that loads it."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evo_fair.arguments import as_path, as_text
from evo_fair.csv_tables import read_table_of_numbers
from evo_fair.errors import EvoFairError, RunError, UnknownNameError, quote
from evo_fair.evolution.devices import LATENCY, latency_on
from evo_fair.evolution.front import BELIEVED
from evo_fair.files import atomic_write, inside, is_recorded, is_trace, read_cached_json, read_json, write_text
from evo_fair.latency.onnx_file import open_onnx
from evo_fair.report.model_example import example_script, example_use
from evo_fair.report.network_cards import Card, group_rows, read_card
from evo_fair.report.run import Run, load_run
from evo_fair.show import markdown, markdown_table

__all__ = ["write_model_card"]

_FACTS = "card.json"
_FILES = ("README.md", "example.py", "model.onnx", _FACTS)
"""What the folder of a card holds, and nothing else."""
_LEFT_BY_USE = ("__pycache__", ".cache")
"""What Python leaves there when the example is imported, and huggingface_hub when it uploads."""
_MEND = "run 'evo-fair deploy' again"
_LICENCES = (
    (r"^CC BY-NC 4\.0\b", "cc-by-nc-4.0"),
    (r"^CC BY 4\.0\b", "cc-by-4.0"),
    (r"^CC0\b", "cc0-1.0"),
)
"""How a data set's licence begins, and what Hugging Face calls it."""


def write_model_card(folder: str | Path, network: str, out: str | Path | None = None) -> Path:
    """Writes a network of a search's run as a folder that is ready to upload, with a Hugging Face model card.

    The folder holds `README.md` (the model card), `model.onnx`, `card.json` (every
    figure as a number) and `example.py`. What `evo-fair deploy` made of the network is
    taken where it is there, else the network with the supernet's weights. It needs the
    extra `hub` (huggingface_hub).

    Args:
        folder: The run's folder.
        network: The id of a network on its front.
        out: A new folder, or that of an earlier card of this network, which is
            replaced. Default: `cards/<id>` in the run's folder.

    Returns:
        The path of the folder.

    Raises:
        EvoFairError: huggingface_hub is missing.
        UnknownNameError: The network is not on the front.
        RunError: The run, or a file of the network, is missing or damaged; or `out` is
            a file, or a folder that holds anything but a card of this network.

    Example:
        >>> run = ef.load_run("results/digits")
        >>> card = ef.write_model_card(run.path, run.front["id"][0], "card")
        >>> sorted(file.name for file in card.iterdir())
        ['README.md', 'card.json', 'example.py', 'model.onnx']
    """
    run = load_run(folder)
    name = as_text("network", network)
    if run.front.empty:
        raise RunError(f"{run.path} has no network on its front: search on with --resume, or with wider constraints")
    if name not in set(run.front["id"]):
        raise UnknownNameError("network", name, [str(one) for one in run.front["id"]])
    target = as_path("out", out) if out is not None else run.path / "cards" / name
    _check_place(target, name)
    source, deployed = _source(run, name)
    card_path, model = inside(source, f"{name}.json"), inside(source, f"{name}.onnx")
    card = read_card(card_path)
    if not is_recorded(model, card_path, "onnx"):
        raise RunError(f"{model} is missing or not the file that {card_path.name} describes: make it again, {_AGAIN}")
    _check_labels(card, card_path, model)
    text = _model_card(run, card, read_json(card_path, RunError), deployed)
    for file, origin in ((_FACTS, card_path), ("model.onnx", model)):  # the facts first: they say whose card it is
        with atomic_write(target / file) as temporary:
            shutil.copyfile(origin, temporary)
    write_text(target / "example.py", example_script(card.input))
    write_text(target / "README.md", text)
    return target


def _check_labels(card: Card, path: Path, model: Path) -> None:
    """Raises `RunError` for a card whose labels are not as many as the outputs of its file."""
    shape = open_onnx(model).model.graph.output[0].type.tensor_type.shape
    outputs = shape.dim[-1].dim_value if shape.dim else 0
    if outputs and len(card.labels) != outputs:
        raise RunError(
            f"{path}: labels are {len(card.labels)}, and {model.name} has {outputs} outputs: make it again, {_AGAIN}"
        )


def _check_place(target: Path, name: str) -> None:
    """Raises `RunError` for a file, and for a folder with anything but a card of this network, told by its `id`."""
    if target.exists() and not target.is_dir():
        raise RunError(f"{target} is a file: give a new folder for the card")
    there = {path.name for path in target.iterdir() if not is_trace(path)} if target.is_dir() else set()
    if not there:
        return
    if other := min(there - {*_FILES, *_LEFT_BY_USE}, default=""):
        raise RunError(f"{target} holds {other}, which is no part of a card: give a new folder")
    whose = read_cached_json(target / _FACTS).get("id")
    if whose != name:
        told = f"the card of {quote(whose)}" if whose else f"a {min(there)} that is of no card"
        raise RunError(f"{target} holds {told}, and not a card of {name}: give a new folder")


_AGAIN = "with 'evo-fair search --resume' or 'evo-fair deploy'"


def _source(run: Run, name: str) -> tuple[Path, "pd.Series[Any] | None"]:
    """The folder of the network's files, and its row of the table of deployed ones, None where it was not deployed."""
    path, folder = run.path / "deployed.csv", run.path / "deployed"
    if not path.exists() or not inside(folder, f"{name}.json").exists():
        return run.path / "networks", None
    table = read_table_of_numbers(path, RunError, _MEND, texts=("id", "role", "precision"), filled=["id", "precision"])
    rows = table[(table["id"] == name) & (table["precision"] == "fp32")]
    return (run.path / "networks", None) if rows.empty else (folder, rows.iloc[0])


def _model_card(run: Run, card: Card, raw: Mapping[str, Any], deployed: "pd.Series[Any] | None") -> str:
    """The model card's text, its metadata in front."""
    try:
        from huggingface_hub import ModelCard, ModelCardData
    except ImportError as reason:
        raise EvoFairError(
            "a model card is written by huggingface_hub, which is missing: pip install 'evo-fair[hub]' brings it"
        ) from reason
    licence = card.data.licence if card.data else ""
    known = next((short for pattern, short in _LICENCES if re.match(pattern, licence)), None)
    facts: dict[str, Any] = {"license": known} if known else {"license": "other", "license_name": licence or "unknown"}
    data = ModelCardData(
        library_name="onnx",
        pipeline_tag="image-classification" if len(raw.get("input", {}).get("shape", [])) == 3 else None,
        tags=["evo-fair", "onnx", "fairness", "neural-architecture-search"],
        **facts,
    )
    frozen = _PRUNED if "network" in run.configuration else _SHARED
    weights = frozen if deployed is None else _ALONE
    sections = [
        _head(card),
        _use(card),
        _data(card, licence),
        _groups(card),
        *([] if deployed is None else [_deployed(deployed, card)]),
        _latency(card, deployed),
        _limits(weights),
        _made(run, raw, weights),
    ]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def _head(card: Card) -> str:
    about = f" for the problem {markdown(card.problem)}" if card.problem else ""
    return (
        f"# {markdown(card.id)}\n\nA small neural network{about}, found by evo_fair, a search for networks that are "
        f"fast on a device and work for all groups. It tells {len(card.labels)} labels apart: "
        f"{', '.join(map(markdown, card.labels))}.\n\nThe file `model.onnx` has {card.onnx.bytes:,} bytes."
    )


def _use(card: Card) -> str:
    return (
        "## Intended use\n\nResearch, and devices with little memory and time, on inputs like those of "
        f"{markdown(card.data.name) if card.data else 'its data'}. It is not meant for decisions about people without "
        f"a check of its own on the people concerned.\n\n{example_use(card.input)} "
        "`card.json` says what goes in, and holds every figure."
    )


def _data(card: Card, licence: str) -> str:
    name = markdown(card.data.name) if card.data else "unknown"
    return (
        f"## Data and licence\n\nTrained on the data set {name}, whose licence is: {markdown(licence or 'unknown')}. "
        "The metadata above repeat that licence: check that it is the one that you publish the network under."
    )


def _groups(card: Card) -> str:
    parts = [f"## For whom it works\n\nOn the {markdown(card.part)} part, with Wilson intervals (95 %)."]
    rows = group_rows(card)
    for grouping in dict.fromkeys(row["grouping"] for row in rows):
        lines = [
            (row["group"], f"{row['samples']:,}", _percent(row["accuracy"]), _between(row["low"], row["high"]))
            for row in rows
            if row["grouping"] == grouping
        ]
        head = ("group", "samples", "accuracy", "interval")
        parts.append(f"### {markdown(grouping)}\n\n{markdown_table(head, lines)}".rstrip())
    return "\n\n".join(parts)


def _deployed(row: "pd.Series[Any]", card: Card) -> str:
    """Every figure of the test part that has an interval; of accuracies the samples, where the card knows them."""
    names = [str(name) for name in row.index if f"{name}_low" in row.index and pd.notna(row[name])]
    known = {name: figure.samples for name, figure in card.test.get("fp32", {}).items() if figure.samples is not None}
    samples = {name: f"{known[name]:,}" if name in known else "" for name in names}
    lines = [
        (name, *([samples[name]] if known else []), f"{row[name]:.4g}", _range(row[f"{name}_low"], row[f"{name}_high"]))
        for name in names
    ]
    head = ("figure", *(["samples"] if known else []), "value", "95 % interval")
    told = "This part chose nothing. Intervals draw whole units, such as persons."
    if known:
        told += " Where all are right, or all wrong, they are Wilson's."
    return f"## On the test part\n\n{told}\n\n{markdown_table(head, lines).rstrip()}"


def _latency(card: Card, deployed: "pd.Series[Any] | None") -> str:
    lines = [(device, "predicted", f"{ms:.4g}") for device, ms in _predicted(card).items()]
    if deployed is not None:
        lines += [
            (name[len("predicted_ms[") : -1], "predicted", f"{deployed[name]:.4g}")
            for name in map(str, deployed.index)
            if name.startswith("predicted_ms[") and pd.notna(deployed[name])
        ]
        if pd.notna(deployed.get("measured_ms")):
            lines.append(("the machine that deployed it, one thread", "measured", f"{deployed['measured_ms']:.4g}"))
    if not lines:
        return "## Latency by device\n\nNot known."
    return f"## Latency by device\n\n{markdown_table(('device', 'how', 'ms'), lines).rstrip()}"


def _predicted(card: Card) -> dict[str, float]:
    """The latency that the search predicted, in ms, by device; a search for several has one for each."""
    names = {latency_on(device): device for device in card.devices} or {LATENCY: card.device}
    known = {device: card.metrics.get(name) for name, device in names.items() if device}
    return {device: ms for device, ms in known.items() if ms is not None}


def _limits(weights: str) -> str:
    told = {
        _ALONE: "- The weights are from a training of this network alone. The validation part helped to choose it.",
        _SHARED: "- The weights are those of a shared supernet: a training of its own changes what it gets right.",
        _PRUNED: "- The weights are those of a larger network, pruned: training changes what it gets right.",
    }
    chose = "" if weights == _ALONE else f"{_CHOSE}\n"
    return (
        f"## Limits\n\n{told[weights]}\n{chose}"
        "- Wilson intervals take samples as independent. Where several belong to one person, they are too narrow.\n"
        "- A group of few samples says little, and groups that the data do not name were not looked at.\n"
        "- Predicted latency comes from a fitted profile of the device, not from the device."
    )


_ALONE, _SHARED, _PRUNED = "trained on its own", "of the supernet", "of the network that was pruned"
"""Where a network's weights come from."""
_CHOSE = "- The figures are of the samples that chose the network. On others they tend to be worse."


def _made(run: Run, raw: Mapping[str, Any], weights: str) -> str:
    search = run.configuration["search"]
    objectives = ", ".join(axis.name for axis in run.axes)
    limits = "; ".join(limit.text for limit in run.limits) or "none"
    facts = [
        ("objectives", objectives),
        ("limits of the search", limits),
        *((key, search[key]) for key in ("algorithm", "budget", "population", "seed", "group") if key in search),
        ("weights", weights),
        ("evo_fair", raw.get("evo_fair", "unknown")),
        *((f"SHA-256 of the {name}", value) for name, value in _hashes(raw).items()),
    ]
    believed = any(f"{axis.name}{BELIEVED}" in run.front for axis in run.axes)
    note = "\n\nThe search compared what is believed of each network, not single measurements." if believed else ""
    return f"## How it was made\n\n{markdown_table(('what', 'value'), facts).rstrip()}{note}"


def _hashes(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Hashes by what they are of; those of several profiles one by one, in the place of the first's alone."""
    found = raw.get("hashes")
    known = {str(name): value for name, value in found.items() if value} if isinstance(found, dict) else {}
    profiles = known.pop("profiles", None)
    if isinstance(profiles, dict):
        known.pop("profile", None)
        known |= {f"profile of {device}": value for device, value in profiles.items()}
    return known


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _between(low: float | None, high: float | None) -> str:
    return "unknown" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def _range(low: float, high: float) -> str:
    return "unknown" if pd.isna(low) or pd.isna(high) else f"{low:.4g} to {high:.4g}"
