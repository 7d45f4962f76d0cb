rule inspect:
    input:
        files_present,
    output:
        info=result("movie_info"),
        frames=result("frames"),
    log:
        log_of("inspect"),
        record_of("inspect"),
    benchmark:
        benchmark_of("inspect")
    threads: STAGES["inspect"].threads
    resources:
        mem_mb=memory_mb("inspect"),
        runtime=minutes("inspect"),
    params:
        files=files_named,
        pixel_axes=pixel_axes,
        settings=settings("inspect"),
    shell:
        "caiman-pipeline inspect --recording {wildcards.recording} --files {params.files:q} "
        "--pixel-axes {params.pixel_axes:q} "
        "--movie-info {output.info:q} --frames {output.frames:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule motion_template:
    input:
        info=result("movie_info"),
        motion=other_motion,
        raw=files_stored,
    output:
        result("template"),
    log:
        log_of("motion_template"),
        record_of("motion_template"),
    benchmark:
        benchmark_of("motion_template")
    threads: STAGES["motion_template"].threads
    resources:
        mem_mb=memory_mb("motion_template"),
        runtime=minutes("motion_template"),
    params:
        settings=settings("motion_template"),
    shell:
        "caiman-pipeline motion-template --movie-info {input.info:q} --template {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule motion_correct:
    input:
        info=result("movie_info"),
        template=result("template"),
        raw=files_stored,
    output:
        directory(result("block"))
        if CONFIG.paths.keep_movie
        else temp(directory(result("block"))),
    log:
        log_of("motion_correct"),
        record_of("motion_correct"),
    benchmark:
        benchmark_of("motion_correct")
    threads: threads_beside_others("motion_correct")
    resources:
        mem_mb=memory_mb("motion_correct"),
        runtime=minutes("motion_correct"),
    params:
        settings=settings("motion_correct"),
        store=movie_store,
    shell:
        "caiman-pipeline motion-correct --movie-info {input.info:q} --template {input.template:q} "
        "--block {wildcards.scatteritem} --output {output:q} --store={params.store:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"


rule memmap_join:
    input:
        info=result("movie_info"),
        template=result("template"),
        blocks=gathered("block"),
    output:
        movie=result("movie"),
        motion=result("motion"),
    log:
        log_of("memmap_join"),
        record_of("memmap_join"),
    benchmark:
        benchmark_of("memmap_join")
    resources:
        mem_mb=memory_mb("memmap_join"),
        runtime=minutes("memmap_join"),
    params:
        settings=settings("memmap_join"),
    shell:
        "caiman-pipeline memmap-join --movie-info {input.info:q} --template {input.template:q} --blocks {input.blocks:q} "
        "--movie {output.movie:q} --motion {output.motion:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
