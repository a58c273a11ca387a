"""Remove hiss and crackle from music with a denoising autoencoder.

A plucked-string melody s is generated, and noise is added: a steady hiss and crackling clicks,
y = s + n. S and Y are the spectra of overlapping windows; a bin is a frequency in a window.
Denoising means to choose a gain between 0 and 1 for every bin:

    ŝ = overlap-add of  m Y        best gain  m = clip(Re(S Ȳ) / |Y|², 0, 1)

A denoising autoencoder is trained on pairs (x̃, x). x̃ is the noisy spectrum, ln |Y|² of several
consecutive windows; x is the best gain of the middle one, which is known because we added the
noise. It minimises E‖x − g(f(x̃))‖², so it predicts the expected gain given x̃. New melodies and
noise are generated for the test; new noise is also generated in every epoch.

It is compared with the classical Wiener filter, which is given the exact mean power of the noise:

    m = ξ / (1 + ξ)      ξ = α (m² |Y|² / E|N|²)_before
                           + (1 − α) max(|Y|² / E|N|² − 1, 0)      "decision-directed"

For steady hiss alone, which this power describes completely, the filter wins, and the network loses.
Clicks are different: the filter treats them as music. The network has learned that clicks are vertical
lines in the spectrogram and notes horizontal ones, and removes the clicks.

The demo writes clean.wav, noisy.wav, wiener.wav and denoised.wav to listen to, and a picture.

    python demos/03_audio_denoising.py
    python demos/03_audio_denoising.py --data RECORDING.wav

With --data, the network trained on the melodies cleans your own noisy recording. Without a clean
original, no signal-to-noise ratio can be computed. It works best on similar music; the recording is
converted to 8,000 samples per second and one channel.

Source: Vincent et al. (2010); Lu, Tsao, Matsuda & Hori (2013), denoising autoencoders for sound;
Erdogan, Hershey, Watanabe & Le Roux (2015) for the target; Ephraim & Malah (1984) for the filter.
"""

import argparse
import time
import wave
from pathlib import Path

import numpy as np

import tinyae as ta

