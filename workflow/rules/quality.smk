rule evaluate:
    input:
        movie=MOVIE,
        components=COMPONENTS,
        parts=BLOCKS,
    output:
        QUALITY,
    log:
        f"{LOGS}/evaluate.log",
    benchmark:
        f"{BENCHMARKS}/evaluate.tsv"
    threads: 2
    resources:
        mem_mb=memory_mb("evaluate"),
    params:
        settings=settings("evaluate"),
    shell:
        "caiman-pipeline evaluate --movie {input.movie} --components {input.components} --quality {output} "
        "--settings {params.settings:q} --threads {threads} --log {log}"


rule select:
    input:
        quality=QUALITY,
    output:
        SELECTION,
    log:
        f"{LOGS}/select.log",
    benchmark:
        f"{BENCHMARKS}/select.tsv"
    resources:
        mem_mb=memory_mb("select"),
    params:
        settings=settings("select"),
    shell:
        "caiman-pipeline select --quality {input.quality} --selection {output} "
        "--settings {params.settings:q} --threads {threads} --log {log}"
