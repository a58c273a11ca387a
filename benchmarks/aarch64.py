"""tinyae on aarch64 with NumPy alone, emulated: a Raspberry-Pi-class board without the board.

    python benchmarks/aarch64.py [--folder FOLDER]

Debian's arm64 packages of a minimal Python and NumPy's own aarch64 wheel are downloaded and unpacked
into a folder (nothing is installed on this machine), and ``boards/numpy_only.py`` runs there under
qemu-aarch64. Needs root for apt's list of packages, ``qemu-user``, and both package registries.

Emulation is exact in what it computes but 10 to 50 times as slow as the board, so times say nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("libc6", "libgcc-s1", "libstdc++6", "libgomp1", "libcrypt1", "libffi8", "libssl3"),
    *("zlib1g", "libbz2-1.0", "liblzma5", "libexpat1"),
]
NUMPY = "pip download --quiet --no-deps --platform manylinux2014_aarch64 --only-binary=:all:"


def download(folder: Path) -> None:
    """The packages, into ``folder``. The machine's list of architectures is left as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    added = "arm64" not in _output("dpkg", "--print-foreign-architectures").split()
    if added:
        subprocess.run(["dpkg", "--add-architecture", "arm64"], check=True)
    try:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        names = [f"{name}:arm64" for name in PACKAGES]
        subprocess.run(["apt-get", "-qq", "download", *names], cwd=folder, check=True)
    finally:
        if added:
            subprocess.run(["dpkg", "--remove-architecture", "arm64"], check=True)
    options = ["--python-version", "3.11", "--dest", str(folder), "numpy"]
    subprocess.run([sys.executable, "-m", *NUMPY.split(), *options], check=True)


def unpack(downloads: Path, system: Path) -> Path:
    """A root folder for the emulator; returns the folder of Python packages in it."""
    system.mkdir(parents=True, exist_ok=True)
    for package in sorted(downloads.glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(system)], check=True)
    site = system / "site"
    for wheel in downloads.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    shutil.copytree(
        ROOT / "tinyae", site / "tinyae", ignore=shutil.ignore_patterns("__pycache__", "*.nb?")
    )
    return site


def run(system: Path, site: Path) -> int:
    command = ["qemu-aarch64", "-L", str(system), str(system / "usr" / "bin" / "python3.11")]
    payload = ROOT / "benchmarks" / "boards" / "numpy_only.py"
    environment = {
        **{key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ},
        "PYTHONPATH": str(site),
        "PYTHONHOME": str(system / "usr"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",  # emulated threads that wait keep the cores busy
        "LANG": "C.UTF-8",
    }
    return subprocess.run([*command, str(payload)], env=environment, check=False).returncode


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep the downloads here, and use them again")
    args = parser.parse_args()
    for tool in ("qemu-aarch64", "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            print(f"needs {tool}: on Debian, apt-get install qemu-user apt dpkg", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as temporary:
        downloads = args.folder or Path(temporary, "downloads")
        if not any(downloads.glob("*.whl")):
            download(downloads)
        system = Path(temporary, "system")
        return run(system, unpack(downloads, system))


if __name__ == "__main__":
    sys.exit(main())
