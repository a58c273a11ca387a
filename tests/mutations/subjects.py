"""The subjects of the mutations: small, float64, and with pairwise different primes as lengths
where a wrong factor could come from a length. ``t`` is the library, mutated or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .mutation import Case, normal

Subject = Callable[[Any], Case]


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def drawn(module: Any, scale: float = 0.7) -> Any:
    """Convert to float64 and move every parameter from its initial value (b = 0, γ = 1)."""
    module, r = module.astype(np.float64), rng()
    for p in module.params.values():
        p.value[...] += scale * r.normal(size=p.shape)
    return module


def layer(build: Callable[[Any], Any], *shape: int) -> Subject:
    return lambda t: Case(drawn(build(t)), normal(1, *shape))


def model(build: Callable[[Any], Any], *shape: int) -> Subject:
    """A model and a batch in (0, 1)."""

    def case(t: Any) -> Case:
        x = np.random.default_rng(2).uniform(0.05, 0.95, shape)
        return Case(drawn(build(t), 0.2), x)

    return case


def labelled(build: Callable[[Any], Any], classes: int, *shape: int) -> Subject:
    def case(t: Any) -> Case:
        given = model(build, *shape)(t)
        labels = np.random.default_rng(3).permutation(np.arange(shape[0]) % classes)
        return Case(given.subject, (given.x, labels))

    return case


def loss(build: Callable[[Any], Any], *shape: int, features: int = 1) -> Subject:
    """A loss of any real y; axis 1 of y is ``features`` times as long as the target's."""

    def case(t: Any) -> Case:
        r = np.random.default_rng(4)
        y = r.normal(size=(shape[0], features * shape[1], *shape[2:]))
        return Case(build(t), y, r.uniform(0.05, 0.95, shape))

    return case


def probabilities(build: Callable[[Any], Any], *shape: int) -> Subject:
    def case(t: Any) -> Case:
        r = np.random.default_rng(4)
        return Case(build(t), r.uniform(0.1, 0.9, shape), r.uniform(0.05, 0.95, shape))

    return case


# --- layers ---------------------------------------------------------------------------------

DENSE = layer(lambda t: t.Dense(3, 5, rng=rng()), 7, 3)
TIED = layer(lambda t: t.TiedDense(t.Dense(5, 3, rng=rng())), 7, 3)


def _tied_pair(t: Any) -> Any:
    dense = t.Dense(5, 3, rng=rng())
    return t.Sequential(dense, t.Tanh(), t.TiedDense(dense))


TIED_PAIR = layer(_tied_pair, 7, 5)


def activation(name: str, *args: Any) -> Subject:
    return layer(lambda t: getattr(t, name)(*args), 7, 5)


HARD_SIGMOID = activation("HardSigmoid", 0.4)  # with its kinks at ±1.25, among the entries of x
PRELU = layer(lambda t: t.PReLU(3), 7, 3, 5)
TOP_K = layer(lambda t: t.TopK(3), 7, 5)
DROPOUT = layer(lambda t: t.Dropout(0.3, rng=rng()), 7, 5)
FLATTEN = layer(lambda t: t.Flatten(), 7, 3, 5)
RESHAPE = layer(lambda t: t.Reshape(3, 5), 7, 15)
UPSAMPLE = layer(lambda t: t.Upsample2d((2, 3)), 2, 3, 5, 7)

