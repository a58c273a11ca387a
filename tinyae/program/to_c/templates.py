"""The C functions of an exported model: one for each kind of operation that it has.

``$name`` is the model's name. Dense and the convolutions compute ``$rows`` outputs at a time, in as
many local variables: a number of x is loaded once for all of them, and their sums stay in registers.
Weights that meet the same number of x are neighbours in memory. A line with ``@`` stands for
``$rows`` lines, with 0, 1, 2, … in place of ``@``.

All of it is C99 and also C++: no ``restrict``, no designated initialisers.
"""

from __future__ import annotations

import re
from string import Template
from typing import Any

_TIDY = [  # + 0, 0 * and 1 *, which templates give for the first output, or for one at a time
    (r" \+ 0\]", "]"),
    (r"\[0 \* \w+\]", "[0]"),
    (r"\[0 \* \d+ \+ ", "["),
    (r" \+ 0 \* \d+,", ","),
    (r"\[1 \* ", "["),
    (r" \* 1;", ";"),
    (r"\((1 \+ [^()]*)\);", r"\1;"),
    (r" \+= 1\)", "++)"),
    (r" \+= 1;", "++;"),
    (r" / 1, (.*), 1\)", r", \1)"),
    (r", 1 \w+( o)? at a time", ""),
]


def fill(template: Template, rows: int = 1, **values: Any) -> str:
    """The C text of a template."""
    text = ""
    for line in template.substitute(values, rows=rows).splitlines(keepends=True):
        copies = [line.replace("@", str(row)) for row in range(rows)] if "@" in line else [line]
        text += "".join(copies)
    for pattern, short in _TIDY:
        text = re.sub(pattern, short, text)
    return text


MIN = Template("""\
static inline int32_t ${name}_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}
""")

FMA = Template("""\
/* a * b + c, by one instruction where the machine has it */
static inline float ${name}_fma(float a, float b, float c)
{
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
""")

ACTIVATION = Template("""\
static void ${name}_$function(float *y, int32_t length$alpha)
{
    for (int32_t i = 0; i < length; i++) {
        const float x = y[i];
        y[i] = $expression;
    }
}
""")

DENSE = Template("""\
/* y = W x + b, $rows rows at a time; 32 products at a time, which rounds less than one long sum
 * x (columns)   y (rows)   W (rows / $rows, 1 + columns, $rows), where b comes first */
static void ${name}_dense$rows(const float *W, const float *x, float *y, int32_t rows,
    int32_t columns)
{
    for (int32_t o = 0; o < rows; o += $rows) {
        float s@ = W[@];
        for (int32_t begin = 0; begin < columns; begin += 32) {
            const int32_t end = ${name}_min(begin + 32, columns);
            float t@ = 0.0f;
            for (int32_t k = begin; k < end; k++) {
                const float xk = x[k];
                const float *w = W + (1 + k) * $rows;
                t@ = ${name}_fma(w[@], xk, t@);
            }
            s@ += t@;
        }
        W += (1 + columns) * $rows;
        y[o + @] = s@;
    }
}
""")

AFFINE = Template("""\
/* y[c, p] = scale[c] * x[c, p] + shift[c]      x, y (channels, length) */
static void ${name}_affine(const float *scale, const float *shift, const float *x, float *y,
    int32_t channels, int32_t length)
{
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            y[p] = scale[c] * x[p] + shift[c];
        }
    }
}
""")

PRELU = Template("""\
/* y[c, p] = x[c, p] if positive, else slope[c] * x[c, p]      x, y (channels, length) */
static void ${name}_prelu(const float *slope, const float *x, float *y, int32_t channels,
    int32_t length)
{
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            y[p] = x[p] > 0.0f ? x[p] : slope[c] * x[p];
        }
    }
}
""")

LAYER_NORM = Template("""\
/* y = gamma * (x - mean) / sqrt(variance + eps) + beta, for each row of x */
static void ${name}_layer_norm(const float *gamma, const float *beta, float eps,
    const float *x, float *y, int32_t rows, int32_t columns)
{
    for (int32_t r = 0; r < rows; r++, x += columns, y += columns) {
        float mean = 0.0f, variance = 0.0f;
        for (int32_t k = 0; k < columns; k++) {
            mean += x[k];
        }
        mean /= (float)columns;
        for (int32_t k = 0; k < columns; k++) {
            variance += (x[k] - mean) * (x[k] - mean);
        }
        variance /= (float)columns;
        const float scale = 1.0f / sqrtf(variance + eps);
        for (int32_t k = 0; k < columns; k++) {
            y[k] = gamma[k] * ((x[k] - mean) * scale) + beta[k];
        }
    }
}
""")

