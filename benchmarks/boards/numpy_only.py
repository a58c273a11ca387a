"""What a board with NumPy alone must do: run by benchmarks/numpy_only.py and benchmarks/aarch64.py.

It trains, saves, loads, compiles and runs a model, uses the command line, and asks for what is missing.
It ends with a table, or with an AssertionError.
"""

import importlib.util
import platform
import tempfile
import time
from pathlib import Path

start = time.perf_counter()

import numpy as np  # noqa: E402

import tinyae as ta  # noqa: E402
from tinyae.cli import main  # noqa: E402

imported = time.perf_counter()

for name in ("numba", "matplotlib", "tqdm", "onnx", "safetensors", "torch"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed here"
assert ta.kernels.active() == "numpy"


def named(call, command):
    """The message of what is missing, which must name the command that installs it."""
    message = "nothing was missing"
    try:
        call()
    except ImportError as error:
        message = str(error)
    assert command in message, f"{command}: {message}"
    return message


folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
beats = ta.data.load("heartbeats")
x = beats.x_train.reshape(len(beats.x_train), -1)[:1000]
x = (x - x.min()) / (x.max() - x.min())
encoder, decoder = ta.dense_encoder_decoder([x.shape[1]], [32, 8], rng=rng)
model = ta.Autoencoder(encoder, decoder, ta.MSE())
before = model.evaluate(x)["total"]
trained = time.perf_counter()
ta.fit(model, x, epochs=5, batch_size=32, rng=0, progress=False)
trained = time.perf_counter() - trained
after = model.evaluate(x)["total"]
assert after < before / 2, (before, after)
assert ta.gradcheck.check_model(model, x[:4], rng=rng).ok

model.save(folder / "model.npz")
loaded = ta.load(folder / "model.npz")
assert (loaded.reconstruct(x) == model.reconstruct(x)).all()
compiled = model.compile()
np.testing.assert_allclose(compiled(x[:50]), model.reconstruct(x[:50]), atol=1e-5)
image = ta.Sequential(ta.Conv2d(1, 4, 3, 2, "same", rng=rng), ta.ReLU(), ta.MaxPool2d(2))
y, cache = image.forward(rng.normal(size=(3, 1, 12, 12)).astype(np.float32))
assert image.backward(np.ones_like(y), cache).shape == (3, 1, 12, 12)
model.export_c(folder / "model.h")
assert (folder / "model.h").stat().st_size > 1000

train = ["train", "--data", "heartbeats", "--units", "16", "4", "--epochs", "1", "--quiet"]
assert main([*train, "--out", str(folder / "cli.npz")]) == 0
assert main(["info", str(folder / "cli.npz"), "--repeats", "1", "--budget-kb", "8"]) == 0
assert main(["export", str(folder / "cli.npz"), "-o", str(folder / "cli.h")]) == 0
missing = [
    named(lambda: ta.kernels.use("numba").__enter__(), "pip install numba"),
    named(
        lambda: ta.plot.reconstructions(x[:4], x[:4], folder / "p.png"), "pip install matplotlib"
    ),
    named(lambda: model.export_onnx(folder / "m.onnx"), "pip install onnx"),
    named(lambda: ta.to_torch(encoder), "pip install torch"),
    named(lambda: model.save(folder / "m.safetensors"), "pip install safetensors"),
]

print(f"machine          {platform.machine()}, Python {platform.python_version()}")
print(f"NumPy            {np.__version__}")
print(f"import tinyae    {imported - start:.2f} s, with NumPy")
print(f"training         {trained:.2f} s, mean squared error {before:.4f} → {after:.4f}")
for message in missing:
    print(f"missing          {message}")
print("all of it works")
