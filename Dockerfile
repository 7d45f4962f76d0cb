# The versions that the project is tested with, from constraints.txt, with the plugins for clusters and clouds.
FROM python:3.11-slim-bookworm
WORKDIR /opt/caiman_pipeline
COPY pyproject.toml constraints.txt README.md LICENSE Snakefile ./
COPY caiman_pipeline ./caiman_pipeline
COPY workflow ./workflow
COPY config ./config
COPY profiles ./profiles
# For Google's stores: --build-arg EXTRAS=slurm,google
ARG EXTRAS=slurm,cloud
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"
# Compiled kernels are kept where any user of the container can write them.
ENV NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1
CMD ["caiman-pipeline", "doctor"]
