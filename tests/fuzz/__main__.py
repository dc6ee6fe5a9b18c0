"""The same readers for as long as is asked: `python -m tests.fuzz --minutes 10`, with other inputs each time.

What gets through a reader is written to tests/fuzz/cases/, where it stays a test, and ends the run with status 1.
"""

import argparse
import hashlib
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from tests.fuzz.inputs import inputs
from tests.fuzz.readers import READERS, only_errors_of_ours

_CASES = Path(__file__).parent / "cases"
_ROUND = 400
_MOST_MEMORY = 3 * 1024**3
_SLOW = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    warnings.simplefilter("ignore", hypothesis.errors.HypothesisWarning)  # that an input is long is meant
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    print(f"seed {asked.seed}", flush=True)
    tried: Counter[str] = Counter()
    slowest: dict[str, float] = {}
    failed: set[str] = set()
    end = time.monotonic() + asked.minutes * 60
    turn = asked.seed
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and failed < set(READERS):
            for name in READERS.keys() - failed:
                if not _round(name, turn, Path(folder), tried, slowest):
                    failed.add(name)
            turn += 1
    for name in READERS:
        mark = "escaped" if name in failed else "held"
        print(f"{name:14}{tried[name]:>9} inputs  slowest {slowest.get(name, 0):6.2f} s  {mark}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{sum(tried.values())} inputs, {len(failed)} readers let something through, peak memory {peak} MiB")
    return int(bool(failed))


def _round(name: str, seed: int, folder: Path, tried: Counter[str], slowest: dict[str, float]) -> bool:
    """Some hundred inputs for one reader; whether all were borne. What was not is shrunk, shown and kept."""
    last = [b""]

    @hypothesis.seed(seed)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        derandomize=False,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(raw=inputs(READERS[name]))
    def one(raw: bytes) -> None:
        last[0] = raw
        tried[name] += 1
        start = time.process_time()
        only_errors_of_ours(name, raw, folder)
        took = time.process_time() - start
        slowest[name] = max(took, slowest.get(name, 0))
        assert took < _SLOW, f"took {took:.1f} s"

    try:
        one()
    except Exception as e:  # noqa: BLE001 - whatever escaped is what is looked for
        _keep(name, last[0], e)
        return False
    return True


def _keep(name: str, raw: bytes, error: Exception) -> None:
    place = _CASES / name / hashlib.sha256(raw).hexdigest()[:12]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(raw)
    print(f"{name}: {raw[:200]!r} (kept as {place})", flush=True)
    print("".join(line[:300] for line in traceback.format_exception(error, chain=False, limit=-3)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
