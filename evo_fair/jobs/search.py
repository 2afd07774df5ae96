"""Searches: problem, data, supernet, profile and the engine wired together, and the folder that comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from evo_fair.arguments import as_name, as_path, as_whole
from evo_fair.errors import EvoFairError, FigureError, RunError
from evo_fair.evolution import Constraint, Initial, Objective, RunFolder, describe, open_run
from evo_fair.evolution import search as run_engine
from evo_fair.evolution.algorithms import Algorithm, own_code
from evo_fair.evolution.given import given_constraints, given_objectives
from evo_fair.evolution.searched import Searched
from evo_fair.job_folder import RUNS
from evo_fair.jobs.devices import device_facts
from evo_fair.jobs.evidence import gather
from evo_fair.jobs.facts import data_facts, problem_facts, version_facts
from evo_fair.jobs.guessing import how_to_learn_more
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.origins import SupernetOrigin, supernet_origin
from evo_fair.jobs.own import OwnOrigin, check_network_precision, network_to_search
from evo_fair.jobs.places import place_of_job
from evo_fair.jobs.preparation import Prepared, check_sources, measured_names, prepare
from evo_fair.jobs.trainings import Additions, check_trainings, train_chosen, write_findings
from evo_fair.jobs.workers import Team, Workers, checked_jobs, open_team, ready_workers
from evo_fair.jobs.workers.populations import TeamEvaluator
from evo_fair.jobs.writing import write_front_networks
from evo_fair.lock import one_job
from evo_fair.nets.plain import plain_torch
from evo_fair.own import NetworkEvaluator, NetworkSpace
from evo_fair.own.costs import doubtful_costs
from evo_fair.plugins import check_facts, facts
from evo_fair.problem import Problem
from evo_fair.proxy import ProxyEvaluator, check_precision
from evo_fair.proxy.header import Header
from evo_fair.report import Run, load_run
from evo_fair.space import SearchSpace

__all__ = ["search"]

VERSIONS_THAT_COUNT = ("numpy", "pymoo", "torch")


@one_job("a search", lambda given: as_path("out", given["out"]))
@plain_torch()
def search(
    problem: Problem | str | Path,
    *,
    out: str | Path,
    device: str | Path | Sequence[str | Path] | None = None,
    objectives: Sequence[str | Objective] | None = None,
    constraints: Sequence[str | Constraint] | None = None,
    group: str | None = None,
    algorithm: Algorithm = "nsga2",
    budget: int | None = None,
    population: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    torch_device: str = "auto",
    precision: str = "fp32",
    resume: bool = False,
    freeze_header: str | int = "off",
    trainings: int = 0,
    training_epochs: int | None = None,
    module: str | nn.Module | None = None,
    weights: str | Path | None = None,
    orders: Sequence[str] | None = None,
    workers: Workers | int | str | None = None,
    listener: Listener | None = None,
) -> Run:
    """Searches a problem's space and writes the run's folder `out`: journal, front, ONNX networks with cards, plots.

    What is left out comes from the problem file. The supernet is trained first if there
    is none for these data. The front is taken from what is believed of the networks
    (`evo_fair.belief`), not from the luckiest reading.

    Of several devices, `latency_ms[NAME]` is the latency on each, and `latency_ms` that
    on the first. An objective of the problem that is a latency then becomes one for
    each device. `worst_latency` is the largest ratio of a latency to the limit that a
    constraint sets it.

    With `module` the space is what pruning can leave of a trained network, and that
    network takes the supernet's place. Trainings then start from the pruned weights, as
    in `deploy`.

    Args:
        problem: A `Problem`, the name of one that comes with evo_fair, or the path of a
            problem file.
        out: The run's folder. It has to be new, except with `resume`.
        device: A profile's name or path, or a list of them. Default: the problem's.
        objectives: Names, or objectives of your own, see `evo_fair.extend`. Default:
            the problem's.
        constraints: Limits such as `latency_ms <= 5`. Default: the problem's.
        group: The grouping that fairness is about, such as `sex` or `sex*age_band`.
            Default: the problem's.
        algorithm: A strategy's name, or a strategy of your own, see `evo_fair.extend`.
            Default: `nsga2`.
        budget: How many different networks the proxy evaluates, 1 or more. Default: the
            problem's.
        population: Networks a generation, 2 or more. Default: the problem's.
        seed: The search's seed, 0 or more; the supernet's seed is in the problem file.
            Default: 0.
        jobs: Threads; they change the time and nothing else. Default: one a core.
        torch_device: Where networks are trained and evaluated: `auto`, `cpu`, `cuda`,
            `cuda:N` or `mps`. Default: `auto`, a GPU if there is one.
        precision: `fp32` or `bf16`, the numbers that the proxy computes with. Default:
            `fp32`.
        resume: Whether to go on with the run in `out`. A run that had not begun yet
            begins. Default: False.
        freeze_header: `off`, `auto`, or how many of the first blocks, counting the
            stem, are fixed to those of the largest network. `auto` takes the blocks
            whose feature maps hardly differ between groups. Default: `off`.
        trainings: How many networks are really trained, those that tell most about all
            others. After every four of them as many networks as a generation has are
            evaluated that nobody looked at yet, those that look best by what the
            trainings said; they come on top of the budget. With `resume` there can be
            more trainings than before. Default: 0.
        training_epochs: Epochs of each such training. Default: the problem's.
        module: A network to search in the supernet's place: a reference network's name,
            `file.py:function` or `package.module:function` that returns a
            `torch.nn.Module`, or the module. Default: None, the problem's space.
        weights: The safetensors file with the weights of a function's network. Default:
            None, it is trained first.
        orders: The criteria that say which of the module's channels stay; of several,
            the choice is a gene. Default: `magnitude_l1` and `taylor`; those of a run
            that goes on.
        workers: Who evaluates and trains networks: so many processes here, the address of a
            Dask scheduler, or a `Workers`. The run is the same. Default: None,
            this process.
        listener: Hears how far the search is. Default: nobody.

    Returns:
        The run, whose `front` is a table with a row a network.

    Raises:
        EvoFairError: The input is wrong; the error's kind says what of it.

    Example:
        >>> run = ef.search("digits", budget=16, population=8, out="results/example")
        >>> list(run.front.columns[:4])
        ['id', 'error', 'unfairness', 'latency_ms']
    """
    objectives = None if objectives is None else given_objectives(objectives)
    constraints = None if constraints is None else given_constraints(constraints)
    budget, population = as_whole("budget", budget), as_whole("population", population)
    seed, jobs = as_whole("seed", seed), as_whole("jobs", jobs)
    trainings, training_epochs = as_whole("trainings", trainings), as_whole("training_epochs", training_epochs)
    group = None if group is None else as_name("group", group)
    if not isinstance(freeze_header, str):
        freeze_header = as_whole("freeze_header", freeze_header)
    for name, given in (("seed", seed), ("freeze_header", freeze_header), ("trainings", trainings)):
        if given is None:
            raise EvoFairError(f"{name} is None: give one, or leave it out")
    listener = as_listener(listener)
    folder = as_path("out", out)
    begun: dict[str, Any] = {}
    recorded: dict[str, str] = {}
    initial: Initial = "spread" if module is None else "known"
    resume = RUNS.goes_on(folder, resume)  # what is no run is refused before anything is loaded or trained
    if resume:
        opened = open_run(folder)
        begun, recorded, initial = opened.configuration, opened.devices, Searched.of(opened).initial
    brought = network_to_search(module, weights, orders, begun)
    team_wanted = ready_workers(workers, jobs)
    jobs = checked_jobs(jobs)
    place = place_of_job(torch_device, begun.get("proxy", {}) if resume else None, listener)
    if brought is not None:
        check_network_precision(precision)
    check_precision(precision, place.kind)
    prepared = prepare(
        problem, device, objectives, constraints, group, algorithm, budget, population, seed, initial, recorded
    )
    own = facts({"algorithm " + prepared.plan.algorithm_name: own_code(algorithm)})
    if resume:
        check_facts(begun, own, folder, RunError)
    tuning = check_trainings(trainings, training_epochs, prepared.plan.objectives, from_scratch=brought is None)
    check_sources(folder, begun, prepared.sources)
    known = _known(prepared, begun)
    if resume:
        # Before a supernet is trained for what has changed; data that a changed problem makes are told by its key.
        RUNS.check_settings(folder, {"problem": known["problem"], **known, **own})
    listener.writing(folder)
    origin: SupernetOrigin | OwnOrigin
    header: Header | None = None
    if brought is None:
        space = prepared.space
        assert isinstance(space, SearchSpace)
        origin, header = supernet_origin(
            prepared.problem,
            prepared.dataset,
            space,
            freeze_header,
            prepared.plan.group,
            place,
            precision,
            listener,
        )
    else:
        if freeze_header != "off":
            raise EvoFairError("a header is a supernet's: leave out --freeze-header, or --module")
        going_on = folder if resume else None
        origin = OwnOrigin.open(
            brought, prepared.problem, prepared.dataset, prepared.plan.group, going_on, listener, place
        )
    prepared = replace(prepared, space=origin.space)
    if isinstance(origin, OwnOrigin):
        listener.prepared(prepared.dataset, prepared.space)
        if said := doubtful_costs(origin.own, prepared.dataset.input_shape, measured_names(prepared.plan)):
            listener.warned(said)
    configuration = _configuration(known, prepared.space, origin, header) | own
    run = RunFolder(folder, RUNS.start(folder, configuration, resume))
    if header:
        from evo_fair.report.header import write_header  # with Matplotlib

        sizes = (header.whole.magnitude, header.space.magnitude)
        write_header(folder, header.rows(), header.group, header.threshold, sizes)
    origin.keep(folder)
    with open_team(team_wanted, folder, listener) as team:
        evaluating = partial(_evaluator, origin, prepared, jobs, team)
        with evaluating() as evaluator:
            outcome = run_engine(
                prepared.plan, prepared.space, evaluator, run.journal, run.checkpoint, listener.searching
            )
            listener.ended(outcome)
            searched = [record for record in outcome.records if record.generation < outcome.generations]
            evidence = gather(prepared.plan, prepared.space, prepared.dataset, searched, evaluator.predict)
        if evidence is not None:
            begins = origin.beginning()
            additions = Additions(run.journal, prepared.plan, prepared.space, evaluating, outcome.generations)
            evidence, belief = train_chosen(
                run,
                evidence,
                additions,
                prepared.problem,
                prepared.dataset,
                tuning,
                trainings,
                listener,
                begins,
                team,
                place,
            )
            mend = "Give a network that was trained on these data, or its weights."
            if brought is None or not brought.brings_weights:
                trained = header.whole if header else prepared.space
                of_supernet = trained if isinstance(trained, SearchSpace) else None
                mend = how_to_learn_more(prepared.problem.training, prepared.dataset, space=of_supernet)
            write_findings(folder, evidence, belief, prepared.dataset, mend)
    result = load_run(folder)
    result.write_front()
    write_front_networks(run.networks, result, prepared, origin, jobs, listener)
    for name in ("pareto.png", "pareto.pdf"):
        try:
            result.plot(folder / name)
        except FigureError as reason:
            listener.undrawn(str(reason))
            break
    return result


def _evaluator(
    origin: SupernetOrigin | OwnOrigin, prepared: Prepared, jobs: int, team: Team | None
) -> ProxyEvaluator | NetworkEvaluator | TeamEvaluator:
    """What evaluates the search's networks: `jobs` threads of this process, or a team."""
    groupings = prepared.groupings
    if team is None:
        return origin.evaluator(groupings, jobs)
    return TeamEvaluator(team, origin.predicting(team.workers), prepared.dataset, groupings)


