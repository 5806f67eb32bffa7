"""Stand-in for torchrun: runs the script once, as rank 0, whatever the number of processes asked for."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(prog="torchrun")
    parser.add_argument("--nproc_per_node", "--nproc-per-node", default="1")
    parser.add_argument("--nnodes", default="1")
    parser.add_argument("--standalone", action="store_true")
    parser.add_argument("training_script")
    parser.add_argument("training_script_args", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    environment = dict(os.environ, RANK="0", LOCAL_RANK="0", WORLD_SIZE=options.nproc_per_node)
    command = [sys.executable, "-u", options.training_script, *options.training_script_args]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
