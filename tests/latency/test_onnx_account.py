"""The sums of a walk over a graph, which can go back."""

import onnx

from evo_fair.latency.onnx_account import Account
from evo_fair.latency.onnx_layers import GraphLayer
from evo_fair.latency.onnx_value import Value
from evo_fair.layers import Op

NODE = onnx.helper.make_node("Strange", ["x", "w"], ["y"], "strange", domain="far.away")
OTHER = onnx.helper.make_node("Odd", ["x"], ["y"])
WEIGHTS = Value("w", (3, 4), constant=True, origin="w", stored=True)


def layer(macs: int) -> GraphLayer:
    return GraphLayer("conv", "Conv", (int(Op.CONV), 3, 8, 3, 1, 1, 8, 8), macs, 10)


def count(account: Account) -> None:
    """Counts some of everything."""
    account.layers.append(layer(7))
    account.note_mixed(NODE, Value("x", (2, 5)), 1)
    account.alive.run((), {"x": 10})
    account.traffic += 100
    account.made_values += 5
    account.made_macs += 6
    account.name_stand_in("Gelu", 4)
    account.name_unknown(NODE, "far.away.Strange", 30, [WEIGHTS])
    account.name_unknown(OTHER, "Odd", 60)


def told(account: Account) -> tuple[object, ...]:
    """All that an account can say."""
    sums = (account.other_params, account.traffic, account.made_values, account.made_macs)
    lists = (tuple(account.layers), tuple(account.steps), tuple(account.stand_ins.values()), account.unknown())
    return (*sums, *lists, account.alive.peak(()))


def test_going_back_forgets_all_that_was_counted_since() -> None:
    account = Account()
    count(account)
    before, mark = told(account), account.mark()
    for _ in range(2):
        count(account)
        assert all(one != other for one, other in zip(told(account)[1:7], before[1:7], strict=True))
        account.go_back(mark)
        assert told(account) == before


def test_what_is_not_priced_comes_with_its_share_the_largest_first() -> None:
    account = Account()
    count(account)
    assert [(one.operator, one.nodes, one.share, one.params) for one in account.unknown()] == [
        ("Odd", 1, 0.6, 0),
        ("far.away.Strange", 1, 0.3, 12),
    ]
    assert account.other_params == 12


def test_a_body_that_runs_more_often_multiplies_what_came_after_the_mark_alone() -> None:
    account = Account()
    account.layers.append(layer(7))
    mark = account.mark()
    account.layers += [layer(2), layer(3)]
    account.repeat(mark, 4)
    account.repeat(mark, 2)
    assert [one.repeats for one in account.layers] == [1, 8, 8]
    assert account.macs_since(mark) == 40


def test_what_one_node_of_an_operator_may_hide_all_may() -> None:
    for first, second in ((True, False), (False, True)):
        account = Account()
        account.name_unknown(OTHER, "If", 0, multiplies=first, hides_params=second, reason="the data decide")
        account.name_unknown(OTHER, "If", 0, multiplies=second, hides_params=first, reason="the data decide")
        (told_of,) = account.unknown()
        assert (told_of.nodes, told_of.multiplies, told_of.hides_params) == (2, True, True)
