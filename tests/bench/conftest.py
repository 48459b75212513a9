"""The harness is imported from bench/, its laboratory from tests/net/."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/net"), str(pathlib.Path(__file__).parent)]
