"""The registry of stages: what each is called, needs, writes and takes. Whoever asks for one of these asks here.

Data and look-ups, from the standard library only. Results have names of their own, like ``components``: a stage that
makes a result and those that read it agree on nothing else, and where it lies is said here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KINDS, MODES = ("two_photon", "one_photon", "voltage"), ("batch", "online")
# Folders beside those of the stages, below a recording's own.
LOGS, BENCHMARKS = "logs", "benchmarks"

# Every key of a section.
ALL = ("*",)


@dataclass(frozen=True)
class Branch:
    """Which of the workflow's ways a recording goes: by the kind of its movie, and whether frames come all at once."""

    kind: str = "two_photon"
    mode: str = "batch"


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of the workflow.

    Attributes
    ----------
    name : that of its rule, its module in ``cli``, and its logs; with dashes, that of its verb
    section : the section of the config that is its own
    summary : what it does, in one line
    inputs : names of the results that it reads
    outputs : the results that it writes, by name: paths below the recording's folder, with ``{recording}``, and
        ``{item}`` in a stage that is cut
    reads : the keys of the config that its job reads, by section; ``ALL`` for every key of one. A job is handed these
        and no others, so that it runs again when one of them changes and for nothing else
    passing : those of its results that may go once the recording is done
    threads : cores that one job uses
    scatter : what its work is cut by, as Snakemake's ``set-scatter`` names it; "" for one job a recording
    cost : name of what it costs in ``batch/costs.py``; "" for its own
    kinds, modes : the branches that it belongs to
    """

    name: str
    section: str
    summary: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    passing: tuple[str, ...] = ()
    threads: int = 1
    scatter: str = ""
    cost: str = ""
    kinds: tuple[str, ...] = field(default=("two_photon", "one_photon"))
    modes: tuple[str, ...] = field(default=("batch",))

    @property
    def verb(self) -> str:
        """The word of the command line that runs one of its jobs."""
        return self.name.replace("_", "-")

    @property
    def log(self) -> str:
        """Where a job logs, below the recording's folder."""
        return f"{LOGS}/{self.name}{'.{item}' if self.scatter else ''}.log"

    @property
    def benchmark(self) -> str:
        """Where Snakemake notes what a job took, below the recording's folder."""
        return f"{BENCHMARKS}/{self.name}{'.{item}' if self.scatter else ''}.tsv"

    def belongs_to(self, branch: Branch) -> bool:
        """Tell whether recordings of a branch go through this stage."""
        return branch.kind in self.kinds and branch.mode in self.modes


