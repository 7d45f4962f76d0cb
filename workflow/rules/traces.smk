rule traces:
    input:
        components=COMPONENTS,
    output:
        TRACES,
    log:
        f"{LOGS}/traces.log",
    benchmark:
        f"{BENCHMARKS}/traces.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=memory_mb("traces"),
    params:
        settings=settings("traces"),
    shell:
        "caiman-pipeline traces --components {input.components:q} --traces {output:q} "
        "--settings {params.settings:q} --threads {threads} --log {log:q}"
