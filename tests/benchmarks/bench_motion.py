"""Motion correction measured: error against truth, seconds, frames and bytes per second, growth, memory, same numbers.

By default recordings are simulated with ``caiman-pipeline simulate``; ``--movie FILE --truth FILE`` takes another one,
with a truth.h5 of that verb or an .npz with ``dims``, ``shifts`` (T, 2) and ``knots`` (2, g, g, T): displacement of the
scene in pixels, and its local part on a grid over the frame and 24 pixels around it, cubic between (cv2.resize).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.motion.field import displacement_at
from caiman_pipeline.motion.records import load_shifts
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.results.files import load_result
from caiman_pipeline.simulation.motion import spline_matrix

VERB = [sys.executable, "-m", "caiman_pipeline.cli.main"]
MB = 2**20
# CaImAn 1.12.1's piecewise motion correction and memory map of 3000 frames of 512 x 512, two processes, same machine.
REFERENCE_S = 283.0
PAD_PX = 24
EVERY_PX = 16


@dataclass(frozen=True)
class Recording:
    """A movie, what moved in it, and its frame rate."""

    movie: Path
    truth: Path | None
    rate: str


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds, seconds of all cores, peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Chain:
    """What one run of the stage's rules left and took, verb by verb."""

    folder: Path
    costs: dict[str, Cost]

    @property
    def wall_s(self) -> float:
        """Seconds of template, blocks and join, one after another."""
        return sum(c.wall_s for name, c in self.costs.items() if name != "inspect")

    @property
    def cpu_s(self) -> float:
        """The same, seconds of all cores."""
        return sum(c.cpu_s for name, c in self.costs.items() if name != "inspect")


