rule report:
    input:
        info=MOVIE_INFO,
        frames=FRAMES,
        motion=MOTION,
        images=IMAGES,
        components=COMPONENTS,
        traces=TRACES,
        quality=QUALITY,
        selection=SELECTION,
    output:
        report=shown(REPORT, "report"),
        thumbnail=shown(THUMBNAIL, "thumbnail"),
        overview=OVERVIEW,
    log:
        f"{LOGS}/report.log",
        f"{LOGS}/report.job.json",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    resources:
        mem_mb=memory_mb("report"),
        runtime=minutes("report"),
    params:
        settings=settings("report"),
    shell:
        "caiman-pipeline report --movie-info {input.info:q} --frames {input.frames:q} --motion {input.motion:q} "
        "--images {input.images:q} --components {input.components:q} --traces {input.traces:q} "
        "--quality {input.quality:q} --selection {input.selection:q} "
        "--report {output.report:q} --thumbnail {output.thumbnail:q} "
        "--overview {output.overview:q} --settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
