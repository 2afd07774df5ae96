"""`python -m evo_fair`: the command line, as `evo-fair`."""

from evo_fair.cli import main

if __name__ == "__main__":
    main()
