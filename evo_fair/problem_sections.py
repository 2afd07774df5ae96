"""The sections of a problem file but `[space]`: what each may hold, with its defaults."""

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from evo_fair.arguments import as_name
from evo_fair.data import SOURCES, Draw, TableSettings, for_sources, says_itself
from evo_fair.errors import OWN_PARTS, UnknownNameError, quote
from evo_fair.problem_faults import in_plain_words
from evo_fair.space.schema import Number, Section, Whole

__all__ = ["Data", "Fairness", "ProxySettings", "Search", "Text", "Training"]

_MOST_DEVICES = 100

Fraction = Annotated[Number, Field(gt=0, lt=1)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(max_length=2000)]
Texts = Annotated[tuple[Text, ...], Field(max_length=1000)]
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _folder_name(name: str) -> str:
    if not _FOLDER_NAME.fullmatch(name):
        raise ValueError(
            f"{quote(name)} is not the name of one folder, of letters, digits, _, . and -: give such a name here, and "
            "its path with --data"
        )
    return name


FolderName = Annotated[str, Field(max_length=200), AfterValidator(_folder_name)]
"""The name of one folder, no path: where it lies is said by --data and `EVO_FAIR_DATA`."""


class Data(Section):
    """`[data]`: where the samples come from and how they are split.

    A source of the user's own can take further keys, which it declares.

    Args:
        source: The data source's name.
        image_size: Pixels a side, 8 to 512. Default: 64.
        fractions: The shares of train, validation and test, which add up to 1. Default:
            0.65, 0.15, 0.20.
        split_seed: The seed of the split, 0 or more. Default: 0.
        positive: The labels that count as positive in metrics about a binary decision.
            Default: the source's.
        min_samples: The fewest samples of a label or group in each part. Default: 10.
        missing: The texts that stand for a missing value. Default: the source's.
        folder: The folder's name that is looked for where `--data` gives none, for a
            folder of images or a table. Default: the problem's.
        licence: What such data may be used for. Default: not said.
        table: What the columns of a table mean. Default: None, for all other sources.
    """

    model_config = ConfigDict(extra="allow")  # those of the source; any other is refused

    source: Text
    image_size: Annotated[Whole, Field(ge=8, le=512)] = 64
    fractions: tuple[Fraction, Fraction, Fraction] = (0.65, 0.15, 0.20)
    split_seed: Seed = 0
    positive: Texts | None = None
    min_samples: Annotated[Whole, Field(ge=1, le=10**9)] = 10
    missing: Texts | None = None
    folder: FolderName | None = None
    licence: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    table: TableSettings | None = None

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(str(UnknownNameError("data source", source, SOURCES.names(), OWN_PARTS)))
        return source

    @field_validator("fractions", mode="before")
    @classmethod
    def _three_shares(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple) or not all(type(share) in (int, float) for share in given):
            return given  # what is wrong is the kind
        if len(given) != 3 or not all(0 < share < 1 for share in given):
            raise ValueError(
                "expected the shares of training, validation and test part, which add up to 1, such as 0.70, 0.15, "
                f"0.15, got {quote(given)}"
            )
        return given

    @model_validator(mode="before")
    @classmethod
    def _own_settings(cls, given: Any) -> Any:
        """The keys that the source declares, as it wants them; refuses keys that are nobody's."""
        if not isinstance(given, dict):
            return given
        name = given.get("source")
        if isinstance(name, str) and name not in SOURCES:
            return given  # what is wrong is the source
        kinds = SOURCES[name].settings if isinstance(name, str) else {}
        checked = dict(given)
        for key, value in given.items():
            if key in cls.model_fields:
                continue
            if key not in kinds:
                fault = InitErrorDetails(type="extra_forbidden", loc=(key,), input=value)
                raise ValidationError.from_exception_data("Data", [fault])
            try:
                checked[key] = TypeAdapter(kinds[key]).validate_python(value, strict=kinds[key] in (int, float, bool))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise ValueError(f"{key}: {in_plain_words(first, kinds[key], f'data.{key}')}") from None
        return checked

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(
                f"fractions = {list(self.fractions)} add up to {sum(self.fractions):g}; make them add up to 1"
            )
        for key in ("missing", "folder", "licence", "table"):
            if getattr(self, key) is not None and key not in SOURCES[self.source].settings:
                raise ValueError(f"{key} is {for_sources(key)}: {self.source} {says_itself(key)}")
        if self.table is None and "table" in SOURCES[self.source].settings:
            raise ValueError(f"[data.table] is missing: the source {self.source} needs to know what its columns mean")
        return self

    @property
    def draw(self) -> Draw:
        """How the parts are drawn where the data do not say which sample is in which."""
        return Draw(self.fractions, self.split_seed)

    @property
    def own_settings(self) -> dict[str, Any]:
        """The keys that the source alone takes, but for those that `load_dataset` has arguments for."""
        return dict(self.model_extra or {}) | ({} if self.table is None else {"table": self.table})


