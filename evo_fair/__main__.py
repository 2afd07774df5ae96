"""`evo-fair` and `python -m evo_fair`: the command line, whose imports, too, an interrupt ends in a line."""

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command of the process's arguments, as `evo_fair.cli.main` does."""
    try:
        from evo_fair.cli import main as run
    except KeyboardInterrupt:
        from evo_fair.show import say

        say("interrupted", err=True)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
