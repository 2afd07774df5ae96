"""A registry: the parts of one kind by name, those of evo_fair and those that users add."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from evo_fair.errors import OWN_PARTS, EvoFairError, UnknownNameError, quote
from evo_fair.sources import is_redefinition

__all__ = ["Registry", "modules_in", "own_parts", "restored_afterwards", "take_up"]

Part = TypeVar("Part")
Traits = TypeVar("Traits")
Other = TypeVar("Other")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_PACKAGE = Path(__file__).resolve().parent
_ALL: "list[Registry[Any, Any]]" = []


class Registry(Mapping[str, Part], Generic[Part, Traits]):
    """Parts of one `kind` by name, and what each declares of itself, its traits.

    evo_fair's own parts stand in `homes`, name -> module: the module registers them when it is imported, which happens
    when one is first asked for; or name -> `module:TABLE`, a mapping that holds them. So names can be listed without
    the libraries that the parts need. `error` is what is raised for parts that can't be registered; `pattern` is that
    of names, `refuse` says why a name that fits it can't be taken.
    """

    def __init__(
        self,
        kind: str,
        error: type[EvoFairError],
        traits: Traits,
        homes: Callable[[], Mapping[str, str]] = dict,
        *,
        pattern: re.Pattern[str] = _NAME,
        example: str = "my_own",
        refuse: Callable[[str], str] = lambda _: "",
    ) -> None:
        self.kind = kind
        self.error = error
        self._default = traits
        self._find_homes = homes
        self._found_homes: dict[str, str] | None = None
        self._pattern = pattern
        self._example = example
        self._refuse = refuse
        self._parts: dict[str, Part] = {}
        self._traits: dict[str, Traits] = {}
        self._code: dict[str, object] = {}
        _ALL.append(self)

    @property
    def _homes(self) -> Mapping[str, str]:
        if self._found_homes is None:
            self._found_homes = dict(self._find_homes())
        return self._found_homes

    def __getitem__(self, name: str) -> Part:
        """The part of that name; raises `UnknownNameError` listing those there are."""
        if name not in self:
            raise UnknownNameError(
                self.kind, quote(name) if not isinstance(name, str) else name, self.names(), OWN_PARTS
            )
        if name not in self._parts:
            module, _, table = self._homes[name].partition(":")
            home = import_module(module)
            if table:
                self._parts[name], self._traits[name] = getattr(home, table)[name], self._default
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts or name in self._homes

    def __iter__(self) -> Iterator[str]:
        yield from self._homes
        yield from (name for name in self._parts if name not in self._homes)

    def __len__(self) -> int:
        return len(list(iter(self)))

    @overload
    def get(self, name: str, default: None = None, /) -> Part | None: ...
    @overload
    def get(self, name: str, default: Part | Other, /) -> Part | Other: ...
    def get(self, name: str, default: Any = None, /) -> Any:
        """The part of that name, or `default`."""
        return self[name] if name in self else default  # noqa: SIM401 - this is what it means

    def names(self) -> list[str]:
        """All names in alphabetical order."""
        return sorted(self)

    def own_names(self) -> list[str]:
        """The names of the parts that are not evo_fair's, in alphabetical order."""
        return [name for name in self.names() if not self.is_built_in(name)]

    def is_built_in(self, name: str) -> bool:
        """Whether a part is evo_fair's own, which nothing takes the place of.

        Args:
            name: The part's name.
        """
        return name in self._homes

    def traits(self, name: str) -> Traits:
        """What a part declares of itself; raises `UnknownNameError`.

        Args:
            name: The part's name.
        """
        _ = self[name]
        return self._traits[name]

    def code(self, name: str) -> Any:
        """The function or class that a part is made of, whose source is recorded; raises `UnknownNameError`.

        Args:
            name: The part's name.
        """
        _ = self[name]
        return self._code[name]

    def add(
        self, name: str, part: Part, traits: Traits | None = None, *, code: object = None, again: bool = False
    ) -> None:
        """Registers a part; `code` is its function or class where it is something else itself.

        With `again` the same function defined again, as by a notebook's cell that is
        run twice, takes the place of the first. Raises `error` for a name that is
        another part's, or no name.

        Args:
            name: The part's name.
            part: The part.
            traits: What it declares of itself. Default: none.
            code: Its function or class, where the part is something else. Default:
                none.
            again: Whether the same part may take its own place. Default: False.
        """
        code = part if code is None else code
        self.check_name(name)
        if name in self._homes and (name in self._parts or not _is_ours(code)):
            raise self.error(f"there is {self._article} {self.kind} {name!r} already, evo_fair's: choose another name")
        if name in self._parts and not (again and is_redefinition(self._code[name], code)):
            raise self.error(
                f"there is {self._article} {self.kind} {name!r} already: choose another name, or forget() the first"
            )
        self._parts[name] = part
        self._traits[name] = self._default if traits is None else traits
        self._code[name] = code

    def check_name(self, name: str) -> None:
        """Raises `error` for what is no name of a part.

        Args:
            name: The part's name.
        """
        if not isinstance(name, str) or not self._pattern.fullmatch(name):
            raise self.error(
                f"{quote(name)} is no name for {self._article} {self.kind}: use letters, digits and _, "
                f"as in {self._example}"
            )
        if reason := self._refuse(name):
            raise self.error(f"{name!r} {reason}: choose another name")

    def remove(self, name: str) -> None:
        """Takes a part of the user's own out, so that its name is free again.

        Args:
            name: The part's name.
        """
        if self.is_built_in(name):
            raise self.error(f"{name!r} belongs to evo_fair and stays: choose another name for yours")
        if name not in self._parts:
            raise UnknownNameError(self.kind, name if isinstance(name, str) else quote(name), self.own_names())
        for table in (self._parts, self._traits, self._code):
            del table[name]

    def _own(self) -> list[tuple[str, Part, Traits, object]]:
        names = [name for name in self._code if name not in self._homes]
        return [(name, self._parts[name], self._traits[name], self._code[name]) for name in names]

    def _put_back(self, own: list[tuple[str, Part, Traits, object]]) -> None:
        for name, _, _, _ in self._own():
            self.remove(name)
        for name, part, traits, code in own:
            self._parts[name], self._traits[name], self._code[name] = part, traits, code

    @property
    def _article(self) -> str:
        return "an" if self.kind[0] in "aeiouAEIOU" else "a"


