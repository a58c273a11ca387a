"""The mutation bank: every broken backward is caught, and the gradient doctor is right about it.

The doctor is judged on the half that it was not tuned on; ``python -m tests.mutations`` shows both
halves, by kind, with times.
"""

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from mutations import BANK, FUSED, Mutation, library
from mutations.mutation import Case
from mutations.suite import files_of
from mutations.verdict import diagnosed, verdict

from tinyae import catalog, fusion, gradcheck, kernels

every_mutation = pytest.mark.parametrize("mutation", BANK, ids=lambda m: m.name)
LAYERS = [m for m in BANK if m.file.startswith("layers/")]


def checked(case: Case, max_entries: int = 4) -> gradcheck.Report:
    if case.kind == "loss":
        return gradcheck.check_loss(case.subject, case.x, case.target, max_entries=max_entries)
    check = gradcheck.check_model if case.kind == "model" else gradcheck.check
    return check(case.subject, case.x, max_entries=max_entries)


# --- the bank itself ----------------------------------------------------------------------------


def test_the_bank_is_large_and_its_names_differ():
    names = [m.name for m in BANK]
    assert len(names) == len(set(names)) >= 150
    tuned = sum(m.tuned for m in BANK)
    assert 0.4 <= tuned / len(BANK) <= 0.6
    edits = {(m.file, m.where, m.old, m.new, m.subject) for m in BANK}
    assert len(edits) == len(BANK)


def test_every_file_that_differentiates_is_in_the_bank():
    mutated = {m.file for m in BANK}
    layers = (
        "activation branches compose conv conv1d convolution dense gated glu global_pool group_norm"
    )
    layers += " noise norm pool pool1d prelu rms_norm shape softmax topk upsample"
    models = "autoencoder classifier conditional contractive denoising sparse variational"
    players = "gan_losses gan_players wasserstein_gan cyclegan stargan"
    assert {f"layers/{name}.py" for name in layers.split()} <= mutated
    assert {f"models/{name}.py" for name in f"{models} {players}".split()} <= mutated
    assert {"losses.py", "likelihoods.py", "kernels/reference.py"} <= mutated
    assert all(files_of(file) for file in mutated)


def test_every_twin_is_in_the_bank():
    """``python -m tests.mutations --suite --only twin:`` checks that each makes a test fail."""
    assert len({m.name for m in (*BANK, *FUSED)}) == len(BANK) + len(FUSED)
    for mutation in FUSED:
        assert mutation.patched() != mutation.source()
        assert files_of(mutation.file)[0] in ("test_fusion.py", "test_kernels.py")
    edited = {(m.file, m.where) for m in FUSED}
    for twin in fusion.TWINS.values():
        file = twin.__module__.removeprefix("tinyae.").replace(".", "/") + ".py"
        assert twin.__name__ in ("params", "forward") or (file, twin.__name__) in edited


def test_an_edit_that_no_longer_fits_is_noticed():
    lost = copy.copy(BANK[0])
    object.__setattr__(lost, "old", "no such text")
    with pytest.raises(LookupError, match="0 times"):
        lost.case()
    object.__setattr__(lost, "where", "Dense.no_such_method")
    with pytest.raises(LookupError, match="any more"):
        lost.case()


def test_the_library_stays_as_it_is():
    def functions():
        return {
            (c, k): f for c in vars(library()).values() for k, f in vars(c).items() if callable(f)
        }

    before = functions()
    for mutation in BANK[::9]:
        mutation.case()
    assert functions() == before


@pytest.mark.parametrize("subject", list(dict.fromkeys(m.subject for m in BANK)))
def test_without_the_mutation_every_gradient_is_right(subject):
    case = subject(library())
    report = checked(case)
    assert report.ok, report


# --- the gradient check sees every one -----------------------------------------------------------


def wrong(report: gradcheck.Report) -> set[str]:
    return {row.name for row in report.rows if row.verdict != "pass"}


def gradients(layer, inputs, of):
    """The gradients of one of several passes: forward through all, then backward through one."""
    layer = copy.deepcopy(layer)
    passes = [layer.forward(x) for x in inputs]
    y, cache = passes[of]
    dx = layer.backward(np.random.default_rng(0).normal(size=y.shape), cache)
    return [dx, *(p.grad for p in layer.params.values())]


