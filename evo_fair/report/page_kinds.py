"""The kinds of folders that reports are made of, each told by the file that its job writes first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evo_fair.errors import RunError
from evo_fair.job_folder import job_in, such_as
from evo_fair.report.page_sheet import Sheet

__all__ = ["PAGE_KINDS", "PageKind", "kind_of"]


@dataclass(frozen=True)
class PageKind:
    """A kind of folder: what it is called, and what its page shows."""

    name: str
    command: str
    sheet: Callable[[Path], Sheet]

    def is_in(self, folder: Path) -> bool:
        """Whether a folder is of this kind."""
        return job_in(folder) == self.name

    @property
    def named(self) -> str:
        """Such as "an audit (evo-fair audit)"."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name} ({self.command})"


def kind_of(folder: Path) -> PageKind:
    """The kind of a folder; raises `RunError`, which lists the kinds, for one of none."""
    for kind in PAGE_KINDS:
        if kind.is_in(folder):
            return kind
    known = ", ".join(kind.named for kind in PAGE_KINDS)
    what = "holds nothing that a report is made of" if folder.is_dir() else "is no folder"
    near = such_as(folder, *(kind.name for kind in PAGE_KINDS))
    raise RunError(f"{folder} {what}: give the folder of {known}{near}")


# What draws is an extra, so pages are imported only once one is to be made.


def _search(folder: Path) -> Sheet:
    from evo_fair.report.page_search import search_sheet

    return search_sheet(folder)


def _deployment(folder: Path) -> Sheet:
    from evo_fair.report.page_deploy import deployment_sheet

    return deployment_sheet(folder)


def _pruning(folder: Path) -> Sheet:
    from evo_fair.report.page_prune import pruning_sheet

    return pruning_sheet(folder)


def _audit(folder: Path) -> Sheet:
    from evo_fair.report.page_audit import audit_sheet

    return audit_sheet(folder)


def _comparison(folder: Path) -> Sheet:
    from evo_fair.report.page_compare import comparison_sheet

    return comparison_sheet(folder)


PAGE_KINDS = (
    PageKind("deployment", "evo-fair deploy", _deployment),
    PageKind("search", "evo-fair search", _search),
    PageKind("pruning", "evo-fair prune", _pruning),
    PageKind("audit", "evo-fair audit", _audit),
    PageKind("comparison", "evo-fair compare", _comparison),
)
"""All kinds."""
