"""The pages that people read, and the code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands", "name_of"]

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")]
    + [page for page in (ROOT / "docs").rglob("*.md") if page.name != "commands.md"]
)
_FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (?P<name>[\w-]+\.(?:py|toml))\n")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, and the file that it is to be written to, if it names one."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """`mine.py` for a block whose first line is `# mine.py`."""
        found = _FILE.match(self.text)
        return found["name"] if found else None


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The page's blocks, in order."""
    found = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"].strip(), each["text"]) for each in found]


def commands(page: Path) -> list[str]:
    """The lines of the page's blocks that call evo-fair."""
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    return [line for line in lines if line.startswith("evo-fair ")]
