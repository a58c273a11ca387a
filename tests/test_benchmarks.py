"""The speed benchmarks: statistics, counts, and a small run of each script."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import busy, floor, kernels, latency, peers, scale, start, timing, train_step
from benchmarks import calls as kernel_calls
from benchmarks.calls import Call
from benchmarks.peers.networks import NETWORKS
from benchmarks.timing import Spread

LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a script at small size without peers, in this process; returns its output."""
    monkeypatch.setattr(timing, "limit_threads", lambda threads: None)  # NumPy is already loaded

    def run(script, *arguments) -> str:
        script.main(["--quick", *arguments])
        return capsys.readouterr().out

    return run


class TestScripts:
    def test_train_step(self, run, tmp_path):
        file = tmp_path / "figures.json"
        chosen = ["--only", "dense-32", "ecg", "contractive", "vae"]
        out = run(train_step, "--peers", "", *chosen, "--json", str(file))
        figures = json.loads(file.read_text())
        assert set(figures) == {"dense-32", "ecg-512", "contractive-128", "vae-128"}
        for key in ("dense", "ecg", "contractive", "vae"):
            assert NETWORKS[key].title in out
        assert all(spreads["tinyae"]["median"] > 0 for spreads in figures.values())
        assert "GFLOP/s" in out
        assert out.count(" operations") + out.count(" bytes") == 4

    @LINUX
    def test_busy(self, run):
        out = run(busy, "--peers", "", "--only", "ecg")
        assert out.count("\necg-512 ") == 2
        assert busy.ONE_THREAD in out

    def test_latency(self, run):
        out = run(latency, "--peers", "", "--only", "dense", "vae", "--batches", "1", "32")
        assert f"{NETWORKS['dense'].title} × 1 " in out
        assert f"{NETWORKS['vae'].title} × 8 " in out

    def test_detectors(self, run):
        pytest.importorskip("sklearn")
        detectors = importlib.import_module("benchmarks.detectors")
        out = run(detectors, "--only", "iris")
        for who in ("tinyae", "residual alone", "PCA", "neighbours", "forest"):
            assert who in out
        assert "on 0 of 1 tables" in out or "on 1 of 1 tables" in out
        x, y, normal = detectors.load("iris")
        tasks = list(detectors.tasks(x, y, normal, 0))
        assert [(len(learn), truth.sum(), (~truth).sum()) for learn, _, truth in tasks] == [
            (25, 100, 25)
        ] * 3

    def test_kernels(self, run):
        out = run(kernels, "--peers", "", "--networks", "dense", "conv")
        assert [name for name in kernels.public() if f"\n{name} " not in out] == []
        assert "dyᵀ x   W 8×16" in run(kernels, "--peers", "", "--rule")

    def test_start(self, run, monkeypatch):
        out = run(start, "--peers", "", "--only", "import", "size")
        for line in ("import numpy", "more than numpy's", "size of tinyae itself"):
            assert f"\n{line}" in out
        monkeypatch.setattr(
            start.Children, "run", lambda self, code, **_: [3e8 if "torch" in code else 1e8, 1.0]
        )
        out = run(start, "--peers", "", "--only", "step", "memory")
        assert "empty cache" in out
        children = start.Children(1, Path("."))
        monkeypatch.setattr(np, "save", lambda *_: None)
        (_, cells, _), *_ = start.memory(children, 1, ["torch"], True)
        assert cells == "100 MB; PyTorch 300 MB; ratio 0.33"

    def test_the_programs_of_start(self, capsys, tmp_path):
        file = str(tmp_path / "x.npy")
        np.save(file, np.zeros((40, 1, 28, 28), np.uint8))
        exec(start.FIRST_STEP.format(network="dense", n=2), {})
        first, second = map(float, capsys.readouterr().out.split())
        assert 0 < first < second
        for program in (start.TRAINED_FLOAT, start.TRAINED_BYTES):
            exec(program.format(file=file) + start.PEAK, {})
            assert float(capsys.readouterr().out) > 1e7
        for data, batch in (start.TORCH_FLOAT, start.TORCH_BYTES):
            code = start.TORCH.format(threads=1, data=data.format(file=file), batch=batch)
            compile(code, "torch", "exec")  # PyTorch may not be installed

    @LINUX
    def test_scale(self, run, tmp_path):
        out = run(scale, "--only", "rows", "width", "depth", "--folder", str(tmp_path))
        for word in ("1,000 ", "784-8-784 ", "4 layers of 256 "):
            assert f"\n{word}" in out
        assert list(tmp_path.iterdir()) == []

    @LINUX
    def test_scale_of_steps(self, run, monkeypatch, capsys):
        def child(arguments, threads):
            exec(arguments[1], {})
            return capsys.readouterr().out

        monkeypatch.setattr(scale, "child", child)
        assert "\ndense " in run(scale, "--only", "steps")

    def test_scale_of_workers(self, run):
        pytest.importorskip("distributed")
        out = run(scale, "--only", "workers")
        assert out.count("\n8-4-8 ") == 3

    def test_scale_of_threads(self, run, monkeypatch):
        asked = []

        def child(arguments, threads):
            asked.append((threads, arguments[-1]))
            spread = Spread(1.0, 2.0 / threads, 3.0, 5)._asdict()
            return f"a line\n{json.dumps({'dense-32': {'tinyae': spread}})}\n"

        monkeypatch.setattr(scale, "child", child)
        assert "  2.00\n" in run(scale, "--only", "threads")
        assert asked == [(1, "1"), (2, "2")]

    def test_a_failing_child_shows_its_error(self, tmp_path):
        for run in (start.Children(1, tmp_path).run, lambda code: scale.child(["-c", code], 1)):
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                run("1 / 0")

    @pytest.mark.parametrize(
        ("script", "arguments"),
        [
            (train_step, ["--only", "nonsense"]),
            (latency, ["--only", "nonsense"]),
            (kernels, ["--networks", "nonsense"]),
            (kernels, ["--only", "nonsense"]),
            (start, ["--only", "nonsense"]),
            (scale, ["--only", "nonsense"]),
        ],
    )
    def test_wrong_names_are_named(self, script, arguments, monkeypatch, capsys):
        monkeypatch.setattr(timing, "limit_threads", lambda threads: None)
        with pytest.raises(SystemExit) as stopped:
            script.main([*arguments, "--quick"])
        assert "nonsense" in capsys.readouterr().err + str(stopped.value)


