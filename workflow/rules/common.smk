# The recordings sheet, path patterns and input functions: the only Python in the workflow.
import atexit
import gc
import inspect
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from caiman_pipeline.batch.job_records import record_of as record_beside
from caiman_pipeline.batch.preflight import unwritable
from caiman_pipeline.batch.running import SECOND_PASS
from caiman_pipeline.config.root import load_config
from caiman_pipeline.config.groups import groups_of
from caiman_pipeline.config.root import resolve_stage
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.stages import (
    SESSIONS,
    STAGES,
    last_stages,
    leading_to,
    place,
    stages_of,
)
from caiman_pipeline.model.machine import why_not_here
from caiman_pipeline.batch.live import FirstJob, RunWatch, recordings_together
from caiman_pipeline.batch.states import LONG_AGO_S
from snakemake.io import IOFile
from snakemake.jobs import GroupJob
from snakemake.logging import logger

# A thousand recordings are some million objects that stay: looking through them for garbage took an eighth of the time.
gc.set_threshold(100_000, 20, 20)

# Another workflow's module: the config is what that one hands over, and its config files are its own.
HOSTED = not workflow.modifier.is_main_snakefile()
PLACES = workflow.modifier.path_modifier


def placed(path):
    """Where a path of the rules is: a host may give its module a `prefix`."""
    return str(PLACES.replace_prefix(path))


def as_named(file):
    """A file that the config or the sheet names: found where they say, whatever the prefix of what is written."""
    return file if placed(file) == file else local(file)


def config_source():
    """The config, or the file to read it from: this folder's, for a module that is handed none, if it is not the host's."""
    file = "config/config.yaml"
    taken = {os.path.abspath(f) for f in workflow.configfiles}
    own = HOSTED and not config and os.path.abspath(file) not in taken
    return file if own and says_something(Path(file)) else config


try:
    if why_not := why_not_here(sys.platform):
        raise PipelineError(why_not)
    for file in [] if HOSTED else workflow.configfiles:
        load_config(Path(file))
    CONFIG = load_config(config_source())
    RESULTS_FOLDER = placed(CONFIG.paths.results)
    RECORDINGS = load_sheet(
        CONFIG.paths.recordings, CONFIG.with_results(RESULTS_FOLDER)
    )
    GROUPS = groups_of(RECORDINGS)
    if problem := unwritable(Path(RESULTS_FOLDER)):
        raise PipelineError(problem)
except PipelineError as error:
    sys.exit(f"caiman_pipeline: error: {error}")

# Jobs that share no disk with this process are sent the config files, and this with them.
if CONFIG.paths.recordings not in workflow.configfiles:
    workflow.configfiles.append(CONFIG.paths.recordings)

# Below it lies what the registry of stages names.
FOLDER = f"{CONFIG.paths.results}/{{recording}}"


@cache
def result(name):
    """The path of a result, the recording still open."""
    below = place(name, recording="{recording}", item="{scatteritem}")
    return f"{FOLDER}/{below}"


@cache
def gathered(name):
    """The paths of a result of all jobs that a stage is cut into, the recording still open."""
    stage = next(s for s in STAGES.values() if name in s.outputs)
    pattern = result(name).replace("{recording}", "{{recording}}")
    return getattr(gather, stage.scatter)(pattern)


def log_of(stage):
    return f"{FOLDER}/{STAGES[stage].log.format(item='{scatteritem}')}"


def record_of(stage):
    return str(record_beside(Path(log_of(stage))))


def benchmark_of(stage):
    return f"{FOLDER}/{STAGES[stage].benchmark.format(item='{scatteritem}')}"


def looked_up(function):
    """Keep a function's parameters: Snakemake asks for them at each call, some 200 000 times for 1 000 recordings."""
    function.__signature__ = inspect.signature(function)
    return function


def shown(path, what):
    """A result that `snakemake --report` shows, with the caption that workflow/report has for it."""
    labels = {"recording": "{recording}", "result": what}
    return report(
        path, caption=f"../report/{what}.rst", category="Recordings", labels=labels
    )


# What is made of all recordings of one field lies below this.
GROUP_FOLDER = f"{CONFIG.paths.results}/sessions/{{group}}"
READ_OF_EACH = ("components", "selection", "images", "traces")


def of_field(name):
    """The path of a result of a group, the group still open."""
    return f"{CONFIG.paths.results}/{SESSIONS.outputs[name]}"


