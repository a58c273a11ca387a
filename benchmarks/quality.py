"""The quality of models on real data, beside reference values.

    python benchmarks/quality.py list
    python benchmarks/quality.py deep [--seed 0] [--out FOLDER] [--epochs N] [--data NAME]
    python benchmarks/quality.py ecg --quick        # small built-in data: does it run?

Run from the project's root with tinyae installed. Data sets are found under TINYAE_DATA or
downloaded, as by ``tinyae data fetch``. README.md in this folder describes what each name measures.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# name -> the file in recipes/ with the function of that name, and its question
RECIPES = {
    "deep": ("deep", "MNIST 784-1000-500-250-30 and its mirror, within 4 minutes"),
    "deep_long": ("deep", "the same within 20 minutes"),
    "deep_sigmoid": ("pretraining", "the same with sigmoid units, pre-trained layer by layer"),
    "pretraining": ("pretraining", "digits told apart with 100, 1,000, 10,000 labels, pre-trained"),
    "ecg": ("ecg", "abnormal heartbeats found by a model of normal ones, ECG5000"),
    "denoiser": ("denoiser", "the convolutional denoiser, Fashion-MNIST, σ = 0.2"),
    "unet": ("unet", "a U-Net as the denoiser, Fashion-MNIST, σ = 0.2, within 4 minutes"),
    "vqvae": ("vqvae", "7 × 7 codes out of 512 for a Fashion-MNIST image, within 5 minutes"),
    "vae": ("vae", "784-500-20 variational, MNIST binarised anew, negative ELBO"),
    "vae_2d": ("vae", "the same with a code of two numbers"),
    "burda": ("vae", "784-200-200-50, negative log-likelihood, within 3 minutes"),
    "burda_hour": ("vae", "the same, an hour"),
    "features": ("features", "a linear classifier on the codes of each kind, MNIST"),
    "contractive": ("contractive", "the contractive penalty: error against ‖J‖², and its cost"),
    "gan": ("gan", "a Dense GAN on MNIST, its samples judged by a classifier"),
    "gan_fashion": ("gan", "the same on Fashion-MNIST"),
    "dcgan": ("gan", "a convolutional GAN on MNIST, likewise"),
    "dcgan_fashion": ("gan", "the same on Fashion-MNIST"),
    "wgan": ("gan", "the DCGAN's generator against a critic with gradient penalty, MNIST"),
    "cyclegan": ("translation", "digits to outlines and back without pairs, beside the truth"),
    "stargan": ("translation", "four kinds of digits, one generator, beside the truth"),
    "diffusion": ("diffusion", "denoising diffusion on MNIST, samples judged by a classifier"),
    "iwae": ("priors", "one draw or five: negative log-likelihood on MNIST"),
    "code_prior": ("codes", "digits by class from a Transformer prior over 49 codes, MNIST"),
    "vqgan": ("codes", "a VQ-VAE with a discriminator of patches, Fashion-MNIST: won and lost"),
    "priors": ("priors", "VAE, IWAE, WAE-MMD and AAE beside each other, MNIST"),
}


def recipe(name: str) -> Callable[..., None]:
    """The function of that name; imports only its module."""
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)  # so that recipes find each other as benchmarks.recipes
    function: Callable[..., None] = getattr(
        importlib.import_module(f"benchmarks.recipes.{RECIPES[name][0]}"), name
    )
    return function


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=["list", *RECIPES], metavar="NAME", help="see `list`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("quality-out"), help="for pictures, models"
    )
    parser.add_argument("--epochs", type=int, help="in place of the recipe's own number")
    parser.add_argument("--data", help="a data set's name in place of the recipe's own")
    parser.add_argument("--quick", action="store_true", help="small built-in data, few epochs")
    options = parser.parse_args(arguments)
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs is {options.epochs}, expected ≥ 1")
    if options.name == "list":
        width = max(map(len, RECIPES))
        for name, (_, question) in RECIPES.items():
            print(f"{name:{width}}  {question}")
        return
    function = recipe(options.name)
    common = importlib.import_module("benchmarks.recipes.common")
    options.out.mkdir(parents=True, exist_ok=True)
    with common.Stopwatch() as watch:
        function(common.Run(options.seed, options.out, options.quick, options.epochs, options.data))
    quick = " (quick: small data, figures without meaning)" if options.quick else ""
    print(f"{options.name}, seed {options.seed}: {watch.seconds:.0f} s in all{quick}")
    print(common.machine())


if __name__ == "__main__":
    main()