@contextmanager
def restored_afterwards(*, only_on_error: bool = False) -> Iterator[Callable[[], None]]:
    """A block after which every registry holds what it held before, or only if the block raises.

    It yields a function that takes out, later, what was added within the block.

    Args:
        only_on_error: Whether only where the block raises. Default: False.
    """
    before = [(registry, registry._own()) for registry in _ALL]
    added: list[tuple[Registry[Any, Any], str, object]] = []

    def undo() -> None:
        for registry, name, part in added:
            if registry._parts.get(name) is part:
                registry.remove(name)

    failed = True
    try:
        yield undo
        failed = False
    finally:
        for registry, own in before:
            known = {name: part for name, part, _, _ in own}
            added += [(registry, name, part) for name, part, _, _ in registry._own() if known.get(name) is not part]
            if failed or not only_on_error:
                registry._put_back(own)


def own_parts(kinds: Collection[str]) -> dict[str, list[Any]]:
    """The parts that users have registered, by kind, for another process to `take_up`."""
    return {registry.kind: own for registry in _ALL if registry.kind in kinds and (own := registry._own())}


def take_up(parts: Mapping[str, list[Any]]) -> None:
    """Registers the `own_parts` of another process, in the place of all that users have registered here."""
    for registry in _ALL:
        registry._put_back(parts.get(registry.kind, []))


def modules_in(package: str, prefix: str) -> dict[str, str]:
    """The modules of one of evo_fair's packages whose names begin with `prefix`, by the rest of their names.

    A part of the project's own is such a file: `evo_fair/pruning/criterion_x.py`
    registers the criterion `x`. The package is not imported.

    Args:
        package: The package's name.
        prefix: How the modules' names begin.
    """
    folder = _PACKAGE.joinpath(*package.split(".")[1:])
    found = sorted(path.stem for path in folder.glob(f"{prefix}*.py"))
    return {stem.removeprefix(prefix): f"{package}.{stem}" for stem in found}


def _is_ours(code: object) -> bool:
    return str(getattr(code, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]
