rule merge:
    input:
        batches=BATCHES,
    output:
        MERGED,
    log:
        f"{LOGS}/merge.log",
        f"{LOGS}/merge.job.json",
    benchmark:
        f"{BENCHMARKS}/merge.tsv"
    resources:
        mem_mb=memory_mb("merge"),
        runtime=minutes("merge"),
    params:
        settings=settings("merge"),
    shell:
        "caiman-pipeline merge --batches {input.batches:q} --components {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule refine:
    input:
        movie=MOVIE,
        images=IMAGES,
        merged=refine_start,
        parts=BLOCKS,
    output:
        COMPONENTS,
    log:
        f"{LOGS}/refine.log",
        f"{LOGS}/refine.job.json",
    benchmark:
        f"{BENCHMARKS}/refine.tsv"
    threads: 4
    resources:
        mem_mb=memory_mb("refine"),
        runtime=minutes("refine"),
    params:
        settings=settings("refine"),
    shell:
        "caiman-pipeline refine --movie {input.movie:q} --images {input.images:q} --merged {input.merged:q} "
        "--components {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
