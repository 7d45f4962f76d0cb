rule traces:
    input:
        components=COMPONENTS,
    output:
        TRACES,
    log:
        f"{LOGS}/traces.log",
    benchmark:
        f"{BENCHMARKS}/traces.tsv"
    threads: 2
    resources:
        mem_mb=memory_mb("traces"),
    params:
        settings=settings("traces"),
    shell:
        "caiman-pipeline traces --components {input.components} --traces {output} "
        "--settings {params.settings:q} --threads {threads} --log {log}"
