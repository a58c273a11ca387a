"""Sound: a WAV file cut into windows, and windows put together again."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from tinyae.wording import counted


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """The signal, in [−1, 1] and the mean of its channels, and its sampling rate.

    Raises
        ValueError  not a WAV file of whole numbers
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"load: {path} is no WAV file of whole numbers ({str(error) or 'it ends early'}); convert "
            "it, e.g. with `ffmpeg -i in -c:a pcm_s16le out.wav`"
        ) from error
    data = data[: len(data) // (width * channels) * width * channels]
    if width == 1:
        x = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    elif width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
        x = (whole - ((whole >> 23) << 24)) / 2.0**23
    else:
        x = np.frombuffer(data, f"<i{width}").astype(np.float64) / 2.0 ** (8 * width - 1)
    return x.reshape(-1, channels).mean(axis=1).astype(np.float32), rate


def windows(signal: np.ndarray, window: int, hop: int) -> np.ndarray:
    """(N, window), each ``hop`` after the one before; a rest shorter than a window is left out.

    Raises
        ValueError  the signal is shorter than one window
    """
    if len(signal) < window:
        raise ValueError(
            f"load: the sound has {counted(len(signal), 'sample')}, shorter than a window of {window}; "
            "pass a smaller --window"
        )
    return np.lib.stride_tricks.sliding_window_view(signal, window)[::hop].copy()


def joined(rows: np.ndarray, hop: int) -> np.ndarray:
    """The signal whose windows these are, with the mean where they overlap."""
    n, window = rows.shape
    total = np.zeros((n - 1) * hop + window)
    weight = np.zeros_like(total)
    taper = np.hanning(window + 2)[1:-1]
    for k, row in enumerate(rows):
        total[k * hop : k * hop + window] += taper * row
        weight[k * hop : k * hop + window] += taper
    return total / np.maximum(weight, 1e-12)


def to_wav(file: object, signal: np.ndarray, rate: int) -> None:
    """Write a signal in [−1, 1] as 16-bit WAV; what lies beyond is clipped."""
    with wave.open(file, "wb") as out:  # type: ignore[call-overload]
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.clip(signal, -1, 1) * 32767).round().astype("<i2").tobytes())
