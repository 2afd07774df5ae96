"""The data sources that come with evo_fair: what each is and needs; its loader is imported when it is used."""

from evo_fair.data.dataset import Dataset
from evo_fair.data.source import DataRequest, source
from evo_fair.data.table_settings import TableSettings
from evo_fair.errors import DataError

__all__: list[str] = []

_CIFAR10 = "CIFAR-10 as JPEGs: cifar10_jpg.tar.xz, or the folders train/CLASS and test/CLASS that it unpacks to"
_HAM10000 = (
    "download HAM10000_images_part_1.zip, HAM10000_images_part_2.zip and HAM10000_metadata "
    "(and newly_discovered_duplicates.csv where you have it) from https://doi.org/10.7910/DVN/DBW86T"
)
_ADULT = "download adult.data and adult.test from https://archive.ics.uci.edu/dataset/2/adult"
_IMAGES = "a folder of images with a labels.csv that has the columns file,label"


@source(needs="nothing: it comes with scikit-learn", in_folder=False, shape=lambda _: (1, 8, 8))
def digits(request: DataRequest) -> Dataset:
    """The 8x8 digits of scikit-learn."""
    from evo_fair.data.digits import load_digits

    return load_digits(request.fractions, request.rng)


@source(needs=_HAM10000)
def ham10000(request: DataRequest) -> Dataset:
    """Images of skin lesions."""
    from evo_fair.data.ham10000 import load_ham10000

    assert request.folder is not None
    return load_ham10000(request.folder, request.image_size, request.fractions, request.rng)


@source(tabular=True, needs=_ADULT)
def adult(request: DataRequest) -> Dataset:
    """Census income."""
    from evo_fair.data.adult import load_adult

    assert request.folder is not None
    return load_adult(request.folder, request.fractions, request.rng)


@source(needs=_CIFAR10)
def cifar10(request: DataRequest) -> Dataset:
    """Small photographs of ten classes."""
    from evo_fair.data.cifar10 import load_cifar10

    assert request.folder is not None
    return load_cifar10(request.folder, request.image_size, request.rng)


@source(needs=_CIFAR10, folder="cifar10")
def cifar10_lt(request: DataRequest) -> Dataset:
    """The same, with fewer training samples from class to class."""
    from evo_fair.data.cifar10 import load_cifar10_lt

    assert request.folder is not None
    return load_cifar10_lt(request.folder, request.image_size, request.rng)


@source(
    needs=_IMAGES,
    users_own=True,
    settings={"missing": tuple[str, ...], "folder": str, "licence": str},
)
def image_folder(request: DataRequest) -> Dataset:
    """The user's own images."""
    from evo_fair.data.image_folder import load_image_folder

    assert request.folder is not None
    missing = request.settings.get("missing")
    return load_image_folder(request.name, request.folder, request.image_size, request.fractions, request.rng, missing)


@source(
    tabular=True,
    needs="a folder with the CSV or Parquet file that [data.table] names",
    users_own=True,
    settings={"missing": tuple[str, ...], "folder": str, "licence": str, "table": TableSettings},
)
def table(request: DataRequest) -> Dataset:
    """The user's own table."""
    from evo_fair.data.table import load_table

    assert request.folder is not None
    settings = request.settings.get("table")
    if not isinstance(settings, TableSettings):
        raise DataError("the source table needs [data.table], which says what its columns mean: give settings['table']")
    missing = request.settings.get("missing")
    return load_table(request.name, request.folder, settings, request.fractions, request.rng, missing)


@source(needs="a Dataset, given in Python with problem.with_data(dataset)", in_folder=False, tabular=None)
def given(request: DataRequest) -> Dataset:
    """Data that were handed over in Python, which no file can hold."""
    raise DataError(
        f"the data of {request.name} were given in Python: give them again, with problem.with_data(dataset) "
        "or deploy(run, data=dataset)"
    )
