"""The C functions of a model in int8. See :mod:`.templates` for how they are written.

They compute to the bit what :mod:`tinyae.program.int8` defines. A right shift of a negative number
rounds down, as on every compiler in use. int8_t is a character type, so it may point into memory of
floats.
"""

from __future__ import annotations

from string import Template


def in_int8(template: Template) -> Template:
    """The function for numbers of 8 bits in place of floats, if it only moves and compares them."""
    return Template(template.template.replace("float", "int8_t"))


NEAREST = Template("""\
/* the integer nearest to halves / 2, plus zero */
static inline int8_t ${name}_nearest(float halves, int32_t zero)
{
    const float low = (float)(2 * (-128 - zero)), high = (float)(2 * (127 - zero));
    const int32_t n = (int32_t)(halves > low ? halves < high ? halves : high : low);
    return (int8_t)((n + (n > 0) - (n < 0)) / 2 + zero);
}
""")

QUANTIZE = Template("""\
/* q = the integer nearest to x / scale, plus zero, where halves_per_unit = 2 / scale */
static inline void ${name}_quantize(const float *x, int8_t *q, int32_t length,
    float halves_per_unit, int32_t zero)
{
    for (int32_t i = 0; i < length; i++) {
        q[i] = ${name}_nearest(x[i] * halves_per_unit, zero);
    }
}
""")

QUANTIZE_UNITS = Template("""\
/* the same of x in units of its own      units (channels, 2): shift, and halves of a unit
 * x, q (channels, length) */
static inline void ${name}_quantize_units(const float *units, const float *x, int8_t *q,
    int32_t channels, int32_t length, int32_t zero)
{
    for (int32_t c = 0; c < channels; c++, units += 2) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            q[p] = ${name}_nearest((x[p] - units[0]) * units[1], zero);
        }
    }
}
""")

DEQUANTIZE = Template("""\
/* y = scale * (q - zero); q may be the last quarter of y's memory */
static inline void ${name}_dequantize(const int8_t *q, float *y, int32_t length, float scale,
    int32_t zero)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = scale * (float)(q[i] - zero);
    }
}
""")

DEQUANTIZE_UNITS = Template("""\
/* the same with y in units of its own      units (channels, 2): scale and shift
 * q, y (channels, length) */
static inline void ${name}_dequantize_units(const float *units, const int8_t *q, float *y,
    int32_t channels, int32_t length, int32_t zero)
{
    for (int32_t c = 0; c < channels; c++, units += 2) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            y[p] = units[0] * (float)(q[p] - zero) + units[1];
        }
    }
}
""")

REQUANTIZE = Template("""\
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32) && defined(__ARM_FEATURE_UNALIGNED)
#define ${name}_smlad  /* two products at a time; clang needs -munaligned-access */
#endif

/* (sum * multiplier / 2^32 + offset) / 2^shift, rounded down, between low and 127 */
static inline int8_t ${name}_requantize(int32_t sum, int32_t multiplier, int32_t shift,
    int32_t offset, int32_t low)
{
    const int32_t product = (int32_t)(((int64_t)sum * multiplier) >> 32);
    int32_t q = (product + offset) >> shift;
#ifdef ${name}_smlad
    __asm__("ssat %0, #8, %0" : "+r"(q));
#else
    q = q > 127 ? 127 : q;
#endif
    return (int8_t)(q < low ? low : q);
}
""")

DOT = Template("""\
#ifdef ${name}_smlad
/* the next four bytes: even and odd ones, each two 16-bit numbers */
static inline void ${name}_load(const int8_t **x, int32_t *even, int32_t *odd)
{
    __asm__("ldr %1, [%2], #4; sxtb16 %0, %1; sxtb16 %1, %1, ror #8"
        : "=&r"(*even), "=&r"(*odd), "+r"(*x)
        : "m"(*(const int8_t(*)[4])*x));
}

/* sum + the products of the next four of w with even and odd */
static inline int32_t ${name}_dot(const int8_t **w, int32_t even, int32_t odd, int32_t sum)
{
    int32_t w_even, w_odd;
    ${name}_load(w, &w_even, &w_odd);
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(w_even), "r"(even));
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(w_odd), "r"(odd));
    return sum;
}
#endif
""")