@cache
def members(group):
    """The recordings whose cells are tracked together: all of the group, or those that are done."""
    everyone = GROUPS[group]
    if CONFIG.sessions.recordings == "all":
        return everyone
    paths = {
        r: [placed(result(n).format(recording=r)) for n in READ_OF_EACH]
        for r in everyone
    }
    return tuple(r for r in everyone if all(map(os.path.exists, paths[r])))


def of_group(name):
    """A result of each recording that is tracked together with others."""
    return looked_up(
        lambda wildcards: [
            result(name).format(recording=r) for r in members(wildcards.group)
        ]
    )


@looked_up
def corrections_file(wildcards):
    """The corrections by hand, if any and if they exist: a missing table must fail its own group."""
    wanted = CONFIG.sessions.corrections
    return [as_named(wanted)] if wanted and os.path.exists(wanted) else []


@looked_up
def group_facts(wildcards):
    """What a group's job needs to know of its recordings, as JSON."""
    here = members(wildcards.group)
    sizes = {r: RECORDINGS[r].config.recording.pixel_um() for r in here}
    left_out = [r for r in GROUPS[wildcards.group] if r not in here]
    return json.dumps({"recordings": here, "pixel_um": sizes, "left_out": left_out})


@looked_up
def group_settings(wildcards):
    return json.dumps(resolve_stage(CONFIG, SESSIONS.name), sort_keys=True)


def tracked_cells():
    """The cells of every field, where there is a recording to find them in."""
    return [
        of_field(name).format(group=group)
        for group in GROUPS
        if members(group)
        for name in SESSIONS.outputs
    ]


def ask_for_sessions():
    """After a failure: say how the cells of the recordings that are done are tracked, or leave word for `run` to do it."""
    missing = [
        g
        for g in GROUPS
        if not os.path.exists(placed(of_field("cells").format(group=g)))
    ]
    waiting = [g for g in missing if len(GROUPS[g]) > 1]
    if not waiting or CONFIG.sessions.recordings == "done":
        return
    if word := os.environ.get(SECOND_PASS):
        Path(word).write_text("\n".join(waiting))
        return
    print(
        f"Cells of {', '.join(waiting)} were not tracked, as a recording failed. To track them in the others, call "
        "Snakemake again as before with: --until sessions --config 'sessions={recordings: done}'",
        file=sys.stderr,
    )


def settings(stage):
    """A rule's params: the recording's resolved settings of one stage, as JSON."""
    return looked_up(
        lambda wildcards: json.dumps(
            RECORDINGS[wildcards.recording].settings(stage), sort_keys=True
        )
    )


@looked_up
def files_as_listed(wildcards):
    return RECORDINGS[wildcards.recording].files() or list(
        RECORDINGS[wildcards.recording].patterns
    )


@cache
def stored(file):
    """A raw file that is on an object store, for Snakemake to fetch: named by URL, or where the profile keeps all files.

    Nothing if it is not on a store, or not there: a missing one must fail its own recording.
    """
    kept = workflow.storage_settings
    url = file if "://" in file else ""
    if kept.default_storage_provider and not url and not os.path.isabs(file):
        url = f"{kept.default_storage_prefix.rstrip('/')}/{os.path.normpath(file)}"
    found = storage(url) if url else None
    return found if found and found.flags["storage_object"].exists() else None


@cache
def present(file):
    """A raw file as an input, or nothing: a missing one must fail its own recording (in `inspect`), not the whole batch.

    Nor one with braces in its name, which Snakemake would take for wildcards; `inspect` is named them all.
    """
    if set(file) & set("{}"):
        return None
    if url := stored(file):
        return url
    stored_by_default = workflow.storage_settings.default_storage_provider
    here = local(file) if stored_by_default else as_named(file)
    return here if os.path.exists(file) else None


@looked_up
def files_present(wildcards):
    return [f for f in map(present, files_as_listed(wildcards)) if f]


@looked_up
def files_stored(wildcards):
    """Raw files to be fetched from an object store; those on disk are opened where they are."""
    return [f for f in map(stored, files_as_listed(wildcards)) if f]


@looked_up
def files_named(wildcards, input):
    """All raw files of the sheet, those from an object store as the local copies that Snakemake made."""
    copies = iter(input)
    return [next(copies) if present(f) else f for f in files_as_listed(wildcards)]


@looked_up
def pixel_axes(wildcards, input):
    """Axes along which a pixel's size is known: whether volumes are refused for want of the planes' distance.

    It changes no number. Snakemake does not compare what depends on inputs: this takes them for that reason.
    """
    return len(RECORDINGS[wildcards.recording].config.recording.pixel_um() or ())


