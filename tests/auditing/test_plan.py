import numpy as np
import pytest

from evo_fair.auditing.paths import SUPERNET_SCOPES, channels_of, full_width, pruning_path
from evo_fair.auditing.plan import PLAN_COLUMNS, Grid, genomes_of, plan_networks
from evo_fair.errors import AuditError, UnknownNameError
from evo_fair.layers import params
from evo_fair.problem import load_problem
from evo_fair.space import SearchSpace, SpaceSchema

from ..cli.conftest import PROBLEM

SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def space():
    return load_problem("ham10000").search_space(SHAPE, 7)


def no_importance(order, base):
    return {}


def plan_of(space, **changes):
    grid = Grid(**({"networks": 150, "criteria": ("trained", "random")} | changes))
    return plan_networks(space, grid, no_importance, lambda criterion: criterion == "random")


def test_architectures_are_different_full_and_largest_first(space):
    bases = full_width(space, np.random.default_rng(0), 30)
    assert bases.shape == (30, len(space.gene_names))
    assert len(set(space.ids(bases))) == 30
    assert bases[0].tolist() == space.largest().tolist()
    blocks = space.blocks(bases)
    assert (blocks[:, :, 0] > 0).all(), "no slot is skipped"
    assert (blocks[:, -1, 3] == 96).all(), "the last stage is at full width"


def test_no_slot_is_skipped_where_a_kind_is_the_identity():
    stage = {"slots": 3, "kinds": ["ID", "MB", "RB"], "widths": [8, 16]}
    space = SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]}), (3, 8, 8), 2)
    bases = full_width(space, np.random.default_rng(0), 6)
    kinds = [[block.kind.name for block in space.architecture(genome)][-3:] for genome in bases]
    assert len({tuple(three) for three in kinds}) == 6
    assert {name for three in kinds for name in three} == {"MB", "RB"}
    assert {three[2] for three in kinds} == {"MB", "RB"}


def test_a_small_audit_has_some_of_every_criterion(space):
    criteria = ("trained", "random", "magnitude_l1", "bn_scale")
    whole = plan_of(space, criteria=criteria, networks=2000)
    first = int((whole["base"] == whole["base"][0]).sum())
    plan = plan_of(space, criteria=criteria, networks=min(40, first - 1))
    assert len(plan) == min(40, first - 1)
    assert plan["base"].nunique() == 1
    assert plan["dense"].sum() == 1
    assert set(plan["criterion"]) == {"none", *criteria}


@pytest.fixture(scope="module")
def tabular():
    return load_problem("adult").search_space((30,), 2)


@pytest.mark.parametrize("scope", SUPERNET_SCOPES)
@pytest.mark.parametrize("kind", ["space", "tabular"])
def test_paths_shrink_widths_alone_down_to_the_end(request, kind, scope):
    space = request.getfixturevalue(kind)
    base = full_width(space, np.random.default_rng(0), 3)[-1]
    genomes, sparsity = pruning_path(space, base, scope, np.random.default_rng(1), {})
    assert genomes[0].tolist() == base.tolist()
    assert sparsity[0] == 0
    assert (np.diff(sparsity) > 0).all()
    sizes = params(space.decode(genomes))
    assert sparsity == pytest.approx(1 - sizes / sizes[0])
    for gene, name in enumerate(space.gene_names):
        if name.endswith((".kind", ".kernel")):
            assert (genomes[:, gene] == base[gene]).all()
        if name.endswith(".width"):
            assert genomes[-1, gene] == 0


def test_scopes_begin_where_they_say(space):
    base = full_width(space, np.random.default_rng(0), 3)[2]
    touched = {}
    for scope in ("early", "late"):
        genomes, _ = pruning_path(space, base, scope, np.random.default_rng(1))
        touched[scope] = [space.gene_names[np.flatnonzero(row != base)[0]].split(".")[0] for row in genomes[1:2]]
    assert touched == {"early": ["stem"], "late": ["stage3"]}


def test_global_scope_removes_the_least_important_first(space):
    base = space.largest()
    gene = space.gene_names.index("stage2.width")
    others = [g for g, name in enumerate(space.gene_names) if name.endswith((".width", ".keep"))]
    importance = {g: np.ones(400) for g in others} | {gene: np.r_[np.ones(24), np.full(400, 0.1)]}
    genomes, _ = pruning_path(space, base, "global", np.random.default_rng(0), importance)
    assert [row[gene] for row in genomes[:4]] == [2, 1, 0, 0]
    assert channels_of(space, gene) == (24, 32, 48)


def test_plan_is_reproducible_and_has_each_network_once(space):
    plan = plan_of(space)
    assert list(plan.columns) == list(PLAN_COLUMNS)
    assert len(plan) == plan["id"].nunique() == 150
    assert plan.equals(plan_of(space))
    assert not plan.equals(plan_of(space, seed=1))
    dense = plan[plan["dense"]]
    assert (dense["sparsity"] == 0).all()
    assert set(dense["base"]) == set(plan["base"])
    assert plan.loc[~plan["dense"], "sparsity"].between(0, 1, inclusive="neither").all()
    assert params(space.decode(genomes_of(plan))).tolist() == plan["params"].tolist()
    assert set(plan.loc[plan["criterion"] == "random", "order"]) <= {"random-0", "random-1", "random-2"}


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"sparsities": (0.5, 1.0)}, AuditError, r"sparsity 1 is not in \[0, 1\)"),
        ({"sparsities": (-0.1,)}, AuditError, "sparsity -0.1"),
        ({"networks": 2}, AuditError, "needs 3 or more, a dense one and two pruned ones"),
        ({"sparsities": (0.0,)}, AuditError, "nothing would be pruned"),
        (
            {"networks": 3, "sparsities": (0.5,), "scopes": ("late",), "criteria": ("trained",), "seeds": (0,)},
            AuditError,
            r"the grid has 1 pruned network\(s\)",
        ),
        ({"scopes": ("lat",)}, UnknownNameError, "did you mean 'late'"),
        ({"seeds": ()}, AuditError, "at least one"),
        (
            {"networks": 5000, "sparsities": (0.5,), "scopes": ("late",), "criteria": ("trained",)},
            AuditError,
            "not 5,000",
        ),
    ],
)
def test_impossible_grids_are_refused(tmp_path, changes, error, told):
    (tmp_path / "tiny.toml").write_text(PROBLEM)
    space = load_problem(str(tmp_path / "tiny.toml")).search_space((1, 8, 8), 10)
    with pytest.raises(error, match=told):
        plan_of(space, **changes)
