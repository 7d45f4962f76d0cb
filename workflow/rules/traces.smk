rule traces:
    input:
        components=result("components"),
    output:
        result("traces"),
    log:
        log_of("traces"),
        record_of("traces"),
    benchmark:
        benchmark_of("traces")
    threads: STAGES["traces"].threads
    resources:
        mem_mb=memory_mb("traces"),
        runtime=minutes("traces"),
    params:
        settings=settings("traces"),
    shell:
        "caiman-pipeline traces --components {input.components:q} --traces {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
