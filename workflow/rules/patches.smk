rule summary_images:
    input:
        movie=result("movie"),
        parts=gathered("block"),
    output:
        result("images"),
    log:
        log_of("summary_images"),
        record_of("summary_images"),
    benchmark:
        benchmark_of("summary_images")
    threads: STAGES["summary_images"].threads
    resources:
        mem_mb=memory_mb("summary_images"),
        runtime=minutes("summary_images"),
    params:
        settings=settings("summary_images"),
    shell:
        "caiman-pipeline summary-images --movie {input.movie:q} --images {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule patch_cnmf:
    input:
        movie=result("movie"),
        images=result("images"),
        parts=gathered("block"),
        seeds=seeds_file,
    output:
        result("candidates"),
    log:
        log_of("patch_cnmf"),
        record_of("patch_cnmf"),
    benchmark:
        benchmark_of("patch_cnmf")
    threads: threads_beside_others("patch_cnmf")
    resources:
        mem_mb=memory_mb("patch_cnmf"),
        runtime=minutes("patch_cnmf"),
    params:
        settings=settings("patch_cnmf"),
    shell:
        "caiman-pipeline patch-cnmf --movie {input.movie:q} --images {input.images:q} "
        "--batch {wildcards.scatteritem} --output {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