def spoilt_by_another_forward(case: Case) -> bool:
    x, other = case.x, 2 * case.x[::-1] + 1
    alone = gradients(case.subject, [x], 0)
    crossed = gradients(case.subject, [x, other], 0), gradients(case.subject, [other, x], 1)
    return not all(np.array_equal(a, b) for g in crossed for a, b in zip(alone, g))


@every_mutation
def test_the_gradient_check_catches_it(mutation: Mutation):
    case = mutation.case()
    with kernels.use("numpy"):
        if mutation.seen_by == "two forwards":
            assert all(name.endswith("after a step") for name in wrong(checked(case)))
            assert spoilt_by_another_forward(case)
        else:
            assert wrong(checked(case)) == set(mutation.wrong)


@pytest.mark.parametrize("mutation", LAYERS, ids=lambda m: m.name)
def test_with_jitted_kernels_too(mutation: Mutation):
    pytest.importorskip("numba", reason="the kernel set 'numba' needs numba: pip install numba")
    case = mutation.case()
    with kernels.use("numba"):
        report = checked(case, max_entries=3)
        assert not report.ok or spoilt_by_another_forward(case)


# --- the doctor ----------------------------------------------------------------------------------


# Games, and models of many parts whose gradients meet: what is wrong lies far from where it shows.
OF_WHOLE_MODELS = {
    f"models/{name}.py"
    for name in (
        *("wasserstein_gan", "gan_r1", "cyclegan", "stargan", "adversarial", "vqvae", "vqgan"),
        *("importance_weighted", "wasserstein", "mmd", "dictionary", "masked", "code_prior"),
        *("diffusion", "diffusion_autoencoder"),
    )
}


def test_the_doctor_is_right_where_it_was_not_tuned():
    untuned = [m for m in BANK if not m.tuned]
    verdicts = {m.name: verdict(m, diagnosed(m.case())) for m in untuned}
    right = [name for name, value in verdicts.items() if value == "right"]
    misleading = [name for name, value in verdicts.items() if value == "misleading"]
    whole = [m.name for m in untuned if m.file in OF_WHOLE_MODELS]
    others = [m.name for m in untuned if m.file not in OF_WHOLE_MODELS]
    assert len(set(right) & set(others)) >= 0.80 * len(others), sorted(set(others) - set(right))
    assert len(set(right) & set(whole)) >= 0.5 * len(whole), sorted(set(whole) - set(right))
    assert len(misleading) <= 0.03 * len(untuned), misleading


def correct_cases(number):
    """Random catalog layers, losses and models; every third has some entries at a kink."""
    rng = np.random.default_rng(7)
    rows = [*catalog.LAYERS, *catalog.LOSSES, *catalog.MODELS]
    integers = catalog.integers_from(rng)
    for i in range(number):
        row = rows[i % len(rows)]
        case = Case(*row.draw(integers, rng))
        kinks = rng.random(np.shape(case.x)) < 0.2 if case.kind != "model" else False
        if i % 3 == 0 and case.kind == "layer":
            case.x[kinks] = 0  # the kink of ReLU; for a max pool, a tie
        if i % 3 == 0 and case.kind == "loss":
            case.x[kinks] = case.target[kinks]  # the kink of |y − t|
        yield row.name, case


@pytest.mark.parametrize("part", range(5))
def test_no_false_alarm_in_500_correct_cases(part):
    for name, case in itertools.islice(correct_cases(500), part, None, 5):
        diagnosis = diagnosed(case)
        assert diagnosis.ok, f"{name}: {diagnosis}"


def test_a_verdict_needs_the_tensor_the_kind_and_the_word():
    mutation = next(m for m in BANK if m.name == "dense: dW is a mean over the batch")

    def said(tensor, kind, name="", message="", line=""):
        finding = SimpleNamespace(tensor=tensor, kind=kind, name=name, message=message, line=line)
        return verdict(mutation, SimpleNamespace(findings=[finding]))

    assert said("dW", "factor", "1/N") == said("dW", "factor", message="1/N, with N = 7") == "right"
    assert said("dW", "line", line="self.W.grad += kernels.matmul_tn(dy, x) / len(x)") == "right"
    for wrong in (
        ("db", "factor", "1/N"),
        ("dW", "factor", "1/(N*D)"),
        ("dW", "factor", "N"),
        ("dW", "factor", "-1/N"),
        ("dW", "offset", "1/N"),
    ):
        assert said(*wrong) == "misleading"
    assert said("dW", "line", line="return y, x") == "misleading"
    assert said("dW", "unknown") == "unknown"
    assert verdict(mutation, SimpleNamespace(findings=[])) == "misleading"
