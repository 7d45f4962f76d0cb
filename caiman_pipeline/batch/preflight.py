"""Checks before anything runs: config, sheet, files, lengths against the frame, disk. All problems at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from caiman_pipeline.config.bad_frames import frames_listed
from caiman_pipeline.config.base import Length
from caiman_pipeline.config.plausible import doubts_of_sheet, wrong_subject
from caiman_pipeline.config.recording import RecordingSettings, lacks_spacing
from caiman_pipeline.config.root import Config, load_config
from caiman_pipeline.config.sheet import Recording, read_sheet
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.job_settings import load_section, load_stage
from caiman_pipeline.stages import SECTIONS, path_of

if TYPE_CHECKING:
    from caiman_pipeline.batch.planning import MovieSize

CONFIG_FILE = Path("config/config.yaml")


@dataclass(frozen=True)
class RecordingCheck:
    """What was found of one recording, what is the matter with it, and the disk that it will take, MB.

    ``remarks`` say what is worth knowing and stops nothing.
    """

    name: str
    found: str
    problems: tuple[str, ...]
    disk_mb: float = 0.0
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunCheck:
    """All recordings, what is the matter with sheet rows, and with the place that results go to."""

    recordings: tuple[RecordingCheck, ...]
    row_problems: tuple[str, ...]
    place_problems: tuple[str, ...]

    @property
    def n_problems(self) -> int:
        """Problems in all."""
        return sum(len(r.problems) for r in self.recordings) + len(self.row_problems) + len(self.place_problems)


def load_run(config: Path | None, sheet: Path | None) -> tuple[Config, Path]:
    """Read the config as the Snakefile does (``config/config.yaml`` if it is there), and tell which sheet counts.

    Raises
    ------
    PipelineError
        If the config is wrong.
    """
    source = config or (CONFIG_FILE if CONFIG_FILE.exists() else None)
    settings = load_config(source) if source else Config()
    return settings, sheet or Path(settings.paths.recordings)


def check_run(config: Path | None, sheet: Path | None, *, files: bool, dandi: bool = False) -> RunCheck:
    """Check everything that can be checked before a run; ``files`` opens the raw files too.

    ``dandi`` remarks on the facts that an archive would ask for.

    Raises
    ------
    PipelineError
        If the config is wrong or the sheet has no rows to look at.
    """
    settings, path = load_run(config, sheet)
    recordings, problems = read_sheet(path, settings)
    checks = tuple(check_recording(r) if files else _unopened(r) for r in recordings.values())
    if dandi:
        checks = tuple(
            replace(c, remarks=(*c.remarks, *_for_archive(recordings[c.name].config.recording))) for c in checks
        )
    to_do = recordings_to_do(settings, (c.name for c in checks))
    needed = sum(c.disk_mb for c in checks if c.name in to_do)
    rows = tuple(f"{path}, {p}" for p in problems)
    return RunCheck(checks, rows, tuple(check_results(Path(settings.paths.results), needed)))


def _for_archive(facts: RecordingSettings) -> tuple[str, ...]:
    """Return what an archive would ask for and is not given."""
    needed, liked = facts.missing_for_archive()
    texts = (("an archive needs", needed), ("readers of an archive will miss", liked))
    return tuple(f"{text}: {', '.join(f'`{n}`' for n in names)}" for text, names in texts if names)


def _unopened(recording: Recording) -> RecordingCheck:
    return RecordingCheck(recording.id, f"{len(recording.patterns)} file pattern(s), not opened", ())


def _on_store(recording: Recording) -> RecordingCheck:
    """Ask an object store for a recording's files; they are not opened, which would mean to fetch them."""
    from caiman_pipeline.batch.fetching import object_size

    sizes, problems = [], []
    for file in recording.files():
        try:
            sizes.append(object_size(file) if "://" in file else Path(file).stat().st_size)
        except (PipelineError, OSError) as error:
            problems.append(str(error))
    found = f"{len(sizes)} file(s) on an object store, {sum(sizes) / 1e9:.2f} GB, not opened"
    return RecordingCheck(recording.id, found, tuple(problems))


def recordings_to_do(config: Config, names: Iterable[str]) -> set[str]:
    """Return which recordings have no corrected movie yet: those that will take disk."""
    results = Path(config.paths.results)
    return {name for name in names if not path_of(results / name, "movie").exists()}


