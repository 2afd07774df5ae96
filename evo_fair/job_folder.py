"""A long job as a folder: the facts that its content depends on, in one file, and pieces that are each made once.

The facts are written when a job begins. Whoever goes on with it has to bring the same: then each piece that is there,
whole, is taken, and the others are made. Searches, deployments, prunings and audits all begin, go on and are refused
here; they differ in what their facts are called and in which form they are written.
"""

import json
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from evo_fair.arguments import as_flag
from evo_fair.errors import AuditError, EvoFairError, RunError, quote
from evo_fair.files import (
    digest,
    is_recorded,
    is_trace,
    read_cached_json,
    read_json,
    read_toml,
    storage_errors,
    write_json,
    write_text,
)
from evo_fair.plugins import check_facts

__all__ = [
    "AUDITS",
    "COMPARISONS",
    "PRUNINGS",
    "RUNS",
    "FolderKind",
    "Piece",
    "job_in",
    "make_missing",
    "other_job",
    "such_as",
]

P = TypeVar("P")

_SEAL = "seal"

_DATA = ("data", "data.fingerprint")
"""The keys of a hash of all data."""


@dataclass(frozen=True)
class FolderKind:
    """What the folders of one kind of job have in common.

    `name` is what messages call the job, `writer` who writes such folders, `job` what `job_in` calls them where that is
    another name. `file` holds the facts, as TOML or JSON by its suffix, with a `format` from 1 to `newest`. `tables`
    are the keys that hold tables wherever they stand. `early` names what is written before the facts: a folder with
    nothing else has not begun. `log` is what every result is written to first: while it is empty, a folder with nothing
    else but the facts, and what is `beside` them before that, has not begun either, so that a job that failed on its
    first result can be put right and asked for again. `error` is what is raised.
    """

    name: str
    writer: str
    file: str
    error: type[EvoFairError]
    newest: int = 1
    tables: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    log: str = ""
    beside: frozenset[str] = frozenset()
    job: str = ""

    def has_begun(self, path: Path) -> bool:
        """Whether there is anything at `path`: False where nothing is, or a job ended there before it made anything."""
        if not path.is_dir():
            return path.exists()
        log = path / self.log
        nothing_yet = self.log and log.is_file() and not log.stat().st_size
        unused = {self.file, self.log, *self.beside} if nothing_yet else set[str]()
        return not all(self._is_blank(entry) or entry.name in unused for entry in path.iterdir())

    def goes_on(self, path: Path, resume: bool) -> bool:
        """Whether a job asked for in `path` is one to go on with: False where it begins.

        Raises the kind's error where it may do neither: `resume` is not given and there is something already, or it is
        given and what is there is no such job.
        """
        if not as_flag("resume", resume):
            self.check_new(path)
            return False
        if not self.has_begun(path):
            return False
        self.read(path)
        return True

    def check_new(self, path: Path) -> None:
        """Raises the kind's error if there is something at `path`: a job of this kind, other things, a file."""
        if not self.has_begun(path):
            return
        if not path.is_dir():
            raise self.error(f"{path} is a file: give a new folder with --out")
        if (path / self.file).is_file():
            begun = "deployment, or add networks to it," if job_in(path) == "deployment" else self.name
            raise self.error(f"{path} exists already: continue its {begun} with --resume, or choose another --out")
        raise self.error(f"{path} exists already and holds something that is no {self.name}: choose another --out")

    def read(self, path: Path) -> dict[str, Any]:
        """The facts of the job in a folder, as nested tables, without their format.

        Raises the kind's error if there is no such job, or if its facts can't be read or are of a later format.
        """
        mend = f"give the folder that {self.writer} wrote"
        place = path / self.file
        if not path.is_dir():
            raise self.error(f"there is no {self.name} in {path}: {mend}")
        if not place.is_file():
            wanted = self.job or self.name
            if other := other_job(path, wanted):
                raise self.error(other)
            raise self.error(f"{path} holds no {self.file}, so it is no {self.name}: {mend}{such_as(path, wanted)}")
        facts = (read_json if self._json else read_toml)(place, self.error)
        if not isinstance(facts, dict):
            raise self.error(f"{place} holds no table of facts: restore the file")
        form = facts.pop("format", None)
        if not isinstance(form, int) or not 1 <= form <= self.newest:
            raise self.error(
                f"{place} has the format {quote(form)}, and this evo_fair reads up to {self.newest}: update it"
            )
        for key, value in facts.items():
            if key in self.tables and not isinstance(value, dict):
                raise self.error(f"{place}: {key} = {quote(value)} should be a table: restore the file")
        return facts

    def begin(self, path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the folder and writes its facts; returns them as they read back.

        `facts` holds what TOML or JSON knows: tables, arrays, texts, numbers and booleans. Raises the kind's error if
        there is something at `path`, and leaves that as it is.
        """
        text = self._text(facts)
        self.check_new(path)
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            for name in self.beside:  # of a job that failed: this one may have none
                if (left := path / name).is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink(missing_ok=True)
        write_text(path / self.file, text)
        return self.read(path)

    def resume(self, path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of the job in a folder, if it was made with these.

        Raises the kind's error naming the plugin or part of the user's own, or else the first key, that differs, and as
        `read` does.
        """
        there = self.read(path)
        check_facts(there, facts, path, self.error)
        self._check_same(path, there, self._parsed(self._text(facts)))
        return there

    def check_settings(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Raises as `resume` does where the job in a folder was made with other `facts`, which may lack whole keys.

        For what is known before anything long begins: a job that can't go on says so at once. Plugins are compared in
        any case.
        """
        there = self.read(path)
        before, now = ({"plugins": side.get("plugins", {})} for side in (there, facts))
        check_facts(before, now, path, self.error)
        self._check_same(path, {key: there[key] for key in facts if key in there}, self._parsed(self._text(facts)))

    def _check_same(self, path: Path, there: Mapping[str, Any], wanted: dict[str, Any]) -> None:
        wanted = {key: value for key, value in wanted.items() if key != "format"}
        before, now = dict(_leaves(there)), dict(_leaves(wanted))
        for key in [*now, *before]:
            if key not in now or key not in before or now[key] != before[key]:
                if key in _DATA and key in now and key in before:  # of two hashes nobody can tell
                    raise self.error(
                        f"the {self.name} in {path} was made with other data: give the same samples, labels and groups "
                        "with --data, or choose another --out"
                    )
                old, new = (quote(side[key]) if key in side else "nothing" for side in (before, now))
                raise self.error(
                    f"the {self.name} in {path} was made with {key} = {old}, not {new}: "
                    "resume it with the same settings, or choose another --out"
                )

    def start(self, path: Path, facts: Mapping[str, Any], resume: bool) -> dict[str, Any]:
        """Resumes the job in a folder, or begins it: what `goes_on` says."""
        return (self.resume if self.goes_on(path, resume) else self.begin)(path, facts)

    @property
    def _json(self) -> bool:
        return self.file.endswith(".json")

    def _text(self, facts: Mapping[str, Any]) -> str:
        whole = {"format": self.newest, **facts}
        try:
            if self._json:
                return json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
            return tomli_w.dumps(whole)
        except (TypeError, ValueError) as reason:
            form = "JSON" if self._json else "TOML"
            raise ValueError(f"the facts of a {self.name} hold what {form} has no form for: {reason}") from reason

    def _parsed(self, text: str) -> dict[str, Any]:
        return dict((json.loads if self._json else tomllib.loads)(text))

    def _is_blank(self, entry: Path) -> bool:
        """Whether an entry says nothing of a job: it is what a kill left, or what is written before the facts."""
        if is_trace(entry):
            return True
        return entry.name in self.early and not (entry.is_dir() and any(entry.iterdir()))


_RUN_TABLES = "data deploy device header network parts plugins problem proxy search space supernet versions"

RUNS = FolderKind(
    "run",
    "a search",
    "run.toml",
    RunError,
    tables=frozenset(_RUN_TABLES.split()),
    log="journal.jsonl",
    beside=frozenset({"header.csv", "header.png", "own"}),
    job="search",
)
"""The folders of searches and deployments."""

PRUNINGS = FolderKind("pruning", "evo-fair prune", "settings.json", RunError)
"""The folders of prunings."""

AUDITS = FolderKind("audit", "evo-fair audit", "audit.toml", AuditError, early=frozenset({"parts", "plan.csv"}))
"""The folders of audits."""

COMPARISONS = FolderKind("comparison", "this version's 'evo-fair compare'", "compare.json", RunError)
"""The folders of comparisons."""


def job_in(folder: Path) -> str:
    """What made a folder: `search`, `deployment`, `pruning`, `audit` or `comparison`; empty where none of them did."""
    kind = next((kind for kind in (RUNS, PRUNINGS, AUDITS, COMPARISONS) if (folder / kind.file).is_file()), None)
    if kind is None:
        return ""
    return "deployment" if kind is RUNS and _is_deployment(folder / RUNS.file) else kind.job or kind.name


def _is_deployment(place: Path) -> bool:
    try:
        return "deploy" in read_toml(place, EvoFairError)
    except EvoFairError:
        return False  # what is wrong is said when it is read


def other_job(folder: Path, wanted: str) -> str:
    """That a folder was made by another job than the `wanted` one, and where that lies; empty where none made it."""
    found = job_in(folder)
    if found in ("", wanted):
        return ""
    return f"{folder} is the folder of {_one(found)}: give that of {_one(wanted)}{such_as(folder, wanted)}"


def such_as(folder: Path, *jobs: str) -> str:
    """The end of a message that names a folder around or directly in this one that one of the jobs made; or nothing."""
    within = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    found = next((one for one in (folder.parent, *within) if job_in(one) in jobs), None)
    return f", such as {found}" if found else ""


def _one(job: str) -> str:
    return f"{'an' if job[0] in 'aeiou' else 'a'} {job}"


@dataclass(frozen=True)
class Piece:
    """What a job makes once: files, and a card in JSON that is written last and knows the hashes of the files.

    `files` stand by the key of the card's table that has their `sha256`, or by "" where the card itself has it. The
    card is sealed: one that says something else by now counts as damaged.
    """

    card: Path
    files: Mapping[str, Path]

    @property
    def made(self) -> bool:
        """Whether the piece is there, whole; a missing or damaged card or file counts as none."""
        if not all(is_recorded(path, self.card, *([key] if key else [])) for key, path in self.files.items()):
            return False
        content = self.content
        return content.get(_SEAL) in (None, _seal_of(content))  # earlier versions wrote none

    @property
    def content(self) -> dict[str, Any]:
        """What the card says; empty where it is missing or damaged."""
        return read_cached_json(self.card)

    def finish(self, content: Mapping[str, Any]) -> None:
        """Writes the card: from now on the piece is made."""
        write_json(self.card, {**content, _SEAL: _seal_of(content)})


def _seal_of(content: Mapping[str, Any]) -> str:
    """A hash of what a card says."""
    told = {key: value for key, value in content.items() if key != _SEAL}
    return digest(json.dumps(told, sort_keys=True))


def make_missing(
    pieces: Sequence[P], made: Callable[[P], bool], make: Callable[[P], None], heard: Callable[[P, int], None]
) -> None:
    """Makes the pieces that are not there yet, in order; `heard` gets each once it is there, and how many are."""
    for done, piece in enumerate(pieces, 1):
        if not made(piece):
            make(piece)
        heard(piece, done)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below `value` with its dotted key; arrays of plain values are one value."""
    below: Iterable[tuple[str, Any]]
    if isinstance(value, dict):
        below = ((f"{key}.{name}" if key else name, item) for name, item in value.items())
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        below = ((f"{key}[{number}]", item) for number, item in enumerate(value))
    else:
        yield key, value
        return
    for name, item in below:
        yield from _leaves(item, name)