class Fairness(Section):
    """`[fairness]`: the grouping that objectives look at, and those that are reported beside it.

    Args:
        group: The grouping of the objectives, such as `sex` or `sex*age_band`.
        report: Groupings that are counted, too. Default: none.
    """

    group: Text
    report: Texts = ()

    @field_validator("group", "report", mode="before")
    @classmethod
    def _each_in_a_text(cls, given: Any, info: ValidationInfo) -> Any:
        """Refuses a list of groupings in the place of one: that may be meant for their intersection."""
        for one in given if info.field_name == "report" and isinstance(given, list | tuple) else [given]:
            if isinstance(one, list | tuple) and one and all(isinstance(name, str) for name in one):
                meant = "*".join(one)
                raise ValueError(
                    f"expected one grouping in quotes, got {quote(one)}: write {json.dumps(meant, ensure_ascii=False)}"
                )
        return given

    @property
    def groupings(self) -> tuple[str, ...]:
        """Every grouping that is counted, without repeats, the objectives' own first."""
        return tuple(dict.fromkeys((self.group, *self.report)))

    def chosen(self, group: object) -> str:
        """The grouping that is asked for: the problem's own where that is None.

        Args:
            group: The grouping's name, or None.

        Returns:
            The name.

        Raises:
            EvoFairError: It is no text, or an empty one.
        """
        return self.group if group is None else as_name("group", group)


_OF_SUPERNETS = {"seed", "warmup_fraction", "random_networks", "sampling", "supernet_epochs"}
"""The keys of `[training]` that a single network's training does not depend on."""


class Training(Section):
    """`[training]`: stochastic gradient descent with Nesterov momentum and a one-cycle learning rate.

    Args:
        epochs: Passes over the training part, 1 or more. Default: 30.
        supernet_epochs: The same of the supernet. Default: None, as many as `epochs`.
        batch_size: Samples a step, 2 or more. Default: 128.
        learning_rate: The peak of the learning rate. Default: 0.1.
        momentum: Momentum, 0 to 1. Default: 0.9.
        weight_decay: Weight decay. Default: 0.0005.
        label_smoothing: Share of a label that is spread over the others, 0 to 1.
            Default: 0.
        augment: How images are varied: `hflip`, `vflip`, `rot90`, `shift`. Default: not
            at all.
        warmup_fraction: The supernet's: the share of steps that trains networks of full
            size only. Default: 0.1.
        random_networks: The supernet's: random networks a step, beside the largest and
            the smallest. Default: 2.
        sampling: How a supernet's steps choose their networks, see
            `evo_fair.nets.train`: `sandwich` for spaces of many widths, `fair` for
            spaces of many kinds with separate weights. Default: `sandwich`.
        seed: The supernet's seed, 0 or more. Default: 0.
    """

    epochs: Annotated[Whole, Field(ge=1, le=100_000)] = 30
    supernet_epochs: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    batch_size: Annotated[Whole, Field(ge=2, le=2**20)] = 128
    learning_rate: Annotated[Number, Field(gt=0, le=1000)] = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0, le=1000)] = 5e-4
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    augment: Annotated[tuple[Literal["hflip", "vflip", "rot90", "shift"], ...], Field(max_length=100)] = ()
    warmup_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    random_networks: Annotated[Whole, Field(ge=0, le=16)] = 2
    sampling: Literal["sandwich", "fair"] = "sandwich"
    seed: Seed = 0

    @model_serializer(mode="wrap")
    def _leave_out_what_is_usual(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Supernets are known by their recipe: what was trained before there was a choice stays what it is."""
        written: dict[str, Any] = write(self)
        if self.sampling == "sandwich":
            written.pop("sampling", None)
        if self.supernet_epochs is None:
            written.pop("supernet_epochs", None)
        return written

    def of_supernet(self) -> "Training":
        """The recipe with the supernet's number of epochs.

        Returns:
            The recipe itself where both train for as long.
        """
        if self.supernet_epochs is None:
            return self
        return self.model_copy(update={"epochs": self.supernet_epochs, "supernet_epochs": None})

    def of_one_network(self) -> dict[str, Any]:
        """What the training of a single network depends on: all but what is the supernet's alone.

        Returns:
            The settings as JSON has them.
        """
        return self.model_dump(mode="json", exclude=_OF_SUPERNETS)


class ProxySettings(Section):
    """`[proxy]`: how the frozen supernet is asked.

    Args:
        calibration_samples: Training samples that batch norm's statistics are taken
            from, 16 or more. Default: 512.
    """

    calibration_samples: Annotated[Whole, Field(ge=16, le=10**6)] = 512


class Search(Section):
    """`[search]`: what a search does unless told otherwise.

    Args:
        objectives: The objectives' names.
        constraints: Limits such as `latency_ms <= 5`. Default: none.
        device: A device's name or a profile's path, or a list of them. Default:
            `raspberry-pi-4`.
        budget: How many different networks the proxy evaluates. Default: 1000.
        population: Networks a generation. Default: 48.
    """

    objectives: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]
    constraints: Texts = ()
    device: str | tuple[str, ...] = "raspberry-pi-4"
    budget: Annotated[Whole, Field(ge=1, le=10**9)] = 1000
    population: Annotated[Whole, Field(ge=2, le=100_000)] = 48

    @field_validator("device", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        """A list of one is that one, so that both ways to write it give the same run."""
        several = given if isinstance(given, list | tuple) else [given]
        if not 1 <= len(several) <= _MOST_DEVICES or not all(isinstance(one, str) and one for one in several):
            raise ValueError(f'{quote(given)} is no device: give a name or path, or a list as in ["a", "b"]')
        if twice := next((one for place, one in enumerate(several) if one in several[:place]), None):
            raise ValueError(f"{quote(twice)} is given twice: name each once")
        return several[0] if len(several) == 1 else tuple(several)

    @property
    def devices(self) -> tuple[str, ...]:
        """The device, or all of several."""
        return (self.device,) if isinstance(self.device, str) else self.device
