rule export_nwb:
    input:
        info=MOVIE_INFO,
        motion=MOTION,
        images=IMAGES,
        components=COMPONENTS,
        traces=TRACES,
        quality=QUALITY,
        selection=SELECTION,
    output:
        nwb=NWB,
        table=shown(TABLE, "components"),
    log:
        f"{LOGS}/export_nwb.log",
        f"{LOGS}/export_nwb.job.json",
    benchmark:
        f"{BENCHMARKS}/export_nwb.tsv"
    resources:
        mem_mb=memory_mb("export_nwb"),
        runtime=minutes("export_nwb"),
    params:
        settings=settings("export_nwb"),
    shell:
        "caiman-pipeline export-nwb --movie-info {input.info:q} --motion {input.motion:q} --images {input.images:q} "
        "--components {input.components:q} --traces {input.traces:q} --quality {input.quality:q} "
        "--selection {input.selection:q} --nwb {output.nwb:q} --table {output.table:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
