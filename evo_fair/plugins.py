"""Plugins: Python files of the user's own that register parts before a command or script goes on."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from os import PathLike
from pathlib import Path
from types import CodeType
from typing import Any

from evo_fair.blame import is_theirs, lines_of
from evo_fair.errors import EvoFairError, PluginError, in_a_line, quote
from evo_fair.files import sha256_of, user_path
from evo_fair.registry import restored_afterwards
from evo_fair.sources import source_hash

__all__ = [
    "check_facts",
    "facts",
    "load_plugin",
    "load_plugins",
    "loaded_files",
    "loaded_modules",
    "unloaded_afterwards",
]

_MODULE = "evo_fair_plugin_"


@dataclass(frozen=True)
class _Plugin:
    """A file that was run, with the hashes of it and of what it imported from beside it, by their names."""

    path: Path
    hashes: Mapping[str, str]
    modules: frozenset[str]
    take_out: Callable[[], None] = field(repr=False)

    def is_as_it_was(self) -> bool:
        """Whether neither the file nor what it imported from beside it has changed."""
        files = [(self.path.parent / name, value) for name, value in self.hashes.items()]
        return all(file.is_file() and _hash(file) == value for file, value in files)


_loaded: dict[Path, _Plugin] = {}


def load_plugin(file: str | Path) -> None:
    """Runs a Python file, whose decorators register parts; what lies beside it can be imported there.

    A file that was run already is not run again unless it, or what it imported from
    beside it, has changed since. Then it takes the place of what it registered before.
    Where a file fails, nothing of it stays registered.

    Args:
        file: The path of a Python file. It is run with all that this means: name only
            files that you trust.

    Raises:
        PluginError: The file is missing, fails, or registers something malformed; the
            message names file and line.

    Example:
        >>> from pathlib import Path
        >>> lines = [
        ...     "import evo_fair as ef",
        ...     "@ef.objective(cheap=True)",
        ...     "def depth(layers):",
        ...     "    return (layers[:, :, 0] > 0).sum(axis=1)",
        ... ]
        >>> written = Path("depth.py").write_text(chr(10).join(lines))
        >>> ef.load_plugin("depth.py")
        >>> ef.forget("depth")
    """
    if not isinstance(file, str | PathLike):
        raise PluginError(f"plugin {quote(file)} is no path: give a text or a pathlib.Path")
    path = user_path(file, PluginError)
    if path.suffix != ".py":
        raise PluginError(f"plugin {path} is no Python file: give one whose name ends in .py")
    if not path.is_file():
        raise PluginError(f"plugin {path} does not exist: give the Python file that registers your parts")
    path = path.resolve()
    if not path.stem.isidentifier():
        raise PluginError(f"plugin {path.name} can't be imported by that name: use letters, digits and _ before .py")
    for other in _loaded:
        if other.name == path.name and other != path:
            raise PluginError(f"plugins {other} and {path} have one name, by which runs record them: rename one")
    earlier = _loaded.get(path)
    if earlier is not None:
        if earlier.is_as_it_was():
            return
        earlier.take_out()
        _forget(earlier.modules)
        del _loaded[path]
    with restored_afterwards(only_on_error=True) as take_out:
        hashes, modules = _run(path)
    _loaded[path] = _Plugin(path, hashes, modules, take_out)


def load_plugins(files: Iterable[str | Path]) -> None:
    """Runs Python files in order; see `load_plugin`.

    Args:
        files: The paths.

    Raises:
        PluginError: A file is missing, fails, or registers something malformed.
    """
    for file in files:
        load_plugin(file)


def loaded_files() -> tuple[Path, ...]:
    """The plugins that were run, in order: what another process has to run to know the same parts."""
    return tuple(_loaded)


def loaded_modules() -> tuple[str, ...]:
    """The modules of the plugins that were run, those from beside them among them, by their names in `sys.modules`."""
    return tuple(sorted({name for plugin in _loaded.values() for name in plugin.modules}))


@contextlib.contextmanager
def unloaded_afterwards() -> Iterator[None]:
    """A block after which plugins and parts are as before: for several commands in one process."""
    before = dict(_loaded)
    try:
        with restored_afterwards():
            yield
    finally:
        for path, plugin in _loaded.items():
            if before.get(path) is not plugin:
                _forget(plugin.modules)
        _loaded.clear()
        _loaded.update(before)


def facts(own: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
    """What a run records of parts of the user's own, for its configuration.

    Args:
        own: The functions and classes by kind and name, such as `algorithm tournament`.
            Default: none.

    Returns:
        `plugins`, the SHA-256 of each plugin and of what it imported from beside it, by
        the file's name; and `parts`, a hash of the source of each part. What would be
        empty is left out.
    """
    plugins = {name: value for plugin in _loaded.values() for name, value in plugin.hashes.items()}
    parts = {name: source_hash(code) for name, code in sorted((own or {}).items()) if code is not None}
    found = {"plugins": dict(sorted(plugins.items())), "parts": parts}
    return {key: table for key, table in found.items() if table}


def check_facts(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, error: type[EvoFairError]) -> None:
    """Refuses a plugin or part that is another one than when what is in a folder began.

    Args:
        before: The facts of that time.
        now: The facts of today.
        folder: The folder.
        error: The kind of error to raise.

    Raises:
        EvoFairError: A plugin or part is missing, new or changed; as `error`.
    """
    for key, what in (("plugins", "plugin"), ("parts", "")):
        old, new = (side.get(key) for side in (before, now))
        old, new = (table if isinstance(table, Mapping) else {} for table in (old, new))
        for name in [*old, *(name for name in new if name not in old)]:
            shown = f"{what} {name}".strip()
            if name not in new:
                mend = "give it again with --plugin" if what else "give it again"
                raise error(f"{folder} was made with the {shown}: {mend}")
            if name not in old:
                raise error(f"{folder} was made without the {shown}: leave it out, or choose another --out")
            if old[name] != new[name]:
                raise error(f"the {shown} is another one than when {folder} began: restore it, or choose another --out")


class _FromSource(SourceFileLoader):
    """Compiles what the file holds now: a cached compilation can be older by less than the clock tells."""

    def get_code(self, fullname: str) -> CodeType | None:
        del fullname
        return self.source_to_code(self.get_data(self.path), self.path)


def _run(path: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Runs the file; returns the hashes of it and of the files that it imported from beside it, and their modules."""
    name = _MODULE + path.stem
    spec = spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    known = set(sys.modules) - {name}
    sys.modules[name] = module
    digest = _hash(path)
    try:
        with _beside(path), contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as reason:  # the user's own code can fail in any way, or end the process
        _forget(_imported(path, known))
        raise _refusal(path, reason) from reason
    modules = _imported(path, known)
    others = {one.relative_to(path.parent).as_posix(): _hash(one) for one in modules.values() if one != path}
    return {path.name: digest} | others, frozenset(modules)


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as reason:
        raise PluginError(f"plugin {path} can't be read ({reason.strerror}): fix its permissions") from reason


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[None]:
    """A block in which files beside `path` are imported before all others; afterwards they come last."""
    folder = str(path.parent)
    given, sys.path[:] = list(sys.path), [folder, *sys.path]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = given if folder in given else [*given, folder]


