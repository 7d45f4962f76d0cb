"""A SLURM cluster of one node on the loopback address, for tests: install, start, stop.

``python tests/slurm/cluster.py install|start|stop [FOLDER]``. Root in a container or virtual machine only: it writes
``/etc/slurm/slurm.conf`` and starts daemons that trust whoever can reach 127.0.0.1.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CONFIG = Path("/etc/slurm/slurm.conf")
PACKAGES = ("slurmctld", "slurmd", "slurm-client")
DAEMONS = ("slurmctld", "slurmd")
CONTROLLER_PORT = 6817


def why_not() -> str:
    """Return why a cluster cannot be started here, or ""."""
    if os.getuid() != 0:
        return "needs root, in a container or virtual machine"
    if missing := [name for name in (*DAEMONS, "sbatch") if shutil.which(name) is None]:
        return f"{', '.join(missing)} not installed: `python tests/slurm/cluster.py install`"
    if CONFIG.exists() and not CONFIG.is_symlink():
        return f"{CONFIG} belongs to another cluster"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", CONTROLLER_PORT)) == 0:
            return f"a SLURM controller runs here already (port {CONTROLLER_PORT})"
    return ""


def install() -> None:
    """Install SLURM from the distribution's packages, if it is not there."""
    if os.getuid() != 0 or shutil.which("apt-get") is None or all(shutil.which(d) for d in (*DAEMONS, "sbatch")):
        return
    subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    )


class Cluster:
    """Daemons with their state in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        """Write the configuration and start both daemons; return when the node is idle."""
        memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
        for name in ("state", "spool", "log", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = Path(__file__).with_name("slurm.conf").read_text()
        (self.folder / "slurm.conf").write_text(
            text.format(
                host=socket.gethostname().split(".")[0],
                folder=self.folder,
                cores=os.cpu_count(),
                memory_mb=memory_kb // 1024 * 3 // 4,
                port=CONTROLLER_PORT,
            )
        )
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.unlink(missing_ok=True)
        CONFIG.symlink_to(self.folder / "slurm.conf")
        for name in DAEMONS:
            self.start_daemon(name)
        self.wait_for("idle")

    def start_daemon(self, name: str) -> None:
        """Start ``slurmctld`` or ``slurmd``."""
        subprocess.run([shutil.which(name) or name], check=True, capture_output=True)

    def stop_daemon(self, name: str) -> None:
        """Stop a daemon by its process id and wait until it is gone."""
        record = self.folder / "run" / f"{name}.pid"
        if not record.exists():
            return
        process = int(record.read_text())
        try:
            os.kill(process, signal.SIGTERM)
            for _ in range(100):
                os.kill(process, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return

    def wait_for(self, *states: str, seconds: float = 30) -> None:
        """Wait until the node is in one of some states."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True)
            if done.stdout.strip() in states:
                return
            time.sleep(0.2)
        raise TimeoutError(f"the node is not {' or '.join(states)}: {done.stdout} {done.stderr}")

    def stop(self) -> None:
        """Cancel every job and stop both daemons."""
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for name in reversed(DAEMONS):
            self.stop_daemon(name)
        if CONFIG.is_symlink():
            CONFIG.unlink()


if __name__ == "__main__":
    verb, folder = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "/tmp/slurm-test")
    if verb == "install":
        install()
    elif verb == "start" and (problem := why_not()):
        sys.exit(problem)
    else:
        getattr(Cluster(folder), verb)()
