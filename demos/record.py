"""Keep what the demos print, so that tests can hold the prose to it.

    python demos/record.py                  # all of them, some minutes; needs PyTorch for the 11th
    python demos/record.py 05 09            # these

Each runs as ``python demos/NAME.py`` does, in a folder that is thrown away, and its output goes to
demos/output/NAME.txt, without the seconds that it took. ``tests/test_demo_numbers.py`` compares
README.md with these files, and, as ``pytest -m slow``, these files with another run.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "output"


def printed(name):
    """What a demo prints with its default options."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, HERE / f"{name}.py", "--out", "demo-out"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            check=True,
        )
    return re.sub(r"(?<= in )\d+(\.\d+)? s\b", "… s", done.stdout)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="numbers or names of demos (default: all)")
    wanted = parser.parse_args(argv).names
    for path in sorted(HERE.glob("[0-9]*.py")):
        if not wanted or any(path.stem.startswith(name) for name in wanted):
            OUTPUT.mkdir(exist_ok=True)
            (OUTPUT / f"{path.stem}.txt").write_text(printed(path.stem), encoding="utf-8")
            print(path.stem)


if __name__ == "__main__":
    main()
