"""Try seeded mutations of good files: `python tests/fuzz/run.py --count 2000 --seed 1`.

Prints how many gave a result (ok), a message (refused), ended the process (crash), took too long (hang) or gave a
traceback; the last three must be none, and each of their files is kept with its seed in its name. Exit status 1 where
there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import mutators  # noqa: E402
import wired  # noqa: E402
from deep import rewrite  # noqa: E402

# Of the clock, so generous: a busy machine is no hang, and reading a Keras file has a limit of 60 s of its own.
SECONDS = 120.0
# One in so many also runs in LiteRT, in host processes.
NATIVE_EVERY = 25
BAD = ("crash", "hang", "traceback")


@dataclass(frozen=True)
class Case:
    """A mutated file by its seed."""

    seed: str
    ending: str
    data: bytes


def cases(bases: Path, ending: str, seed: int, count: int) -> Iterator[Case]:
    """Yield mutated files; each is made again by its own seed alone."""
    files = {p.stem: p.read_bytes() for p in sorted((bases / ending.lstrip(".")).iterdir())}
    known = [*mutators.GENERAL]
    if ending == ".tflite":
        # The general ones together as often as those that know the format: most of theirs end at the first offset.
        known += [*mutators.FLATBUFFER] * 2 + [rewrite] * 6
    for number in range(count):
        draw = random.Random(f"{seed}:{ending}:{number}")
        if ending == ".tflite" and draw.random() < 0.02:
            make = draw.choice((*wired.REFUSED, *wired.READ))
            yield Case(f"{seed}-{number}-{make.__name__}", ending, make(draw.randrange(1, 400)))
            continue
        name = draw.choice(sorted(files))
        chosen = [draw.choice(known) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        # It reads the file with the schema's own classes, so the file has to be whole.
        chosen = [m for i, m in enumerate(chosen) if m is not rewrite or i == 0]
        data = files[name]
        for mutate in chosen:
            # A file of no bytes is damaged enough.
            data = mutate(data, draw, list(files.values())) if len(data) > 16 else data
        used = [m.__name__ for m in chosen]
        yield Case(f"{seed}-{number}-{name}-{'+'.join(used)}", ending, data)


class Child:
    """A process that tries files, started again after a crash or a hang."""

    def __init__(self, native: bool, seconds: float = SECONDS) -> None:
        self.native, self.seconds = native, seconds
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: Path) -> tuple[str, str]:
        """Return the state of a file and what was said."""
        if self.process is None:
            options = ["--native"] if self.native else []
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "child.py"), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if not self.native else subprocess.DEVNULL,
                text=True,
                env=_environment(),
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(f"bench {path}" if self.native else path, file=self.process.stdin, flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            answered = selector.select(self.seconds)
        line = self.process.stdout.readline() if answered else ""
        if line:
            found: dict[str, Any] = json.loads(line)
            return found["state"], found["text"]
        self.process.kill()
        said = self.process.communicate()[1] or ""
        code, self.process = self.process.returncode, None
        return (
            ("crash", f"exit status {code}\n{said[-3000:]}")
            if answered
            else ("hang", f"no answer in {self.seconds:g} s")
        )

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def _environment() -> dict[str, str]:
    import os

    path = os.pathsep.join(sys.path[:3] + [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p])
    # Each library's own threads would take gigabytes of addresses.
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def fuzz(bases: Path, ending: str, seed: int, count: int, keep: Path, native_every: int = NATIVE_EVERY) -> Counter[str]:
    """Try files and return their counts by state; bad ones are kept, with what was said beside them."""
    counts: Counter[str] = Counter()
    children = {False: Child(False), True: Child(True, 3 * SECONDS)}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number, case in enumerate(cases(bases, ending, seed, count)):
            path = Path(folder, f"case-{number}{ending}")
            path.write_bytes(case.data)
            ways = (False, True) if ending == ".tflite" and number % native_every == 0 else (False,)
            for native in ways:
                state, said = children[native].ask(path)
                counts[f"native {state}" if native and state in BAD else state] += 1
                if state in BAD:
                    keep.mkdir(parents=True, exist_ok=True)
                    kept = keep / f"{case.seed[:150]}{ending}"
                    kept.write_bytes(case.data)
                    kept.with_suffix(".txt").write_text(said)
                    print(f"{'native ' if native else ''}{state}: {kept}\n{said[-1500:]}", flush=True)
            path.unlink()
    for child in children.values():
        child.close()
    return counts


def bad(counts: Counter[str]) -> int:
    """Return how many files ended as none may."""
    return sum(n for state, n in counts.items() if state.removeprefix("native ") in BAD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="mutated files of each kind  [default: 2000]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", default=".tflite", help="file endings, separated by commas, or `all`")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for files that fail")
    parser.add_argument("--bases", type=Path, help="folder of good files, made there if missing")
    parser.add_argument("--native-every", type=int, default=NATIVE_EVERY, help="one in so many also runs in LiteRT")
    given = parser.parse_args()

    from bases import BASES

    kinds = list(BASES) if given.kind == "all" else given.kind.split(",")
    with tempfile.TemporaryDirectory(prefix="fuzz-bases-") as temporary:
        folder = given.bases or Path(temporary)
        subprocess.run([sys.executable, str(HERE / "bases.py"), str(folder), *kinds], check=True, env=_environment())
        failed = 0
        for kind in kinds:
            begin = time.monotonic()
            counts = fuzz(folder, kind, given.seed, given.count, given.keep, given.native_every)
            said = ", ".join(f"{counts[s]} {s}" for s in ("ok", "refused", *BAD))
            native = ", ".join(f"{n} {s}" for s, n in sorted(counts.items()) if s.startswith("native "))
            print(
                f"{kind}: {said}{'; ' + native if native else ''}; {time.monotonic() - begin:.0f} s, seed {given.seed}"
            )
            failed += bad(counts)
    sys.exit(int(failed > 0))


if __name__ == "__main__":
    main()
