"""Every demo at small size: it writes its pictures, and its numbers support its claims."""

import functools
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyae as ta

pytest.importorskip("matplotlib")

DEMOS = Path(__file__).parent.parent / "demos"
load_once = functools.cache(ta.data.load)  # load the digits only once


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a demo as from the command line; returns its numbers."""
    monkeypatch.syspath_prepend(str(DEMOS))
    monkeypatch.setattr(ta.data, "load", load_once)

    def run(name):
        spec = importlib.util.spec_from_file_location(f"demo_{name}", DEMOS / f"{name}.py")
        demo = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(demo)
        return demo.main(["--quick", "--out", str(tmp_path)])

    return run


# --- the claims of each demo -----------------------------------------------------------------


def compression(n):
    assert n["svd"] < 1e-5  # PCA is the truncated SVD
    assert n["pca 8"] <= n["linear 8"] < 1.02 * n["pca 8"]  # a linear autoencoder reaches it …
    assert n["shared 8"] > 7  # … and spans nearly the same plane
    assert n["deep 8"] < 0.9 * n["pca 8"]
    assert n["bytes 8"] < 1.01 * n["deep 8"]  # a byte a number is enough
    assert n["zlib"] > 8


def image_denoising(n):
    for noise in ("Gaussian", "masking", "salt and pepper"):
        best = max(n[f"{noise}: blur"], n[f"{noise}: median"])
        assert n[f"{noise}: autoencoder"] > best + 0.2 > n[f"{noise}: noisy"] + 3, noise  # dB
    assert n["score cosine"] > 0.8


def audio_denoising(n):
    assert n["hiss and crackle: network"] > n["hiss and crackle: noisy"] + 3


def anomalies(n):
    assert n["autoencoder: AUC"] > n["mean beat: AUC"]
    assert n["autoencoder: AUC"] > n["PCA-8 residual: AUC"] - 0.02  # on a third of the beats
    assert n["autoencoder: accuracy"] > 0.85


def generation(n):
    assert n["nelbo"] < n["alone"] - 20  # nats that the code of two numbers is worth
    assert 1 < n["kl"] < 10
    assert n["sure: made by the VAE"] > 2 * n["sure: made by PCA, two numbers"]


def manifold(n):
    for pair in ("one digit", "two digits"):
        pixels, codes = f"{pair}, midpoint of pixels", f"{pair}, midpoint of codes"
        assert n[f"{codes}: distance"] < n[f"{pixels}: distance"]
        assert n[f"{codes}: grey"] < n[f"{pixels}: grey"]
    assert n["real: distance"] < n["two digits, midpoint of pixels: distance"]
    assert n["ratio: 2"] > n["ratio: 40"] > n["ratio: 784"] > 1
    assert n["ratio: digits"] > 1.5 * n["ratio: shuffled"]


def super_resolution(n):
    for measure, gain in (("psnr", 2), ("ssim", 0.05)):
        best = max(n[f"nearest: {measure}"], n[f"bilinear: {measure}"])
        assert n[f"autoencoder: {measure}"] > best + gain
    assert n["hole, autoencoder"] > max(n["hole, smoothest"], n["hole, mean picture"])


def pretraining(n):
    for name, error in n.items():
        start, labels = name.rsplit(" ", 1)
        if start == "random":
            assert n[f"pre-trained {labels}"] < error < 50, name  # per cent


def genuine_match(n):
    assert n["person autoencoder: AUC"] > n["plain autoencoder: AUC"]
    assert n["person autoencoder: AUC"] > n["pixels: AUC"]


def gan(n):
    assert n["accuracy"] > 0.6
    assert n["discriminator"] < 2 * np.log(2)  # better than guessing
    assert 1 <= n["made: score"] < n["real: score"] <= 10  # two epochs: no digits yet


def custom_function(n):
    assert len(n) == 8
    assert all(value == 1 for name, value in n.items() if name.endswith(": named"))


def microcontroller(n):
    assert n["largest difference"] < 1e-4
    assert n["false alarms before"] > 0.5
    assert n["false alarms after"] < 0.2 * n["false alarms before"]
    assert n["abnormal found after"] > 0.7


def unet(n):
    best = max(n["PCA"], n["code of 7 × 7 × 8"])
    assert n["U-Net"] > best + 1 > n["noisy"] + 1  # dB
    assert n["IoU: U-Net"] > max(n["IoU: grey"], n["IoU: one level"]) + 0.02


def vqvae(n):
    assert n["VQ-VAE"] < n["PCA"]
    assert n["perplexity"] > 8


def code_prior(n):
    assert max(n["bits"], n["alone"]) < n["most"]
    assert n["as a classifier"] > 0.2  # by chance 0.1; two epochs
    assert n["kept"] > 0.4


def vqgan(n):
    assert n["adaptive weight"] > 0
    assert n["VQ-VAE: mse"] <= n["VQGAN: mse"] < 0.1
    assert n["VQ-VAE: sharpness"] < n["VQGAN: sharpness"]
    assert n["pictures: distance"] < min(n["VQ-VAE: distance"], n["VQGAN: distance"])


def dictionary(n):
    for kind in ("TopK", "BatchTopK", "Matryoshka", "JumpReLU", "gated"):
        assert n[kind] > 0.6, kind  # of the features; all of them in the full run
        assert n[f"{kind}: l0"] < 5
    assert n["PCA"] == n["no sparsity"] == 0


def progan(n):
    assert n["jump"] == 0  # growth changes nothing at first
    assert n["alpha"] == 1
    assert n["r1"] > 0
    assert 1 <= n["made: score"] < n["real: score"] <= 10


def stylegan(n):
    assert n["coarse"] > 0
    assert n["fine"] > 0
    assert n["noise"] > 0  # its strength has been learnt
    spread = [n[f"made, ψ = {psi}: spread"] for psi in ("0.5", "0.7", "1")]
    assert spread == sorted(spread)


def priors(n):
    assert abs(n["noise"]) < 0.02  # MMD² has no bias
    assert n["WAE-MMD: mmd"] < 0.1  # what it is trained for; the others have not come as far
    assert n["WAE-MMD: mmd"] < 0.1 * min(n["VAE: mmd"], n["AAE: mmd"])
    assert n["IWAE: nll"] < n["VAE: nll"] + 1
    assert max(n[f"{name}: error"] for name in ("VAE", "IWAE", "WAE-MMD", "AAE")) < 0.07


def wgan(n):
    assert 1 <= n["WGAN-GP: score"] < n["real: score"] <= 10  # three epochs: no digits yet
    assert n["real: score"] > 2
    assert 0.6 < n["slope"] < 1.3  # but the slope is what it is to be
    assert 0 < n["distance"] <= n["highest"]


def cyclegan(n):
    assert n["true outlines: same"] > 0.5
    assert n["to outlines: G(x): moved"] >= n["to outlines: G(x): psnr"]
    assert n["to outlines: nothing done: moved"] > n["to outlines: nothing done: psnr"] + 1
    assert n["there and back: F(G(x)): own"] > 10 / 500  # by chance one of 500; no outlines yet
    assert min(n["real"], n["cycle"], n["identity"]) > 0


def stargan(n):
    assert n["named"] > 0.4  # the kinds are told apart after 30 steps
    assert n["slope"] > 0
    assert 0 <= n["digit"] <= 1


def diffusion(n):
    assert 1 <= n["made, no class: score"] < n["real: score"] <= 10  # one epoch: no digits yet
    assert n["real: score"] > 2
    assert 0 < n["bits"] < 12
    # from noise alone the network sees hardly more than the mean image
    assert n["spread of guesses: first"] < 0.2
    assert n["spread of guesses: last"] > 0


def diffusion_autoencoder(n):
    assert 0 < n["own"] < n["other"]  # x_T has what z leaves out
    assert 0 < n["probe"] <= 1
    assert 0 < n["spread"] < 1.5


# demo: its check, its pictures
ROWS = {
    "01_compression": (compression, "compression compression_curve"),
    "02_image_denoising": (image_denoising, "denoising denoising_field"),
    "03_audio_denoising": (audio_denoising, "audio_denoising"),
    "04_anomalies": (anomalies, "anomalies"),
    "05_generation": (
        generation,
        "generation_map generation_plane generation_samples generation_walk",
    ),
    "06_manifold": (manifold, "manifold manifold_distances"),
    "07_super_resolution": (super_resolution, "super_resolution inpainting"),
    "08_pretraining": (pretraining, "pretraining pretraining_filters"),
    "09_genuine_match": (genuine_match, "genuine_match_faces genuine_match_roc"),
    "10_gan": (gan, "gan_training gan_samples"),
    "11_custom_function": (custom_function, "custom_function"),
    "12_microcontroller": (microcontroller, "microcontroller"),
    "13_unet": (unet, "unet_denoising unet_segmentation"),
    "14_vqvae": (vqvae, "vqvae vqvae_codes"),
    "16_dictionary": (dictionary, "dictionary dictionary_found"),
    "17_priors": (priors, "priors_maps priors_samples"),
    "18_wgan": (wgan, "wgan_samples wgan_curves"),
    "19_progan": (progan, "progan_stages progan_samples"),
    "20_stylegan": (stylegan, "stylegan_samples stylegan_mixing stylegan_truncation"),
    "21_cyclegan": (cyclegan, "cyclegan"),
    "22_stargan": (stargan, "stargan"),
    "23_code_prior": (code_prior, "code_prior"),
    "24_vqgan": (vqgan, "vqgan"),
    "25_diffusion": (diffusion, "diffusion_samples diffusion_classes diffusion_steps"),
    "26_diffusion_autoencoder": (diffusion_autoencoder, "diffusion_codes diffusion_walk"),
}
NEEDS_TORCH = ("11_custom_function",)


def test_every_demo_is_tested_and_listed():
    assert sorted(path.stem for path in DEMOS.glob("[0-9]*.py")) == sorted(ROWS)
    listed = (DEMOS / "README.md").read_text(encoding="utf-8")
    assert [name for name in ROWS if f"({name}.py)" not in listed] == []


@pytest.mark.parametrize("name", ROWS)
def test_demo(name, run, tmp_path):
    import matplotlib.image

    if name in NEEDS_TORCH:
        pytest.importorskip("torch")
    check, pictures = ROWS[name]
    if name == "12_microcontroller" and not any(map(shutil.which, ("gcc", "clang", "cc"))):
        pytest.skip("needs a C compiler: install gcc or clang")
    numbers = run(name)
    assert all(np.isfinite(value) for value in numbers.values())
    check(numbers)
    for picture in pictures.split():
        pixels = matplotlib.image.imread(tmp_path / f"{picture}.png")[..., :3]
        assert 200 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= 3000, picture
        assert pixels.std() > 0.05, f"{picture} is blank"
    assert {path.stem for path in tmp_path.glob("*.png")} == set(pictures.split())


def test_without_pytorch_the_install_command_is_named(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("11_custom_function") == {}
    assert "pip install torch" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
