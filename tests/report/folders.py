"""Folders of every kind that reports are made of, written by hand: a few rows each, names as given."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evo_fair.files import sha256_of
from evo_fair.job_folder import AUDITS, PRUNINGS
from evo_fair.report import compare, write_comparison
from tests.report.conftest import write_run

INTERVAL = {"value": 0.9, "low": 0.85, "high": 0.95}


def write_network(folder, name, grouping="sex", licence="CC BY 4.0 (UCI, Digits)"):
    """A network of two labels whose logits are 0 and the normalised mean of a 1x2x2 image."""
    folder.mkdir(exist_ok=True)
    weights = numpy_helper.from_array(np.array([[0.0, 0.25]] * 4, np.float32), "w")
    nodes = [helper.make_node("Flatten", ["input"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    ends = [("input", ["batch", 1, 2, 2]), ("logits", ["batch", 2])]
    given, made = ([helper.make_tensor_value_info(end, TensorProto.FLOAT, shape)] for end, shape in ends)
    graph = helper.make_graph(nodes, "tiny", given, made, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    card = {
        "id": name,
        "evo_fair": "0.1.0",
        "problem": "digits",
        "device": "a-board",
        "data": {"name": "digits", "licence": licence},
        "metrics": {"latency_ms": 1.25},
        "part": "validation",
        "groups": {grouping: {"female": {"samples": 10, "correct": 8}, "nobody": {"samples": 0, "correct": 0}}},
        "input": {"shape": [1, 2, 2], "mean": [100.0], "scale": [0.5]},
        "labels": ["dark", "light"],
        "onnx": {"bytes": path.stat().st_size, "sha256": sha256_of(path)},
        "hashes": {"supernet": "ab" * 32},
    }
    (folder / f"{name}.json").write_text(json.dumps(card))


def write_deployment(path: Path, group: str = "sex", member: str = "female", searched: bool = True) -> Path:
    """Two trained networks, one of them in 8 bits, too, and a reference."""
    path.mkdir(parents=True)
    path.joinpath("run.toml").write_text(
        "format = 1\n[deploy]\nepochs = 3\nfrom_scratch = false\n"
        f"group = {json.dumps(group)}\n[problem]\nname = 'p'\ntitle = {json.dumps(f'about {member}')}\n"
    )
    named = json.dumps(f"accuracy[{group}:{member}]")[1:-1].replace('"', '""')
    heads = ["id", "role", "precision", "params", "measured_ms", "accuracy", "accuracy_low", "accuracy_high"]
    heads += [f'"{named}{end}"' for end in ("", "_low", "_high")]
    rows = [
        "a,front,fp32,5000,0.5,0.8,0.75,0.85,0.7,0.6,0.8",
        "a,front,int8,5000,0.3,0.78,0.73,0.83,0.69,0.6,0.8",
        "b,front,fp32,9000,0.9,0.9,0.85,0.95,0.9,,",
        "mobilenet,reference,fp32,99000,5,,,,,,",
    ]
    path.joinpath("deployed.csv").write_text("\n".join([",".join(heads), *rows]) + "\n")
    for name, error, believed in (("a", 0.3, {"error": {"value": 0.25, "uncertainty": 0.02}}), ("b", 0.2, {})):
        card = {"id": name, "part": "validation", "groups": {}, "onnx": {"bytes": 10}}
        if searched:
            card["searched"] = {"objectives": {"error": error, "latency_ms": 1.0}, "believed": believed}
        path.joinpath(f"{name}.json").write_text(json.dumps(card))
    return path


def write_pruning(path: Path, group: str = "sex", member: str = "female", intervals: bool = True) -> Path:
    """A dense network and two pruned by one method, the second with another seed."""
    path.mkdir(parents=True)
    facts = {"format": PRUNINGS.newest, "problem": {"name": "p", "title": member}, "network": member, "group": group}
    path.joinpath(PRUNINGS.file).write_text(json.dumps(facts))
    heads = "name,network,method,structure,scope,seed,target,group,sparsity,params,latency_ms,accuracy,"
    heads += "worst_group_accuracy,unfairness,validation_accuracy"
    rows = [
        "dense,n,dense,,,,0.0,g,0.0,900,,0.95,0.9,0.1,0.94",
        "magnitude-0.5-0,n,magnitude,structured,global,0,0.5,g,0.5,400,1.5,0.9,0.8,0.2,0.91",
        "magnitude-0.5-1,n,magnitude,structured,global,1,0.5,g,0.52,410,1.6,0.88,0.7,0.3,0.9",
    ]
    path.joinpath("pruned.csv").write_text("\n".join([heads, *rows]) + "\n")
    changes = {
        "accuracy": {"value": -0.05, "low": -0.08, "high": -0.02},
        f"accuracy[{group}:{member}]": {"value": -0.1, "low": -0.25, "high": 0.05},
        f"accuracy[{group}:other]": {"value": 0.0, "low": None, "high": None},
    }
    figures = {"accuracy": INTERVAL, f"worst_group_accuracy[{group}]": INTERVAL, f"unfairness[{group}]": INTERVAL}
    for name in ("dense", "magnitude-0.5-0", "magnitude-0.5-1"):
        told = {"figures": figures, "changes": changes} if intervals else {}
        path.joinpath(f"{name}.json").write_text(json.dumps({"row": {"name": name}, **told}))
    return path


def write_audit(path: Path, group: str = "sex", member: str = "female", effects: bool = True) -> Path:
    """Losses of two classes and two groups in two bands of sparsity, and what else an audit leaves."""
    path.mkdir(parents=True)
    path.joinpath(AUDITS.file).write_text(
        f"format = 1\nsource = 'proxy'\npart = 'validation'\ngroup = {json.dumps(group)}\n"
        f"[grid]\ncriteria = ['taylor']\n[data]\nname = {json.dumps(member)}\n"
    )
    cell = '"' + member.replace('"', '""') + '"'
    rows = ["grouping,group,band,networks,samples,dense,loss,low,high,worst"]
    for grouping, names in (("class", ("NA", "x")), (json.dumps(group)[1:-1], (cell, "male"))):
        for band, loss in (("0 to 25 %", 0.01), ("25 to 50 %", 0.1), ("all", 0.05)):
            rows += [
                f"{grouping},{names[0]},{band},40,20,0.9,{loss},{loss - 0.01},{loss + 0.01},0.9",
                f"{grouping},{names[1]},{band},40,300,0.8,0.001,,,0.1",
            ]
    path.joinpath("losses.csv").write_text("\n".join(rows) + "\n")
    heads = "factor,level,band,networks,accuracy_loss,worst_group_loss,worst_class_loss,loss_gap,cwv,mcd"
    line = f"criterion,{cell},0 to 25 %,40,0.01,0.02,0.03,0.04,0.05,0.06"
    path.joinpath("losses_by_factor.csv").write_text(f"{heads}\n{line}\n")
    heads = "id,base,dense,criterion,scope,sparsity,params,accuracy,worst_group_loss"
    path.joinpath("front.csv").write_text(
        f"{heads}\nb,b,True,none,none,0.0,9,0.9,0.0\nb.1,b,False,taylor,late,0.4,5,0.8,0.1\n"
    )
    if effects:
        heads = "term,estimate,low,high,p,grouping,cluster,clusters,rows,r_squared"
        path.joinpath("effects.csv").write_text(f"{heads}\n{cell},-0.02,-0.03,-0.01,0.0001,class,id,40,80,0.5\n")
        path.joinpath("forecast.csv").write_text(
            f"grouping,group,samples,score,auc,low,high\nclass,{cell},20,fitted,0.8,0.7,0.9\n"
        )
        path.joinpath("risk.csv").write_text(f"grouping,group,samples,forecast,observed\nclass,{cell},20,0.1,0.125\n")
    return path


def write_comparison_of_two(path: Path, label: str = "one") -> Path:
    """Two runs with equal objectives, the second without the first's best networks."""
    runs = [write_run(path.parent / "runs" / name) for name in ("a", "b")]
    lines = runs[1].path.joinpath("journal.jsonl").read_bytes().splitlines(keepends=True)
    runs[1].path.joinpath("journal.jsonl").write_bytes(b"".join(lines[4:]))
    write_comparison(compare([run.path for run in runs], [label, "two"]), path)
    return path


MAKERS = {
    "deployment": write_deployment,
    "pruning": write_pruning,
    "audit": write_audit,
    "comparison": write_comparison_of_two,
}