CONV = layer(lambda t: t.Conv2d(3, 5, 3, 1, 1, rng=rng()), 2, 3, 7, 5)
CONV_PADDED = layer(lambda t: t.Conv2d(3, 2, (3, 2), 1, (2, 1), rng=rng()), 2, 3, 7, 5)
CONV_STRIDE = layer(lambda t: t.Conv2d(3, 2, (3, 2), 2, 1, rng=rng()), 2, 3, 7, 5)
CONV_T = layer(lambda t: t.ConvTranspose2d(3, 5, 3, 2, 1, rng=rng()), 2, 3, 4, 3)
MAX_POOL = layer(lambda t: t.MaxPool2d((3, 2), 3), 2, 3, 11, 7)
MAX_POOL_OVERLAP = layer(lambda t: t.MaxPool2d((3, 2), (1, 1)), 2, 3, 7, 5)
AVG_POOL = layer(lambda t: t.AvgPool2d((3, 2)), 2, 5, 9, 7)
AVG_POOL_OVERLAP = layer(lambda t: t.AvgPool2d((3, 2), (2, 1)), 2, 3, 7, 5)
CONV_1D = layer(lambda t: t.Conv1d(3, 5, 3, 2, 1, rng=rng()), 7, 3, 11)
CONV_T_1D = layer(lambda t: t.ConvTranspose1d(3, 5, 3, 2, 1, rng=rng()), 7, 3, 11)
MAX_POOL_1D = layer(lambda t: t.MaxPool1d(3, 2), 7, 3, 11)
AVG_POOL_1D = layer(lambda t: t.AvgPool1d(3, 2, 1), 7, 3, 11)
BILINEAR = layer(lambda t: t.Upsample2d((2, 3), "bilinear"), 2, 3, 5, 7)
GLU = layer(lambda t: t.GLU(), 5, 6, 3)
UPSAMPLE_1D = layer(lambda t: t.Upsample1d(3), 7, 2, 5)
MAX_POOL_PADDED = layer(lambda t: t.MaxPool2d((3, 2), 2, (2, 1)), 2, 3, 7, 5)
AVG_POOL_PADDED = layer(lambda t: t.AvgPool2d((3, 2), 2, (2, 1)), 2, 3, 7, 5)
GLOBAL_AVG_POOL = layer(lambda t: t.GlobalAvgPool2d(), 2, 3, 7, 5)
GLOBAL_MAX_POOL = layer(lambda t: t.GlobalMaxPool2d(), 2, 3, 7, 5)
PIXEL_SHUFFLE = layer(lambda t: t.PixelShuffle(2), 2, 12, 3, 5)
PAD = layer(lambda t: t.Pad2d((2, 0, 1, 3)), 2, 3, 5, 7)
PAD_REFLECT = layer(lambda t: t.Pad2d((2, 1, 0, 3), mode="reflect"), 2, 3, 5, 7)

BATCH_NORM = layer(lambda t: t.BatchNorm(3, eps=0.01), 7, 3)
BATCH_NORM_IMAGES = layer(lambda t: t.BatchNorm(3, eps=0.01), 2, 3, 7, 5)
LAYER_NORM = layer(lambda t: t.LayerNorm(5, eps=0.01), 7, 5)
LAYER_NORM_IMAGES = layer(lambda t: t.LayerNorm((3, 5), eps=0.01), 7, 2, 3, 5)

GROUP_NORM = layer(lambda t: t.GroupNorm(3, 6, eps=0.01), 7, 6, 5)
INSTANCE_NORM = layer(lambda t: t.InstanceNorm(3, eps=0.01), 2, 3, 7, 5)
RMS_NORM = layer(lambda t: t.RMSNorm(5, eps=0.01), 7, 5)
PIXEL_NORM = layer(lambda t: t.PixelNorm(eps=0.01), 2, 3, 7, 5)

CHAIN = layer(lambda t: t.Sequential(t.Tanh(), t.Softplus(), t.Sigmoid()), 7, 5)
NETWORK = layer(
    lambda t: t.Sequential(
        t.Dense(3, 5, rng=rng()), t.Tanh(), t.Dense(5, 2, rng=rng()), t.Sigmoid()
    ),
    7,
    3,
)
RESIDUAL = layer(lambda t: t.Residual(t.Sequential(t.Dense(5, 5, rng=rng()), t.Tanh())), 7, 5)
SKIP = layer(lambda t: t.Skip(t.Sequential(t.Dense(3, 5, rng=rng()), t.Tanh())), 7, 3)
SKIP_EVEN = layer(lambda t: t.Skip(t.Sequential(t.Dense(5, 5, rng=rng()), t.Tanh())), 7, 5)
PARALLEL = layer(
    lambda t: t.Parallel(t.Dense(3, 2, rng=rng()), t.Sigmoid(), t.Dense(3, 5, rng=rng())), 7, 3
)
PARALLEL_EVEN = layer(
    lambda t: t.Parallel(t.Dense(3, 5, rng=rng()), t.Dense(3, 5, rng=rng())), 7, 3
)

# --- losses and likelihoods -------------------------------------------------------------------

