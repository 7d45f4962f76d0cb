rule evaluate:
    input:
        movie=MOVIE,
        info=MOVIE_INFO,
        motion=MOTION,
        components=COMPONENTS,
        model=model_file,
        parts=BLOCKS,
    output:
        QUALITY,
    log:
        f"{LOGS}/evaluate.log",
        f"{LOGS}/evaluate.job.json",
    benchmark:
        f"{BENCHMARKS}/evaluate.tsv"
    threads: 2
    resources:
        mem_mb=memory_mb("evaluate"),
        runtime=minutes("evaluate"),
    params:
        settings=settings("evaluate"),
    shell:
        "caiman-pipeline evaluate --movie {input.movie:q} --movie-info {input.info:q} "
        "--motion {input.motion:q} --components {input.components:q} --quality {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule select:
    input:
        info=MOVIE_INFO,
        quality=QUALITY,
        components=COMPONENTS,
        curation=curation_file,
    output:
        # A table of decisions that cannot be applied leaves the last selection in place.
        update(SELECTION),
    log:
        f"{LOGS}/select.log",
        f"{LOGS}/select.job.json",
    benchmark:
        f"{BENCHMARKS}/select.tsv"
    resources:
        mem_mb=memory_mb("select"),
        runtime=minutes("select"),
    params:
        settings=settings("select"),
    shell:
        "caiman-pipeline select --movie-info {input.info:q} --quality {input.quality:q} --components {input.components:q} "
        "--selection {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
