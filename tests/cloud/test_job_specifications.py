"""What each profile for a batch service would submit: image, cores, memory, disk, command; and no credentials in it.

The services' APIs are stand-ins on the loopback address: moto for S3 and AWS Batch, a small server for Kubernetes.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.workflow.conftest import BIN, ROOT, Workflow

from .kubernetes_api import serve_kubernetes

REGION = "eu-central-1"
SECRET = "a-secret-that-travels-nowhere"
KEYS = {"AWS_ACCESS_KEY_ID": "a-key-of-this-test", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
IMAGE = "registry.example/caiman_pipeline:0.1.0"
# What the profiles leave for a lab to fill in, by the end of the line.
FILLED = {"EDIT-registry": "registry.example", "EDIT-region": REGION, "EDIT-bucket": "lab"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """A stand-in for S3 and AWS Batch with a raw movie in a bucket; its address."""
    import requests

    moto_server = pytest.importorskip("moto.server", reason="pip install 'moto[batch,s3,server]'")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    requests.post(f"{endpoint}/moto-api/config", json={"batch": {"use_docker": False}}).raise_for_status()
    s3 = _client("s3", endpoint)
    s3.create_bucket(Bucket="lab", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="lab", Key="raw/m.tif", Body=b"not opened here")
    yield endpoint
    server.stop()


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A fresh folder to run in."""
    return Workflow(tmp_path)


def _client(service: str, endpoint: str):
    import boto3

    keys = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": SECRET}
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)