MSE = loss(lambda t: t.MSE(), 7, 5)
L1 = loss(lambda t: t.L1(), 7, 5)
HUBER = loss(lambda t: t.Huber(0.7), 7, 5)
BCE = probabilities(lambda t: t.BCE(), 7, 5)
LOGITS = loss(lambda t: t.BCEWithLogits(), 7, 5)
BERNOULLI = loss(lambda t: t.Bernoulli(), 7, 5)
GAUSSIAN = loss(lambda t: t.Gaussian(0.7), 7, 5)
LEARNT_GAUSSIAN = loss(lambda t: t.LearntGaussian(0.7, dtype=np.float64), 7, 5)
HETEROSCEDASTIC = loss(lambda t: t.HeteroscedasticGaussian((-0.7, 0.9)), 7, 5, features=2)
LAPLACE = loss(lambda t: t.Laplace(0.7), 7, 5)

# --- models -----------------------------------------------------------------------------------


def _dense_parts(t: Any, last: str = "Sigmoid", code: str = "Tanh") -> tuple[Any, Any]:
    encoder = t.Sequential(t.Dense(5, 3, rng=rng()), getattr(t, code)())
    decoder = t.Sequential(t.Dense(3, 5, rng=rng()), getattr(t, last)())
    return encoder, decoder


def _deep_parts(t: Any) -> tuple[Any, Any]:
    encoder = t.Sequential(t.Dense(5, 3, rng=rng()), t.ELU(), t.Dense(3, 2, rng=rng()))
    decoder = t.Sequential(t.Dense(2, 3, rng=rng()), t.Tanh(), t.Dense(3, 5, rng=rng()))
    return encoder, decoder


PLAIN = model(lambda t: t.Autoencoder(*_deep_parts(t), t.MSE()), 7, 5)


def _tied(t: Any) -> Any:
    dense = t.Dense(5, 3, rng=rng())
    decoder = t.Sequential(t.TiedDense(dense), t.Sigmoid())
    return t.Autoencoder(t.Sequential(dense, t.Tanh()), decoder, t.BCE())


TIED_MODEL = model(_tied, 7, 5)


def _conv_model(t: Any) -> Any:
    encoder = t.Sequential(t.Conv2d(1, 2, 3, 1, 1, rng=rng()), t.Tanh(), t.AvgPool2d(2))
    decoder = t.Sequential(t.Upsample2d(2), t.ConvTranspose2d(2, 1, 3, 1, 1, rng=rng()))
    return t.Autoencoder(encoder, decoder, t.BCEWithLogits())


CONV_MODEL = model(_conv_model, 3, 1, 4, 4)


def _denoising(t: Any) -> Any:
    from tinyae.data.corruption import GaussianNoise

    return t.DenoisingAutoencoder(*_dense_parts(t), t.MSE(), GaussianNoise(0.3))


DENOISING = model(_denoising, 7, 5)


def sparse(penalty: Callable[[Any], Any]) -> Subject:
    return model(
        lambda t: t.SparseAutoencoder(*_dense_parts(t, code="Sigmoid"), t.MSE(), penalty(t)), 7, 5
    )


SPARSE_L1 = sparse(lambda t: t.L1Sparsity(0.3))
SPARSE_KL = sparse(lambda t: t.KLSparsity(0.2, 0.3))


def contractive(code: str) -> Subject:
    """One layer: the closed form."""
    return model(
        lambda t: t.ContractiveAutoencoder(*_dense_parts(t, code=code), t.MSE(), 0.3), 7, 5
    )


def _contractive_deep(t: Any) -> Any:
    encoder = t.Sequential(
        t.Dense(5, 3, rng=rng()), t.Tanh(), t.Dense(3, 2, rng=rng()), t.Softplus()
    )
    decoder = t.Sequential(t.Dense(2, 5, rng=rng()), t.Sigmoid())
    return t.ContractiveAutoencoder(encoder, decoder, t.MSE(), 0.3)


CONTRACTIVE_ROWS = model(_contractive_deep, 7, 5)


def _contractive_wide(t: Any) -> Any:
    encoder = t.Sequential(
        t.Dense(2, 3, rng=rng()), t.Tanh(), t.Dense(3, 5, rng=rng()), t.Softplus()
    )
    return t.ContractiveAutoencoder(encoder, t.Dense(5, 2, rng=rng()), t.MSE(), 0.3)


CONTRACTIVE_COLUMNS = model(_contractive_wide, 7, 2)


def _variational(t: Any, likelihood: Any, **more: Any) -> Any:
    encoder = t.Sequential(t.Dense(5, 4, rng=rng()), t.Tanh())
    heads = t.Dense(4, 3, rng=rng()), t.Dense(4, 3, rng=np.random.default_rng(6))
    decoder = t.Dense(3, 5, rng=rng())
    return t.VariationalAutoencoder(encoder, *heads, decoder, likelihood, 0.7, **more)


