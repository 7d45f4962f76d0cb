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
        table=TABLE,
    log:
        f"{LOGS}/export_nwb.log",
    benchmark:
        f"{BENCHMARKS}/export_nwb.tsv"
    resources:
        mem_mb=memory_mb("export_nwb"),
    params:
        settings=settings("export_nwb"),
    shell:
        "caiman-pipeline export-nwb --movie-info {input.info} --motion {input.motion} --images {input.images} "
        "--components {input.components} --traces {input.traces} --quality {input.quality} "
        "--selection {input.selection} --nwb {output.nwb} --table {output.table} "
        "--settings {params.settings:q} --threads {threads} --log {log}"
