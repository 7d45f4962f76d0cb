rule sessions:
    input:
        components=of_group("components"),
        selections=of_group("selection"),
        images=of_group("images"),
        traces=of_group("traces"),
        corrections=corrections_file,
    output:
        # Cells keep the numbers of the last result.
        cells=update(of_field("cells")),
        table=of_field("cells_table"),
        page=of_field("cells_page"),
    log:
        f"{GROUP_FOLDER}/{SESSIONS.log}",
        str(record_beside(Path(f"{GROUP_FOLDER}/{SESSIONS.log}"))),
    benchmark:
        f"{GROUP_FOLDER}/{SESSIONS.benchmark}"
    resources:
        mem_mb=memory_mb("sessions"),
        runtime=minutes("sessions"),
    params:
        facts=group_facts,
        settings=group_settings,
    shell:
        "caiman-pipeline sessions --group {wildcards.group:q} --facts {params.facts:q} --components {input.components:q} "
        "--selections {input.selections:q} --images {input.images:q} --traces {input.traces:q} "
        "--cells {output.cells:q} --table {output.table:q} --page {output.page:q} "
        "--settings {params.settings:q} --threads {threads} --memory-mb {resources.mem_mb} --log {log[0]:q}"
