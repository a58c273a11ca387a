"""Exported C on emulated microcontrollers: instructions, code, memory, error.

    python benchmarks/embedded.py [--only anomaly ecg conv] [--targets m4f m3 m0 rv32 aarch64]
                                  [--numbers float int8 sgd adam]

Each network is exported in float, in int8 where all its operations have that form, and with a step of
learning, by SGD and by Adam. It is compiled with -O2 and run under QEMU, which executes one
instruction per nanosecond (``-icount shift=0``); the timer of the board counts these. That is exact,
but no time: an instruction may take more than one cycle. ``boards/`` has the programs.

    instructions   of a call; ``each`` is that over multiply-accumulates
    code           bytes of machine code without constants and without libm's, -O2 and -Os
    arena, flash   bytes of scratch memory and of constants, as the header states them
    error          the largest difference from tinyae in float64, over the largest number; of a step
                   of learning, that of the weights after it
    RAM            of a step of learning: weights, Adam's moments, and the arena

A target whose compiler or emulator is missing is skipped. On Debian they are in the packages
gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm, gcc-riscv64-unknown-elf
picolibc-riscv64-unknown-elf qemu-system-misc, gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tinyae as ta

BOARDS = Path(__file__).resolve().parent / "boards"
ARM = "arm-none-eabi-gcc -std=c99 --specs=nosys.specs -nostartfiles -mthumb"
QEMU_ARM = "qemu-system-arm -M"
QEMU_FLAGS = (
    "-nographic -monitor none -serial none -semihosting-config enable=on,target=native "
    "-icount shift=0 -kernel"
)


class Target(NamedTuple):
    """A processor: its compiler and emulator, and where its board has memory."""

    title: str
    compiler: str
    emulator: str
    board: str
    flash: int = 0
    ram: int = 0x20000000
    stack_top: int = 0
    flash_bytes: int = 4 << 20
    ram_bytes: int = 4 << 20

    def missing(self) -> str | None:
        """The first tool that is not installed."""
        tools = self.compiler.split()[0], self.emulator.split()[0]
        return next((tool for tool in tools if shutil.which(tool) is None), None)


TARGETS = {
    "m4f": Target(
        "Cortex-M4F",
        f"{ARM} -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        f"{QEMU_ARM} mps2-an386 {QEMU_FLAGS}",
        "cortex_m.h",
        stack_top=0x20400000,
    ),
    "m3": Target(
        "Cortex-M3",
        f"{ARM} -mcpu=cortex-m3 -mfloat-abi=soft",
        f"{QEMU_ARM} mps2-an385 {QEMU_FLAGS}",
        "cortex_m.h",
        stack_top=0x20400000,
    ),
    "m0": Target(
        "Cortex-M0",
        f"{ARM} -mcpu=cortex-m0 -mfloat-abi=soft",
        f"{QEMU_ARM} microbit {QEMU_FLAGS}",
        "cortex_m.h",
        stack_top=0x20004000,
        flash_bytes=256 << 10,
        ram_bytes=12 << 10,
    ),
    "rv32": Target(
        "RISC-V rv32imafc",
        "riscv64-unknown-elf-gcc -std=c99 --specs=picolibc.specs -nostartfiles "
        "-march=rv32imafc -mabi=ilp32f -misa-spec=2.2 -mno-relax",
        f"qemu-system-riscv32 -M virt -bios none {QEMU_FLAGS}",
        "risc_v.h",
        flash=0x80000000,
        ram=0x80400000,
        stack_top=0x80800000,
    ),
    "aarch64": Target(
        "aarch64 (results only)",
        "aarch64-linux-gnu-gcc -std=c99 -static",
        "qemu-aarch64",
        "linux.h",
        stack_top=0,
    ),
}


class Network(NamedTuple):
    title: str
    model: ta.Model
    shape: tuple[int, ...]


def anomaly(rng: np.random.Generator) -> Network:
    """The anomaly detector of MLPerf Tiny: Banbury et al. (2021), table 1."""
    layers = ta.dense_encoder_decoder(
        (640,), [128, 128, 128, 128, 8], code_activation=ta.ReLU, output=None, rng=rng
    )
    return Network("anomaly 640-128×4-8-128×4-640", ta.Autoencoder(*layers, ta.MSE()), (640,))


def ecg(rng: np.random.Generator) -> Network:
    layers = ta.dense_encoder_decoder((140,), [32, 16, 8], code_activation=ta.ReLU, rng=rng)
    return Network("ECG 140-32-16-8-16-32-140", ta.Autoencoder(*layers, ta.L1()), (140,))


def conv(rng: np.random.Generator) -> Network:
    encoder = ta.Sequential(
        ta.Conv2d(1, 8, 3, 2, 1, rng=rng),
        ta.ReLU(),
        ta.Conv2d(8, 16, 3, 2, 1, rng=rng),
        ta.ReLU(),
        ta.Flatten(),
        ta.Dense(784, 16, rng=rng),
    )
    decoder = ta.Sequential(
        ta.Dense(16, 784, rng=rng),
        ta.ReLU(),
        ta.Reshape(16, 7, 7),
        ta.ConvTranspose2d(16, 8, 4, 2, 1, rng=rng),
        ta.ReLU(),
        ta.ConvTranspose2d(8, 1, 4, 2, 1, rng=rng),
        ta.Sigmoid(),
    )
    return Network(
        "convolution 1-8-16-(16)-16-8-1, 28 × 28",
        ta.Autoencoder(encoder, decoder, ta.MSE()),
        (1, 28, 28),
    )


NUMBERS = ("float", "int8", "sgd", "adam")
OPTIMIZERS = {"sgd": ta.SGD, "adam": ta.Adam}
RATE = 1.0
NETWORKS: dict[str, Callable[[np.random.Generator], Network]] = {
    "anomaly": anomaly,
    "ecg": ecg,
    "conv": conv,
}


class Figures(NamedTuple):
    instructions: float  # of a call; 0 where they are not counted
    code: dict[str, int]  # bytes, by optimisation level
    error: float


def measure(target: Target, header: Any, x: np.ndarray, want: np.ndarray) -> Figures:
    """Compile the exported header for a target, run it on x, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.joinpath("model.h").write_text(header.text(), encoding="ascii")
        folder.joinpath("sample.h").write_text(",\n".join(f"{v!s}f" for v in x.ravel()))
        repeats = 1 if learns(header) else max(1, 1_000_000 // header.macs)
        program = _compile(target, header, folder, repeats)
        done = _run([*target.emulator.split(), program], folder)
        numbers = [int(line, 16) for line in done.split()]
        million, ticks = numbers[:2]
        y = np.array(numbers[2:], np.uint32).view(np.float32)
        code = {level: _code_bytes(target, header, folder, level) for level in ("-O2", "-Os")}
    error = np.abs(y - want.ravel()).max() / np.abs(want).max()
    return Figures(ticks * 1e6 / million / repeats if million else 0.0, code, float(error))


def _compile(target: Target, header: Any, folder: Path, repeats: int) -> str:
    defines = {
        "MODEL": '"model.h"',
        "SAMPLE": '"sample.h"',
        "BOARD": f'"{BOARDS / target.board}"',
        "CALL": call(header),
        "LENGTH": header.output_length,
        "ARENA": header.arena_bytes,
        "REPEATS": repeats,
    }
    if learns(header):
        defines |= {
            "LENGTH": header.initial_weights.size,
            "WEIGHTS": header.weights_bytes,
            "INIT": f"{header.name}_init_weights",
        }
    command = [*target.compiler.split(), "-O2", "-Wall", "-Werror", str(BOARDS / "main.c"), "-I."]
    command += [f"-D{name}={value}" for name, value in defines.items()]
    if target.stack_top:
        symbols = f"flash={target.flash},ram={target.ram},stack_top={target.stack_top}"
        places = [f"-Wl,--defsym={symbol}" for symbol in symbols.split(",")]
        command += ["-T", str(BOARDS / "board.ld"), *places]
    _run([*command, "-o", "program", "-lm"], folder)
    return "./program"


def _code_bytes(target: Target, header: Any, folder: Path, level: str) -> int:
    """Bytes of machine code of a function that runs the model."""
    folder.joinpath("use.c").write_text(
        f'#include "model.h"\nvoid use(const float *in, float *out, float *arena, float *weights)\n'
        f"{{\n    (void)out;\n    (void)weights;\n    {call(header)};\n}}\n"
    )
    _run([*target.compiler.split(), level, "-c", "use.c", "-o", "use.o"], folder)
    sizes = _run([target.compiler.split()[0].replace("gcc", "size"), "-A", "use.o"], folder)
    rows = [line.split() for line in sizes.splitlines() if line.startswith(".text")]
    return sum(int(row[1]) for row in rows)


def learns(header: Any) -> bool:
    return "train" in getattr(header, "programs", {})


def call(header: Any) -> str:
    """The call whose instructions are counted."""
    if learns(header):
        return f"{header.name}_train(in, arena, weights, {RATE}f)"
    return f"{header.name}_run(in, out, arena)"


def _run(command: list[str], folder: Path) -> str:
    """What a command prints; an emulated board prints to stderr."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--numbers", nargs="+", choices=NUMBERS, default=NUMBERS)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    args = parser.parse_args(arguments)
    targets = {}
    for key in args.targets:
        missing = TARGETS[key].missing()
        if missing:
            print(f"{TARGETS[key].title}: skipped, {missing} is not installed")
        else:
            targets[key] = TARGETS[key]
    for key in args.only:
        for numbers in args.numbers:
            report(NETWORKS[key](np.random.default_rng(0)), numbers, targets)


def exported(network: Network, numbers: str) -> Any:
    """The network's header: in float, in int8, or with a step of learning."""
    arguments: dict[str, Any] = {"train": numbers} if numbers in OPTIMIZERS else {}
    if numbers == "int8":
        samples = np.random.default_rng(2).random((100, *network.shape), np.float32)
        arguments = {"quantize": "int8", "calibration": samples}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.h"
        return network.model.export_c(path, input_shape=network.shape, **arguments)


def after_a_step(network: Network, numbers: str, x: np.ndarray) -> np.ndarray:
    """The weights after a step of tinyae's own in float64, in the order of the header."""
    model = network.model.astype(np.float64)
    model.backprop(x.astype(np.float64))
    OPTIMIZERS[numbers](RATE).step(model.params)
    return exported(network._replace(model=model), numbers).initial_weights


def without_dsp(target: Target) -> Target:
    """The target with the C that other processors run."""
    return target._replace(
        title=f"{target.title}, plain C", compiler=f"{target.compiler} -U__ARM_FEATURE_DSP"
    )


def report(network: Network, numbers: str, targets: dict[str, Target]) -> None:
    """Print the figures of a network on all targets."""
    try:
        header = exported(network, numbers)
    except TypeError as error:  # no such form
        print(f"\n{network.title} in {numbers}: skipped, {error}")
        return
    if numbers == "int8" and "m4f" in targets:
        targets = {**targets, "m4": without_dsp(targets["m4f"])}
    x = np.random.default_rng(1).random((1, *network.shape), np.float32)
    if learns(header):
        want, macs = after_a_step(network, numbers, x), header.programs["train"].macs
        memory = f"arena {header.arena_bytes:,} B, RAM {header.ram_bytes:,} B"
    else:
        want, macs = network.model.astype(np.float64).reconstruct(x)[0], header.macs
        memory = f"arena {header.arena_bytes:,} B"
    print(
        f"\n{network.title}, {numbers}: {macs:,} multiply-accumulates, "
        f"{memory}, flash {header.flash_bytes:,} B\n"
        f"{'':24}{'instructions':>14}{'each':>8}{'code -O2':>10}{'-Os':>8}{'error':>10}"
    )
    for target in targets.values():
        ram = header.ram_bytes if learns(header) else header.arena_bytes
        if header.flash_bytes > target.flash_bytes or ram > target.ram_bytes:
            print(f"{target.title:24}  too large for this board")
            continue
        got = measure(target, header, x, want)
        counted = f"{got.instructions:14,.0f}{got.instructions / macs:8.2f}"
        print(
            f"{target.title:24}{counted if got.instructions else 22 * ' '}"
            f"{got.code['-O2']:10,}{got.code['-Os']:8,}{got.error:10.1e}"
        )


if __name__ == "__main__":
    main()
