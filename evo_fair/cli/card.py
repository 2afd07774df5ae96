"""`evo-fair card`: a network of a run as a folder to publish."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.show import say

__all__ = ["card"]


def card(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that a search wrote.")],
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="The id of a network on its front.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A folder, new or of an earlier card of NETWORK. Default: RUN/cards/NETWORK."),
    ] = None,
) -> None:
    """Writes a network with a Hugging Face model card and an example that loads it, ready to upload."""
    from evo_fair.report.model_card import write_model_card

    say(write_model_card(run, network, out))