def check_recording(recording: Recording) -> RecordingCheck:
    """Open a recording's files and check them against its settings."""
    from caiman_pipeline.batch.planning import disk_mb, size_of_movie
    from caiman_pipeline.model.movie import Reading
    from caiman_pipeline.movies.identity import require_past
    from caiman_pipeline.movies.readers.open import open_movie_files

    facts = recording.config.recording
    if any("://" in pattern for pattern in recording.patterns):
        return _on_store(recording)
    try:
        files = recording.files() or list(recording.patterns)
        require_past(files)
        movie = open_movie_files(files, Reading.of(facts))
        size = size_of_movie(movie)
        lengths = _lengths(recording, len(size.dims))
        problems = [
            *filter(None, [wrong_subject(facts.subject_id)]),
            *_contradictions(files, facts),
            *([] if lengths or _too_short(recording, size.n_frames) else _tiles(recording, size)),
            *lengths,
            *_bad_frames(recording, [(path, r.n_frames) for path, r in zip(files, movie.readers, strict=True)]),
            *_solver(recording),
            *_classifier(recording),
            *_curation(recording),
            *_seeds(recording, size),
        ]
    except PipelineError as error:
        return RecordingCheck(recording.id, "cannot be opened", (str(error),))
    problems += _too_short(recording, size.n_frames)
    disk = sum(disk_mb(size).values())
    shape = " x ".join(map(str, size.dims))
    found = f"{len(files)} file(s), {size.n_frames} frames of {shape}, {facts.frame_rate_hz:g} Hz; {disk / 1e3:.1f} GB"
    unlikely = () if problems else doubts_of_sheet(facts, size.dims)
    remarks = (*_by_kind(recording), *movie.notes, *unlikely, *([] if lengths else _caps(recording, size)))
    return RecordingCheck(recording.id, found, tuple(problems), disk, remarks)


def _by_kind(recording: Recording) -> tuple[str, ...]:
    """Return what a recording's kind sets, as it will be used, if that is not the general defaults."""
    own, kind = recording.config, recording.config.recording.kind
    names = own.kinds.of(kind)
    if not names:
        return ()
    values = (reduce(getattr, name.split("."), own) for name in names)
    shown = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
    return (f"{kind}: {shown}",)


def _too_short(recording: Recording, n_frames: int) -> list[str]:
    """Return that a movie has too few frames, if so: then its length says nothing of rate and decay time."""
    fewest = recording.config.inspect.min_frames
    if n_frames >= fewest:
        return []
    return [
        f"{n_frames} frames, at least {fewest} are needed (`inspect.min_frames`). Is it a movie, and are all its files "
        "listed?"
    ]


def _contradictions(files: list[str], facts: RecordingSettings) -> list[str]:
    """Return where a file says something else about its acquisition than sheet or config: the first for each fact."""
    from caiman_pipeline.movies.metadata import FileMetadata, as_text, contradictions, read_metadata

    pixel = facts.pixel_size_um.in_plane if facts.pixel_size_um else None
    given = FileMetadata(facts.frame_rate_hz, pixel, facts.plane_spacing_um)
    problems: dict[str, str] = {}
    for path in files:
        stated = read_metadata(path, facts.dataset).every_nth_plane(facts.plane_step())
        for name in contradictions(given, stated):
            said = f"`{name}` is {as_text(getattr(given, name))}, but {path} says {as_text(getattr(stated, name))}"
            order = " (rows x columns)" if " x " in said else ""
            problems.setdefault(name, f"{said}{order}. Correct the sheet (or the file).")
    return list(problems.values())


def _lengths(recording: Recording, ndim: int) -> list[str]:
    """Return which lengths do not fit a movie of ``ndim`` spatial axes."""
    missing = lacks_spacing(len(recording.config.recording.pixel_um() or ()), ndim)
    problems = [missing] if missing else []
    for stage in SECTIONS:
        resolved = recording.section(stage)
        for name, value in getattr(recording.config, stage):
            if isinstance(value, Length):
                try:
                    Length.parse(resolved[name]).per_axis(ndim)
                except ValueError as error:
                    problems.append(f"`{stage}.{name}`: {error}.")
    return problems


