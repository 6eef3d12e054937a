"""Builds the JupyterLab extension with node, where it is not built yet or its sources are newer; needs nothing but the standard library and `jlpm`.

`python extensions/lab/build.py` builds; `--link PREFIX` puts it where the JupyterLab of that environment finds it; with `--if-node` a machine
without node gets a message and no error.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "tflite-workbench-lab"
BUILT = HERE / "dist" / "labextensions" / NAME
WITHOUT_NODE = "the JupyterLab extension is not built: node (20 or newer) is not on PATH. All else works without it; install node and run `make extension` to have it."
SOURCES = ("src", "style", "schema", "package.json", "yarn.lock", "tsconfig.json")


def is_built() -> bool:
    """Return whether it is built from the sources as they are; a source distribution brings it built, without sources of its own."""
    marker = BUILT / "package.json"
    if not marker.is_file():
        return False
    paths = [HERE / name for name in SOURCES]
    files = [f for path in paths for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()]
    return (HERE.parents[1] / "PKG-INFO").is_file() or max(f.stat().st_mtime for f in files) <= marker.stat().st_mtime


def build() -> None:
    """Build it unless it is; processes that ask at once wait for the first. Raises RuntimeError where node is missing, CalledProcessError where it fails."""
    with (HERE / ".building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_built():
            return
        if shutil.which("node") is None:
            raise RuntimeError(WITHOUT_NODE)
        # Beside the interpreter where this runs in its environment, on PATH where a build has one of its own.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        for words in (["install", "--immutable"], ["build"]):
            command = [shutil.which("jlpm", path=path) or "jlpm", *words]
            done = subprocess.run(command, cwd=HERE, env={**os.environ, "PATH": path}, capture_output=True, text=True)
            if done.returncode:
                print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
                done.check_returncode()


def link(prefix: Path) -> None:
    """Let the JupyterLab of an environment find the built extension where it lies; one that was installed there is left."""
    place = prefix / "share" / "jupyter" / "labextensions" / NAME
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    if not place.exists():
        place.symlink_to(BUILT)


def main() -> int:
    """Do what the arguments say; 1 where node is missing and that is an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--link", type=Path, metavar="PREFIX", help="an environment whose JupyterLab is to have it")
    parser.add_argument("--if-node", action="store_true", help="no error where node is missing")
    given = parser.parse_args()
    try:
        build()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 0 if given.if_node else 1
    if given.link:
        link(given.link)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
