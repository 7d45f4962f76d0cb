rule report:
    input:
        info=result("movie_info"),
        frames=result("frames"),
        motion=result("motion"),
        images=result("images"),
        components=result("components"),
        traces=result("traces"),
        quality=result("quality"),
        selection=result("selection"),
    output:
        report=shown(result("report"), "report"),
        thumbnail=shown(result("thumbnail"), "thumbnail"),
        overview=result("overview"),
    log:
        log_of("report"),
        record_of("report"),
    benchmark:
        benchmark_of("report")
    resources:
        mem_mb=memory_mb("report"),
        runtime=minutes("report"),
    params:
        settings=settings("report"),
    shell:
        "caiman-pipeline report --movie-info {input.info:q} --frames {input.frames:q} --motion {input.motion:q} "
        "--images {input.images:q} --components {input.components:q} --traces {input.traces:q} "
        "--quality {input.quality:q} --selection {input.selection:q} "
        "--report {output.report:q} --thumbnail {output.thumbnail:q} "
        "--overview {output.overview:q} --settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
