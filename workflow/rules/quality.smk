rule evaluate:
    input:
        movie=result("movie"),
        info=result("movie_info"),
        motion=result("motion"),
        components=result("components"),
        model=model_file,
        parts=gathered("block"),
    output:
        result("quality"),
    log:
        log_of("evaluate"),
        record_of("evaluate"),
    benchmark:
        benchmark_of("evaluate")
    threads: STAGES["evaluate"].threads
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
        info=result("movie_info"),
        quality=result("quality"),
        components=result("components"),
        curation=curation_file,
    output:
        # A table of decisions that cannot be applied leaves the last selection in place.
        update(result("selection")),
    log:
        log_of("select"),
        record_of("select"),
    benchmark:
        benchmark_of("select")
    resources:
        mem_mb=memory_mb("select"),
        runtime=minutes("select"),
    params:
        settings=settings("select"),
    shell:
        "caiman-pipeline select --movie-info {input.info:q} --quality {input.quality:q} --components {input.components:q} "
        "--selection {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
