# caiman_pipeline: raw calcium-imaging movies to curated neurons, traces and NWB files.
from caiman_pipeline.config.root import says_something
from snakemake.utils import min_version

min_version("9.11")


# Values given with --configfile or --config win over the file; what neither says has the package's default.
if workflow.modifier.is_main_snakefile() and says_something(Path("config/config.yaml")):

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


# How many jobs share a recording's motion correction and tiles; a profile sets other widths with `set-scatter`.
scattergather:
    blocks=1,
    tiles=1,


include: "workflow/rules/common.smk"
include: "workflow/rules/motion.smk"
include: "workflow/rules/patches.smk"
include: "workflow/rules/merge.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/traces.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/sessions.smk"


wildcard_constraints:
    recording="|".join(RECORDINGS),
    group="|".join(GROUPS) or "[^/]+",


rule all:
    default_target: True
    input:
        last_results(RECORDINGS),
        results_before(RECORDINGS),
        tracked_cells(),


onstart:
    clear_the_way()
    start_watch()


onsuccess:
    write_summary()


onerror:
    write_summary()
    ask_for_sessions()
