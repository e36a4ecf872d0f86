"""What `mooring lint` takes for many manifests: owns writing them and timing whole processes. Judges no number.

    python -m bench.linting [--manifests 1000] [--rounds 5]

Each manifest has a configuration of its own; one in ten has three mistakes, whose places are looked up.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PER_FILE = 10
_MANIFEST = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: network-{number}
  namespace: team-{team}
spec:
  config: |
    {{
      "cniVersion": "1.0.0",
      "plugins": [
        {{
          "type": "bridge",
          "bridge": "br{number}",
          "vlan": {vlan},
          "{mtu}": 9000,
          "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "10.{high}.{low}.0/24", "rangeStart": "{start}"}}]]}}
        }},
        {{"type": "tuning", "sysctl": {{"net.ipv4.conf.all.log_martians": "1"}}}}
      ]
    }}
"""


def write(folder: Path, manifests: int) -> None:
    """Write so many manifests, ten in a file."""
    for first in range(0, manifests, _PER_FILE):
        several = (_manifest(number) for number in range(first, min(first + _PER_FILE, manifests)))
        (folder / f"networks-{first}.yaml").write_text("---\n".join(several), encoding="utf-8")


def _manifest(number: int) -> str:
    wrong = number % _PER_FILE == 0
    high, low = divmod(number, 250)
    return _MANIFEST.format(
        number=number,
        team=number % 20,
        vlan=5000 if wrong else number % 4000 + 1,
        mtu="mtuu" if wrong else "mtu",
        high=high,
        low=low,
        start=f"10.{high}.{low}.10" if not wrong else "10.255.0.10",
    )


def measure(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds, and the seconds of processor time, of so many runs; a warm one before does not count."""
    walls: list[float] = []
    cpus: list[float] = []
    for number in range(rounds + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", "mooring.cli.main", "lint", str(folder)], capture_output=True, check=False
        )
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ended.returncode != 1:
            raise SystemExit(f"lint ended with {ended.returncode}, and not with 1: {ended.stderr.decode()}")
        if number:
            walls.append(wall)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return walls, cpus


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.linting", description="Measure `mooring lint`.")
    parser.add_argument("--manifests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.manifests)
        walls, cpus = measure(Path(folder), options.rounds)
    for name, seconds in (("wall", walls), ("processor", cpus)):
        print(
            f"{options.manifests} manifests, {name}: median {statistics.median(seconds):.2f} s, "
            f"{min(seconds):.2f} to {max(seconds):.2f} s (budget: 2 s)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