def run_verb(*arguments: object, environment: dict[str, str]) -> Cost:
    """Run one verb as its own process."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*VERB, *map(str, arguments)], stdout=output, stderr=output, env={**os.environ, **environment}
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(output.read().decode()[-3000:])
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def run_chain(
    recording: Recording,
    folder: Path,
    *,
    threads: int = 2,
    blocks: int = 1,
    files: list[Path] | None = None,
    environment: dict[str, str] | None = None,
    **keys: object,
) -> Chain:
    """Run the verbs as the rules do."""
    folder.mkdir(parents=True, exist_ok=True)
    info, template, settings = folder / "info.json", folder / "template.h5", json.dumps(keys)
    rate = json.dumps({"recording": {"frame_rate_hz": float(recording.rate)}})
    common = ["--movie-info", info, "--threads", threads]

    def verb(name: str, *arguments: object) -> Cost:
        return run_verb(name, *common, *arguments, environment=environment or {})

    costs = {
        "inspect": verb(
            "inspect",
            "--recording",
            "bench",
            "--files",
            *(files or [recording.movie]),
            "--frames",
            folder / "frames.h5",
            "--settings",
            rate,
        )
    }
    given = ["--settings", settings, "--template", template]
    costs["motion_template"] = verb("motion-template", *given)
    folders = [folder / "blocks" / f"{k + 1}-of-{blocks}" for k in range(blocks)]
    each = [verb("motion-correct", *given, "--block", out.name, "--output", out) for out in folders]
    costs["motion_correct"] = Cost(
        sum(c.wall_s for c in each), sum(c.cpu_s for c in each), max(c.peak_mb for c in each)
    )
    costs["memmap_join"] = verb(
        "memmap-join", *given, "--blocks", *folders, "--movie", folder / "movie.json", "--motion", folder / "motion.h5"
    )
    return Chain(folder, costs)


def true_displacement(truth: Path, dims: tuple[int, ...], points: tuple[FloatArray, ...]) -> FloatArray:
    """Return what moved where, float32 (T, rows, columns, 2), at chosen pixels of the raw frames."""
    if truth.suffix == ".npz":
        import cv2

        saved = np.load(truth, allow_pickle=False)
        size = dims[1] + 2 * PAD_PX, dims[0] + 2 * PAD_PX
        inside = np.ix_(*(p + PAD_PX for p in points))
        n_frames = saved["knots"].shape[-1]
        local = [
            [cv2.resize(knots[:, :, t], size, interpolation=cv2.INTER_CUBIC)[inside] for t in range(n_frames)]
            for knots in saved["knots"]
        ]
        return np.stack(local, axis=-1) + saved["shifts"][:n_frames, None, None]
    result = load_result(truth, "truth")
    field = result["field"]
    for axis, (n, at) in enumerate(zip(dims, points, strict=True)):
        matrix = spline_matrix(result[f"grid_{axis}"], n)[at]
        field = np.moveaxis(np.tensordot(field, matrix, axes=(1 + axis, 1)), -1, 1 + axis)
    return field


def rms(error: FloatArray) -> FloatArray:
    """Return the root mean square per axis; a constant per place (the choice of template) is no error."""
    error = error - error.mean(0)
    return np.sqrt((error**2).mean(axis=tuple(range(error.ndim - 1))))


def print_errors(chain: Chain, truth: Path) -> None:
    """Print the error of a chain's shifts: of the whole frame per axis, and over the field."""
    shifts, motion = load_shifts(chain.folder / "motion.h5"), load_result(chain.folder / "motion.h5", "motion")
    dims = motion["template"].shape
    points = tuple(np.arange(EVERY_PX // 2, n, EVERY_PX) for n in dims)
    true = true_displacement(truth, dims, points)[: shifts.n_frames]
    whole = rms(shifts.rigid - true.mean(axis=(1, 2)))
    over = float(np.sqrt((rms(displacement_at(shifts, *points) - true) ** 2).mean()))
    least = float(np.sqrt((rms(true - true.mean(axis=(1, 2), keepdims=True)) ** 2).mean()))
    axes = ", ".join(f"{e:.3f}" for e in whole)
    print(
        f"    error, px RMS: whole frame {axes} (rows, columns); over the field {over:.3f} "
        f"(a perfect rigid correction leaves {least:.3f})"
    )


def print_measures(chain: Chain) -> None:
    """Print the measures that the report shows."""
    m = load_result(chain.folder / "motion.h5", "motion")
    print(
        f"    {m['method']}; correlation {np.nanmean(m['correlation_before']):.4f} -> "
        f"{np.nanmean(m['correlation_after']):.4f}, crispness {float(m['crispness_before']):.5g} -> "
        f"{float(m['crispness_after']):.5g}, residual {np.mean(m['residual_before']):.3f} -> "
        f"{np.mean(m['residual_after']):.3f} px, at limit {float(m['at_limit_fraction']):.2%}, "
        f"valid {m['valid'].mean():.1%}, flagged {int(m['flagged'].sum())}"
    )


def measure_accuracy(recording: Recording, base: Path, **keys: object) -> dict[str, Chain]:
    """Print error and measures of rigid and of piecewise correction."""
    chains = {}
    for method in ("rigid", "piecewise"):
        chains[method] = run_chain(recording, base / method, method=method, **keys)
        print(f"  {method}: {chains[method].wall_s:.1f} s, {chains[method].cpu_s:.1f} s of cores")
        print_measures(chains[method])
        if recording.truth:
            print_errors(chains[method], recording.truth)
    return chains


def disk_rate(folder: Path, size: int = 1024 * MB) -> float:
    """Return MB/s at which the disk takes a file that is written through to it, in pieces as large as a part."""
    path, block = folder / "disk.bin", np.random.default_rng(0).bytes(32 * MB)
    started = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
            os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    path.unlink()
    return size / MB / seconds


def measure_speed(recording: Recording, base: Path, repeats: int) -> None:
    """Print seconds of the whole chain beside the reference's, frames and bytes per second beside the disk's limit."""
    for method in ("piecewise", "rigid"):
        runs = [run_chain(recording, base / f"{method}{k}", method=method) for k in range(repeats)]
        best = min(runs, key=lambda c: c.wall_s)
        store = open_store(best.folder / "movie.json")
        megabytes = 4 * store.n_pixels * store.n_frames / MB
        each = ", ".join(f"{n} {c.wall_s:.2f} s ({c.cpu_s:.2f} of cores)" for n, c in best.costs.items())
        print(f"  {method}: {best.wall_s:.2f} s, {best.cpu_s:.2f} s of cores; {each}")
        print(
            f"    {store.n_frames / best.wall_s:.0f} frames/s, {megabytes / best.wall_s:.0f} MB/s written; "
            f"{best.wall_s / REFERENCE_S:.3f} of the reference's {REFERENCE_S:.0f} s for 3000 x 512 x 512 piecewise"
        )
    print(f"  the disk takes {disk_rate(base):.0f} MB/s")


def measure_growth(base: Path) -> None:
    """Print seconds and memory as frames, field and threads grow."""
    print("growth (piecewise, template + correct + join):")
    for frames, dims, threads in [
        (1000, "256x256", 2),
        (2000, "256x256", 2),
        (4000, "256x256", 2),
        (10000, "256x256", 2),
        (1000, "128x128", 2),
        (1000, "512x512", 2),
        (1000, "512x512", 1),
        (1000, "1024x1024", 2),
    ]:
        folder = base / f"{frames}_{dims}"
        recording = simulated(folder, frames, dims, seed=1)
        chain = run_chain(recording, folder / f"threads{threads}", threads=threads)
        template, correct = chain.costs["motion_template"], chain.costs["motion_correct"]
        pixels = int(np.prod([int(n) for n in dims.split("x")]))
        print(
            f"  {frames:>6} x {dims:<9} {threads} threads: template {template.wall_s:5.2f} s, correct "
            f"{correct.wall_s:6.2f} s ({correct.wall_s / frames / pixels * 1e9:.1f} ns a pixel), all cores "
            f"{chain.cpu_s:6.2f} s; peak {template.peak_mb:.0f} and {correct.peak_mb:.0f} MB"
        )


def digest(chain: Chain) -> str:
    """Return a checksum of a chain's movie and shifts."""
    total, shifts = 0, load_shifts(chain.folder / "motion.h5")
    for part in open_store(chain.folder / "movie.json").parts:
        total = zlib.crc32(np.ascontiguousarray(part.read()), total)
    for array in (shifts.rigid, shifts.field):
        total = total if array is None else zlib.crc32(np.ascontiguousarray(array), total)
    return f"{total:08x}"


def measure_sameness(recording: Recording, base: Path) -> None:
    """Print whether threads, blocks and files change a bit of the movie or of the shifts."""
    import tifffile

    frames = tifffile.imread(recording.movie)
    pieces = [base / f"piece{k}.tif" for k in range(7)]
    base.mkdir(parents=True, exist_ok=True)
    for path, piece in zip(pieces, np.array_split(frames, 7), strict=True):
        tifffile.imwrite(path, piece, bigtiff=True, photometric="minisblack", metadata={"axes": "TYX"})
    cases: dict[str, Callable[[Path], Chain]] = {
        "2 threads, 1 block, 1 file": lambda f: run_chain(recording, f),
        "1 thread": lambda f: run_chain(recording, f, threads=1),
        "8 threads": lambda f: run_chain(recording, f, threads=8),
        "8 blocks": lambda f: run_chain(recording, f, blocks=8),
        "7 files": lambda f: run_chain(recording, f, files=pieces),
        "7 files, 5 blocks, 1 thread": lambda f: run_chain(recording, f, files=pieces, blocks=5, threads=1),
        "OPENBLAS_NUM_THREADS=2": lambda f: run_chain(recording, f, environment={"OPENBLAS_NUM_THREADS": "2"}),
    }
    first = None
    for k, (name, run) in enumerate(cases.items()):
        found = digest(run(base / str(k)))
        first = first or found
        print(f"  {name:<30} {found} {'same' if found == first else 'DIFFERENT'}")


def simulated(folder: Path, frames: int, dims: str, seed: int, *more: str) -> Recording:
    """Simulate a recording with one cell per 900 pixels, unless it is there."""
    movie = folder / "movie.tif"
    if not movie.exists():
        folder.mkdir(parents=True, exist_ok=True)
        cells = int(np.prod([int(n) for n in dims.split("x")])) // 900
        run_verb(
            "simulate",
            movie,
            "--frames",
            frames,
            "--dims",
            dims,
            "--n-cells",
            cells,
            "--seed",
            seed,
            *more,
            environment={},
        )
    return Recording(movie, folder / "truth.h5", "30")


SIMULATED = {
    "plain": ("2000", "256x256", "--rigid-px", "6", "--nonrigid-px", "2"),
    "dim and bent": ("2000", "256x256", "--rigid-px", "10", "--nonrigid-px", "5", "--photons", "7"),
}
PARTS = ("accuracy", "speed", "growth", "same")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: accuracy)")
    parser.add_argument("--movie", type=Path, help="a movie to take instead of simulated ones")
    parser.add_argument("--truth", type=Path, help="its truth")
    parser.add_argument("--rate", default="30", help="its frame rate, Hz")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    parser.add_argument("--repeats", type=int, default=1, help="runs of which the fastest counts")
    parser.add_argument("--motion", default="{}", help="further keys of the motion section, as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = args.keep or Path(scratch)
        parts = args.parts or ["accuracy"]
        given = Recording(args.movie.absolute(), args.truth, args.rate) if args.movie else None
        if "accuracy" in parts:
            for name, (frames, dims, *more) in SIMULATED.items():
                recording = given or simulated(base / name, int(frames), dims, 1, *more)
                print(f"accuracy, {args.movie or name}:")
                measure_accuracy(recording, recording.movie.parent if not given else base, **json.loads(args.motion))
                if given:
                    break
        if "speed" in parts:
            print("speed:")
            measure_speed(given or simulated(base / "typical", 3000, "512x512", 0), base / "speed", args.repeats)
        if "growth" in parts:
            measure_growth(base / "growth")
        if "same" in parts:
            print("same numbers:")
            measure_sameness(given or simulated(base / "plain", 2000, "256x256", 0), base / "same")


if __name__ == "__main__":
    main()