class TestStatistics:
    def test_spread(self):
        assert timing.spread([3.0, 1.0, 2.0, 5.0, 4.0]) == Spread(2, 3, 4, 5)
        assert timing.spread([7.0]) == Spread(7, 7, 7, 1)
        with pytest.raises(ValueError, match="no runs"):
            timing.spread([])
        seconds = np.random.default_rng(0).random(101)
        want = np.quantile(seconds, [0.25, 0.5, 0.75])
        np.testing.assert_allclose(timing.spread(seconds.tolist())[:3], want)

    def test_in_words(self):
        spread = Spread(0.0003, 0.000312, 0.0123, 9)
        assert str(spread) == "0.312 (0.300–12.3)"
        assert spread.microseconds() == "312 (300–12,300)"

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0"),
            (0.03119, "0.0312"),
            (0.9996, "1.00"),
            (9.996, "10.0"),
            (99.96, "100"),
            (3120, "3,120"),
            (-3.119, "-3.12"),
        ],
    )
    def test_digits(self, value, text):
        assert timing.digits(value) == text

    def test_best(self):
        assert timing.best({"a": Spread(1, 2, 9, 5), "b": Spread(0, 3, 4, 5)}) == "a"
        assert timing.best({}) is None

    def test_disturbed_blocks_do_not_count_unless_most_are(self):
        assert timing.undisturbed([(0.0, [1.0, 2.0]), (0.5, [9.0]), (0.1, [3.0])]) == [1, 2, 3]
        assert timing.undisturbed([(0.5, [9.0]), (0.5, [8.0]), (0.5, [7.0]), (0.0, [1.0])]) == [
            *(9, 8, 7, 1)
        ]

    @pytest.fixture
    def clock(self, monkeypatch):
        """A clock that only ``clock.pass_(seconds)`` moves."""

        class Clock:
            now = 0.0

            def pass_(self, seconds):
                self.now += seconds

        clock = Clock()
        monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
        monkeypatch.setattr(timing.Neighbours, "_now", staticmethod(lambda: None))
        return clock

    def test_turns(self, clock):
        """One block each, in reverse order every other round; the settling time is not counted."""
        order = []

        def runner(name, seconds):
            def run():
                order.append(name)
                clock.pass_(seconds)

            return run

        contestants = {"slow": runner("slow", 1.0), "fast": runner("fast", 0.25)}
        spreads = timing.interleaved(contestants, repeats=2, settle=2.0, block=4.0)
        assert spreads["slow"] == Spread(1, 1, 1, 2 * 4)
        assert spreads["fast"] == Spread(0.25, 0.25, 0.25, 2 * 16)
        turns = [name for k, name in enumerate(order) if k == 0 or order[k - 1] != name]
        assert turns == ["slow", "fast", "slow", "fast", "slow"]  # two calls of each come first
        assert order.count("slow") == 2 + 2 * (2 + 4)

    def test_the_first_of_a_block_does_not_count(self, clock):
        """Each block's first call here waits for spinning threads of the previous contestant."""
        last = [""]

        def runner(name):
            def run():
                clock.pass_(0.25 if last[0] == name else 0.75)
                last[0] = name

            return run

        contestants = {"a": runner("a"), "b": runner("b")}
        assert timing.interleaved(contestants, 3, 1.0, 1.0)["a"][:3] == (0.25, 0.25, 0.25)
        assert timing.interleaved(contestants, 3, 0.0, 0.25)["a"].median == 0.75

    def test_a_block_has_a_call_at_least(self, clock):
        assert timing.interleaved({"a": lambda: clock.pass_(9)}, 3, 0.0, 0.0)["a"].runs == 3

    def test_short_calls_are_timed_several_at_once(self, clock):
        calls = []

        def short():
            calls.append(0)
            clock.pass_(1e-6)

        found = timing.interleaved({"short": short}, 2, 0.0, 0.0)["short"]
        assert found.median == pytest.approx(1e-6)
        assert 2 + 2 * 15 < len(calls) <= 2 + 2 * 20

    def test_the_fastest_call(self, clock):
        seconds = iter([3.0, 2.0, 4.0, 1.5, 9.0, 9.0])
        assert timing.fastest(lambda: clock.pass_(next(seconds)), 5.0) == 1.5


