rule traces:
    input:
        components=COMPONENTS,
    output:
        TRACES,
    log:
        f"{LOGS}/traces.log",
        f"{LOGS}/traces.job.json",
    benchmark:
        f"{BENCHMARKS}/traces.tsv"
    threads: 2
    resources:
        mem_mb=memory_mb("traces"),
        runtime=minutes("traces"),
    params:
        settings=settings("traces"),
    shell:
        "caiman-pipeline traces --components {input.components:q} --traces {output:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
