"""The C functions for images: convolutions, pooling, upsampling. See :mod:`.templates`."""

from __future__ import annotations

from string import Template


def suffix(dilation: tuple[int, int]) -> str:
    """What is added to a function's name for taps that are not neighbours."""
    return "" if dilation == (1, 1) else f"_dilated{dilation[0]}x{dilation[1]}_"


def taps(dilation: tuple[int, int]) -> dict[str, str]:
    """The parts of CONV that depend on the dilation: the taps inside of the image, and their steps."""
    parts = {"suffix": suffix(dilation)}
    for axis, d, at, length, tap in zip(
        ("down", "across"), dilation, ("row", "column"), ("height", "width"), "uv"
    ):
        parts[f"step_{axis}"] = tap if d == 1 else f"{tap} * {d}"
        parts[f"first_{axis}"] = f"-{at}" if d == 1 else f"({d - 1} - {at}) / {d}"
        left = f"s->{length} - {at}"
        parts[f"last_{axis}"] = left if d == 1 else f"({left} + {d - 1}) / {d}"
    return parts


def entries(dilation: tuple[int, int]) -> dict[str, str]:
    """The parts of MAX_POOL and AVG_POOL that depend on the dilation."""
    parts = {"suffix": suffix(dilation)}
    for axis, d, at, inside, entry in zip(
        ("down", "across"), dilation, ("row", "column"), ("rows", "columns"), "uv"
    ):
        parts[axis] = str(d)
        parts[entry] = entry if d == 1 else f"{entry} * {d}"
        parts[f"first_{at}"] = "0" if d == 1 else f"({at} % {d} + {d}) % {d}"
        count = f"({entry}1 - {entry}0)"
        parts[f"{inside}_inside"] = count if d == 1 else f"(({count[1:-1]} + {d - 1}) / {d})"
    return parts


# The parts of MAX_POOL that floats have beyond integers.
NAN_WINS = {"or_nan": " || xv != xv", "nan_wins": "; NaN if there is one"}
NO_NAN = dict.fromkeys(NAN_WINS, "")

WINDOW = Template("""\
/* A window that moves over an image. */
typedef struct {
    int32_t channels, height, width;  /* of x */
    int32_t out_height, out_width;    /* of y */
    int32_t window_height, window_width;
    int32_t down, right;              /* stride */
    int32_t top, left;                /* padding */
} ${name}_window;
""")

CONV = Template("""\
/* y[o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] * x[c, i * down + $step_down - top,
 * j * right + $step_across - left], where x is zero outside of the image; $rows channels o at a time
 * W (out_channels / $rows, 1 + channels * window_height * window_width, $rows),
 * where b comes first */
static void ${name}_conv$suffix$rows(const ${name}_window *s, int32_t out_channels,
    const float *W, const float *x, float *y)
{
    const int32_t pixels = s->out_height * s->out_width;
    /* channels that are summed up by themselves, about 64 products: that rounds less */
    const int32_t piece = 1 + 64 / (s->window_height * s->window_width);
    for (int32_t o = 0; o < out_channels; o += $rows) {
        float *p = y + o * pixels;
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? $first_down : 0;
            const int32_t u1 = ${name}_min(s->window_height, $last_down);
            for (int32_t j = 0; j < s->out_width; j++, p++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? $first_across : 0;
                const int32_t v1 = ${name}_min(s->window_width, $last_across);
                float s@ = W[@];
                for (int32_t begin = 0; begin < s->channels; begin += piece) {
                    const int32_t end = ${name}_min(begin + piece, s->channels);
                    float t@ = 0.0f;
                    for (int32_t c = begin; c < end; c++) {
                        for (int32_t u = u0; u < u1; u++) {
                            const int32_t at = (c * s->height + row + $step_down) * s->width + column;
                            const int32_t tap = (c * s->window_height + u) * s->window_width;
                            for (int32_t v = v0; v < v1; v++) {
                                const float xv = x[at + $step_across];
                                const float *w = W + (1 + tap + v) * $rows;
                                t@ = ${name}_fma(w[@], xv, t@);
                            }
                        }
                    }
                    s@ += t@;
                }
                p[@ * pixels] = s@;
            }
        }
        W += (1 + s->channels * s->window_height * s->window_width) * $rows;
    }
}
""")

