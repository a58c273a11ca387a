"""Estimators for scikit-learn: a table in, codes, reconstructions or anomaly scores out.

    codes = AutoencoderTransformer(latent_dim=8).fit_transform(table)
    detector = AutoencoderDetector(false_positive_rate=0.01).fit(normal_rows)
    detector.predict(rows); detector.p_values(rows); detector.explain(rows)

``network``        an autoencoder that starts from PCA
``base``           settings, and what transformers share: fit, partial_fit, transform, score
``transformers``   the five kinds, each a few lines beyond the base
``distance``       how far a row lies from normal rows, by its code and its residual
``detector``       the anomaly detector, made of the five before

Inside this package, ``import sklearn`` is scikit-learn itself: imports are absolute.
"""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "tinyae.sklearn needs scikit-learn 1.6 or newer, which is not installed; "
        "run: pip install scikit-learn",
        name=error.name,
    ) from None

from tinyae.sklearn.detector import AutoencoderDetector
from tinyae.sklearn.transformers import (
    AutoencoderTransformer,
    ContractiveTransformer,
    DenoisingTransformer,
    SparseTransformer,
    VariationalTransformer,
)

__all__ = [
    "AutoencoderTransformer",
    "DenoisingTransformer",
    "SparseTransformer",
    "ContractiveTransformer",
    "VariationalTransformer",
    "AutoencoderDetector",
]