# The size of a cell and how calcium decays in how many frames.
CELL = ("frame_rate_hz", "decay_time_s", "cell_diameter")
# What registering a frame takes, once it is known to what.
REGISTERING = (
    "method",
    "max_shift",
    "max_deviation",
    "patch_spacing",
    "patch_size",
    "smoothing_s",
    "high_pass",
    "region",
    "bad_frames",
)
# In the order of the workflow: each reads what is written above it.
REGISTRY: tuple[Stage, ...] = (
    Stage(
        "inspect",
        section="inspect",
        summary="look at a recording's files",
        inputs=(),
        outputs={"movie_info": "inspect/movie_info.json", "frames": "inspect/frames.h5"},
        threads=2,
        reads={
            "inspect": ALL,
            "motion": ("bad_frames",),
            "recording": ("frame_rate_hz", "axes", "dataset", "channel", "planes"),
        },
    ),
    Stage(
        "motion_template",
        section="motion",
        summary="build the template that frames are registered to",
        inputs=("movie_info",),
        outputs={"template": "motion/template.h5"},
        threads=4,
        reads={
            "motion": (
                *REGISTERING,
                "keep_better",
                "template",
                "template_frames",
                "template_rounds",
                "shifts_from",
                "scan_offset",
            )
        },
    ),
    Stage(
        "motion_correct",
        section="motion",
        summary="register one block of frames",
        inputs=("movie_info", "template"),
        outputs={"block": "motion/blocks/{item}"},
        passing=("block",),
        threads=4,
        scatter="blocks",
        reads={"motion": (*REGISTERING, "interpolation", "border")},
    ),
    Stage(
        "memmap_join",
        section="motion",
        summary="list the blocks' parts as one movie",
        inputs=("movie_info", "template", "block"),
        outputs={"movie": "movie/movie.json", "motion": "motion/motion.h5"},
        reads={
            "motion": (
                "method",
                "max_shift",
                "max_deviation",
                "high_pass",
                "bad_frames",
                "border",
                "max_outside_fraction",
                "flag_deviations",
                "max_unlike_fraction",
            )
        },
    ),
    Stage(
        "summary_images",
        section="summary_images",
        summary="mean, deviation, maximum, correlation and peak-to-noise images",
        inputs=("movie", "block"),
        outputs={"images": "summary_images/images.h5"},
        threads=4,
        reads={"summary_images": ALL, "recording": ("frame_rate_hz",)},
    ),
    Stage(
        "patch_cnmf",
        section="patch_cnmf",
        summary="find components in a batch of tiles",
        inputs=("movie", "block", "images"),
        outputs={"candidates": "patch_cnmf/{item}.h5"},
        threads=4,
        scatter="tiles",
        reads={"patch_cnmf": ALL, "recording": CELL},
    ),
    Stage(
        "merge",
        section="merge",
        summary="stitch tiles and merge what belongs together",
        inputs=("candidates",),
        outputs={"merged": "merge/components.h5"},
        reads={"merge": ALL, "recording": ("cell_diameter",)},
    ),
    Stage(
        "refine",
        section="refine",
        summary="update all components over the full field",
        inputs=("movie", "block", "images", "merged"),
        outputs={"components": "refine/components.h5"},
        threads=4,
        reads={
            "refine": ALL,
            # How calcium moves and noise is measured: neighbours are freed from each other by the model of the traces.
            "traces": (
                "polarity",
                "order",
                "time_constants",
                "rise_time_s",
                "estimate_share",
                "autocovariance_s",
                "fudge_factor",
                "noise_band",
                "noise_average",
            ),
            "recording": CELL,
        },
    ),
    Stage(
        "evaluate",
        section="evaluate",
        summary="measure the quality of components",
        inputs=("movie", "block", "movie_info", "motion", "components"),
        outputs={"quality": "evaluate/quality.h5"},
        threads=2,
        reads={"evaluate": ALL, "recording": CELL},
    ),
    Stage(
        "traces",
        section="traces",
        summary="deconvolution and DF/F",
        inputs=("components",),
        outputs={"traces": "traces/traces.h5"},
        threads=2,
        reads={"traces": ALL, "recording": CELL},
    ),
    Stage(
        "select",
        section="select",
        summary="accept or reject components by their measures",
        inputs=("movie_info", "quality", "components"),
        outputs={"selection": "select/selection.h5"},
        reads={"select": ALL, "recording": ("cell_diameter",)},
    ),
    Stage(
        "export_nwb",
        section="export_nwb",
        summary="write the NWB file and the table of components",
        inputs=("movie_info", "motion", "images", "components", "traces", "quality", "selection"),
        outputs={"nwb": "export_nwb/{recording}.nwb", "table": "export_nwb/{recording}_components.csv"},
        reads={
            "export_nwb": ALL,
            "recording": (
                "pixel_size_um",
                "plane_spacing_um",
                "planes",
                "subject_id",
                "species",
                "sex",
                "age",
                "session_start",
                "session_description",
                "experimenter",
                "lab",
                "institution",
                "indicator",
                "location",
                "excitation_nm",
                "emission_nm",
            ),
        },
    ),
    Stage(
        "report",
        section="report",
        summary="write a recording's HTML report",
        inputs=("movie_info", "frames", "motion", "images", "components", "traces", "quality", "selection"),
        outputs={
            "report": "report/{recording}.html",
            "thumbnail": "report/thumbnail.jpg",
            "overview": "report/overview.json",
        },
        reads={
            "report": ALL,
            "recording": (
                "pixel_size_um",
                "plane_spacing_um",
                "subject_id",
                "session_start",
                "indicator",
                "location",
            ),
        },
    ),
)

