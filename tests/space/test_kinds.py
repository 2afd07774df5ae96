"""Kinds of blocks: names, variants, kinds of your own, and what spaces make of those unlike MB, DB, RB and CB."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evo_fair.errors import ProblemError, UnknownNameError
from evo_fair.export import export_onnx
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.layers import Op, macs, peak_memory_bytes
from evo_fair.nets import Network
from evo_fair.problem import load_problem
from evo_fair.registries import forget
from evo_fair.registry import restored_afterwards
from evo_fair.space import KINDS, Kind, SearchSpace, SpaceSchema, add_kind, find_kind
from evo_fair.space.kinds import CB, IR, MB, Channels, Hidden, KindUnit, Shortcut
from evo_fair.testing import check_kind

IN, HIDDEN, OUT, SQUEEZED = Channels
BOTTLENECK = Kind(
    "BN",
    (
        KindUnit("squeeze", IN, HIDDEN),
        KindUnit("mix", HIDDEN, HIDDEN, None, strided=True),
        KindUnit("open", HIDDEN, OUT),
    ),
    Hidden.WIDTH,
)


*BEGIN, END = BOTTLENECK.units
MEAN, WEIGH = KindUnit("mean", HIDDEN, SQUEEZED), KindUnit("weigh", SQUEEZED, HIDDEN)


@pytest.fixture
def bottleneck() -> Iterator[Kind]:
    with restored_afterwards():
        yield add_kind(BOTTLENECK)


def space_of(*kinds: str, **stage: object) -> SearchSpace:
    stages = [{"slots": 2, "kinds": kinds, "widths": [16], "stride": 2, **stage}]
    return SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": stages}), (3, 8, 8), 4)


def test_a_name_may_hold_expansion_and_kernel() -> None:
    kind = find_kind("IR6_5x5")
    assert (kind.expansion, kind.kernel, kind.units, kind.activated) == (6, 5, IR.units, False)
    assert find_kind("IR6_5x5") is kind
    assert (find_kind("CB_5x5").kernel, find_kind("MB3").expansion, find_kind("MB3").kernel) == (5, 3, None)
    assert find_kind("CB") is CB


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "XB",
            "unknown block kind 'XB': expected one of MB, DB, RB, CB, FC, IR, PC, ID, MBSE, and such as IR6_5x5",
        ),
        ("MBX", "did you mean 'MB'?"),
        ("CB3", "CB has no expansion to choose; leave the 3 out"),
        ("PC_3x3", "PC has no kernel to choose"),
        ("IR6_7x7", "unknown block kind"),
        ("IR6_3x5", "unknown block kind"),
        ("IR0", "unknown block kind"),
        ("", "unknown block kind ''"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises((ProblemError, UnknownNameError), match=message.replace("?", r"\?")):
        find_kind(name)


@pytest.mark.parametrize("name", [*KINDS, "IR6_5x5"])
def test_kinds_stay_themselves_in_other_processes(name: str) -> None:
    assert pickle.loads(pickle.dumps(find_kind(name))) is find_kind(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "MB"}, "there is a block kind 'MB' already: choose another name$"),
        ({"name": "mine"}, "of capital letters alone"),
        ({"name": "SKIP"}, "is what an empty slot is called"),
        ({"units": ()}, "its last unit, and no other, must give OUT"),
        ({"units": BOTTLENECK.units[:2]}, "must give OUT"),
        ({"units": (BOTTLENECK.units[1],)}, "unit mix takes HIDDEN, and what reaches it is IN"),
        ({"units": (KindUnit("a", IN, OUT), KindUnit("b", OUT, OUT))}, "and no other"),
        (
            {"units": (KindUnit("a", IN, HIDDEN, depthwise=True), KindUnit("b", HIDDEN, OUT))},
            "make it give what it takes",
        ),
        ({"units": (KindUnit("a", IN, OUT), KindUnit("b", OUT, OUT, depthwise=True))}, "not be depthwise"),
        ({"units": tuple(replace(unit, strided=True) for unit in BOTTLENECK.units)}, "one unit at most is strided"),
        ({"units": tuple(replace(unit, name="same") for unit in BOTTLENECK.units)}, "names differ"),
        ({"units": (*BEGIN, MEAN, END)}, "unit open takes HIDDEN, and what reaches it is SQUEEZED"),
        ({"units": (*BEGIN, MEAN, KindUnit("weigh", SQUEEZED, OUT))}, "gives what was squeezed, then another"),
        ({"units": (*BEGIN, replace(MEAN, strided=True), WEIGH, END)}, "gives what was squeezed, then another"),
        ({"units": (*BEGIN, replace(MEAN, kernel=3), WEIGH, END)}, "gives what was squeezed, then another"),
        ({"units": (*BEGIN, MEAN, WEIGH, MEAN, WEIGH, END)}, "one unit at most gives SQUEEZED"),
        ({"hidden": Hidden.NONE}, "a hidden width needs a rule"),
        ({"shortcuts": (Shortcut.IDENTITY, Shortcut.IDENTITY)}, "none or the projection in a stage's first slot"),
        ({"units": (*BEGIN, replace(END, kernel=2))}, "a kernel is 2: give an odd one"),
        ({"kernel": 4}, "a kernel is 4: give an odd one"),
        ({"kernel": -3}, "a kernel is -3: give an odd one"),
        ({"units": (*BEGIN, replace(END, kernel=3.0))}, "a kernel is 3.0: give an odd one"),
        ({"expansion": -2}, "its expansion is -2: give a whole number, 1 or more"),
        ({"expansion": 0}, "its expansion is 0: give a whole number, 1 or more"),
        ({"shortcuts": (Shortcut.NONE,)}, "shortcuts are none or the projection"),
        ({"units": (KindUnit("a", IN, OUT),), "hidden": Hidden.UNITS}, "the rule of linear layers"),
        ({"units": (*BEGIN, replace(END, kernel=0))}, "no other units, no shortcuts, and the rule Hidden.UNITS"),
        ({"units": (KindUnit("a", IN, OUT, 0),), "hidden": Hidden.UNITS}, "no shortcuts"),
        ({"units": (KindUnit("a", IN, OUT, 0),), "hidden": Hidden.NONE}, "the rule Hidden.UNITS"),
    ],
)
def test_wrong_kinds_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        add_kind(replace(BOTTLENECK, **{"name": "BN", **change}))  # type: ignore[arg-type]
    assert "BN" not in KINDS
    assert KINDS["MB"] is MB


def test_a_kind_whose_units_all_have_their_own_kernel_leaves_none_to_choose() -> None:
    """Two kernels of the block would be one network under two ids."""
    units = (KindUnit("wide", IN, HIDDEN, 3), KindUnit("half", HIDDEN, OUT, 5, strided=True))
    with restored_afterwards():
        add_kind(Kind("SW", units, Hidden.WIDTH))
        assert space_of("MB", "SW", kernels=[3, 5]).schema.stage[0].kernels == {"MB": (3, 5)}
        with pytest.raises(ValidationError, match="SW has no kernel to choose; leave it out"):
            space_of("MB", "SW", kernels={"MB": [3, 5], "SW": [3, 5]})
        with pytest.raises(ProblemError, match="SW has no kernel to choose"):
            find_kind("SW_5x5")
        check_kind("SW")


def test_a_stage_has_one_kind_at_most_that_leaves_slots_empty() -> None:
    """In later slots two of them would be one network under two ids."""
    with restored_afterwards():
        add_kind(replace(find_kind("ID"), name="NO"))
        with pytest.raises(ValidationError, match="ID and NO both leave a slot empty; list one"):
            space_of("ID", "NO", "CB")


def test_a_kind_of_ones_own_is_searched(bottleneck: Kind) -> None:
    space = space_of("MB", "BN", keep_channels=[8, 16])
    genome = np.zeros((1, len(space.gene_names)), np.int16)
    genome[0, space.gene_names.index("stage1.slot1.kind")] = 1
    genome[0, space.gene_names.index("stage1.slot2.kind")] = 2
    assert [block.kind for block in space.architecture(genome[0])] == [CB, bottleneck]
    rows = space.decode(genome)[0]
    assert rows[:6, :5].tolist() == [
        [Op.CONV, 3, 8, 3, 1],
        [Op.CONV, 8, 16, 1, 2],  # the shortcut
        [Op.CONV, 8, 8, 1, 1],
        [Op.CONV, 8, 8, 3, 2],
        [Op.CONV, 8, 16, 1, 1],
        [Op.ADD, 16, 16, 4, 1],
    ]


def test_a_kind_without_a_strided_unit_is_refused_where_a_stage_strides() -> None:
    """Its maps would stay as large as they are, while the blocks behind it count on smaller ones."""
    with restored_afterwards():
        add_kind(replace(BOTTLENECK, name="BS", units=tuple(replace(unit, strided=False) for unit in BOTTLENECK.units)))
        assert space_of("BS", stride=1).labels == 4
        with pytest.raises(ValueError, match="no unit of BS is strided; use stride = 1 or another kind"):
            space_of("BS", stride=[1, 2])


def test_a_space_is_known_by_what_its_own_kinds_say(bottleneck: Kind) -> None:
    first = space_of("BN", "BN_5x5", keep_channels=[8, 16])
    assert add_kind(replace(BOTTLENECK)) is bottleneck  # a notebook's cell that ran twice
    other = replace(BOTTLENECK, activated=False)
    with pytest.raises(ProblemError, match=r"or forget\('BN', 'block kind'\) the first"):
        add_kind(other)
    forget("BN", "block kind")
    add_kind(other)
    second = space_of("BN", "BN_5x5", keep_channels=[8, 16])
    assert [kind.activated for kind in second.kinds[-2:]] == [False, False]
    assert first.fingerprint != second.fingerprint


def test_the_identity_is_a_projection_where_a_stage_begins_and_nothing_later() -> None:
    space = space_of("ID", "IR2_3x3")
    kinds = [space.gene_names.index(f"stage1.slot{slot}.kind") for slot in (1, 2)]
    genomes = np.zeros((2, len(space.gene_names)), np.int16)
    genomes[1, kinds] = 1
    assert space.cardinalities[kinds].tolist() == [2, 2]  # the identity is what skipping is elsewhere
    plain, inverted = space.decode(genomes)
    assert plain[:4, :5].tolist() == [
        [Op.CONV, 3, 8, 3, 1],
        [Op.CONV, 8, 16, 1, 2],
        [Op.GLOBAL_POOL, 16, 16, 4, 1],
        [Op.LINEAR, 16, 4, 1, 1],
    ]
    assert inverted[:8, :5].tolist() == [
        [Op.CONV, 3, 8, 3, 1],
        [Op.CONV, 8, 16, 1, 1],
        [Op.DEPTHWISE, 16, 16, 3, 2],
        [Op.CONV, 16, 16, 1, 1],  # and no shortcut, though the widths agree
        [Op.CONV, 16, 32, 1, 1],
        [Op.DEPTHWISE, 32, 32, 3, 1],
        [Op.CONV, 32, 16, 1, 1],
        [Op.ADD, 16, 16, 4, 1],
    ]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"kinds": ["ID"]}, "leaves every slot empty"),
        ({"kinds": ["IR_3x3"], "kernels": {"IR_3x3": [5]}}, "IR_3x3 has no kernel to choose; leave it out"),
        ({"kinds": ["FC"], "widths": []}, "FC stands alone|keep_channels is missing"),
    ],
)
def test_stages_that_make_no_sense_are_refused(stage: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_of(*stage.pop("kinds"), **stage)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("digits", "published"), [("00000000", 7713280), ("02012100", 47327744), ("22222222", 105660928)]
)
def test_nas_bench_macro_has_its_networks_at_their_costs(digits: str, published: int) -> None:
    """Multiply-accumulates of three of its networks as published (xiusu/NAS-Bench-Macro at 61a2bfc2)."""
    space = load_problem("nas_bench_macro").search_space((3, 32, 32), 10)
    assert space.size() == 3**8
    genes = [gene for gene, name in enumerate(space.gene_names) if name.endswith(".kind")][:8]
    genome = space.smallest()
    genome[genes] = [int(digit) for digit in digits]
    assert macs(space.decode(genome[None]))[0] == published


def test_peak_memory_is_that_of_the_file(mixed: SearchSpace, tmp_path: Path) -> None:
    for genome in mixed.sample(np.random.default_rng(0), 12):
        network = Network(mixed.architecture(genome), 4).eval()
        export_onnx(network.folded(), mixed.input_shape, tmp_path / "a.onnx")
        graph, table = read_onnx(tmp_path / "a.onnx"), mixed.decode(genome[None])
        assert 4 * (graph.peak_values + graph.params) == peak_memory_bytes(table)[0]
