rule merge:
    input:
        batches=gathered("candidates"),
    output:
        result("merged"),
    log:
        log_of("merge"),
        record_of("merge"),
    benchmark:
        benchmark_of("merge")
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
        movie=result("movie"),
        images=result("images"),
        merged=refine_start,
        parts=gathered("block"),
    output:
        result("components"),
    log:
        log_of("refine"),
        record_of("refine"),
    benchmark:
        benchmark_of("refine")
    threads: STAGES["refine"].threads
    resources:
        mem_mb=memory_mb("refine"),
        runtime=minutes("refine"),
    params:
        settings=settings("refine"),
    shell:
        "caiman-pipeline refine --movie {input.movie:q} --images {input.images:q} --merged {input.merged:q} "
        "--components {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