class TestMachine:
    def test_neighbours(self, monkeypatch):
        readings = iter([(100.0, 10.0, 5.0), (110.0, 16.0, 8.0)])
        monkeypatch.setattr(timing.Neighbours, "_now", staticmethod(lambda: next(readings)))
        with timing.Neighbours() as others:
            pass
        assert others.share == pytest.approx(0.3)  # 6 s busy, of them 3 its own, of 10
        assert "30%" in str(others)
        assert "measure again" in str(others)

    def test_neighbours_where_the_system_does_not_tell(self, monkeypatch):
        monkeypatch.setattr(timing.Neighbours, "_now", staticmethod(lambda: None))
        with timing.Neighbours() as others:
            pass
        assert others.share is None
        assert "not known" in str(others)

    @LINUX
    def test_memory(self):
        # in a new process, which has no freed memory that an array could reuse
        code = """
import time
import numpy as np
from benchmarks import timing
before, size = timing.peak_memory(), 60 << 20
with timing.Held() as held:
    a = np.ones(size // 8)
    time.sleep(0.05)
    del a
assert held.before + 0.9 * size < held.most < held.before + 1.5 * size, held
assert timing.peak_memory() >= max(before, held.most)
"""
        subprocess.run(
            [sys.executable, "-c", code], check=True, cwd=Path(timing.__file__).parents[1]
        )

    def test_threads(self, monkeypatch):
        for name in (*timing.THREADS, "XLA_FLAGS"):
            monkeypatch.setenv(name, "")
        timing.limit_threads(1)
        environment = importlib.import_module("os").environ
        assert {environment[name] for name in timing.THREADS} == {"1"}
        assert "multi_thread_eigen=false" in environment["XLA_FLAGS"]


class TestRace:
    def test_who_sees_other_losses_is_named(self):
        steps = {"tinyae": lambda: 1.0, "PyTorch eager": lambda: 1.00001}
        train_step.same_losses(steps, 1e-4)
        for other in (1.001, float("nan")):
            with pytest.raises(ValueError, match="PyTorch eager"):
                train_step.same_losses({**steps, "PyTorch eager": lambda x=other: x}, 1e-4)

    def test_who_gives_another_output_is_named(self):
        want = np.zeros((2, 3), np.float32)
        latency.same_output({"tinyae": lambda: want + 1e-6}, want)
        for other in (want + 1e-3, want[:1], want * np.nan):
            with pytest.raises(ValueError, match="PyTorch"):
                latency.same_output({"PyTorch": lambda x=other: x}, want)

    def test_the_ratio_is_the_best_peers(self):
        spreads = {"tinyae": Spread(1, 2, 3, 9), "A": Spread(5, 6, 7, 9), "B": Spread(4, 5, 6, 9)}
        assert train_step.line("row", spreads, ["tinyae", "C"])[2:] == ["–", "B", "2.50"]
        assert latency.ratio(spreads, "A") == "3.00"
        assert latency.ratio(spreads, "C") == "–"
        assert train_step.line("row", {"tinyae": spreads["tinyae"]}, [])[-1] == "–"

    def test_rows_are_chosen_by_network_or_by_name(self):
        assert [row for row, _, _ in train_step.races(["dense", "conv-32"], False)] == [
            *("dense-32", "dense-128", "dense-1024", "conv-32")
        ]
        assert len(train_step.races([], False)) == sum(len(n.batches) for n in NETWORKS.values())
        assert {n for _, _, n in train_step.races([], True)} == {8}

    def test_a_peer_that_is_absent_is_named(self, monkeypatch, capsys):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert peers.present("torch,jax", ["torch", "jax"]) == []
        assert "skipped: torch" in capsys.readouterr().out
        with pytest.raises(ValueError, match="'cupy'"):
            peers.present("cupy", ["torch"])
        assert peers.present("", ["torch"]) == []