def _imported(path: Path, known: set[str]) -> dict[str, Path]:
    """The modules from beside `path`, or from packages there, that were imported since `known` was noted: their files.

    A virtual environment that lies there, too, or evo_fair itself, is not the user's.
    """
    origins = {name: getattr(sys.modules[name], "__file__", None) for name in sorted(set(sys.modules) - known)}
    found = {name: Path(origin).resolve() for name, origin in origins.items() if origin}
    return {
        name: one
        for name, one in found.items()
        if one.is_file() and (one.parent == path.parent or (one.is_relative_to(path.parent) and is_theirs(one)))
    }


def _forget(modules: Iterable[str]) -> None:
    for name in modules:
        sys.modules.pop(name, None)


def _refusal(path: Path, reason: BaseException) -> PluginError:
    place = _place(path, reason)
    if isinstance(reason, EvoFairError):
        return PluginError(f"plugin {place}: {reason}")
    if isinstance(reason, SystemExit):
        return PluginError(
            f"plugin {place}: it ends the process (exit {reason.code}): put what does under if __name__ == '__main__'"
        )
    mend = "install what it imports, or put it beside the file" if isinstance(reason, ImportError) else "fix it"
    return PluginError(f"plugin {place}: {type(reason).__name__}: {in_a_line(_said(reason))}; {mend}")


def _said(reason: BaseException) -> BaseException:
    """A syntax error without its file and line, which are said already."""
    return SyntaxError(reason.msg) if isinstance(reason, SyntaxError) else reason


def _place(path: Path, reason: BaseException) -> str:
    """The file and line that it came through last: the plugin's, or that of a file from beside it."""
    line, name = 0, path
    for origin, number in lines_of(reason):
        if origin.resolve().parent == path.parent:
            line, name = number, origin.resolve()
    if isinstance(reason, SyntaxError) and reason.filename and Path(reason.filename).is_file():
        line, name = reason.lineno or 0, Path(reason.filename).resolve()
    where = f"{path}" if name == path else f"{path}, in {name.name}"
    return f"{where}, line {line}" if line else where
