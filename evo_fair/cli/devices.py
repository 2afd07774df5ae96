"""`evo-fair devices`: the devices whose latency can be predicted, and how to add one's own."""

import json as json_format
from typing import Annotated

import typer

__all__ = ["devices"]


def devices(json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Lists the device profiles that come with evo_fair, and how well each holds on networks it did not see."""
    from rich.console import Console
    from rich.table import Table

    from evo_fair.latency import device_names, load_profile

    profiles = [load_profile(name) for name in device_names()]
    if json:
        fields = {"anchors", "prices", "fitted", "carried_over"}
        rows = [
            profile.file.model_dump(mode="json", by_alias=True, exclude=fields)
            | {"fitted_networks": profile.file.fitted.networks}
            for profile in profiles
        ]
        typer.echo(json_format.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "device", "runtime", "precision"):
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
    console = Console()
    console.print(table)
    console.print(
        "\nerror: mean absolute error on networks that the fit did not see. Your own device: 'evo-fair calibrate' for "
        "this machine,\n'evo-fair calibrate --kit DIR' for a board; then give the profile's path instead of a name.",
        highlight=False,
    )
