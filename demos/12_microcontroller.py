"""A microcontroller that watches a heart, and learns what is normal for this patient.

An autoencoder is trained on the normal beats of many people, and becomes one C header with three
functions: ``run``, ``score`` and ``train``. Its score of a beat x is the error of reconstruction

    e(x) = 1/140 Σᵢ (x̂ᵢ − xᵢ)²,

and a score above t, the 97.5 % quantile of normal beats held out, is an alarm. Then comes a patient
whose normal beat has a raised ST segment and a tall T wave. Nearly every beat of his is an alarm, and
all of them are false. The device learns 200 of his beats, one after the other, one step of plain
gradient descent each:

    θ ← θ − η ∂/∂θ e(x)

After that his normal beats pass, and abnormal ones are still found. The C runs on an emulated
Cortex-M4F, where one is installed, else on this computer. The picture shows its scores over those
that tinyae computes for the same beats, step by step.

    python demos/12_microcontroller.py                  # generated heartbeats
    python demos/12_microcontroller.py --data ecg5000   # real ones

Debian's packages gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm have the emulated
processor. Source: Robbins & Monro (1951) for the descent, Klatsky et al. (2003) on the early
repolarisation of healthy hearts.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from pictures import BLUE, FAINT, GREEN, INK, ORANGE, QUIET

import tinyae as ta

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.embedded import BOARDS, TARGETS, Target

QUANTILE = 0.975
RATE = 0.02  # η times the variance of the data, whose unit squared the gradient has
RED = "#c4362f"

PROGRAM = """\
#include <stdint.h>
#include "{board}"
#include "beats.h"

static const float beats[][BEATS_INPUT_LENGTH] = {{
#include "samples.h"
}};
static float arena[BEATS_ARENA_BYTES / sizeof(float)];
static float weights[BEATS_WEIGHTS_BYTES / sizeof(float)];

static void say_number(uint32_t number)
{{
    char text[] = "00000000\\n";
    for (int i = 7; i >= 0; i--, number /= 16) {{
        text[i] = "0123456789abcdef"[number % 16];
    }}
    say(text);
}}

