"""More rows than memory, more than one machine: tinyae on Dask (``pip install "tinyae[dask]"``).

    import dask.array as da
    from dask.distributed import Client
    from tinyae import distributed

    x = da.from_npy_stack("rows/")                    # or from_zarr, read_parquet(…).to_dask_array()
    codes = distributed.encode(model, x)              # lazy: a Dask array
    errors = distributed.score(model, x)              # computed a block at a time when asked for
    with Client("scheduler:8786") as client:
        history = distributed.fit(model, x, client=client, epochs=10, batch_size=4096)

``lazy``       encode and score over Dask arrays and DataFrames
``training``   fit: every worker computes the gradient of its rows, or takes steps of its own
``worker``     what runs on a worker

``python benchmarks/scale.py --only workers`` says at what size of network and batch this pays.

A search over settings needs nothing of tinyae: scikit-learn's goes through joblib, and joblib through
Dask::

    with joblib.parallel_config("dask"):
        GridSearchCV(AutoencoderTransformer(random_state=0), {"latent_dim": [2, 4, 8]}).fit(table)
"""

try:
    import dask.array  # noqa: F401
    import distributed  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"tinyae.distributed needs Dask ({error}); install it with: "
        'pip install "dask[array,dataframe,distributed]"'
    ) from None

from tinyae.distributed.lazy import encode, score
from tinyae.distributed.training import fit

__all__ = ["encode", "fit", "score"]
