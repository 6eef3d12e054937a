"""Print what importing Workbench and loading its extension take, beside the same start without them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9
SHELL = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"
CASES = {
    "import workbench": ("pass", "import workbench"),
    "%load_ext workbench": (SHELL, SHELL + "s.run_line_magic('load_ext', 'workbench')"),
}


def seconds(code: str) -> float:
    """Return how long a fresh Python takes for some code."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Print the median difference of runs side by side, and how far apart they lie."""
    for name, (without, with_) in CASES.items():
        found = sorted(seconds(with_) - seconds(without) for _ in range(RUNS))
        print(f"{name}: {statistics.median(found):.3f} s ({found[0]:.3f} to {found[-1]:.3f} in {RUNS} runs)")


if __name__ == "__main__":
    main()
