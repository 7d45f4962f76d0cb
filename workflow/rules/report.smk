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
        REPORT,
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    resources:
        mem_mb=memory_mb("report"),
    params:
        settings=settings("report"),
        benchmarks=BENCHMARKS,
    shell:
        "caiman-pipeline report --movie-info {input.info} --frames {input.frames} --motion {input.motion} "
        "--images {input.images} --components {input.components} --traces {input.traces} "
        "--quality {input.quality} --selection {input.selection} "
        "--benchmarks {params.benchmarks} --report {output} "
        "--settings {params.settings:q} --threads {threads} --log {log}"
