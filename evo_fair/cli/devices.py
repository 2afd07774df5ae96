"""`evo-fair devices`: the devices whose latency can be predicted, and how to add one's own."""

import json as json_format
from typing import Annotated

import typer

from evo_fair.show import say

__all__ = ["devices"]


def devices(json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Lists the device profiles that come with evo_fair, and how well each predicts networks that its fit did not see.

    "error" is the mean absolute error; "within 10 %" is the share of networks whose prediction is at most 10 % off.
    """
    from evo_fair.latency import device_names, load_profile
    from evo_fair.tables import Table, print_table

    profiles = [load_profile(name) for name in device_names()]
    if json:
        fields = {"anchors", "prices", "fitted", "carried_over", "sources", "intervals"}
        rows = [
            profile.file.model_dump(mode="json", by_alias=True, exclude=fields)
            | {"fitted_networks": profile.file.fitted.networks, "has_intervals": profile.has_intervals}
            for profile in profiles
        ]
        say(*json_format.dumps(rows, indent=2, ensure_ascii=False).split("\n"))
        return
    table = Table()
    table.add_column("name")  # to be typed, so it stays whole
    for column in ("device", "runtime", "precision"):
        table.add_column(column, overflow="fold")
    for column in ("threads", "networks", "error", "within 10 %"):
        table.add_column(column, justify="right")
    for profile in profiles:
        file, held_out = profile.file, profile.file.validation
        table.add_row(
            file.name,
            file.device.name,
            file.runtime,
            file.precision,
            str(file.device.threads or "?"),
            str(file.fitted.networks),
            f"{held_out.mape:.1f} %" if held_out else "-",
            f"{held_out.within_10_percent:.0f} %" if held_out else "-",
        )
    print_table(table)
    say(
        "",
        "networks: how many were measured for the fit",
        "error: mean absolute error of the latency, on networks that the fit did not see",
        "within 10 %: the share of these whose predicted latency is at most 10 % off the measured one",
        "? and -: not recorded",
        "",
        "Your own device: 'evo-fair calibrate' for this machine, 'evo-fair calibrate --kit DIR' for a board.",
        "Then give the profile's path instead of a name.",
    )