VARIATIONAL = model(lambda t: _variational(t, t.Bernoulli()), 7, 5)
VARIATIONAL_LEARNT = model(lambda t: _variational(t, t.LearntGaussian(0.7)), 7, 5)
VARIATIONAL_CLIPPED = model(
    lambda t: _variational(t, t.Bernoulli(), logvar_range=(-0.3, 0.3)), 7, 5
)
VARIATIONAL_FREE = model(lambda t: _variational(t, t.Bernoulli(), free_bits=0.12), 7, 5)


def _conditional(t: Any) -> Any:
    encoder = t.Sequential(t.Dense(5, 4, rng=rng()), t.Tanh())
    heads = t.Dense(4 + 2, 3, rng=rng()), t.Dense(4 + 2, 3, rng=np.random.default_rng(6))
    decoder = t.Dense(3 + 2, 5, rng=rng())
    return t.ConditionalVariationalAutoencoder(encoder, *heads, decoder, beta=0.7, classes=2)


CONDITIONAL = labelled(_conditional, 2, 7, 5)
CLASSIFIER = labelled(
    lambda t: t.Classifier(
        t.Sequential(t.Dense(5, 2, rng=rng()), t.Tanh(), t.Dense(2, 3, rng=rng()))
    ),
    3,
    7,
    5,
)


def _diffusion(t: Any) -> Any:
    network = t.Sequential(t.Dense(5 + 2, 5, rng=rng()), t.Tanh())
    return t.Diffusion(network, (5,), time_features=2, prediction=t.PredictVelocity())


def _diffusion_autoencoder(t: Any) -> Any:
    encoder = t.Sequential(t.Flatten(), t.Dense(6, 2, rng=rng()))
    network = t.Sequential(t.Conv2d(1 + 2 + 2, 1, 3, 1, 1, rng=rng()), t.Tanh())
    return t.DiffusionAutoencoder(encoder, network, (1, 2, 3), time_features=2)


DIFFUSION = model(_diffusion, 7, 5)
DIFFUSION_AUTOENCODER = model(_diffusion_autoencoder, 7, 1, 2, 3)


def _gan(t: Any, generator_loss: str) -> Any:
    generator = t.Sequential(
        t.Dense(2, 3, rng=rng()), t.ELU(), t.Dense(3, 5, rng=rng()), t.Sigmoid()
    )
    discriminator = t.Sequential(t.Dense(5, 3, rng=rng()), t.Tanh(), t.Dense(3, 1, rng=rng()))
    return t.GAN(generator, discriminator, getattr(t, generator_loss)(), real_label=0.9)


def player(name: str, generator_loss: str = "NonSaturating") -> Subject:
    def case(t: Any) -> Case:
        x = np.random.default_rng(2).uniform(0.05, 0.95, (7, 5))
        return Case(getattr(t, name)(drawn(_gan(t, generator_loss), 0.2)), x)

    return case


DISCRIMINATOR = player("DiscriminatorPlayer")
GENERATOR = player("GeneratorPlayer")
GENERATOR_SATURATING = player("GeneratorPlayer", "Saturating")


def _network(t: Any, *sizes: int) -> Any:
    a, b, c = sizes
    return t.Sequential(t.Dense(a, b, rng=rng()), t.Tanh(), t.Dense(b, c, rng=rng()))


def _wgan(t: Any) -> Any:
    return t.WassersteinGAN(_network(t, 2, 3, 5), _network(t, 5, 3, 1), 3.0)


def _cyclegan(t: Any) -> Any:
    parts = (_network(t, 5, k, out) for k, out in ((3, 5), (2, 5), (3, 1), (2, 1)))
    return t.CycleGAN(*parts, cycle=2.0, identity=3.0)


def _stargan(t: Any) -> Any:
    weights = {"classification": 2.0, "reconstruction": 3.0, "penalty": 0.7}
    return t.StarGAN(_network(t, 5 + 2, 3, 5), _network(t, 5, 3, 1 + 2), domains=2, **weights)


