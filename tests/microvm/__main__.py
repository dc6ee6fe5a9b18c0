"""Run any command in the bed: `python -m tests.microvm [--seconds N] [--out FOLDER] COMMAND…`."""

import argparse
import sys
from pathlib import Path

from tests.microvm import machine

parser = argparse.ArgumentParser(prog="python -m tests.microvm", description=__doc__)
parser.add_argument("--seconds", type=float, default=600, help="kill the machine after so many")
parser.add_argument("--out", type=Path, help="where to put what the command leaves in /job/out")
parser.add_argument("command", nargs=argparse.REMAINDER)
given = parser.parse_args()
sys.exit(machine.run(given.command, seconds=given.seconds, out=given.out))
