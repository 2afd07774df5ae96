"""An audit's folder: its tables are read as they were written, whatever networks and criteria are called."""

from pathlib import Path

import pandas as pd

from evo_fair.auditing.plan import PLAN_COLUMNS
from evo_fair.auditing.store import start_audit, write_table


def test_criteria_and_networks_called_as_missing_or_as_numbers_keep_their_names(tmp_path: Path) -> None:
    rows = [("a", "7", True, *[""] * 5, 0, 0.0), ("b", "7", False, "NA", "None", "global", "null", "none", 0, 0.5)]
    plan = pd.DataFrame([(*row, 0.5, 100, 200, "") for row in rows], columns=list(PLAN_COLUMNS))
    folder = start_audit(tmp_path / "audit", {"part_size": 8}, plan, resume=False)
    write_table(folder.table, plan)
    for table in (folder.plan, folder.read_table()):
        pruned = table[~table["dense"]].iloc[0]
        assert pruned[["base", "criterion", "order", "structure", "treatment"]].tolist() == [
            *("7", "NA", "None", "null", "none")
        ]
        assert table["criterion"].isna().tolist() == [True, False]
        assert table["params"].tolist() == [100, 100]