@pytest.mark.parametrize("key", NETWORKS)
def test_networks_are_what_their_titles_say(key):
    network = NETWORKS[key]
    model, again, x = network.model(), network.model(), network.data(3)
    for p, q in zip(model.params.values(), again.params.values()):
        np.testing.assert_array_equal(p.value, q.value)
    assert x.dtype == np.float32
    assert model.reconstruct(x).shape == x.shape
    shapes = [p.shape for p in model.params.values()]
    numbers = {int(n) for n in network.title.rpartition(" ")[2].split("-")}
    assert numbers <= {n for shape in shapes for n in shape[:2]}  # layers' widths, or channels
    if not any(len(shape) == 4 for shape in shapes):
        assert numbers == {n for shape in shapes if len(shape) == 2 for n in shape}


class TestKernels:
    def test_every_kernel_has_a_call(self):
        calls = list(kernels.other_calls(4))
        assert {call.kernel for call in calls} == set(kernels.public())
        for call in calls:
            assert kernel_calls.bytes_moved(call, kernels.ready(REFERENCE[call.kernel], call)()) > 0

    def test_a_step_is_recorded_and_the_kernels_are_put_back(self):
        import tinyae as ta

        before = {name: getattr(ta.kernels, name) for name in kernels.public()}
        network = NETWORKS["dense"]
        step = train_step.our_step(network, network.data(4))
        calls = kernels.calls_of(step)
        assert {"affine 4×784 64×784 64", "relu 4×64", "sigmoid 4×784"} <= set(calls)
        assert not any(call.kernel == "mlp" for call in calls.values())  # too few samples to fuse
        calls = kernels.calls_of(train_step.our_step(network, network.data(16)))
        assert {"mlp 16×784-64", "mlp_backward 16×64-784 dx", "relu 16×64"} <= set(calls)
        whole = calls["mlp_backprop 16×784-64-784 mse"]
        assert kernel_calls.operations(whole, None) == 10 * 16 * 784 * 64
        assert kernel_calls.operations(calls["mlp 16×784-64"], None) == 2 * 16 * 784 * 64
        assert (
            kernel_calls.operations(calls["mlp_backward 16×64-784 dx"], None) == 4 * 16 * 784 * 64
        )
        assert kernel_calls.operations(calls["mlp_backward 16×784-64"], None) == 2 * 16 * 784 * 64
        assert {name: getattr(ta.kernels, name) for name in before} == before

        def failing():
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            kernels.calls_of(failing)
        assert {name: getattr(ta.kernels, name) for name in before} == before

    def test_arguments_are_as_they_began(self):
        """An in-place step changes its arrays; the record holds copies from before."""
        network = NETWORKS["dense"]
        step = train_step.our_step(network, network.data(4))
        step()
        (adam,) = (c for c in kernels.calls_of(step).values() if c.kernel == "adam")
        assert str(adam) == "adam 101,200 in 4 arrays"
        grads = [row[1] for row in adam.arguments[0]]
        assert all(grad.any() for grad in grads)
        run = kernels.ready(REFERENCE["adam"], adam)
        run()
        assert all(grad.any() for grad in grads)  # it ran on its own arrays

    @pytest.mark.parametrize(
        ("kernel", "shapes", "more", "want"),
        [
            ("matmul", [(2, 3), (3, 5)], (), 2 * 2 * 3 * 5),
            ("matmul_nt", [(2, 3), (5, 3)], (), 2 * 2 * 3 * 5),
            ("matmul_tn", [(3, 2), (3, 5)], (), 2 * 2 * 3 * 5),
            ("affine", [(2, 3), (5, 3), (5,)], (), 2 * 2 * 3 * 5),
            ("affine_grad", [(2, 5), (2, 3), (5, 3), (5,)], (), 2 * 2 * 3 * 5),
            ("conv2d", [(2, 3, 6, 6), (4, 3, 3, 3)], ((1, 1), (1, 1, 1, 1)), 2 * 288 * 27),
            (
                "conv2d_input_grad",
                [(2, 4, 6, 6), (4, 3, 3, 3)],
                ((1, 1), (1, 1, 1, 1), (6, 6)),
                2 * 288 * 27,
            ),
            (
                "conv2d_weight_grad",
                [(2, 3, 6, 6), (2, 4, 6, 6)],
                ((1, 1), (1, 1, 1, 1), (3, 3)),
                2 * 288 * 27,
            ),
            ("relu", [(2, 3)], (), 0),
        ],
    )
    def test_operations(self, kernel, shapes, more, want):
        call = Call(kernel, (*(np.ones(s, np.float32) for s in shapes), *more))
        assert kernel_calls.operations(call, REFERENCE[kernel](*call.arguments)) == want

    def test_bytes(self):
        a = np.ones((3, 5), np.float32)
        assert kernel_calls.bytes_moved(Call("relu", (a,)), a) == 2 * 60
        assert kernel_calls.bytes_moved(Call("mse", (a, a)), (1.0, a)) == 3 * 60
        y, b = np.ones((2, 3, 4, 4), np.float32), np.ones(3, np.float32)
        assert kernel_calls.bytes_moved(Call("bias_grad", (y, b)), None) == 384 + 2 * 12
        assert kernel_calls.bytes_moved(Call("affine_grad", (a, a, b, b)), None) == 2 * 60 + 4 * 12
        rows = importlib.import_module("tinyae.kernels.reference").ParamGroup([(a, a, a, a)])
        assert kernel_calls.bytes_moved(Call("adam", (rows, 1e-3)), None) == 2 * 4 * 60

    def test_the_copy_rate_is_read_between_the_sizes_measured(self):
        machine = floor.Machine(1e9, "NumPy", [(100, 1.0), (400, 2.0)])
        assert machine.seconds_to_move(10) == 1
        assert machine.seconds_to_move(200) == pytest.approx(2**0.5)
        assert machine.seconds_to_move(800) == pytest.approx(4)

    def test_a_floor_is_the_larger_of_operations_and_bytes(self):
        machine = floor.Machine(1e9, "NumPy", [(100, 1.0), (400, 2.0)])
        assert floor.Work(5 * 10**9, 100).columns(machine, 10.0, 1) == ["5.00", "50%", "operations"]
        assert floor.Work(5 * 10**8, 800).columns(machine, 5.0, 1e3) == ["4,000", "80%", "bytes"]
        assert "peak 1 GFLOP/s (NumPy)" in str(machine)

    @pytest.mark.parametrize(
        ("key", "products"),
        [
            # Forward, dW, and dx of all layers but the first.
            ("dense", 784 * 64 * (2 + 2 + 1)),
            # Two heads, whose sum is the encoder's gradient.
            ("vae", 784 * 500 * (2 + 2 + 1) + 500 * 20 * 9),
            # The layers' sizes, times the outputs each sees; a transposed one sees its inputs.
            (
                "conv",
                196 * 9 * 16 * 2 + 3 * (49 * 9 * (16 * 8 + 8 * 8) + 196 * 72 * 16 + 784 * 144),
            ),
        ],
    )
    def test_the_operations_of_a_step(self, key, products):
        network = NETWORKS[key]
        model, x = network.model(), network.data(4)
        work = floor.work_of_step(model, x)
        assert work.operations == 2 * 4 * products
        assert work.size == x.nbytes + 6 * 4 * sum(p.size for p in model.params.values())
        assert not any(p.grad.any() for p in model.params.values())

    def test_the_operations_of_a_reconstruction(self):
        network = NETWORKS["dense"]
        x = network.data(4)
        work = floor.work_of_inference(network.model(), x)
        assert work == (2 * 4 * 784 * 64 * 2, 4 * (2 * x.size + 2 * 784 * 64 + 784 + 64))

    def test_moments_do_not_decay_to_subnormal_numbers(self):
        call = next(c for c in kernels.other_calls(1) if c.kernel == "adam")
        given = call.arguments[0]
        small = Call("adam", (type(given)([tuple(a[:2] for a in given[0])]), *call.arguments[1:]))
        seen = []

        def adam(rows, *numbers):
            REFERENCE["adam"](rows, *numbers)
            seen.append(rows[0][2].max())

        run = kernels.ready(adam, small)
        for _ in range(3000):
            run()
        assert min(seen) > 1e-13


REFERENCE = vars(importlib.import_module("tinyae.kernels.reference"))
