rule export_nwb:
    input:
        info=result("movie_info"),
        motion=result("motion"),
        images=result("images"),
        components=result("components"),
        traces=result("traces"),
        quality=result("quality"),
        selection=result("selection"),
    output:
        nwb=result("nwb"),
        table=shown(result("table"), "components"),
    log:
        log_of("export_nwb"),
        record_of("export_nwb"),
    benchmark:
        benchmark_of("export_nwb")
    resources:
        mem_mb=memory_mb("export_nwb"),
        runtime=minutes("export_nwb"),
    params:
        settings=settings("export_nwb"),
    shell:
        "caiman-pipeline export-nwb --movie-info {input.info:q} --motion {input.motion:q} --images {input.images:q} "
        "--components {input.components:q} --traces {input.traces:q} --quality {input.quality:q} "
        "--selection {input.selection:q} --nwb {output.nwb:q} --table {output.table:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