STANDARDIZE = Template("""\
/* y = (x - mean) / sqrt(variance + eps) over k      x, y (rows, length, columns), k < length */
static void ${name}_standardize(float eps, const float *x, float *y, int32_t rows, int32_t length,
    int32_t columns)
{
    for (int32_t r = 0; r < rows; r++, x += length * columns, y += length * columns) {
        for (int32_t p = 0; p < columns; p++) {
            float mean = 0.0f, variance = 0.0f;
            for (int32_t k = p; k < length * columns; k += columns) {
                mean += x[k];
            }
            mean /= (float)length;
            for (int32_t k = p; k < length * columns; k += columns) {
                variance += (x[k] - mean) * (x[k] - mean);
            }
            const float scale = 1.0f / sqrtf(variance / (float)length + eps);
            for (int32_t k = p; k < length * columns; k += columns) {
                y[k] = (x[k] - mean) * scale;
            }
        }
    }
}
""")

RMS_NORM = Template("""\
/* y = x / sqrt(mean of x^2 + eps) over k      x, y (rows, length, columns), k < length */
static void ${name}_rms_norm(float eps, const float *x, float *y, int32_t rows, int32_t length,
    int32_t columns)
{
    for (int32_t r = 0; r < rows; r++, x += length * columns, y += length * columns) {
        for (int32_t p = 0; p < columns; p++) {
            float sum = 0.0f;
            for (int32_t k = p; k < length * columns; k += columns) {
                sum += x[k] * x[k];
            }
            const float scale = 1.0f / sqrtf(sum / (float)length + eps);
            for (int32_t k = p; k < length * columns; k += columns) {
                y[k] = x[k] * scale;
            }
        }
    }
}
""")

SOFTMAX = Template("""\
/* y[k, p] = exp(x[k, p]) / sum over j of exp(x[j, p])      x, y (classes, length) */
static void ${name}_softmax(const float *x, float *y, int32_t classes, int32_t length)
{
    for (int32_t p = 0; p < length; p++) {
        float largest = x[p], sum = 0.0f;
        for (int32_t k = p; k < classes * length; k += length) {
            largest = x[k] > largest ? x[k] : largest;
        }
        for (int32_t k = p; k < classes * length; k += length) {
            y[k] = expf(x[k] - largest);  /* at most 1 */
            sum += y[k];
        }
        for (int32_t k = p; k < classes * length; k += length) {
            y[k] /= sum;
        }
    }
}
""")

TOP_K = Template("""\
/* y = from at the k largest entries of x, 0 * from elsewhere; of equal entries, the first are kept.
 * NaN counts as larger than any number. */
static void ${name}_top_k(const float *x, const float *from, float *y, int32_t length, int32_t k)
{
    float least = 0.0f;            /* the k-th largest, found from the largest downwards */
    int32_t above = 0, equal = 0;  /* how many numbers are larger than it, and equal to it */
    int32_t nan = 0;
    for (int32_t i = 0; i < length; i++) {
        nan += x[i] != x[i];
    }
    while (nan + above + equal < k) {
        const float limit = least;
        above += equal;
        equal = 0;
        for (int32_t i = 0; i < length; i++) {
            if (above == 0 ? x[i] == x[i] : x[i] < limit) {
                if (equal == 0 || x[i] > least) {
                    least = x[i];
                    equal = 1;
                } else if (x[i] == least) {
                    equal++;
                }
            }
        }
    }
    const int any = equal > 0;  /* number that is kept */
    for (int32_t i = 0; i < length; i++) {
        const int larger = any && x[i] > least, tie = any && x[i] == least && above < k;
        above += tie;
        y[i] = tie || larger ? from[i] : 0.0f * from[i];
    }
}
""")

ADD = Template("""\
/* y = x + other */
static void ${name}_add(const float *x, const float *other, float *y, int32_t length)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = x[i] + other[i];
    }
}
""")

MULTIPLY = Template("""\
/* y = x * other */
static void ${name}_multiply(const float *x, const float *other, float *y, int32_t length)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = x[i] * other[i];
    }
}
""")

COPY = Template("""\
static void ${name}_copy(const float *x, float *y, int32_t length)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = x[i];
    }
}
""")

SQUARED_ERROR = Template("""\
/* the sum of (x - target)^2 */
static float ${name}_squared_error(const float *x, const float *target, int32_t length)
{
    float sum = 0.0f;
    for (int32_t begin = 0; begin < length; begin += 32) {
        const int32_t end = ${name}_min(begin + 32, length);
        float part = 0.0f;
        for (int32_t i = begin; i < end; i++) {
            part += (x[i] - target[i]) * (x[i] - target[i]);
        }
        sum += part;
    }
    return sum;
}
""")