def _known(prepared: Prepared, begun: Mapping[str, Any]) -> dict[str, Any]:
    """What the result depends on beside what evaluates networks, for `run.toml`; `begun` is that of a run to go on."""
    plan = prepared.plan
    told = prepared.sources and ("search" not in begun or "sources" in begun["search"])  # older runs don't say
    return {
        "versions": version_facts(*VERSIONS_THAT_COUNT),
        "search": {
            "algorithm": plan.algorithm_name,
            "group": plan.group,
            "constraints": [limit.text for limit in plan.constraints],
            "budget": plan.budget,
            "population": plan.population,
            "seed": plan.seed,
            "objectives": describe(plan.objectives),
            **({"initial": plan.initial} if plan.initial != "random" else {}),
            **({"sources": prepared.sources} if told else {}),
        },
        **device_facts(prepared.profiles),
        "data": data_facts(prepared.dataset),
        "problem": problem_facts(prepared.problem),
    }


def _configuration(
    known: Mapping[str, Any],
    space: SearchSpace | NetworkSpace,
    origin: SupernetOrigin | OwnOrigin,
    header: Header | None,
) -> dict[str, Any]:
    """Everything that the result depends on, for `run.toml`."""
    before = {key: value for key, value in known.items() if key not in ("data", "problem")}
    return {
        **before,
        **origin.configuration(),
        "data": known["data"],
        "space": {"networks": space.magnitude, "fingerprint": space.fingerprint},
        **({"header": header.configuration()} if header else {}),
        "problem": known["problem"],
        "proxy": origin.proxy_facts(),
    }