CONV_TRANSPOSE = Template("""\
/* y[o] = b[o], then y[o, i * down + u - top, j * right + v - left] += W[o, c, u, v] * x[c, i, j]
 * where that is inside of y; computed pixel by pixel of y, $rows channels o at a time
 * W (out_channels / $rows, 1 + channels * window_height * window_width, $rows),
 * where b comes first */
static void ${name}_conv_transpose$rows(const ${name}_window *s, int32_t out_channels,
    const float *W, const float *x, float *y)
{
    const int32_t pixels = s->out_height * s->out_width;
    /* channels that are summed up by themselves, about 64 products: that rounds less */
    const int32_t piece = 1 + 64 * s->down * s->right / (s->window_height * s->window_width);
    for (int32_t o = 0; o < out_channels; o += $rows) {
        float *p = y + o * pixels;
        for (int32_t row = s->top; row < s->top + s->out_height; row++) {  /* i * down + u */
            const int32_t above = row - s->window_height;
            const int32_t i0 = above < 0 ? 0 : above / s->down + 1;
            const int32_t i1 = ${name}_min(s->height, row / s->down + 1);
            for (int32_t column = s->left; column < s->left + s->out_width; column++, p++) {
                const int32_t before = column - s->window_width;
                const int32_t j0 = before < 0 ? 0 : before / s->right + 1;
                const int32_t j1 = ${name}_min(s->width, column / s->right + 1);
                float s@ = W[@];
                for (int32_t begin = 0; begin < s->channels; begin += piece) {
                    const int32_t end = ${name}_min(begin + piece, s->channels);
                    float t@ = 0.0f;
                    for (int32_t c = begin; c < end; c++) {
                        for (int32_t i = i0; i < i1; i++) {
                            const int32_t at = (c * s->height + i) * s->width;
                            const int32_t u = row - i * s->down;
                            const int32_t tap =
                                (c * s->window_height + u) * s->window_width + column;
                            for (int32_t j = j0; j < j1; j++) {
                                const float xv = x[at + j];
                                const float *w = W + (1 + tap - j * s->right) * $rows;
                                t@ = ${name}_fma(w[@], xv, t@);
                            }
                        }
                    }
                    s@ += t@;
                }
                p[@ * pixels] = s@;
            }
        }
        W += (1 + s->channels * s->window_height * s->window_width) * $rows;
    }
}
""")

MAX_POOL = Template("""\
/* y[c, i, j] = the largest x[c, i * down + $u - top, j * right + $v - left] of a window that is inside
 * of the image$nan_wins */
static void ${name}_max_pool$suffix(const ${name}_window *s, const float *x, float *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? $first_row : row;
            const int32_t u1 = ${name}_min(row + s->window_height, s->height);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? $first_column : column;
                const int32_t v1 = ${name}_min(column + s->window_width, s->width);
                float largest = x[u0 * s->width + v0];
                for (int32_t u = u0; u < u1; u += $down) {
                    for (int32_t v = v0; v < v1; v += $across) {
                        const float xv = x[u * s->width + v];
                        largest = xv > largest$or_nan ? xv : largest;
                    }
                }
                *y++ = largest;
            }
        }
    }
}
""")

AVG_POOL = Template("""\
/* y[c, i, j] = the mean of x[c, i * down + $u - top, j * right + $v - left] over the part of a window
 * that is inside of the image */
static void ${name}_avg_pool$suffix(const ${name}_window *s, const float *x, float *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? $first_row : row;
            const int32_t u1 = ${name}_min(row + s->window_height, s->height);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? $first_column : column;
                const int32_t v1 = ${name}_min(column + s->window_width, s->width);
                float sum = 0.0f;
                for (int32_t u = u0; u < u1; u += $down) {
                    for (int32_t v = v0; v < v1; v += $across) {
                        sum += x[u * s->width + v];
                    }
                }
                *y++ = sum / (float)($rows_inside * $columns_inside);
            }
        }
    }
}
""")

