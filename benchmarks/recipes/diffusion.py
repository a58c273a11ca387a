"""Denoising diffusion on MNIST: samples with and without a class, judged by a classifier.

    python benchmarks/quality.py diffusion

A U-Net sees patches of 2 × 2 pixels: 48 channels at 14 × 14 places, 96 at 7 × 7 with attention,
577,233 parameters. It predicts v under the cosine schedule. Half of the images are shown without
their class. Adam with a linear warm-up and a cosine schedule, gradients clipped; the samples come
from the moving average of the weights, in 100 steps that draw noise anew. 15 epochs in batches of
64 take about 30 minutes on two cores.

The classifier and the score are those of ``gan``. Samples without a class are compared with the
real test images; of samples with a class, drawn with guidance 1, it is counted how many the
classifier puts there. The model is judged after a quarter, half and all of the epochs.

Source    Ho, Jain & Abbeel (2020); Nichol & Dhariwal (2021); Song, Meng & Ermon (2021); Salimans &
          Ho (2022); Ho & Salimans (2022)
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, table
from benchmarks.recipes.denoiser import parameters
from benchmarks.recipes.gan import classifier, scores

BATCH = 64
RATE = 1.5e-3
EPOCHS = 15
SAMPLES = 2000  # with a class, and as many without
GUIDANCE = 1.0
STEPS, ETA = 100, 1.0  # of sampling; noise drawn anew at each step mends what earlier ones missed


def diffusion(run: Run) -> None:
    """The score of samples without a class, and how many of those with one are right."""
    data, epochs = run.load("mnist"), run.number_of_epochs(EPOCHS)
    x, y = 2 * data.x_train - 1, data.y_train
    rng = np.random.default_rng(run.seed)
    model = network(rng)
    steps = epochs * -(-len(x) // BATCH)
    rate = ta.WarmUp(ta.Cosine(RATE, steps), min(300, steps))
    optimizer = ta.MovingAverage(ta.Adam(rate), decay=0.999)
    wanted = {-(-epochs // 4), -(-epochs // 2), epochs}
    kept: list[tuple[int, float, Any]] = []
    began = time.process_time()

    def keep(epoch: Any) -> None:
        steady = optimizer.averaged(model)
        minutes = (time.process_time() - began) / 60
        print(
            f"epoch {epoch.epoch}: loss {epoch.terms['total']:.4f}, {minutes:.1f} min", flush=True
        )
        steady.save(run.out / "diffusion.npz")
        if epoch.epoch in wanted:
            steady.save(run.out / f"diffusion_{epoch.epoch}.npz")
            kept.append((epoch.epoch, minutes, steady))

    ta.fit(
        model,
        (x, y),
        epochs=epochs,
        batch_size=BATCH,
        optimizer=optimizer,
        rng=rng,
        clip_norm=1.0,
        checkpoint=run.out / "diffusion_checkpoint.npz",
        progress=False,
        on_epoch=keep,
    )
    judge = classifier(data.x_train, y, 1 if run.quick else 10, np.random.default_rng(0))
    rows = [judged(judge, f"{n} epochs, {t:.0f} min", m, run) for n, t, m in kept]
    real = scores(judge, data.x_test)
    right = 1 - judge.error(data.x_test, data.y_test)
    rows.append(["real test images", *real[:3], real[4], "", f"{right:.1%}", ""])
    rows.append(["reference (PyTorch, run, 7 min × 2 cores)", "", "", "5.7", "", "", "88%", ""])
    rows.append(["reach", "", "", "≥ 8.0", "", "", "≥ 95%", ""])
    table(
        f"{parameters(kept[-1][2]):,} parameters; minutes of one core",
        [
            "",
            "entropy of one",
            "of all",
            "score",
            "rarest",
            "score with class",
            "right",
            "s for 100",
        ],
        rows,
    )


def judged(judge: ta.Classifier, name: str, model: Any, run: Run) -> list[str]:
    """A row of the table, and a page of samples by class."""
    n = 20 if run.quick else SAMPLES
    labels = np.arange(n) % 10
    began = time.perf_counter()
    free = images(model, n, seed=1)
    seconds = (time.perf_counter() - began) * 100 / n
    ordered = images(model, n, seed=2, labels=labels, guidance=GUIDANCE)
    file = name.split()[0]
    ta.plot.page(free[:100], run.out / f"diffusion_{file}_free.png")
    ta.plot.page(ordered[:100], run.out / f"diffusion_{file}_classes.png")
    right = (judge.predict(ordered) == labels).mean()
    found = scores(judge, free)
    with_class = scores(judge, ordered)[2]
    return [name, *found[:3], found[4], with_class, f"{right:.1%}", f"{seconds:.1f}"]


def images(model: Any, n: int, seed: int, labels: Any = None, guidance: float = 0.0) -> np.ndarray:
    """Samples in [0, 1], made 64 at a time."""
    rng, made = np.random.default_rng(seed), []
    for a in range(0, n, 64):
        part = None if labels is None else labels[a : a + 64]
        size = min(64, n - a)
        x = model.sample(
            *(size, rng),
            steps=STEPS,
            eta=ETA,
            labels=part,
            guidance=guidance,
            clip=(-1, 1),
        )
        made.append(x)
    return np.clip((np.concatenate(made) + 1) / 2, 0, 1)


def network(rng: np.random.Generator) -> ta.Diffusion:
    unet = ta.ConditionedUNet(1, 32 + 10, (48, 96), patch=2, rng=rng)
    return ta.Diffusion(
        unet, (1, 28, 28), prediction=ta.PredictVelocity(), classes=10, unlabelled=0.5
    )
