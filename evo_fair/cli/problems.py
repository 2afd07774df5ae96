"""`evo-fair problems`: what can be searched, and what is needed for it."""

from evo_fair.show import say

__all__ = ["problems"]


def problems() -> None:
    """Lists the problems that come with evo_fair, with what is needed to use each."""
    from evo_fair.data import SOURCES
    from evo_fair.files import shipped_or_path
    from evo_fair.problem import load_problem, problem_names
    from evo_fair.tables import Table, print_table

    table = Table()
    table.add_column("problem")  # to be typed, so it stays whole
    for column in ("what it is", "groups", "what it needs"):
        table.add_column(column, overflow="fold")
    for name in problem_names():
        problem = load_problem(name)
        groups = ", ".join(problem.fairness.groupings)
        needed = SOURCES[problem.data.source].needs
        if problem.data.folder:
            needed = f"{problem.data.folder}: {needed}"
        table.add_row(name, problem.title, groups, needed)
    print_table(table)
    own = shipped_or_path("image_folder", "problems", ".toml", "problem")
    say("", f"Your own images: copy {own} and give the path of the copy instead of a name.")
    say(f"Your own table: copy {shipped_or_path('table', 'problems', '.toml', 'problem')}.")
