"""Fits every shipped device profile from measurements by others, as `evo-fair calibrate --layers --latency` does.

    python benchmarks/latency_profiles.py --data DIR [--only NAME] [--intervals]

DIR holds a folder a board, each with `layers.csv` and `latency.csv`. Writes hardware_profiles/*.json and prints how
each holds on networks that its fit did not see. raspberry-pi-4-pooled is fitted to all that measured that board.

With `--intervals` predictions stay to the last digit: the intervals of a profile are made anew, or are added to it. All
are done but raspberry-pi-4, whose runs are to stay as they are, unless it is named.
"""

import argparse
import os
from pathlib import Path

from provenance import run
from rich.console import Console
from rich.table import Table

from evo_fair.errors import EvoFairError
from evo_fair.latency.calibrate import Provenance, calibrate, intervals_of, without_gross
from evo_fair.latency.coverage import Fitter
from evo_fair.latency.fit import Fit, fit_model
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.pooled import make_pool
from evo_fair.latency.profile import Profile, load_profile
from evo_fair.latency.schema import BYTES_PER_VALUE
from evo_fair.latency.several import MeasuredBy, calibrate_together

OUT = Path(__file__).parent.parent / "hardware_profiles"

_MLPERF = (
    "mlcommons/inference_results_v2.0, open division: whole networks, median of LoadGen SingleStream runs, batch 1"
)
_NCNN = "Tencent/ncnn benchmark/README.md: whole networks, minimum of benchncnn, batch 1"
_FP16 = "ncnn stores and computes fp16 where the board can; the fit takes 4 bytes a value."
_PI4 = {"device": "Raspberry Pi 4", "cores": "4x Cortex-A72 at 1.8 GHz", "licence": "Apache-2.0", "source": _MLPERF}
_N2 = {
    "device": "ODROID-N2+",
    "cores": "4x Cortex-A73 at 2.2 GHz, 2x Cortex-A53 (Amlogic S922X)",
    "licence": "Apache-2.0",
    "source": _MLPERF,
}
_TFLITE = "TFLite 2.7.1 (ruy)"
_NOT_RECORDED = "The source does not record the number of threads."

PROFILES = {
    "raspberry-pi-4": ("raspberry-pi-4-tflite-fp32", Provenance(**_PI4, runtime=_TFLITE, notes=_NOT_RECORDED), ()),
    "raspberry-pi-4-int8": (
        "raspberry-pi-4-tflite-int8",
        Provenance(**_PI4, runtime=_TFLITE, precision="int8", notes=_NOT_RECORDED),
        (),
    ),
    "odroid-n2-plus": ("odroid-n2-plus-tflite-fp32", Provenance(**_N2, runtime=_TFLITE, notes=_NOT_RECORDED), ()),
    "odroid-n2-plus-int8": (
        "odroid-n2-plus-tflite-int8",
        Provenance(**_N2, runtime=_TFLITE, precision="int8", notes=_NOT_RECORDED),
        (),
    ),
    "pixel-1": (
        "pixel-1-mbconv-ops",
        Provenance(
            device="Google Pixel 1",
            runtime="TFLite",
            source="the ProxylessNAS Pixel 1 look-up table, as distributed with Neural-Predictor-Tensorflow: "
            "inverted-residual blocks, batch 1",
            licence="MIT",
            notes="The source does not record cores and threads. Stems, classifiers and poolings were not measured.",
        ),
        (),
    ),
    "pixel-3": (
        "pixel-3-fbnet-ops",
        Provenance(
            device="Google Pixel 3",
            source="HW-NAS-Bench v1.0, FBNet look-up tables: operators, batch 1",
            licence="MIT",
            notes="The source does not record runtime, cores and threads.",
        ),
        (),
    ),
    **{
        f"raspberry-pi-{board}": (
            f"ncnn-raspberry-pi-{board}-4t",
            Provenance(
                device=f"Raspberry Pi {title}",
                runtime="ncnn",
                cores=cores,
                threads=4,
                source=_NCNN,
                licence="BSD-3-Clause",
                notes=_FP16,
            ),
            (),
        )
        for board, title, cores in (
            ("3b-plus", "3 Model B+", "4x Cortex-A53 at 1.4 GHz"),
            ("5", "5", "4x Cortex-A76 at 2.4 GHz"),
            ("zero-2w", "Zero 2 W", "4x Cortex-A53 at 1.0 GHz"),
        )
    },
    "odroid-xu4": (
        "odroid-xu4-family-caffe",
        Provenance(
            device="ODROID-XU4 family (measured on an Exynos 5800)",
            runtime="Caffe with OpenBLAS",
            cores="4x Cortex-A15, 4x Cortex-A7",
            threads=4,
            source="dividiti ck-caffe experiment archives (Samsung Chromebook 2), Collective Knowledge: "
            "layers, batch 1",
            licence="BSD-3-Clause",
            notes="Measured on the Exynos 5800, the CPU family of ODROID-XU3 and XU4. No depthwise layer, pooling or "
            "addition was measured: their prices are carried over, see carried_over.",
        ),
        ("raspberry-pi-4", "odroid-n2-plus", "pixel-1", "pixel-3"),
    ),
}


