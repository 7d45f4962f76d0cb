rule summary_images:
    input:
        movie=MOVIE,
        parts=BLOCKS,
    output:
        IMAGES,
    log:
        f"{LOGS}/summary_images.log",
        f"{LOGS}/summary_images.job.json",
    benchmark:
        f"{BENCHMARKS}/summary_images.tsv"
    threads: 4
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
        movie=MOVIE,
        images=IMAGES,
        parts=BLOCKS,
        seeds=seeds_file,
    output:
        BATCH,
    log:
        f"{LOGS}/patch_cnmf.{{scatteritem}}.log",
        f"{LOGS}/patch_cnmf.{{scatteritem}}.job.json",
    benchmark:
        f"{BENCHMARKS}/patch_cnmf.{{scatteritem}}.tsv"
    threads: threads_beside_others(4)
    resources:
        mem_mb=memory_mb("patch_cnmf"),
        runtime=minutes("patch_cnmf"),
    params:
        settings=settings("patch_cnmf"),
    shell:
        "caiman-pipeline patch-cnmf --movie {input.movie:q} --images {input.images:q} "
        "--batch {wildcards.scatteritem} --output {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