DENSE = Template("""\
/* y = W x + b, $rows rows at a time; numbers of y are step apart
 * W (rows / $rows): first (columns / 8, 2, $rows, 4), then (columns % 8, $rows)
 * scales (rows, 2): b, and the multiplier of a sum */
static void ${name}_dense$rows(const int8_t *W, const int32_t *scales, const int8_t *x, int8_t *y,
    int32_t rows, int32_t columns, int32_t step, int32_t shift, int32_t offset, int32_t low)
{
    const int8_t *const eights = x + columns / 8 * 8;
    for (int32_t o = 0; o < rows; o += $rows, y += $rows * step, scales += 2 * $rows) {
        const int8_t *v = x;
        int32_t s@ = scales[@ * 2];
#ifdef ${name}_smlad
        while (v < eights) {
            int32_t even, odd;
            ${name}_load(&v, &even, &odd);
            s@ = ${name}_dot(&W, even, odd, s@);
            ${name}_load(&v, &even, &odd);
            s@ = ${name}_dot(&W, even, odd, s@);
        }
#else
        for (; v < eights; v += 4, W += 4 * $rows) {
            const int32_t v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];
            s@ += W[@ * 4] * v0;
            s@ += W[@ * 4 + 1] * v1;
            s@ += W[@ * 4 + 2] * v2;
            s@ += W[@ * 4 + 3] * v3;
        }
#endif
        for (; v < x + columns; v++, W += $rows) {
            s@ += W[@] * v[0];
        }
        y[@ * step] = ${name}_requantize(s@, scales[@ * 2 + 1], shift, offset, low);
    }
}
""")

TABLE = Template("""\
/* y = table[x + 128] */
static void ${name}_table(const int8_t *table, const int8_t *x, int8_t *y, int32_t length)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = table[x[i] + 128];
    }
}
""")

SQUARED_ERROR = Template("""\
/* the sum of (x - target)^2, where x = scale * (q - zero) */
static float ${name}_squared_error(const int8_t *q, const float *target, int32_t length,
    float scale, int32_t zero)
{
    float sum = 0.0f;
    for (int32_t begin = 0; begin < length; begin += 32) {
        const int32_t end = ${name}_min(begin + 32, length);
        float part = 0.0f;
        for (int32_t i = begin; i < end; i++) {
            const float error = scale * (float)(q[i] - zero) - target[i];
            part += error * error;
        }
        sum += part;
    }
    return sum;
}
""")

SQUARED_ERROR_UNITS = Template("""\
/* the sum of (q - x)^2, for x from begin to before end, in the units of the layers
 * units (channels, 2) as in quantize_units, half is that of a unit; x (channels, length) */
static float ${name}_squared_error_units(const float *units, const int8_t *q, const float *x,
    int32_t begin, int32_t end, int32_t length, float scale, int32_t zero, float half)
{
    float sum = 0.0f;
    for (int32_t i = begin; i < end; i++, q++) {
        const float *unit = units + i / length * 2;
        const float error = scale * (float)(*q - zero) - (x[i] - unit[0]) * unit[1] * half;
        sum += error * error;
    }
    return sum;
}
""")

RESCALE = Template("""\
/* (sum + offset) / 2^shift, rounded down, between -128 and 127 */
static inline int8_t ${name}_rescale(int32_t sum, int32_t shift, int32_t offset)
{
    const int32_t q = (sum + offset) >> shift;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}
""")

ADD = Template("""\
/* y = x_factor * x + other_factor * other */
static void ${name}_add(const int8_t *x, const int8_t *other, int8_t *y, int32_t length,
    int32_t x_factor, int32_t other_factor, int32_t shift, int32_t offset)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = ${name}_rescale(x[i] * x_factor + other[i] * other_factor, shift, offset);
    }
}
""")

MULTIPLY = Template("""\
/* y = factor * (x - x_zero) * (other - other_zero) */
static void ${name}_multiply(const int8_t *x, const int8_t *other, int8_t *y, int32_t length,
    int32_t factor, int32_t x_zero, int32_t other_zero, int32_t shift, int32_t offset)
{
    for (int32_t i = 0; i < length; i++) {
        const int32_t product = (x[i] - x_zero) * (other[i] - other_zero);
        y[i] = ${name}_rescale(factor * product, shift, offset);
    }
}
""")

PRELU = Template("""\
/* y[c, p] = (x[c, p] - x_zero) * (positive if it is, else negative[c])      x, y (channels, length) */
static void ${name}_prelu(const int32_t *negative, const int8_t *x, int8_t *y, int32_t channels,
    int32_t length, int32_t positive, int32_t x_zero, int32_t shift, int32_t offset)
{
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            const int32_t v = x[p] - x_zero;
            y[p] = ${name}_rescale(v * (v > 0 ? positive : negative[c]), shift, offset);
        }
    }
}
""")

