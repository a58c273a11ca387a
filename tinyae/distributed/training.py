"""Training by many workers: the loop of :func:`tinyae.fit`, with a model whose gradient they compute.

The rows are dealt to the workers once and stay there. A batch is a list of row numbers, drawn as on one
machine. Each worker computes the gradient of those rows that it holds; the gradients are added two at
a time, and one optimizer steps. So a batch, its gradient and the result are those of
``tinyae.fit`` with the same seed, but for rounding, and for layers that draw or mix samples:

- noise (Dropout, a corruption, a VAE's ε) is drawn by each worker from a seed of its own
- BatchNorm takes the statistics of a worker's share; its running statistics are averaged

With ``average_every=K`` a worker takes K steps of its own before weights and moments are averaged:
1/K of the messages, for slow networks; no longer the result of one machine.

A worker that dies costs the work on its batch: Dask gives its rows to another from the array's graph,
and the batch is computed again.

Source    Dean et al. (2012), §4, and Goyal et al. (2017), §3, for gradients; Stich (2019), Local SGD,
          and McMahan et al. (2017), algorithm 1, for averaged weights
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from tinyae.arguments import positive_int
from tinyae.distributed import worker
from tinyae.distributed.worker import Share
from tinyae.models.base import Model, Terms
from tinyae.optim import Adam, Optimizer
from tinyae.param import Array, Param, unique
from tinyae.training import EarlyStopping, Epoch, History, ReduceLROnPlateau
from tinyae.training import fit as fit_here

_TRIES = 4  # of one batch, before a run gives up


def fit(
    model: Model,
    x: Any,
    *,
    client: Any = None,
    average_every: int | None = None,
    epochs: int = 10,
    batch_size: int = 1024,
    optimizer: Optimizer | None = None,
    sample_weight: Any = None,
    validation: Any = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
    clip_norm: float | None = None,
    early_stopping: EarlyStopping | None = None,
    reduce_on_plateau: ReduceLROnPlateau | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: str | os.PathLike[str] | None = None,
    accept_changes: Collection[str] = (),
    on_epoch: Callable[[Epoch], object] | None = None,
) -> History:
    """Train a model in place on the workers of a Dask cluster.

    x                   a Dask array (N, …), or an array in memory, which is sent out. An array from
                        files is read by the workers that hold its rows, and again if one dies
    client              a ``dask.distributed.Client``; the current one if not given
    batch_size          rows of a batch, on all workers together
    average_every       None, or how many steps a worker takes alone between two averages
    sample_weight       a number ≥ 0 for each row, in memory: rows are drawn by it, as by tinyae.fit
    validation          an array in memory, which is evaluated here
    the others          as for :func:`tinyae.fit`

    Raises
        TypeError, ValueError   as :func:`tinyae.fit`; or no client, no Dask array, a model with
                                several players; the model is unchanged
        RuntimeError            a batch failed again and again because workers died
    """
    client, array = _client(client), _dask_array(x)
    if not isinstance(model, Model) or len(model.players) != 1:
        raise TypeError(
            "distributed.fit: model must be a Model with one objective; the players of a GAN take "
            "turns: pass it to tinyae.fit"
        )
    optimizer = Adam(1e-3) if optimizer is None else optimizer
    if average_every is None:
        shared: _Gradients = _Gradients(model, array, client)
        step, rows_of_a_step = optimizer, batch_size
    else:
        positive_int("distributed.fit", "average_every", average_every, 8)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"distributed.fit: optimizer is {optimizer!r:.60}, expected an Optimizer"
            )
        shared = _Averages(model, array, client, optimizer, average_every)
        step, rows_of_a_step = TakeAverage(optimizer, average_every), batch_size * average_every
    return fit_here(
        shared,
        (np.arange(len(array)),),
        epochs=epochs,
        batch_size=rows_of_a_step,
        optimizer=step,
        sample_weight=sample_weight,
        validation=validation,
        rng=rng,
        progress=progress,
        clip_norm=clip_norm,
        early_stopping=early_stopping,
        reduce_on_plateau=reduce_on_plateau,
        checkpoint=checkpoint,
        every=every,
        resume=resume,
        accept_changes=accept_changes,
        on_epoch=on_epoch,
    )


def _client(client: Any) -> Any:
    from distributed import Client, get_client

    if client is None:
        try:
            return get_client()
        except ValueError:
            raise ValueError(
                "distributed.fit: there is no client; pass client=dask.distributed.Client()"
            ) from None
    if not isinstance(client, Client) or client.asynchronous:
        raise TypeError(
            f"distributed.fit: client is {client!r:.60}, expected a Client that is not "
            "asynchronous; pass dask.distributed.Client()"
        )
    return client


def _dask_array(x: Any) -> Any:
    import dask.array as da

    if isinstance(x, np.ndarray):
        x = da.from_array(x)
    if not isinstance(x, da.Array) or x.ndim < 2:
        raise TypeError(
            f"distributed.fit: x is a {type(x).__name__}, expected a Dask array (N, …); of a DataFrame "
            "pass frame.to_dask_array(lengths=True)"
        )
    if np.isnan(x.shape[0]):
        raise ValueError(
            "distributed.fit: x does not know its number of rows; call x.compute_chunk_sizes(), or "
            "frame.to_dask_array(lengths=True)"
        )
    return x


class _Gradients(Model):
    """A model as the loop sees it: its batches are row numbers, its gradient comes from workers."""

    def __init__(self, model: Model, x: Any, client: Any) -> None:
        self.model = model
        self.data = f"{x.dtype} of shape {x.shape}, {x.name}"  # a checkpoint compares it
        workers = max(len(client.nthreads()), 1)
        rows = -(-len(x) // workers)
        self._x = x.rechunk({0: rows, **dict.fromkeys(range(1, x.ndim), -1)})
        self._starts = np.cumsum([0, *self._x.chunks[0]])
        self._client = client
        self._place()

    def _place(self) -> None:
        """Send the model's form to the workers and bring the rows into their memory."""
        from dask.core import flatten
        from distributed import futures_of

        self._form = self._client.submit(copy.deepcopy, self.model, pure=False)
        placed = self._client.persist(self._x)
        futures = {future.key: future for future in futures_of(placed)}
        self._parts = [futures[key] for key in flatten(placed.__dask_keys__())]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Gradients:
        copied = copy.copy(self)  # the same workers and rows, another set of weights
        copied.model = copy.deepcopy(self.model, memo)
        return copied

    # --- what the loop asks of a model ---------------------------------------------------------

    @property
    def params(self) -> dict[str, Param]:
        return self.model.params

    @property
    def state(self) -> dict[str, Array]:
        return self.model.state

    def check_data(self, x: Any) -> None:
        if not _is_numbers(x):
            self.model.check_data(x)  # validation
        elif len(x[0]) == self._starts[-1]:
            checks = [self._client.submit(worker.check_rows, self._form, p) for p in self._parts]
            self._client.gather(checks)

    def as_input(self, batch: Any) -> Any:
        return batch if _is_numbers(batch) else self.model.as_input(batch)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        total = self._summed(x, rng)
        for p, g in zip(unique(self.params).values(), total.arrays):
            p.grad += (g / total.n).astype(p.dtype, copy=False)
        for mine, a in zip(self.model.state.values(), total.state):
            mine[...] = a / total.n
        return {name: value / total.n for name, value in total.terms.items()}

    def evaluate(
        self, x: Any, rng: np.random.Generator | None = None, batch_size: int = 1024
    ) -> Terms:
        return self.model.evaluate(x, rng, batch_size)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        if _is_numbers(x):
            x = self.model.as_input(np.asarray(self._x[np.sort(x[0])].compute()))
        yield from self.model.trace(x, rng)

    # --- the workers -----------------------------------------------------------------------------

    def _summed(self, x: Any, rng: np.random.Generator | None) -> Share:
        """The sum over the shares of a batch. A batch that a dying worker takes along is repeated."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        (index,) = x
        seed = int(copy.deepcopy(rng or np.random.default_rng(0)).integers(2**62))
        for attempt in range(_TRIES):
            try:
                found: Share = self._tree(self._submit(index, seed)).result()
                return found
            except (KilledWorker, FutureCancelledError, OSError) as error:
                if attempt == _TRIES - 1:
                    raise RuntimeError(
                        f"distributed.fit: a batch failed {_TRIES} times because workers died "
                        f"({error}); look at their logs for want of memory, or start more"
                    ) from error
                self._place()
        raise AssertionError  # the loop returns or raises

    def _submit(self, index: Array, seed: int) -> list[Any]:
        """A task for each part that holds rows of the batch."""
        weights = [p.value for p in unique(self.params).values()]
        (values,) = self._client.scatter([weights], hash=False)  # one message to one worker
        more = self._arguments()
        shares = []
        order = np.searchsorted(self._starts, index, side="right") - 1
        for k, part in enumerate(self._parts):
            mine = index[order == k] - self._starts[k]
            if len(mine):
                # Rows of one batch differ from those of the next, so each draws other noise.
                own = [seed, k, *map(int, index[:4])]
                shares.append(self._task(values, more, part, mine, own))
        return shares

    def _arguments(self) -> Any:
        return list(self.model.state.values())

    def _task(self, values: Any, state: Any, part: Any, mine: Array, seed: list[int]) -> Any:
        return self._client.submit(
            worker.gradient, self._form, values, state, part, mine, seed, pure=False
        )

    def _tree(self, shares: list[Any]) -> Any:
        while len(shares) > 1:
            pairs = zip(shares[::2], shares[1::2])
            odd = shares[len(shares) // 2 * 2 :]
            shares = [self._client.submit(worker.add, a, b, pure=False) for a, b in pairs] + odd
        return shares[0]


class _Averages(_Gradients):
    """The same for local steps: the gradient is what leads from the weights to their average."""

    def __init__(
        self, model: Model, x: Any, client: Any, optimizer: Optimizer, number: int
    ) -> None:
        super().__init__(model, x, client)
        self._optimizer, self._number = copy.deepcopy(optimizer), number
        self.steps = np.array(0)  # of each worker
        self._moments: dict[str, Array] = {}
        for name, p in unique(model.params).items():
            if p.trainable:
                self._moments[f"{name}/steps"] = np.array(0)
                for slot in optimizer.slots:
                    self._moments[f"{name}/{slot}"] = np.zeros_like(p.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Averages:
        copied = super().__deepcopy__(memo)
        assert isinstance(copied, _Averages)
        copied.steps = self.steps.copy()
        copied._moments = {name: a.copy() for name, a in self._moments.items()}
        return copied

    @property
    def state(self) -> dict[str, Array]:
        own = {f"optimizer.{name}": a for name, a in self._moments.items()}
        return {**self.model.state, **own, "steps": self.steps}

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        total = self._summed(x, rng)
        for p, a in zip(unique(self.params).values(), total.arrays):
            p.grad += p.value - (a / total.n).astype(p.dtype, copy=False)
        kept = [*self.model.state.values(), *self._moments.values()]
        for mine, a in zip(kept, total.state):
            mean = a / total.n
            mine[...] = np.rint(mean) if mine.dtype.kind in "iu" else mean
        self.steps += self._number
        return {name: value / total.n for name, value in total.terms.items()}

    def _task(self, values: Any, state: Any, part: Any, mine: Array, seed: list[int]) -> Any:
        return self._client.submit(
            worker.steps, self._form, self._optimizer, values, state, dict(self._moments),
            int(self.steps), part, mine, seed, self._number, pure=False,
        )  # fmt: skip


class TakeAverage(Optimizer):
    """θ ← θ − g, where g = θ − θ̄ leads to the average θ̄ of the workers' weights.

    ``rate`` is that of the workers' own optimizer at their next step.
    """

    def __init__(self, optimizer: Optimizer, number: int) -> None:
        super().__init__(optimizer.learning_rate)
        self.optimizer, self.number = optimizer, number

    @property
    def rate(self) -> float:
        schedule = self.learning_rate
        return float(schedule(self.t * self.number) if callable(schedule) else schedule)

    def update(self, group: Any, rate: float, steps: int) -> None:
        for value, grad in group:
            value -= grad
            grad.fill(0)


def _is_numbers(x: Any) -> bool:
    """Whether x is the row numbers that the loop hands on: a tuple keeps their dtype."""
    return isinstance(x, tuple) and len(x) == 1