_HWNAS = "HW-NAS-Bench v1.0"
_NOT_STATED = {"device": "Raspberry Pi 4", "licence": "MIT"}
POOLED = {
    "raspberry-pi-4-pooled": {
        "raspberry-pi-4-tflite-fp32": Provenance(**_PI4, runtime=_TFLITE, notes=_NOT_RECORDED),
        "raspberry-pi-4-armnn-fp32": Provenance(**_PI4, runtime="ArmNN 21.11 (Neon)"),
        **{
            f"ncnn-raspberry-pi-4-{threads}t": Provenance(
                device="Raspberry Pi 4", runtime=f"ncnn, {threads} threads", source=_NCNN, licence="BSD-3-Clause"
            )
            for threads in (1, 4)
        },
        "raspberry-pi-4-nb201": Provenance(
            **_NOT_STATED, source=f"{_HWNAS}: NAS-Bench-201 networks, as distributed with HELP, batch 1"
        ),
        "raspberry-pi-4-fbnet-ops": Provenance(
            **_NOT_STATED, source=f"{_HWNAS}, FBNet look-up tables: operators, batch 1"
        ),
    }
}
"""Profiles of several sources, the first of which is the one that is predicted."""
AS_IT_IS = ("raspberry-pi-4",)
AGREES = 1e-6
"""How far a fit of today may be from a profile, whose rounding and libraries were others, relative."""


def main() -> None:
    """Fits and writes them; devices that supply prices to others come first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EVO_FAIR_LATENCY_DATA"))
    parser.add_argument("--only", choices=[*PROFILES, *POOLED], action="append")
    parser.add_argument("--intervals", action="store_true", help="make intervals only")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data, the folder with a folder a board")
    if arguments.intervals:
        for name in arguments.only or [name for name in (*PROFILES, *POOLED) if name not in AS_IT_IS]:
            print(name, flush=True)
            add_intervals(name, arguments.data).write(OUT / f"{name}.json")
        return
    table = Table("profile", "networks", "MAPE %", "within 10 %", "Spearman", "Kendall")
    for name in arguments.only or [*PROFILES, *POOLED]:
        profile = fit_one(name, arguments.data)
        profile.write(OUT / f"{name}.json")
        held_out = profile.file.validation
        figures = (f"{held_out.mape:.1f}", f"{held_out.within_10_percent:.0f}") if held_out else ("-", "-")
        ranks = (f"{held_out.spearman:.3f}", f"{held_out.kendall:.3f}") if held_out else ("-", "-")
        table.add_row(name, str(profile.file.fitted.networks), *figures, *ranks)
    Console().print(table)


def fit_one(name: str, data: Path) -> Profile:
    """Fits the profile of that name; devices that supply prices to it have been written before."""
    if name in POOLED:
        sources = [MeasuredBy(folder, measured_in(data, folder), own) for folder, own in POOLED[name].items()]
        return calibrate_together(name, sources)
    folder, provenance, donors = PROFILES[name]
    return calibrate(name, measured_in(data, folder), provenance, [load_profile(donor) for donor in donors])


def measured_in(data: Path, folder: str) -> Measurements:
    """What was measured of a board."""
    return read_measurements(data / folder / "layers.csv", data / folder / "latency.csv")


def add_intervals(name: str, data: Path) -> Profile:
    """The profile of that name as it stands in its file, with intervals that are made of its measurements.

    Raises `EvoFairError` where these measurements give another profile.
    """
    profile = load_profile(name)
    bytes_per_value = BYTES_PER_VALUE[profile.file.precision]
    folders = POOLED.get(name) or PROFILES[name][:1]
    sources = [without_gross(measured_in(data, folder), bytes_per_value, False)[0] for folder in folders]
    fit, fitter = fitted(sources, bytes_per_value)
    expected, found = profile.latency_ms(sources[0].table), network_ms(fit.model, sources[0].table)
    if [tuple(row) for row in fit.anchors.tolist()] != [anchor.layer for anchor in profile.file.anchors] or (
        abs(found / expected - 1).max() > AGREES
    ):
        raise EvoFairError(f"{name} is not what is fitted to these measurements: fit it again, or give others")
    return Profile(profile.file.model_copy(update={"intervals": intervals_of(fit, fitter, sources)}))


def fitted(sources: list[Measurements], bytes_per_value: float) -> tuple[Fit, Fitter]:
    """The fit of the first source, and what fits parts of all."""
    if len(sources) > 1:
        pool = make_pool(sources, bytes_per_value)
        return pool.fit()[0], pool.fit
    return fit_model(sources[0], bytes_per_value), lambda kept: (fit_model(sources[0].part(kept[0]), bytes_per_value),)


if __name__ == "__main__":
    run(main)