TOP_K = Template("""\
/* y = x at its k largest entries, zero elsewhere; of equal entries, the first are kept */
static void ${name}_top_k(const int8_t *x, int8_t *y, int32_t length, int32_t k, int32_t zero)
{
    int32_t least = 128, above = 0, equal = 0;  /* how many are larger than least, and equal to it */
    while (above + equal < k) {
        above += equal;
        equal = 0;
        least--;
        for (int32_t i = 0; i < length; i++) {
            equal += x[i] == least;
        }
    }
    for (int32_t i = 0; i < length; i++) {
        const int tie = x[i] == least && above < k;
        above += tie;
        y[i] = (int8_t)(tie || x[i] > least ? x[i] : zero);
    }
}
""")

INVERSE_ROOT = Template("""\
/* 2^31 / sqrt(v / 4^h), where h makes v / 4^h a number of 31 or 32 bits; v is at least 1 */
static int32_t ${name}_inverse_root(uint64_t v, int32_t *h)
{
    uint32_t root = 0;
    int32_t n = 0;
    for (; v >> 32 != 0; v >>= 2) {
        n++;
    }
    for (; v >> 30 == 0; v <<= 2) {
        n--;
    }
    *h = n;
    for (uint32_t bit = 1u << 15; bit != 0; bit >>= 1) {
        root |= (root | bit) * (root | bit) <= (uint32_t)v ? bit : 0;
    }
    return (int32_t)((1u << 31) / root);
}
""")

NORM = Template("""\
/* y = W * n + b, where n = (x - mean) / sqrt(variance + eps) over k, the mean 0 unless centered
 * x, y (rows, length, columns), k < length      eps in units of x, times length^2
 * W (channels); scales (channels, 2): b, and the multiplier of a sum; for per neighbours each */
static void ${name}_norm(const int8_t *W, const int32_t *scales, const int8_t *x, int8_t *y,
    int32_t rows, int32_t length, int32_t columns, int32_t channels, int32_t per, int32_t centered,
    int64_t eps, int32_t down, int32_t x_zero, int32_t shift, int32_t offset, int32_t low)
{
    for (int32_t r = 0; r < rows; r++, x += length * columns, y += length * columns) {
        for (int32_t p = 0; p < columns; p++) {
            int32_t sum = 0, h;
            int64_t squares = 0;
            for (int32_t k = p; k < length * columns; k += columns) {
                const int32_t v = x[k] - x_zero;
                sum += v;
                squares += v * v;
            }
            sum *= centered;
            squares = length * squares - (int64_t)sum * sum + eps;
            const int32_t inverse = ${name}_inverse_root((uint64_t)squares, &h);
            const int32_t bits = down + h;
            const int64_t half = (int64_t)1 << (bits - 1);
            for (int32_t k = p; k < length * columns; k += columns) {
                const int32_t c = (r * length * columns + k) / per % channels;
                const int32_t d = length * (x[k] - x_zero) - sum;
                const int32_t n = (int32_t)(((int64_t)d * inverse + half) >> bits);
                const int32_t total = W[c] * n + scales[2 * c];
                y[k] = ${name}_requantize(total, scales[2 * c + 1], shift, offset, low);
            }
        }
    }
}
""")

SOFTMAX = Template("""\
/* y[k, p] = e[k, p] / sum over j of e[j, p], where e = exponentials[largest x - x]
 * x, y (classes, length) */
static void ${name}_softmax(const int16_t *exponentials, const int8_t *x, int8_t *y, int32_t classes,
    int32_t length, int32_t down, int32_t multiplier, int32_t shift, int32_t offset)
{
    for (int32_t p = 0; p < length; p++) {
        int32_t largest = -128, sum = 0, h = 0;
        for (int32_t k = p; k < classes * length; k += length) {
            largest = x[k] > largest ? x[k] : largest;
        }
        for (int32_t k = p; k < classes * length; k += length) {
            sum += exponentials[largest - x[k]];
        }
        for (; sum >= 1 << 16; sum >>= 1) {
            h++;
        }
        const uint32_t inverse = (1u << 31) / (uint32_t)sum;
        for (int32_t k = p; k < classes * length; k += length) {
            const uint32_t e = (uint32_t)exponentials[largest - x[k]];
            const int32_t share = (int32_t)(e * inverse >> (down + h));
            y[k] = ${name}_requantize(share, multiplier, shift, offset, -128);
        }
    }
}
""")