UPSAMPLE = Template("""\
/* y[c, i, j] = x[c, i / down, j / right]      x (rows, width), where rows = channels * height */
static void ${name}_upsample(const float *x, float *y, int32_t rows, int32_t width,
    int32_t down, int32_t right)
{
    for (int32_t i = 0; i < rows * down; i++) {
        for (int32_t j = 0; j < width * right; j++) {
            *y++ = x[i / down * width + j / right];
        }
    }
}
""")

INTERPOLATE = Template("""\
/* y[c, i, j] = x[c] at the place (i + 1/2) / down - 1/2, (j + 1/2) / right - 1/2 between four pixels */
static void ${name}_interpolate(const float *x, float *y, int32_t channels, int32_t height,
    int32_t width, int32_t down, int32_t right)
{
    for (int32_t c = 0; c < channels; c++, x += height * width) {
        for (int32_t i = 0; i < height * down; i++) {
            const int32_t row = 2 * i + 1 < down ? 0 : 2 * i + 1 - down;  /* in halves of 1 / down */
            const int32_t i0 = row / (2 * down);
            const float *above = x + i0 * width;
            const float *below = x + ${name}_min(i0 + 1, height - 1) * width;
            const float s = (float)(row - i0 * 2 * down) / (float)(2 * down);
            for (int32_t j = 0; j < width * right; j++) {
                const int32_t column = 2 * j + 1 < right ? 0 : 2 * j + 1 - right;
                const int32_t j0 = column / (2 * right);
                const int32_t j1 = ${name}_min(j0 + 1, width - 1);
                const float t = (float)(column - j0 * 2 * right) / (float)(2 * right);
                const float u = above[j0] + s * (below[j0] - above[j0]);
                const float v = above[j1] + s * (below[j1] - above[j1]);
                *y++ = u + t * (v - u);
            }
        }
    }
}
""")

PERMUTATION = Template("""\
/* The axes of y, and how far apart neighbours along them lie in x. */
typedef struct {
    int32_t size0, size1, size2, size3, size4;
    int32_t step0, step1, step2, step3, step4;
} ${name}_permutation;
""")

PERMUTE = Template("""\
/* y = x with its axes in another order */
static void ${name}_permute(const ${name}_permutation *s, const float *x, float *y)
{
    for (int32_t i = 0; i < s->size0; i++) {
        for (int32_t j = 0; j < s->size1; j++) {
            for (int32_t k = 0; k < s->size2; k++) {
                for (int32_t l = 0; l < s->size3; l++) {
                    const float *at = x + i * s->step0 + j * s->step1 + k * s->step2 + l * s->step3;
                    for (int32_t m = 0; m < s->size4; m++) {
                        *y++ = at[m * s->step4];
                    }
                }
            }
        }
    }
}
""")

PAD = Template("""\
/* y[c, i, j] = x[c, i - top, j - left], 0 outside of the image */
static void ${name}_pad(const ${name}_window *s, const float *x, float *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = -s->top; i < s->out_height - s->top; i++) {
            for (int32_t j = -s->left; j < s->out_width - s->left; j++) {
                const int inside = i >= 0 && i < s->height && j >= 0 && j < s->width;
                *y++ = inside ? x[i * s->width + j] : 0.0f;
            }
        }
    }
}
""")

MIRRORED = Template("""\
/* the index i, mirrored at the first or the last entry if it lies beyond it */
static inline int32_t ${name}_mirrored(int32_t i, int32_t length)
{
    const int32_t from_first = i < 0 ? -i : i;
    return from_first < length ? from_first : 2 * (length - 1) - from_first;
}
""")

PAD_REFLECT = Template("""\
/* y[c, i, j] = x[c, i - top, j - left], outside of the image its mirror image */
static void ${name}_pad_reflect(const ${name}_window *s, const float *x, float *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = -s->top; i < s->out_height - s->top; i++) {
            const float *line = x + ${name}_mirrored(i, s->height) * s->width;
            for (int32_t j = -s->left; j < s->out_width - s->left; j++) {
                *y++ = line[${name}_mirrored(j, s->width)];
            }
        }
    }
}
""")