def _bad_frames(recording: Recording, files: list[tuple[str, int]]) -> list[str]:
    """Return which frames are listed as bad that the recording does not have, or that it has too few others."""
    fewest, total = recording.config.inspect.min_frames, sum(n for _, n in files)
    try:
        listed = frames_listed(recording.config.motion.bad_frames, files)
    except PipelineError as error:
        return [str(error)]
    if listed and total >= fewest > total - len(listed):
        return [f"{total - len(listed)} frames are left without `motion.bad_frames`, at least {fewest} are needed."]
    return []


def _classifier(recording: Recording) -> list[str]:
    """Return why footprints could not be scored as the recording asks for: a model that is missing or damaged."""
    from caiman_pipeline.quality.classifier import load_network

    try:
        if recording.config.evaluate.classifier:
            load_network(recording.config.evaluate.model)
    except PipelineError as error:
        return [str(error)]
    return []


def _curation(recording: Recording) -> list[str]:
    """Return why the decisions by hand could not be read."""
    from caiman_pipeline.quality.by_hand import read_decisions

    try:
        if recording.config.select.curation:
            read_decisions(Path(recording.config.select.curation))
    except PipelineError as error:
        return [str(error)]
    return []


def _seeds(recording: Recording, size: MovieSize) -> list[str]:
    """Return why the masks that the search is to start from could not be read, or do not fit the movie."""
    from caiman_pipeline.extraction.masks.read import read_masks

    settings = recording.config.patch_cnmf
    file = settings.seeded.path() if settings.init == "seeded" else None
    try:
        if file:
            read_masks(file, size.dims, pixel_order=settings.seeded.pixel_order)
    except PipelineError as error:
        return [str(error)]
    return []


def _solver(recording: Recording) -> list[str]:
    """Return why the recording could not be deconvolved as it asks for: a solver that is not installed."""
    from caiman_pipeline.traces.solvers import require_cvxpy

    try:
        if recording.config.traces.method == "convex":
            require_cvxpy()
    except PipelineError as error:
        return [str(error)]
    return []


def _caps(recording: Recording, size: MovieSize) -> tuple[str, ...]:
    """Return which lengths of the motion's search are longer than the frame allows."""
    from caiman_pipeline.config.motion import MotionSettings
    from caiman_pipeline.motion.in_pixels import capped_lengths

    settings = load_section(MotionSettings, json.dumps(recording.section("motion")))
    return capped_lengths(settings, size.dims)


def _tiles(recording: Recording, size: MovieSize) -> list[str]:
    """Return why the movie could not be cut into tiles: too small for the cells, or overlapping too little."""
    from caiman_pipeline.config.patch_cnmf import PatchSettings
    from caiman_pipeline.extraction.tiles.in_pixels import plan_search

    settings, facts = load_stage("patch_cnmf", PatchSettings, json.dumps(recording.settings("patch_cnmf")))
    try:
        plan_search(settings, facts, size.dims, size.n_frames)
    except PipelineError as error:
        return [str(error)]
    return []


def check_results(results: Path, needed_mb: float) -> list[str]:
    """Return why results could not be written to a folder (that may not exist yet)."""
    problem = unwritable(results)
    if problem:
        return [problem]
    free = shutil.disk_usage(nearest_folder(results)).free / 1e6
    if free > needed_mb:
        return []
    return [
        f"{results}: about {needed_mb / 1e3:.1f} GB are needed and {free / 1e3:.1f} GB are free. "
        "Free some space, set `paths.results` to another disk, or run the recordings in portions."
    ]


def nearest_folder(path: Path) -> Path:
    """Return ``path`` if it exists, else the nearest folder above it that does."""
    path = path.absolute()
    return path if path.exists() else nearest_folder(path.parent)


def unwritable(results: Path) -> str:
    """Return why nothing could be written to a results folder (that may not exist yet), or ""."""
    try:
        folder = nearest_folder(results)
    except OSError as error:
        return f"{results}: cannot be reached ({error.strerror}). Set `paths.results` to another place."
    if not folder.is_dir():
        return f"{results}: {folder} is a file, not a folder. Set `paths.results` to another place."
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{results}: {folder} cannot be written. Change its permissions or set `paths.results`."
    return ""