RATE = 8_000  # samples per second
WINDOW, HOP = 512, 256  # samples: 64 ms, every 32 ms
BEFORE, AFTER = 3, 3  # windows that the network sees before and after the middle one
SINE = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)  # SINE² + SINE² half a window later = 1
BINS = WINDOW // 2 + 1


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="your own noisy recording, a .wav file")
    parser.add_argument("--snr", type=float, default=5.0, help="of the noisy test melody, in dB")
    parser.add_argument("--out", default="demo-out", help="folder for sounds and picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    # The net: an hourglass from the spectra of seven windows to the gains of one, and a bridge
    # around it (Skip) by which each bin's own level arrives in full.
    melodies, units, epochs = (4, 64, 8) if options.quick else (40, 256, 10)
    seen = (BEFORE + 1 + AFTER) * BINS
    encoder = ta.Skip(ta.Sequential(ta.Dense(seen, units, rng=rng), ta.ReLU()))
    decoder = ta.Sequential(ta.Dense(seen + units, BINS, rng=rng), ta.Sigmoid())
    model = ta.DenoisingAutoencoder(encoder, decoder, ta.MSE())

    start = time.perf_counter()
    pairs = Pairs([melody(10, rng) for _ in range(melodies)], rng)
    optimizer = ta.Adam(ta.Cosine(3e-3, epochs * len(pairs)))
    ta.fit(model, pairs, epochs=epochs, optimizer=optimizer, rng=rng)
    print(f"\nlearnt from {10 * melodies} s of melodies in {time.perf_counter() - start:.0f} s")
    model.save(folder / "audio_denoiser.npz")

    if options.data:
        own = read_wav(options.data)
        sounds = {"noisy": own, "denoised": denoise(model, own)}
        for name, sound in sounds.items():
            write_wav(folder / f"{name}.wav", sound)
        picture(sounds, folder / "audio_denoising.png")
        print(f"{folder}/noisy.wav: {options.data} at {RATE} Hz; {folder}/denoised.wav: cleaned")
        return {}

    # Test on new melodies and noise: the mean signal-to-noise ratio over the melodies.
    rng = np.random.default_rng([options.seed, 1])
    tests = [melody(5, rng) for _ in range(2 if options.quick else 8)]
    numbers = {}
    print(
        f"\n{'signal-to-noise ratio, dB':28} {'noisy':>7} {'Wiener':>7} {'network':>8} {'best':>7}"
    )
    for kind, crackle in (("hiss alone", 0.0), ("hiss and crackle", 0.5)):
        ratios = []
        for clean in tests:
            noise = scratches(clean, options.snr, crackle, rng)
            noisy = clean + noise
            wiener = istft(wiener_gain(stft(noisy), stft(noise)) * stft(noisy), len(clean))
            denoised = denoise(model, noisy)
            best = istft(best_gain(stft(clean), stft(noisy)) * stft(noisy), len(clean))
            ratios.append([snr(clean, sound) for sound in (noisy, wiener, denoised, best)])
        means = noisy_db, wiener_db, network_db, best_db = np.mean(ratios, axis=0)
        print(f"{kind:28} {noisy_db:7.2f} {wiener_db:7.2f} {network_db:8.2f} {best_db:7.2f}")
        numbers |= {
            f"{kind}: noisy": float(noisy_db),
            f"{kind}: Wiener": float(wiener_db),
            f"{kind}: network": float(network_db),
        }
    print("best: with the gains that only one who has the clean sound can know")
    behind = numbers["hiss alone: Wiener"] - numbers["hiss alone: network"]
    if behind > 0:
        print(f"on hiss alone the Wiener filter, which is told its power, wins by {behind:.2f} dB")

    sounds = {"clean": clean, "noisy": noisy, "wiener": wiener, "denoised": denoised}
    for name, sound in sounds.items():
        write_wav(folder / f"{name}.wav", sound)
    means = dict(zip(("noisy", "wiener", "denoised"), means))
    picture(sounds, folder / "audio_denoising.png", means)
    print(f"{folder}/audio_denoising.png and the .wav files: the last melody, hiss and crackle")
    return numbers


# --- sound -------------------------------------------------------------------------------------


def melody(seconds, rng):
    """Random notes of a plucked string on a pentatonic scale, with power 0.05².

    u(t) = Σ_k a_k exp(−t/τ_k) sin(2π k f t + φ_k), a_k ~ sin(π k p)/k for a string plucked at p
    """
    sound = np.zeros(int(seconds * RATE) + 2 * RATE)
    beat = rng.uniform(0.18, 0.3)  # s
    key, step, pluck = rng.uniform(100, 200), rng.integers(3, 9), rng.uniform(0.1, 0.4)
    k = np.arange(1, 13)[:, None]
    start = 0.0
    while start < seconds - 0.1:
        for s in (step, step - rng.integers(2, 5))[: rng.choice([1, 1, 2])]:  # one note, or two
            f = key * 2 ** (s // 5 + np.array([0, 2, 4, 7, 9])[s % 5] / 12)
            partial = k[k * f < 0.45 * RATE][:, None]
            a = np.sin(np.pi * partial * pluck) / partial
            decay = 0.9 * np.sqrt(200 / f) / (1 + 0.15 * partial)
            t = np.arange(2 * RATE) / RATE
            phase = rng.uniform(0, 2 * np.pi, partial.shape)
            note = (a * np.exp(-t / decay) * np.sin(2 * np.pi * partial * f * t + phase)).sum(0)
            at = int(start * RATE)
            sound[at : at + len(t)] += rng.uniform(0.5, 1) * np.minimum(t / 0.004, 1) * note
        step = int(np.clip(step + rng.integers(-3, 4), 0, 12))
        start += beat * rng.choice([1, 1, 2])
    sound = sound[: int(seconds * RATE)]
    return 0.05 * sound / np.sqrt(np.mean(sound**2))


def scratches(clean, snr_db, crackle, rng):
    """The noise of a worn record; ``crackle`` is the fraction of its power in clicks."""
    n = len(clean)
    clicks = np.zeros(n)
    at = np.flatnonzero(rng.random(n) < 12 / RATE)  # twelve a second
    clicks[at] = rng.normal(size=len(at)) * np.exp(rng.normal(0, 0.5, len(at)))
    t = np.arange(24)
    ringing = np.exp(-t / 4) * np.sin(0.9 * t + 1)  # 3 ms
    clicks = np.convolve(clicks, ringing)[:n]
    hiss = rng.normal(size=n)
    power = np.mean(clean**2) / 10 ** (snr_db / 10)
    return sum(
        part * np.sqrt(share * power / max(np.mean(part**2), 1e-12))
        for part, share in ((hiss, 1 - crackle), (clicks, crackle))
    )


def snr(clean, sound):
    """10 log₁₀ of the clean sound's power over the error's, in dB."""
    return 10 * np.log10(np.sum(clean**2) / np.sum((sound - clean) ** 2))


def stft(sound):
    """Spectra (windows, BINS) of half-overlapping windows; ``istft`` undoes it exactly."""
    padded = np.pad(sound, (HOP, WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.fft.rfft(windows * SINE)


def istft(spectra, length):
    windows = np.fft.irfft(spectra, WINDOW) * SINE
    sound = np.zeros((len(windows) + 1, HOP))
    sound[:-1] += windows[:, :HOP]
    sound[1:] += windows[:, HOP:]
    return sound.ravel()[HOP : HOP + length]


# --- the network's input and target ---------------------------------------------------------------


def view(Y):
    """ln |Y|² of each window and its neighbours, relative to the median, scaled and clipped."""
    level = np.log(np.abs(Y) ** 2 + 1e-12)
    level = np.maximum(level - np.median(level), -4) / 4
    padded = np.pad(level, ((BEFORE, AFTER), (0, 0)), mode="edge")
    shifted = [padded[i : i + len(Y)] for i in range(BEFORE + 1 + AFTER)]
    return np.concatenate(shifted, axis=1).astype(np.float32)


def best_gain(S, Y):
    return np.clip((S * Y.conj()).real / (np.abs(Y) ** 2 + 1e-12), 0, 1).astype(np.float32)


class Pairs:
    """Batches of (x̃, x) = (noisy view, best gain), with new noise in every epoch."""

    def __init__(self, melodies, rng):
        self.melodies, self.rng = melodies, rng
        self.batches = -(-sum(len(stft(clean)) for clean in melodies) // 128)

    def __len__(self):
        return self.batches

    def __iter__(self):
        views, gains = [], []
        for clean in self.melodies:
            snr_db, crackle = self.rng.uniform(-2, 12), self.rng.choice([0, self.rng.random()])
            Y = stft(clean + scratches(clean, snr_db, crackle, self.rng))
            views.append(view(Y))
            gains.append(best_gain(stft(clean), Y))
        views, gains = np.concatenate(views), np.concatenate(gains)
        for rows in np.array_split(self.rng.permutation(len(views)), self.batches):
            yield views[rows], gains[rows]


def denoise(model, noisy):
    Y = stft(noisy)
    return istft(model.reconstruct(view(Y)) * Y, len(noisy))


def wiener_gain(Y, N, alpha=0.9):
    """The Wiener filter's gains, window by window, given the noise's mean power per frequency."""
    ratio = np.abs(Y) ** 2 / np.mean(np.abs(N) ** 2, axis=0)
    gain, before = np.empty_like(ratio), 0.0
    for i, r in enumerate(ratio):
        xi = np.maximum(alpha * before + (1 - alpha) * np.maximum(r - 1, 0), 0.003)
        gain[i] = xi / (1 + xi)
        before = gain[i] ** 2 * r
    return gain


# --- files ---------------------------------------------------------------------------------------


def write_wav(path, sound):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def read_wav(path):
    """A 16-bit recording as one channel at RATE, low-pass filtered at RATE/2."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path} has {8 * file.getsampwidth()} bits a sample; save it with 16")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        channels, rate = file.getnchannels(), file.getframerate()
    sound = samples.reshape(-1, channels).mean(axis=1)
    length = len(sound) * RATE // rate
    spectrum = np.fft.rfft(sound)[: length // 2 + 1]
    padded = np.pad(spectrum, (0, length // 2 + 1 - len(spectrum)))
    return np.fft.irfft(padded, length) * (length / len(sound))


def picture(sounds, path, means=None):
    """Waves and spectrograms. ``means`` are the ratios over all melodies, of which this is one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 2.5 * len(sounds), 6), layout="constrained")
    axes = figure.subplots(2, len(sounds), height_ratios=(1, 2), sharex=True, sharey="row")
    top = np.abs(sounds["noisy"]).max()
    for (name, sound), (line, map_) in zip(sounds.items(), axes.T):
        seconds = len(sound) / RATE
        known = name != "clean" and "clean" in sounds
        ratio = f": {snr(sounds['clean'], sound):.1f} dB" if known else ""
        if known and means:
            ratio += f"\nall melodies: {means[name]:.1f} dB"
        line.plot(np.arange(len(sound)) / RATE, sound, linewidth=0.3, color="#1f77b4")
        line.set_title(name.replace("wiener", "Wiener filter") + ratio, fontsize=11)
        line.set_ylim(-top, top)
        level = 20 * np.log10(np.abs(stft(sound)).T + 1e-6)
        extent = (0, seconds, 0, RATE / 2000)
        shown = map_.imshow(
            level, origin="lower", aspect="auto", extent=extent, vmin=-36, vmax=24, cmap="magma"
        )
        map_.set(xlabel="time, s")
    axes[0, 0].set_ylabel("amplitude")
    axes[1, 0].set_ylabel("frequency, kHz")
    figure.colorbar(shown, ax=list(axes[1]), label="level, dB", fraction=0.02, pad=0.01)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