# Motion that this run can find itself.
OUR_MOTION = {
    placed(result("motion").format(recording=recording)): result("motion").format(
        recording=recording
    )
    for recording in RECORDINGS
}


@looked_up
def other_motion(wildcards):
    """Files of motion that a recording's template or shifts come from: made first where they are this run's."""
    motion = RECORDINGS[wildcards.recording].config.motion
    named = [f for f in (motion.shifts_from, motion.template) if f]
    return [
        OUR_MOTION.get(f) or as_named(f)
        for f in named
        if f in OUR_MOTION or os.path.exists(f)
    ]


@looked_up
def seeds_file(wildcards):
    """The masks that components start from, if any and if it exists: a missing one must fail its own recording."""
    config = RECORDINGS[wildcards.recording].config.patch_cnmf
    wanted = config.seeded.path() if config.init == "seeded" else None
    return [as_named(wanted)] if wanted and os.path.exists(wanted) else []


@looked_up
def curation_file(wildcards):
    """The decisions by hand, if any and if they exist: a missing table must fail its own recording."""
    wanted = RECORDINGS[wildcards.recording].config.select.curation
    return [as_named(wanted)] if wanted and os.path.exists(wanted) else []


@looked_up
def model_file(wildcards):
    """The classifier's model, where it is not the one that ships, and if it exists."""
    config = RECORDINGS[wildcards.recording].config.evaluate
    wanted = config.model if config.classifier else None
    return [as_named(wanted)] if wanted and os.path.exists(wanted) else []


@looked_up
def refine_start(wildcards):
    """What is refined: the components found, or those that the settings name."""
    start = RECORDINGS[wildcards.recording].config.refine.start
    found = result("merged").format(recording=wildcards.recording)
    return as_named(start) if start and os.path.exists(start) else found


def outputs_of(stages, recording):
    """The paths of what stages leave of a recording."""
    for stage in stages:
        for name in stage.outputs:
            if name not in stage.passing:
                paths = gathered(name) if stage.scatter else [result(name)]
                yield from (path.format(recording=recording) for path in paths)


def last_results(recordings):
    """What a recording is run for."""
    return [
        path
        for recording in recordings
        for path in outputs_of(last_stages(way_of(recording)), recording)
    ]


def results_before(recordings):
    """What the last results are made from, but for the movie's parts, which may be deleted.

    A job that fails takes its old result away; asked for, it is made anew though what came of it before is still there.
    """
    return [
        path
        for recording in recordings
        for path in outputs_of(stages_before(recording), recording)
    ]


def way_of(recording):
    """The stages that a recording goes through."""
    return stages_of(RECORDINGS[recording].branch)


def stages_before(recording):
    """The stages whose results the last ones need; where other components are refined, none before these."""
    given = ["merged"] if RECORDINGS[recording].config.refine.start else []
    way = way_of(recording)
    ends = last_stages(way)
    return [stage for stage in leading_to(ends, way, given=given) if stage not in ends]


@looked_up
def movie_store(wildcards):
    """Where the recording's corrected movie goes on an object store, or nothing: with the other results."""
    return (
        f"{CONFIG.paths.movie_store}/{wildcards.recording}"
        if CONFIG.paths.movie_store
        else ""
    )


def runs_elsewhere():
    """Whether jobs are handed to a cluster or a cloud; `snakemake --report` hands them to nobody."""
    return workflow.executor_plugin is not None and workflow.non_local_exec


def threads_beside_others(stage):
    """A scattered rule's `threads`: on this machine, fewer where its jobs fill it by themselves."""
    most = STAGES[stage].threads

    def choose(wildcards):
        from caiman_pipeline.batch.planning import job_threads

        if runs_elsewhere() or not workflow.is_main_process:
            return most
        jobs = int(wildcards.scatteritem.split("-of-")[1])
        return job_threads(most, jobs=jobs, cores=workflow.cores or most)

    return choose


@cache
def layout(recording):
    """What a recording's settings cut it into, for predictions."""
    from caiman_pipeline.batch.costs import layout_of

    return layout_of(RECORDINGS[recording].config)


