"""The cost of contraction: reconstruction error against ‖J‖², and the time of the penalty.

    python benchmarks/quality.py contractive

784-120 sigmoid units, untied, MSE (the mean over pixels), Adam, 10 epochs at batch 128 on MNIST.
λ is ``ContractiveAutoencoder``'s weight of ‖∂h/∂x‖²_F, which is summed over units and pixels and
averaged over images. λ = 0 is timed with the plain autoencoder, which computes no penalty.
"""

from __future__ import annotations

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, table
from tinyae.models.contractive import ContractiveAutoencoder

# λ: test MSE, ‖J‖² and seconds per epoch of the same run in PyTorch 2.13 on two cores
REFERENCE = {0.0: "0.0068, 39.5, 0.556 s", 1e-4: "0.0080, 13.3, 0.638 s", 1e-3: "0.0145, 3.2"}


def contractive(run: Run) -> None:
    data, epochs = run.load("mnist"), run.number_of_epochs(10)
    x, rows, plain = data.x_train, [], 0.0
    for weight, reference in REFERENCE.items():
        rng = np.random.default_rng(run.seed)
        pair = ta.dense_encoder_decoder(x.shape[1:], [120], code_activation=ta.Sigmoid, rng=rng)
        measured = ContractiveAutoencoder(*pair, ta.MSE(), weight)
        model = measured if weight else ta.Autoencoder(*pair, ta.MSE())
        history = ta.fit(model, x, epochs=epochs, batch_size=128, rng=run.seed)
        seconds = float(np.median(history["seconds"]))
        plain = plain or seconds
        terms = measured.evaluate(data.x_test)
        rows.append(
            [
                f"λ = {weight:g}",
                f"{terms['reconstruction']:.4f}",
                f"{terms['contraction']:.1f}",
                f"{seconds:.3f}",
                f"{seconds / plain - 1:+.0%}",
                reference,
            ]
        )
    table(
        f"784-120 sigmoid, MSE, {epochs} epochs at batch 128; reach: the same curve, cost ≤ 20%",
        ["weight", "test MSE", "‖J‖²", "s an epoch", "cost", "reference (PyTorch)"],
        rows,
    )