# What is made of all recordings of one field together: one job a group, below the results folder itself.
SESSIONS = Stage(
    "sessions",
    section="sessions",
    summary="find which components of a field's recordings are the same cells",
    inputs=("movie_info", "images", "components", "traces", "selection"),
    outputs={
        "cells": "sessions/{group}/cells.h5",
        "cells_table": "sessions/{group}/cells.csv",
        "cells_page": "sessions/{group}/cells.html",
    },
    reads={"sessions": ALL},
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in REGISTRY}
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(stage.section for stage in REGISTRY))
OUTPUTS: dict[str, str] = {name: path for stage in REGISTRY for name, path in stage.outputs.items()}


def stages_of(branch: Branch, registry: Iterable[Stage] = REGISTRY) -> list[Stage]:
    """Return the stages that recordings of a branch go through, in order.

    Raises
    ------
    ValueError
        If no recording can be of that branch.
    """
    found = [stage for stage in registry if stage.belongs_to(branch)]
    if not found:
        raise ValueError(f"no stage is for recordings of kind {branch.kind!r} in mode {branch.mode!r}")
    return found


def needs(stage: Stage, stages: Iterable[Stage] = REGISTRY) -> list[str]:
    """Return the names of the stages, of those of a branch, whose results ``stage`` reads."""
    return [other.name for other in stages if not set(stage.inputs).isdisjoint(other.outputs)]


def needed_by(name: str, stages: Iterable[Stage] = REGISTRY) -> set[str]:
    """Return the stages that need the one of that name, or what is made of its results."""
    found: set[str] = set()
    for stage in stages:
        if not {name, *found}.isdisjoint(needs(stage, stages)):
            found.add(stage.name)
    return found


def last_stages(stages: Iterable[Stage] = REGISTRY) -> list[Stage]:
    """Return the stages whose results no other one reads: a recording is done when they are."""
    read = {name for stage in stages for name in stage.inputs}
    return [stage for stage in stages if read.isdisjoint(stage.outputs)]


def leading_to(ends: Iterable[Stage], stages: Iterable[Stage] = REGISTRY, *, given: Iterable[str] = ()) -> list[Stage]:
    """Return ``ends`` and the stages that they need, in order; results in ``given`` come from elsewhere."""
    here = list(stages)
    wanted = {stage.name for stage in ends}
    for stage in reversed(here):
        if stage.name in wanted:
            read = set(stage.inputs) - set(given)
            wanted |= {other.name for other in here if not read.isdisjoint(other.outputs)}
    return [stage for stage in here if stage.name in wanted]


def keys_of(stage: str) -> tuple[str, Mapping[str, tuple[str, ...]]]:
    """Return the section of a stage, of recordings or of groups of them, and the keys that its job reads."""
    found = SESSIONS if stage == SESSIONS.name else STAGES[stage]
    return found.section, found.reads


def place(output: str, *, recording: str = "", item: str = "") -> str:
    """Return where a result lies below its recording's folder; ``item`` says which, of a stage that is cut."""
    return OUTPUTS[output].format(recording=recording, item=item)


def path_of(folder: Path, output: str, *, item: str = "") -> Path:
    """Return the path of a result in a recording's folder, which bears the recording's name."""
    return folder / place(output, recording=folder.name, item=item)


def results_of(folder: Path, job: str) -> list[Path]:
    """Return the paths of what a job writes, by the name of its log; none of a stage that is not known."""
    name, _, item = job.removesuffix(".log").partition(".")
    outputs = STAGES[name].outputs if name in STAGES else ()
    return [path_of(folder, output, item=item) for output in outputs]


def in_order(jobs: Iterable[str]) -> list[str]:
    """Sort names that start with a stage by the order of the stages; unknown ones come last."""
    order = {name: number for number, name in enumerate(STAGES)}
    return sorted(jobs, key=lambda job: (order.get(stage_of(job), len(order)), job))


def stage_of(job: str) -> str:
    """Return the stage of a job by the name of its log: ``patch_cnmf.1-of-4`` is one of ``patch_cnmf``."""
    return job.split(".", 1)[0]