def memory_mb(stage):
    """A rule's `mem_mb`: predicted from the recording's size, more with each attempt."""

    @looked_up
    def predict(wildcards, threads, attempt):
        from caiman_pipeline.batch.planning import (
            SESSIONS_MB,
            SNAKEMAKE_MB,
            batch_memory_mb,
            predict_memory_mb,
        )

        beside = SNAKEMAKE_MB if runs_elsewhere() else 0
        if stage == SESSIONS.name:
            first, each = SESSIONS_MB
            needed = first + each * len(members(wildcards.group))
        else:
            info = placed(result("movie_info").format(recording=wildcards.recording))
            cut = layout(wildcards.recording)
            needed = predict_memory_mb(stage, info, threads, layout=cut)
        needed = needed * attempt + beside
        on_batch = runs_elsewhere() and workflow.executor_plugin.name == "aws-batch"
        return batch_memory_mb(needed, threads) if on_batch else needed

    return predict


def minutes(stage):
    """A rule's `runtime`: predicted from the recording's size with much to spare, more with each attempt."""

    @looked_up
    def predict(wildcards, threads, attempt):
        from caiman_pipeline.batch.planning import SESSIONS_MINUTES, predict_minutes

        if stage == SESSIONS.name:
            n = len(members(wildcards.group))
            return SESSIONS_MINUTES * (1 + n * (n - 1) // 2) * attempt
        info = placed(result("movie_info").format(recording=wildcards.recording))
        item = wildcards.get("scatteritem", "1-of-1")
        jobs, cut = int(item.split("-of-")[1]), layout(wildcards.recording)
        return predict_minutes(stage, info, threads, jobs=jobs, layout=cut) * attempt

    return predict


class Watch:
    """What follows the run while it goes; nothing where jobs' logs are on an object store, or in a job's process."""

    handler = None
    recordings = list(RECORDINGS)


def start_watch():
    """Before the first job: keep the summary up to date, and note what the scheduler says of jobs that fail."""
    if (
        workflow.is_main_process
        and not workflow.storage_settings.default_storage_provider
    ):
        Watch.handler = RunWatch(Path(RESULTS_FOLDER), Watch.recordings)
        logger.addHandler(Watch.handler)
        # Snakemake leaves out what an executor says of a group of jobs that failed.
        GroupJob.log_error = with_message(GroupJob.log_error)


def with_message(log_error):
    """A group's ``log_error`` that hands the executor's message on to who follows the log."""

    def log_with_message(self, msg=None, aux_logs=None, **kwargs):
        return log_error(self, msg=msg, aux_logs=aux_logs, **{"said": msg, **kwargs})

    return log_with_message


def clear_the_way():
    """Before the first job: end what an earlier run, killed, has left running on the cluster."""
    if workflow.is_main_process and workflow.executor_plugin.name == "slurm":
        from caiman_pipeline.batch.orphans import cancel_orphans

        try:
            orphans = cancel_orphans(Path.cwd())
        except PipelineError as error:
            sys.exit(f"caiman_pipeline: error: {error}")
        if orphans:
            print(
                f"Cancelled {len(orphans)} SLURM jobs of an earlier run: {' '.join(orphans)}",
                file=sys.stderr,
            )


def write_summary():
    """List every recording as ok, ok_empty, failed or waiting, whether or not the run succeeded."""
    if Watch.handler:
        logger.removeHandler(Watch.handler)
        Watch.handler.close()
    command = [
        sys.executable,
        "-m",
        "caiman_pipeline.cli.main",
        "summary",
        "--ended",
        "--results",
        RESULTS_FOLDER,
    ]
    kept = workflow.storage_settings
    if kept.default_storage_provider:
        command += [
            "--store",
            f"{kept.default_storage_prefix.rstrip('/')}/{RESULTS_FOLDER}",
        ]
    subprocess.run([*command, "--recordings", *Watch.recordings], check=True)
    forget_old_results()


def forget_old_results():
    """A selection that was put back: Snakemake has noted it as made from the table that could not be applied."""
    for recording in RECORDINGS:
        selection = placed(result("selection").format(recording=recording))
        if os.path.exists(selection) and os.path.getmtime(selection) == LONG_AGO_S:
            workflow.persistence.cleanup_metadata(IOFile(selection))


def follow_in_host():
    """As a module: a host's handlers are its own, so begin with its first job, and end with its process."""
    Watch.recordings, first = recordings_together(Path(RESULTS_FOLDER), RECORDINGS)
    if first:

        def begin():
            clear_the_way()
            start_watch()
            atexit.register(write_summary)

        logger.addHandler(FirstJob(begin))


if HOSTED and workflow.is_main_process:
    follow_in_host()
