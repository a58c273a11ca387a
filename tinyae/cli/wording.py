"""Messages in one grammar."""

from __future__ import annotations

import re
import sys

from tinyae import wording

an, count = wording.an, wording.counted

# What a message of the library's advises → the option that does it. Longer ones come first.
ADVICE = {
    "scale the data (to [0, 1]: x = (x - x.min()) / (x.max() - x.min())), or end in another layer": (
        "pass --scale minmax, or leave out --output"
    ),
    "scale x, or use MSE()": "pass --scale minmax, or --loss mse",
    "set model.scaler = Scaler.standard(x), or scale the data": "pass --scale standard",
    "add more, or pass test_fraction=0 to hold out nothing": "add more",
    "with a schedule Cosine(rate, steps=…)": "with --schedule cosine",
    "or a schedule that lets the rate fall, Cosine(rate, steps=…)": "or --schedule cosine",
    "pass e.g. threshold=np.quantile(model.reconstruction_error(x), 0.99)": "pass e.g. --threshold 0.02",
    "stop at the best epoch, early_stopping=EarlyStopping(patience=5); take more samples, a smaller "
    "model, Dropout or noise (DenoisingAutoencoder), or AdamW": (
        "pass --patience 5, which keeps the best epoch; take more samples, a smaller model, or "
        "--model denoising"
    ),
    "a tenth of the learning rate, or clip_norm=1.0": "a tenth of the --learning-rate",
    "lower the learning rate tenfold, or pass clip_norm=1.0": "lower the --learning-rate tenfold",
    "a lower learning rate or clip_norm=1.0": "a lower --learning-rate",
    "go on from it, fit(…, resume=…), and save the model": "go on from it with `tinyae train --resume`",
    "a file from model.save": "a file that `tinyae train` wrote",
    "a file that model.save wrote": "a file that `tinyae train` wrote",
    "pass part='decoder'": "pass --part decoder",
    ", or pass clip_norm=1.0": " with --learning-rate",
    "a file that fit(…, checkpoint=…) wrote": "a file that `tinyae train --checkpoint` wrote",
    'pass e.g. name="ae"': "pass e.g. --name ae",
    "pass e.g. x=(1, 28, 28)": "pass e.g. --shape 1 28 28",
    "pass image_size=(height, width), or --image-size,": "pass --image-size HEIGHT WIDTH",
}


def in_options(text: str) -> str:
    """A message whose advice names options of the command instead of arguments of a function."""
    for advice, option in ADVICE.items():
        words = (re.escape(word) for word in advice.split())  # a message may be wrapped
        text = re.sub(r"\s+".join(words), lambda match, option=option: option, text)  # type: ignore[misc]
    return text


def why(error: BaseException) -> str:
    """What an error says; of one of the system's, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.errno and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}; check the path"
    return in_options(str(error))


def done(verb: str, text: str, out: bool = True) -> None:
    """The last line of a verb: what it has done, and where that is. On stderr with ``out=False``."""
    say(f"{verb}: {text}", out=out)


def say(text: str, out: bool = False) -> None:
    """A line of the command's: of its results on stdout, of anything else on stderr."""
    print(text if out else f"tinyae: {text}", file=sys.stdout if out else sys.stderr)
