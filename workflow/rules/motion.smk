rule inspect:
    input:
        files_present,
    output:
        info=MOVIE_INFO,
        frames=FRAMES,
    log:
        f"{LOGS}/inspect.log",
        f"{LOGS}/inspect.job.json",
    benchmark:
        f"{BENCHMARKS}/inspect.tsv"
    threads: 2
    resources:
        mem_mb=memory_mb("inspect"),
        runtime=minutes("inspect"),
    params:
        files=files_named,
        bad_frames=bad_frames_listed,
        settings=settings("inspect"),
    shell:
        "caiman-pipeline inspect --recording {wildcards.recording} --files {params.files:q} "
        "--bad-frames {params.bad_frames:q} "
        "--movie-info {output.info:q} --frames {output.frames:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule motion_template:
    input:
        info=MOVIE_INFO,
        motion=other_motion,
        raw=files_stored,
    output:
        TEMPLATE,
    log:
        f"{LOGS}/motion_template.log",
        f"{LOGS}/motion_template.job.json",
    benchmark:
        f"{BENCHMARKS}/motion_template.tsv"
    threads: 4
    resources:
        mem_mb=memory_mb("motion_template"),
        runtime=minutes("motion_template"),
    params:
        settings=settings("motion"),
    shell:
        "caiman-pipeline motion-template --movie-info {input.info:q} --template {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule motion_correct:
    input:
        info=MOVIE_INFO,
        template=TEMPLATE,
        raw=files_stored,
    output:
        directory(BLOCK) if CONFIG.paths.keep_movie else temp(directory(BLOCK)),
    log:
        f"{LOGS}/motion_correct.{{scatteritem}}.log",
        f"{LOGS}/motion_correct.{{scatteritem}}.job.json",
    benchmark:
        f"{BENCHMARKS}/motion_correct.{{scatteritem}}.tsv"
    threads: threads_beside_others(4)
    resources:
        mem_mb=memory_mb("motion_correct"),
        runtime=minutes("motion_correct"),
    params:
        settings=settings("motion"),
        store=movie_store,
    shell:
        "caiman-pipeline motion-correct --movie-info {input.info:q} --template {input.template:q} "
        "--block {wildcards.scatteritem} --output {output:q} --store={params.store:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule memmap_join:
    input:
        info=MOVIE_INFO,
        template=TEMPLATE,
        blocks=BLOCKS,
    output:
        movie=MOVIE,
        motion=MOTION,
    log:
        f"{LOGS}/memmap_join.log",
        f"{LOGS}/memmap_join.job.json",
    benchmark:
        f"{BENCHMARKS}/memmap_join.tsv"
    resources:
        mem_mb=memory_mb("memmap_join"),
        runtime=minutes("memmap_join"),
    params:
        settings=settings("motion"),
    shell:
        "caiman-pipeline memmap-join --movie-info {input.info:q} --template {input.template:q} --blocks {input.blocks:q} "
        "--movie {output.movie:q} --motion {output.motion:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
