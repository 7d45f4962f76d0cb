# The recordings sheet, path patterns and input functions: the only Python in the workflow.
import json
import os
import subprocess
import sys
from pathlib import Path

from caiman_pipeline.checking import unwritable
from caiman_pipeline.config.root import load_config
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.errors import PipelineError

try:
    for file in workflow.configfiles:
        load_config(Path(file))
    CONFIG = load_config(config)
    RECORDINGS = load_sheet(CONFIG.paths.recordings, CONFIG)
    if problem := unwritable(Path(CONFIG.paths.results)):
        raise PipelineError(problem)
except PipelineError as error:
    sys.exit(f"caiman_pipeline: error: {error}")

# What the rules' software is; Snakemake itself runs in it.
ENVIRONMENT = str(Path(workflow.basedir) / "environment.yml")
RESULTS = f"{CONFIG.paths.results}/{{recording}}"
MOVIE_INFO = f"{RESULTS}/inspect/movie_info.json"
FRAMES = f"{RESULTS}/inspect/frames.h5"
TEMPLATE = f"{RESULTS}/motion/template.h5"
BLOCK = f"{RESULTS}/motion/blocks/{{scatteritem}}"
MOTION = f"{RESULTS}/motion/motion.h5"
MOVIE = f"{RESULTS}/movie/movie.json"
IMAGES = f"{RESULTS}/summary_images/images.h5"
BATCH = f"{RESULTS}/patch_cnmf/{{scatteritem}}.h5"
MERGED = f"{RESULTS}/merge/components.h5"
COMPONENTS = f"{RESULTS}/refine/components.h5"
QUALITY = f"{RESULTS}/evaluate/quality.h5"
TRACES = f"{RESULTS}/traces/traces.h5"
SELECTION = f"{RESULTS}/select/selection.h5"
NWB = f"{RESULTS}/export_nwb/{{recording}}.nwb"
TABLE = f"{RESULTS}/export_nwb/{{recording}}_components.csv"
REPORT = f"{RESULTS}/report/{{recording}}.html"
THUMBNAIL = f"{RESULTS}/report/thumbnail.jpg"
OVERVIEW = f"{RESULTS}/report/overview.json"
# One path per scatter item, the recording still open.
BLOCKS = gather.blocks(BLOCK.replace("{recording}", "{{recording}}"))
BATCHES = gather.tiles(BATCH.replace("{recording}", "{{recording}}"))
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"


def settings(stage):
    """A rule's params: the recording's resolved settings of one stage, as JSON."""
    return lambda wildcards: json.dumps(
        RECORDINGS[wildcards.recording].settings(stage), sort_keys=True
    )


def files_as_listed(wildcards):
    return RECORDINGS[wildcards.recording].files() or list(
        RECORDINGS[wildcards.recording].patterns
    )


def files_present(wildcards):
    """Raw files that exist: a missing one must fail its own recording (in `inspect`), not the whole batch."""
    return [f for f in files_as_listed(wildcards) if os.path.exists(f)]


def seeds_file(wildcards):
    """The masks that components start from, if any and if it exists: a missing one must fail its own recording."""
    config = RECORDINGS[wildcards.recording].config.patch_cnmf
    wanted = config.seeded.path() if config.init == "seeded" else None
    return [wanted] if wanted and os.path.exists(wanted) else []


def memory_mb(stage):
    """A rule's `mem_mb`: predicted from the recording's size, more with each attempt."""

    def predict(wildcards, threads, attempt):
        from caiman_pipeline.planning import predict_memory_mb

        info = MOVIE_INFO.format(recording=wildcards.recording)
        return predict_memory_mb(stage, info, threads) * attempt

    return predict


def write_summary():
    """List every recording as ok, ok_empty, failed or waiting, whether or not the run succeeded."""
    command = [
        sys.executable,
        "-m",
        "caiman_pipeline.cli.main",
        "summary",
        "--results",
        CONFIG.paths.results,
    ]
    subprocess.run([*command, "--recordings", *RECORDINGS], check=True)