int main(void)
{{
    union {{
        float value;
        uint32_t bits;
    }} score;
    uint32_t longest = 0, million = ticks();
    INSTRUCTIONS(1000000);
    million = elapsed(million, ticks());
    beats_init_weights(weights);
    for (int i = 0; i < {count}; i++) {{
        score.value = beats_score(beats[i], arena, weights);
        say_number(score.bits);
        if (i >= {first} && i < {end}) {{
            const uint32_t start = ticks();
            beats_train(beats[i], arena, weights, {rate}f);
            const uint32_t step = elapsed(start, ticks());
            longest = step > longest ? step : longest;
        }}
    }}
    say_number(longest);
    say_number(million);
    return 0;
}}
"""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="heartbeats", help="heartbeats or ecg5000")
    parser.add_argument("--out", default="demo-out", help="folder for the picture and the C")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    data = ta.data.load(options.data)
    x = np.concatenate([data.x_train, data.x_test])
    normal = np.concatenate([data.y_train, data.y_test]) == 1
    # Of the normal beats the first are for training, then for the threshold; the last are the patient's.
    order = rng.permutation(np.flatnonzero(normal))
    fitted, held_out, his = np.split(x[order], [len(order) * 2 // 3, len(order) * 4 // 5])
    his, ill = individual(his, x.std()), individual(x[~normal], x.std())
    rate = float(np.float32(RATE / x.var()))

    layers = ta.dense_encoder_decoder((140,), (32, 16, 8), output=None, rng=rng)
    model = ta.Autoencoder(*layers, ta.MSE())
    epochs, batch_size = (20 if options.quick else 60), 64
    steps = epochs * -(-len(fitted) // batch_size)
    adam = ta.Adam(ta.Cosine(3e-3, steps))
    ta.fit(model, fitted, epochs=epochs, batch_size=batch_size, optimizer=adam, rng=rng)
    threshold = float(np.quantile(model.reconstruction_error(held_out), QUANTILE))

    # The device sees 100 of his beats, learns 200, sees 100 more, and 60 abnormal ones.
    before, learnt, after, abnormal = 100, 200, 100, 60
    normal_count = before + learnt + after
    seen = np.concatenate([his[:normal_count], rng.permutation(ill)[:abnormal]])
    ours, learner = on_this_computer(model, seen, before, before + learnt, rate)
    target = processor()
    header = model.export_c(folder / "beats.h", train="sgd", threshold=threshold)
    theirs, instructions = on_the_device(
        target, header, seen, before, before + learnt, rate, folder
    )

    alarm = theirs > threshold
    marks = before, before + learnt, normal_count
    phases = np.split(alarm, marks)
    numbers = {
        "false alarms before": phases[0].mean(),
        "false alarms after": phases[2].mean(),
        "abnormal found after": phases[3].mean(),
        "abnormal found before": (model.reconstruction_error(seen[marks[2] :]) > threshold).mean(),
        "largest difference": np.abs(theirs / ours - 1).max(),
    }
    print(f"\nthe C header, on {target.title}: {header.flash_bytes:,} bytes of flash, ", end="")
    print(f"{header.weights_bytes:,} bytes of weights and {header.arena_bytes:,} of arena in RAM")
    if instructions:
        print(f"a step of learning: {instructions:,} instructions")
    print(f"\nlearning {learnt} of his beats{'before':>14} {'after':>8}")
    for key in ("false alarms", "abnormal found"):
        print(f"{key:32} {numbers[f'{key} before']:8.1%} {numbers[f'{key} after']:8.1%}")
    print(
        f"\nits scores differ from tinyae's by {numbers['largest difference']:.1e} at most, ",
        end="",
    )
    print("as a fraction")

    path = folder / "microcontroller.png"
    unit = "mV" if options.data == "heartbeats" else "standard deviations"
    draw(theirs, ours, threshold, marks, target, (seen[marks[1]], model, learner, unit), path)
    print(f"{path}: the device's scores over ours, and a beat of his")
    return numbers


def individual(beats, height):
    """The beats of a patient with a raised ST segment and a tall T wave, which are normal for him."""
    t = np.linspace(-0.28, 0.52, beats.shape[1])  # s, from the R peak
    waves = np.exp(-(((t - 0.11) / 0.04) ** 2)) + 1.2 * np.exp(-(((t - 0.24) / 0.05) ** 2))
    return (beats + height * waves).astype(np.float32)


def on_this_computer(model, seen, first, end, rate):
    """The scores of the beats; those from ``first`` to ``end`` are learnt. And what it has become."""
    model = model.astype(np.float32)
    descent, scores = ta.SGD(rate), []
    for k, beat in enumerate(seen):
        scores.append(model.reconstruction_error(beat[None])[0])
        if first <= k < end:
            model.backprop(beat[None])
            descent.step(model.params)
    return np.array(scores), model


def processor():
    """The emulated Cortex-M4F or, where its tools are missing, this computer."""
    target = TARGETS["m4f"]
    if not target.missing():
        return target._replace(title="an emulated Cortex-M4F")
    compiler = next(filter(shutil.which, ("gcc", "clang", "cc")), None)
    if compiler is None:
        raise SystemExit(
            "this demo needs a C compiler: apt install gcc, or for the emulated processor "
            "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
        )
    return Target("this computer", f"{compiler} -std=c99", "", "linux.h")


def on_the_device(target, header, seen, first, end, rate, folder):
    """The scores of the same beats in C, and the instructions of a step, 0 if they are not counted."""
    header_text = header.text()
    (folder / "beats.h").write_text(header_text, encoding="ascii")
    rows = ("{" + ", ".join(f"{v!s}f" for v in beat) + "},\n" for beat in seen.astype(np.float32))
    (folder / "samples.h").write_text("".join(rows), encoding="ascii")
    text = PROGRAM.format(
        board=BOARDS / target.board, count=len(seen), first=first, end=end, rate=np.float32(rate)
    )
    (folder / "beats.c").write_text(text, encoding="utf-8")
    command = [*target.compiler.split(), "-O2", "beats.c", "-o", "beats"]
    if target.stack_top:
        symbols = f"flash={target.flash},ram={target.ram},stack_top={target.stack_top}"
        command += ["-T", str(BOARDS / "board.ld")]
        command += [f"-Wl,--defsym={symbol}" for symbol in symbols.split(",")]
    subprocess.run([*command, "-lm"], cwd=folder, check=True)
    run = [*target.emulator.split(), "./beats"]
    done = subprocess.run(
        run, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    *scores, step, million = (int(line, 16) for line in done.stdout.split())
    instructions = round(step * 1e6 / million) if million else 0
    return np.array(scores, np.uint32).view(np.float32), instructions


def draw(theirs, ours, threshold, marks, target, beat_and_models, path):
    """Above the score of every beat, below one beat before and after learning."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.6), dpi=150, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    axis = above.subplots()
    k = np.arange(len(theirs))
    before, learnt, normal = marks
    axis.axvspan(before, learnt, color=FAINT, alpha=0.45, linewidth=0)
    axis.plot(k, ours, "o", mfc="none", mec=ORANGE, ms=7, mew=0.8, label="tinyae, the same steps")
    healthy, ill = k < normal, k >= normal
    axis.plot(k[healthy], theirs[healthy], ".", color=BLUE, ms=4.5, label="device, normal beat")
    axis.plot(k[ill], theirs[ill], "^", color=RED, ms=3.5, label="device, abnormal beat")
    axis.axhline(threshold, color=INK, linewidth=1.2, linestyle=(0, (6, 3)))
    axis.text(1.004, threshold, "threshold", transform=axis.get_yaxis_transform(), va="center",
              fontsize=9, color=INK)  # fmt: skip
    axis.set_yscale("log")
    axis.set_xlim(-3, len(theirs) + 2)
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top * 2.2)
    alarms = [part.mean() for part in np.split(theirs > threshold, marks)]
    names = (
        f"as it was made:\n{alarms[0]:.0%} false alarms",
        "learns from each beat",
        f"has learnt:\n{alarms[2]:.0%} false alarms",
        f"ill:\n{alarms[3]:.0%} found",
    )
    edges = (0, *marks, len(theirs))
    for name, left, right in zip(names, edges, edges[1:]):
        axis.text((left + right) / 2, 0.975, name, transform=axis.get_xaxis_transform(), ha="center",
                  va="top", fontsize=9.5, color=INK)  # fmt: skip
    for mark in marks:
        axis.axvline(mark, color=QUIET, linewidth=0.8)
    axis.set_xlabel("beat of the patient")
    axis.set_ylabel("score e(x): mean squared error")
    above.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3,
                 title=f"device: {target.title}", title_fontsize=9)  # fmt: skip

    beat, model, learner, unit = beat_and_models
    columns = below.subplots(1, 2, sharey=True)
    for axis_, who, name in zip(columns, (model, learner), ("before", "after")):
        drawn, e = who.reconstruct(beat[None])[0], who.reconstruction_error(beat[None])[0]
        axis_.plot(beat, color=INK, linewidth=1.2, label="a normal beat of his")
        axis_.plot(drawn, color=BLUE, linewidth=1.2, label="reconstruction")
        axis_.fill_between(range(len(beat)), beat, drawn, color=ORANGE, alpha=0.45, linewidth=0,
                           label="error")  # fmt: skip
        axis_.set_title(f"{name} learning: e = {e:.2g}, {e / threshold:.1f} t", fontsize=9.5,
                        color=RED if e > threshold else GREEN)  # fmt: skip
        axis_.set_xlabel("sample")
    columns[0].set_ylabel(unit)
    columns[1].legend(frameon=False, fontsize=9, loc="upper right")
    for each in (axis, *columns):
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=9)
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