def of_game(game: Callable[[Any], Any], player: str, batch: str = "x") -> Subject:
    """A player of a game and its batch: samples, two sets of them, or samples and labels."""

    def case(t: Any) -> Case:
        x, y = np.random.default_rng(2).uniform(0.05, 0.95, (2, 7, 5))
        subject = getattr(t, player)(drawn(game(t), 0.2))
        return Case(subject, {"x": x, "pair": (x, y), "labels": (x, np.arange(7) % 2)}[batch])

    return case


CRITIC = of_game(_wgan, "CriticPlayer")
CYCLE_JUDGES = of_game(_cyclegan, "CycleDiscriminatorsPlayer", "pair")
TRANSLATORS = of_game(_cyclegan, "TranslatorsPlayer", "pair")
STAR_JUDGE = of_game(_stargan, "StarDiscriminatorPlayer", "labels")
STAR_GENERATOR = of_game(_stargan, "StarGeneratorPlayer", "labels")


def _r1(t: Any) -> Any:
    return t.R1GAN(_network(t, 2, 3, 5), _network(t, 5, 3, 1), r1=3.0, r1_samples=2)


def _adversarial(t: Any) -> Any:
    parts = t.Dense(5, 2, rng=rng()), t.Dense(2, 5, rng=rng()), t.MSE()
    return t.AdversarialAutoencoder(*parts, _network(t, 2, 3, 1), 0.7)


def _iwae(t: Any) -> Any:
    encoder = t.Sequential(t.Dense(5, 2, rng=rng()), t.Tanh())
    heads = t.Dense(2, 3, rng=rng()), t.Dense(2, 3, rng=np.random.default_rng(6))
    decoder = t.Dense(3, 5, rng=rng())
    return t.ImportanceWeightedAutoencoder(encoder, *heads, decoder, t.Bernoulli(), samples=2)


def _wae(t: Any) -> Any:
    parts = t.Dense(5, 2, rng=rng()), t.Dense(2, 5, rng=rng()), t.MSE()
    return t.WassersteinAutoencoder(*parts, 0.7, t.InverseMultiquadratic())


def _dictionary(t: Any) -> Any:
    built = t.TopKSAE(5, 11, 2, dead_k=3, rng=rng())
    built.idle[:6] = built.dead_after
    return built


def _diffusion(t: Any) -> Any:
    return t.Diffusion(_network(t, 5 + 2, 3, 5), (5,), time_features=2)


def _masked(t: Any) -> Any:
    return t.MaskedAutoencoder(
        (1, 2, 3), 1, dim=4, depth=1, heads=1, decoder_dim=4, masked=0.5, rng=rng()
    )


R1_JUDGE = of_game(_r1, "PenalizedDiscriminator")
CODE_JUDGE = of_game(_adversarial, "CodeDiscriminatorPlayer")
CODE_MAKER = of_game(_adversarial, "AutoencoderPlayer")
IWAE = model(_iwae, 7, 5)
WAE = model(_wae, 7, 5)
DICTIONARY = model(_dictionary, 7, 5)
DIFFUSION = model(_diffusion, 7, 5)
MASKED = model(_masked, 5, 1, 2, 3)


def _code_prior(t: Any) -> Case:
    """Of 7 rows, 3 codes each."""
    model = drawn(t.CodePrior(5, (3,), 2, dim=4, depth=1, heads=2, rng=rng()), 0.5)
    k = np.random.default_rng(2).integers(5, size=(7, 3))
    return Case(model, (k, np.random.default_rng(3).permutation(np.arange(7) % 2)))


def _vqgan(t: Any) -> Case:
    encoder = t.Sequential(t.Conv2d(1, 3, 2, 2, rng=rng()))
    decoder = t.Sequential(
        t.ConvTranspose2d(3, 2, 2, 2, rng=rng()), t.Tanh(), t.Conv2d(2, 1, 1, rng=rng())
    )
    discriminator = t.Sequential(
        t.Conv2d(1, 2, 2, rng=rng()), t.Tanh(), t.Conv2d(2, 1, 1, rng=rng())
    )
    model = drawn(t.VQGAN(encoder, decoder, t.MSE(), discriminator, 4, 3, commitment=2.0), 0.2)
    model.uses[...] = 1
    model.sums[...] = model.table[...] = rng().normal(size=(4, 3))
    return Case(
        t.ReconstructionPlayer(model), np.random.default_rng(2).uniform(0.05, 0.95, (7, 1, 4, 6))
    )


CODE_PRIOR: Subject = _code_prior
VQGAN: Subject = _vqgan