def _submit(
    workflow: Workflow,
    service: str,
    filled: dict[str, str],
    environment: dict[str, str],
    *,
    program: Sequence[str | Path] = (BIN / "snakemake",),
    movies: str = "s3://lab/movies",
) -> str:
    """Run the workflow with a profile, filled in, until its first job has been submitted and has failed."""
    profile = (ROOT / f"profiles/{service}/config.yaml").read_text()
    for blank, value in {**FILLED, **filled}.items():
        profile = profile.replace(blank, value)
    assert "EDIT" not in re.sub("#.*", "", profile)
    (workflow.folder / "profile").mkdir()
    (workflow.folder / "profile/config.yaml").write_text(profile)
    workflow.write_sheet("m raw/m.tif", name="recordings.tsv")
    # What a job needs of the workflow travels from the folder of the run.
    shutil.copytree(ROOT / "workflow", workflow.folder / "workflow")
    shutil.copy(ROOT / "Snakefile", workflow.folder)
    command = [*program, "--snakefile", "Snakefile", "--profile", "profile", "--retries", "0"]
    # A profile's `config` and that of the command line are one list: the last counts.
    paths = f"paths={{recordings: recordings.tsv, movie_store: '{movies}'}}"
    done = subprocess.run(
        [*command, "--config", paths, "--latency-wait", "0", "--set-threads", "inspect=2"],
        cwd=workflow.folder,
        env={**workflow.environment, **KEYS, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 1, output[-4000:]
    return output


def _check_command(command: str, *, provider: str = "s3", bucket: str = "s3://lab") -> None:
    """A job runs its rule of this workflow in the container, with the bucket as its storage and the movies' place."""
    assert "snakemake" in command
    assert "--allowed-rules" in command
    assert re.search(r"--allowed-rules '?inspect\b", command)
    assert f"--default-storage-provider {provider}" in command.replace("'", "")
    assert bucket in command
    assert re.search(r"--snakefile '?Snakefile\b", command), "found in the sources that are sent along"
    assert "movie_store" in command or "base64" in command
    assert SECRET not in command
    assert KEYS["AWS_ACCESS_KEY_ID"] not in command
    for packed in re.findall(r"base64//([A-Za-z0-9+/=]+)", command):
        assert SECRET.encode() not in base64.b64decode(packed)


def test_aws_batch(aws, workflow):
    pytest.importorskip("snakemake_executor_plugin_aws_batch", reason="pip install '.[aws-batch]'")
    iam, batch = _client("iam", aws), _client("batch", aws)
    role = iam.create_role(RoleName="jobs", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    place = batch.create_compute_environment(
        computeEnvironmentName="place",
        type="UNMANAGED",
        state="ENABLED",
        serviceRole=role,
    )["computeEnvironmentArn"]
    order = [{"order": 1, "computeEnvironment": place}]
    queue = batch.create_job_queue(jobQueueName="q", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    filled = {"EDIT-queue-arn": queue["jobQueueArn"], "EDIT-role-arn": role}
    _submit(workflow, "aws-batch", filled, {"AWS_ENDPOINT_URL": aws})
    (submitted,) = batch.describe_job_definitions()["jobDefinitions"]
    container = submitted["containerProperties"]
    assert container["image"] == IMAGE
    assert container["jobRoleArn"] == role
    needed = {r["type"]: int(r["value"]) for r in container["resourceRequirements"]}
    assert needed["VCPU"] == 2
    # 2 cores take 4 to 16 GiB in whole ones; what the service does not know, the plugin replaces by the smallest.
    assert needed["MEMORY"] in range(4096, 16385, 1024)
    assert submitted["timeout"]["attemptDurationSeconds"] == 86400
    sent = {variable["name"]: variable["value"] for variable in container["environment"]}
    assert sent == {"AWS_REGION": REGION, "SNAKEMAKE_STORAGE_S3_REGION": REGION}, "the role gives the bucket"
    assert container["command"][:2] == ["/bin/bash", "-c"]
    _check_command(container["command"][2])
    assert SECRET not in json.dumps(submitted, default=str)


def test_kubernetes(aws, workflow):
    pytest.importorskip("snakemake_executor_plugin_kubernetes", reason="pip install '.[kubernetes]'")
    config = workflow.folder / "kubeconfig"
    with serve_kubernetes(config) as taken:
        _submit(workflow, "kubernetes", {}, {"AWS_ENDPOINT_URL": aws, "KUBECONFIG": str(config)})
    secrets = [content for path, content in taken if path.endswith("/secrets")]
    jobs = [content for path, content in taken if path.endswith("/namespaces/default/jobs")]
    assert len(secrets) == len(jobs) == 1
    kept = {name: base64.b64decode(value).decode() for name, value in secrets[0]["data"].items()}
    assert kept["aws_secret_access_key"] == SECRET
    assert kept["snakemake_storage_s3_region"] == REGION
    pod = jobs[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert pod["restartPolicy"] == "Never"
    asked = container["resources"]["requests"]
    assert int(asked["memory"].removesuffix("M")) > 400
    assert asked["ephemeral-storage"] == "20000M"
    assert 1000 < int(asked["cpu"].removesuffix("m")) <= 2000
    # Keys reach the job as references to the secret, by name.
    for variable in container["env"]:
        assert set(variable) == {"name", "valueFrom"}
        assert variable["valueFrom"]["secretKeyRef"]["name"] == secrets[0]["metadata"]["name"]
    assert {v["name"] for v in container["env"]} >= set(KEYS)
    _check_command(container["args"][1])
    assert SECRET not in json.dumps(jobs[0])


def test_google_batch(workflow):
    pytest.importorskip("snakemake_executor_plugin_googlebatch", reason="pip install '.[google-batch]'")
    jobs = workflow.folder / "jobs.json"
    program = [sys.executable, Path(__file__).with_name("google_batch.py"), jobs]
    _submit(workflow, "google-batch", {"EDIT-project": "lab-project"}, {}, program=program, movies="gs://lab/movies")
    (submitted,) = json.loads(jobs.read_text())
    assert submitted["parent"] == f"projects/lab-project/locations/{REGION}"
    (group,) = submitted["job"]["task_groups"]
    task = group["task_spec"]
    assert int(task["compute_resource"]["cpu_milli"]) == 2000
    assert int(task["compute_resource"]["memory_mib"]) == 4000
    assert task["max_run_duration"] == "86400s"
    (instance,) = submitted["job"]["allocation_policy"]["instances"]
    assert instance["policy"]["machine_type"] == "n2-standard-8"
    (container,) = [r["container"] for r in task["runnables"] if r.get("container", {}).get("image_uri")]
    assert container["image_uri"] == IMAGE
    scripts = "\n".join(r["script"]["text"] for r in task["runnables"] if r.get("script"))
    _check_command(scripts, provider="gcs", bucket="gcs://lab")
    assert SECRET not in jobs.read_text()
