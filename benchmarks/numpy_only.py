"""tinyae-core in a fresh environment, with NumPy alone: installed, checked by pip, and used.

    python benchmarks/numpy_only.py

``tinyae`` depends on Numba and matplotlib, which most machines can have. ``tinyae-core`` is the same
package with NumPy as its only dependency, so that ``pip check`` has nothing to say on a board that has
no more. This builds it (``.ci/core``), installs it beside NumPy, and runs ``boards/numpy_only.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / ".ci" / "core"
PAYLOAD = ROOT / "benchmarks" / "boards" / "numpy_only.py"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(CORE)], check=True)
        packages = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        print("installed        " + ", ".join(packages))
        subprocess.run([python, "-m", "pip", "check"], check=True)
        # From another folder, so that what is imported is what was installed.
        return subprocess.run([python, str(PAYLOAD)], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
