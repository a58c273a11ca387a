"""Networks and weights of PyTorch: same outputs, same gradients, and no file does harm.

Most of this needs PyTorch, which CI does not have; files of weights are read without it.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from architectures import COMPILED

import tinyae as ta
from tinyae.catalog import integers_from
from tinyae.interchange.torch_file import read_torch

try:
    import torch
    from torch import nn
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="needs PyTorch: pip install torch")

STATE = (
    Path(__file__).parent / "data" / "torch_state.pt"
)  # of ``network`` below, as PyTorch writes it


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def network(rng):
    """The layers whose weights are in the file."""
    return ta.Sequential(
        *(ta.Conv2d(1, 2, 3, rng=rng), ta.BatchNorm(2), ta.PReLU(2), ta.Flatten()),
        *(ta.Dense(8, 3, rng=rng), ta.LayerNorm(3)),
    )


# --- layers -------------------------------------------------------------------------------------


def compare(net, layer, x, rng):
    """Outputs in both modes, dx and every gradient."""
    a = torch.from_numpy(x.copy()).requires_grad_()
    net.eval()
    np.testing.assert_allclose(net(a).detach().numpy(), layer(x), rtol=1e-7, atol=1e-8)
    if any(isinstance(m, nn.Dropout) for m in net.modules()):
        return
    net.train()
    y, cache = layer.forward(x)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy, cache)
    out = net(a)
    np.testing.assert_allclose(out.detach().numpy(), y, rtol=1e-7, atol=1e-8)
    out.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(a.grad.numpy(), dx, rtol=1e-7, atol=1e-8)
    ours = list({id(p): p for p in layer.params.values()}.values())
    theirs = list(net.parameters())
    assert len(ours) == len(theirs)
    for p in ours:
        assert any(
            q.shape == p.shape and np.allclose(q.grad.numpy(), p.grad, rtol=1e-7, atol=1e-8)
            for q in theirs
        )


# Whatever is drawn of these, PyTorch has it.
ALWAYS = {
    "Dense",
    "TiedDense",
    "Conv2d",
    "ConvTranspose2d",
    "ConvTranspose2d same",
    "Conv1d",
    "Skip",
    "GLU",
    "Upsample1d",
    "Upsample2d",
}


def attempt(convert, what):
    """The result and None, or None and what the error says."""
    try:
        return convert(what), None
    except (TypeError, ValueError) as error:
        return None, str(error)


@needs_torch
@pytest.mark.parametrize("row", COMPILED, ids=lambda row: row.name)
def test_every_layer_and_its_gradient(row, rng):
    for _ in range(2):
        layer, x = row.draw(integers_from(rng), rng)
        net, refusal = attempt(ta.to_torch, layer)
        if net is None:
            assert re.match("to_torch: .*PyTorch", refusal)
            assert row.name not in ALWAYS
            continue
        compare(net, layer, x, rng)
        again, refusal = attempt(ta.from_torch, net)
        if again is None:
            assert re.match("from_torch: .* has .*expected", refusal)
            assert row.name not in ALWAYS
            continue
        assert again.dtype == (np.float64 if layer.params else np.float32)
        np.testing.assert_allclose(again(x), layer(x), rtol=1e-12, atol=1e-12)
        for name, p in zip(layer.params, again.params.values()):
            assert p.shape == layer.params[name].shape


@needs_torch
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 5, 6)),
        (lambda: nn.Conv2d(2, 3, 3, bias=False, padding=1, padding_mode="reflect"), (2, 5, 6)),
        (lambda: nn.Conv1d(2, 3, 4, stride=2, padding=1), (2, 9)),
        (lambda: nn.ConvTranspose2d(2, 3, 3, 2, 1, output_padding=1), (2, 4, 5)),
        (lambda: nn.AvgPool2d(3, 2, 1), (2, 6, 7)),
        (lambda: nn.MaxPool1d(3, 2, 1, ceil_mode=True), (2, 10)),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)), (2, 4, 4)),
        (lambda: nn.Sequential(nn.Identity(), nn.Linear(4, 6), nn.Unflatten(1, (2, 3))), (4,)),
        (lambda: nn.BatchNorm1d(3, affine=False), (3,)),
        (lambda: nn.InstanceNorm2d(3, affine=True), (3, 4, 4)),
        (lambda: nn.LayerNorm((3, 4), elementwise_affine=False), (3, 4)),
        (lambda: nn.RMSNorm(5), (5,)),
        (lambda: nn.Upsample(scale_factor=2), (2, 3, 4)),
        (lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), (2, 3, 4)),
        (lambda: nn.Upsample(scale_factor=3, mode="linear"), (2, 5)),
        (lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2), (4, 6, 7)),
        (lambda: nn.Conv1d(4, 4, 3, padding="same", dilation=3, groups=4), (4, 9)),
        (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, dilation=(1, 2), groups=2), (4, 5, 6)),
        (lambda: nn.ConvTranspose1d(4, 2, 3, 2, groups=2), (4, 5)),
        (lambda: nn.MaxPool2d(3, 2, 1, dilation=2), (2, 9, 8)),
        (lambda: nn.GLU(dim=1), (6, 5)),
        (lambda: nn.ConstantPad2d((1, 2, 3, 0), 0.0), (2, 3, 4)),
        (lambda: nn.GELU("tanh"), (5,)),
        (lambda: nn.Softmax(dim=1), (5,)),
        (lambda: nn.Dropout(0.3), (5,)),
    ],
)
def test_what_people_write(make, shape, rng):
    torch.manual_seed(0)
    net = nn.Sequential(make()).double().eval()
    layer = ta.from_torch(net)
    x = rng.normal(size=(3, *shape))
    want = net(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(layer.astype(np.float64)(x), want, rtol=1e-6, atol=1e-7)


@needs_torch
@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: nn.Bilinear(2, 2, 2), TypeError, "Bilinear has no layer; write it with"),
        (lambda: nn.Conv3d(1, 1, 2), TypeError, "Conv3d has no layer"),
        (lambda: nn.GLU(), ValueError, "has dim=-1, expected 1"),
        (lambda: nn.Softmax(dim=-1), ValueError, "has dim=-1, expected 1"),
        (lambda: nn.Flatten(0), ValueError, "has start_dim=0"),
        (lambda: nn.AdaptiveAvgPool2d(1), ValueError, "let nn.Flatten"),
        (lambda: nn.Softplus(beta=2), ValueError, "has beta=2"),
        (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), ValueError, "has mode='bicubic'"),
        (
            lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            ValueError,
            "has align_corners=True, expected None or False",
        ),
    ],
)
def test_what_has_no_counterpart_is_named(make, kind, message):
    with pytest.raises(kind, match=f"from_torch: .*{message}"):
        ta.from_torch(nn.Sequential(make()))


def test_neither_a_network_nor_a_layer():
    with pytest.raises(TypeError, match="from_torch: got a str"):
        ta.from_torch("net.pt")
    with pytest.raises(TypeError, match="to_torch: got a str"):
        ta.to_torch("net.pt")


def test_without_torch_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch"):
        ta.to_torch(ta.ReLU())


@needs_torch
def test_shared_weights_stay_shared(rng):
    dense = ta.Dense(4, 2, rng=rng)
    net = ta.to_torch(ta.Sequential(dense, ta.Tanh(), ta.TiedDense(dense)))
    assert len(list(net.parameters())) == 3  # W once, and two biases
    again = ta.from_torch(net)
    assert again.params["0.W"] is again.params["2.W"]


# --- weights ------------------------------------------------------------------------------------


def test_a_state_dict_is_read_without_torch(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    layer = network(rng)
    ta.load_torch_state(layer, STATE)
    saved = read_torch(STATE)
    assert (layer.params["0.W"].value == saved["0.weight"]).all()
    assert (layer.params["2.a"].value == saved["2.weight"]).all()
    assert (layer.state["1.running_var"] == saved["1.running_var"]).all()
    assert layer.params["4.W"].value[1, 2] == saved["4.weight"][1, 2]
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4)
    want = [[-0.4004, -0.9743, 1.3747], [-1.0465, -0.3003, 1.3468]]
    np.testing.assert_allclose(layer(x), want, atol=2e-4)


def test_names_may_differ_if_the_order_agrees(rng):
    layers = network(rng).layers
    model = ta.Autoencoder(ta.Sequential(*layers[:3]), ta.Sequential(*layers[3:]), ta.MSE())
    ta.load_torch_state(model, STATE)
    saved = read_torch(STATE)
    assert (model.params["encoder.0.W"].value == saved["0.weight"]).all()
    assert (model.params["decoder.2.gamma"].value == saved["5.weight"]).all()


def test_weights_that_do_not_fit_change_nothing(rng):
    layers = list(network(rng).layers)
    layers[4] = ta.Dense(8, 4, rng=rng)
    layers[5] = ta.LayerNorm(4)
    model = ta.Sequential(*layers)
    before = {name: p.value.copy() for name, p in model.params.items()}
    with pytest.raises(ValueError, match=r"torch_state.pt: 4.weight has shape \(3, 8\)"):
        ta.load_torch_state(model, STATE)
    assert all((p.value == before[name]).all() for name, p in model.params.items())
    with pytest.raises(ValueError, match="weights of 5 layers, the model has 1 with weights"):
        ta.load_torch_state(ta.Dense(3, 3, rng=rng), STATE)


def test_safetensors_of_others(rng, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    layer, path = network(rng), str(tmp_path / "weights.safetensors")
    tensors = {
        f"module.{name}": a for name, a in read_torch(STATE).items() if "batches" not in name
    }
    numpy.save_file(tensors, path)
    ta.load_torch_state(layer, path)
    assert (layer.params["5.beta"].value == tensors["module.5.bias"]).all()


@needs_torch
@pytest.mark.parametrize("row", COMPILED, ids=lambda row: row.name)
def test_the_state_of_every_layer(row, rng, tmp_path):
    layer, x = row.draw(integers_from(rng), rng)
    if not layer.params:
        return
    path = tmp_path / "state.pt"
    net, refusal = attempt(ta.to_torch, layer)
    if net is None:
        assert row.name not in ALWAYS, refusal
        return
    torch.save({"epoch": 3, "model": net.state_dict(), "rate": 0.1}, path)
    other, _ = row.draw(integers_from(np.random.default_rng(0)), np.random.default_rng(0))
    other = layer.astype(np.float64)
    for p in other.params.values():
        p.value[...] = 0
    ta.load_torch_state(other, path)
    np.testing.assert_array_equal(other(x), layer(x))


# --- files need not be trusted ------------------------------------------------------------------


def pt_file(path, program, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for k, content in enumerate(storages):
            archive.writestr(f"archive/data/{k}", content)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_code_is_not_run(tmp_path, capsys, rng):
    path = tmp_path / "evil.pt"
    for value in (Evil(), {"0.weight": Evil()}, OrderedDict(a=Evil())):
        pt_file(path, pickle.dumps(value, 2))
        with pytest.raises(ValueError, match="more than tensors"):
            ta.load_torch_state(network(rng), path)
    assert "run" not in capsys.readouterr().out


def rebuilt(shape, strides, count=4, offset=0):
    """The pickle of one tensor, as torch.save writes it."""
    out = io.BytesIO()

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return (
                ("storage", Global("torch", "FloatStorage"), "0", "cpu", count)
                if (value == "S")
                else None
            )

        def save(self, value, *rest, **more):
            if isinstance(value, Global):
                self.write(f"c{value.module}\n{value.name}\n".encode())
            else:
                super().save(value, *rest, **more)

    class Global:
        def __init__(self, module, name):
            self.module, self.name = module, name

    class Tensor:
        pass

    pickler = Pickler(out, 2)
    pickler.write(b"\x80\x02")
    pickler.write(b"}X\x01\x00\x00\x00w")
    pickler.save(Global("torch._utils", "_rebuild_tensor_v2"))
    pickler.write(b"(")
    pickler.save_pers(("storage", Global("torch", "FloatStorage"), "0", "cpu", count))
    for part in (offset, shape, strides, False, None):
        pickler.save(part)
    pickler.write(b"tRs.")
    return out.getvalue()


@pytest.mark.parametrize(
    ("shape", "strides", "count", "offset", "message"),
    [
        ((2**40,), (0,), 4, 0, "claims shape"),
        ((2, 2), (2, 1), 4, 2, "reaches to number 5 of 4"),
        ((2, 2), (-2, 1), 4, 0, "claims shape"),
        ((2, 2), (2, 1), 5, 0, "has 16 bytes"),
    ],
)
def test_a_tensor_that_claims_too_much(tmp_path, shape, strides, count, offset, message):
    path = tmp_path / "claims.pt"
    pt_file(path, rebuilt(shape, strides, count, offset), [np.arange(4, dtype="<f4").tobytes()])
    with pytest.raises(ValueError, match=message):
        ta.load_torch_state(ta.PReLU(4), path)


def test_a_tensor_may_be_a_transposed_view(tmp_path):
    path = tmp_path / "view.pt"
    pt_file(path, rebuilt((2, 2), (1, 2)), [np.arange(4, dtype="<f4").tobytes()])
    assert (read_torch(path)["w"] == [[0, 2], [1, 3]]).all()


def test_damaged_files(tmp_path, rng):
    path = tmp_path / "damaged.pt"
    whole = STATE.read_bytes()
    for cut in (0, 1, 30, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"damaged\.pt"):
            ta.load_torch_state(network(rng), path)
    pt_file(path, b"\x80\x02r" + struct.pack("<I", 2**32 - 1) + b".")  # a memo of 2³² entries
    with pytest.raises(ValueError, match=r"LONG_BINPUT|damaged"):
        ta.load_torch_state(network(rng), path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ta.load_torch_state(network(rng), tmp_path / "absent.pt")
    with pytest.raises(TypeError, match="expected a model or a layer"):
        ta.load_torch_state(path, network(rng))


def test_altered_bytes_end_in_a_value_error_or_in_weights(tmp_path, rng):
    path, whole = tmp_path / "altered.pt", STATE.read_bytes()
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(3):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        path.write_bytes(content)
        try:
            ta.load_torch_state(network(rng), path)
        except ValueError as error:
            refused += str(path) in str(error)
    assert refused > 30
