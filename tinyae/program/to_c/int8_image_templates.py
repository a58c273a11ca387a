"""The C functions for images in int8. See :mod:`.int8_templates`, and :mod:`.image_templates`."""

from __future__ import annotations

from string import Template

CONVOLUTION = Template("""\
/* A convolution: x and y are those of a group of channels. */
typedef struct {
    int32_t channels, height, width;              /* of x */
    int32_t out_channels, out_height, out_width;  /* of y */
    int32_t window_height, window_width;
    int32_t down, right;                          /* stride */
    int32_t top, left;                            /* padding */
    int32_t gap_down, gap_right;                  /* dilation */
} ${name}_convolution;
""")

GATHER = Template("""\
/* strip[v][c][u] = x[c, row + u * gap_down, column + v], x_zero outside of the image; first all v that
 * are 0 modulo gap_right, then 1, ...: a window is consecutive numbers */
static void ${name}_gather(const ${name}_convolution *s, const int8_t *x, int8_t *strip, int32_t row,
    int32_t column, int32_t height, int32_t width, int32_t x_zero)
{
    const int32_t high = s->channels * height;
    const int32_t per_gap = (width + s->gap_right - 1) / s->gap_right;
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t u = 0; u < height; u++, strip++) {
            const int32_t i = row + u * s->gap_down;
            const int32_t at = i * s->width + column;
            const int32_t begin = i < 0 || i >= s->height ? width : column < 0 ? -column : 0;
            const int32_t end = ${name}_min(width, s->width - column);
            for (int32_t gap = 0; gap < s->gap_right; gap++) {
                int8_t *to = strip + gap * per_gap * high;
                int32_t v = gap;
                for (; v < begin && v < width; v += s->gap_right, to += high) {
                    *to = (int8_t)x_zero;
                }
                for (; v < end; v += s->gap_right, to += high) {
                    *to = x[at + v];
                }
                for (; v < width; v += s->gap_right, to += high) {
                    *to = (int8_t)x_zero;
                }
            }
        }
    }
}
""")

CONV = Template("""\
/* y[o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] * x[c, i * down + u * gap_down - top,
 * j * right + v * gap_right - left]. What $pixels neighbours y[o, i, j] need of x is gathered in a
 * strip, a part of which is the input of a Dense layer
 * W, scales   as there */
static void ${name}_conv(const ${name}_convolution *s, const int8_t *W, const int32_t *scales,
    const int8_t *x, int8_t *y, int8_t *strip, int32_t x_zero, int32_t shift, int32_t offset,
    int32_t low)
{
    const int32_t high = s->channels * s->window_height, columns = high * s->window_width;
    const int32_t pixels = s->out_height * s->out_width, fours = s->out_channels / 4 * 4;
    const int32_t reach = (s->window_width - 1) * s->gap_right + 1;
    for (int32_t i = 0; i < s->out_height; i++) {
        for (int32_t j = 0; j < s->out_width; j += $pixels) {
            const int32_t count = ${name}_min($pixels, s->out_width - j);
            const int32_t width = (count - 1) * s->right + reach;
            const int32_t per_gap = (width + s->gap_right - 1) / s->gap_right;
            ${name}_gather(s, x, strip, i * s->down - s->top, j * s->right - s->left,
                s->window_height, width, x_zero);
            for (int32_t v = 0; v < count * s->right; v += s->right, y++) {
                const int32_t at = v % s->gap_right * per_gap + v / s->gap_right;
                const int8_t *window = strip + at * high;
                ${name}_dense4(W, scales, window, y, fours, columns, pixels, shift, offset, low);
                ${name}_dense1(W + fours * columns, scales + 2 * fours, window, y + fours * pixels,
                    s->out_channels - fours, columns, pixels, shift, offset, low);
            }
        }
    }
}
""")

CONV_TRANSPOSE = Template("""\
/* y[o] = b[o], then y[o, i * down + u - top, j * right + v - left] += W[o, c, u, v] * x[c, i, j]
 * where that is inside of y. Pixels of y at the same distance a, b from multiples of down, right meet
 * the same weights, u = a, a + down, ... and v = b, b + right, ...: for them that is a convolution.
 * W, scales   for each a and b, the weights that are met, turned around, as of a Dense layer */
static void ${name}_conv_transpose(const ${name}_convolution *s, const int8_t *W,
    const int32_t *scales, const int8_t *x, int8_t *y, int8_t *strip, int32_t x_zero,
    int32_t shift, int32_t offset, int32_t low)
{
    const int32_t pixels = s->out_height * s->out_width, fours = s->out_channels / 4 * 4;
    const int32_t widest = (s->window_width + s->right - 1) / s->right;
    const int32_t end = (s->out_width - 1 + s->left) / s->right + 1;
    for (int32_t a = 0; a < s->down; a++) {
        const int32_t height = (s->window_height - a + s->down - 1) / s->down;
        const int32_t high = s->channels * height;
        for (int32_t i = (a - s->top % s->down + s->down) % s->down; i < s->out_height; i += s->down) {
            for (int32_t k = s->left / s->right; k < end; k += $pixels) {
                const int32_t count = ${name}_min($pixels, end - k);
                const int8_t *w = W;
                const int32_t *b_scales = scales;
                ${name}_gather(s, x, strip, (i + s->top) / s->down - height + 1, k - widest + 1,
                    height, count + widest - 1, x_zero);
                for (int32_t b = 0; b < s->right; b++, b_scales += 2 * s->out_channels) {
                    const int32_t width = (s->window_width - b + s->right - 1) / s->right;
                    const int32_t columns = high * width;
                    const int8_t *window = strip + (widest - width) * high;
                    int32_t j = k * s->right + b - s->left;
                    for (int32_t n = 0; n < count; n++, window += high, j += s->right) {
                        int8_t *p = y + i * s->out_width + j;
                        if (j < 0 || j >= s->out_width) {
                            continue;
                        }
                        ${name}_dense4(w, b_scales, window, p, fours, columns, pixels, shift, offset,
                            low);
                        ${name}_dense1(w + fours * columns, b_scales + 2 * fours, window,
                            p + fours * pixels, s->out_channels - fours, columns, pixels, shift,
                            offset, low);
                    }
                    w += s->out_channels * columns;
                }
            }
        }
        W += s->out_channels * high * s->window_width;
        scales += 2 * s->out_channels * s->right;
    }
}
""")

AFFINE = Template("""\
/* y[c, p] = W[c] * (x[c, p] - x_zero) + b[c]      x, y (channels, length)
 * scales (channels, 2): b, and the multiplier of a sum */
static void ${name}_affine(const int8_t *W, const int32_t *scales, const int8_t *x, int8_t *y,
    int32_t channels, int32_t length, int32_t x_zero, int32_t shift, int32_t offset, int32_t low)
{
    for (int32_t c = 0; c < channels; c++, scales += 2) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            const int32_t sum = scales[0] + W[c] * (x[p] - x_zero);
            y[p] = ${name}_requantize(sum, scales[1], shift, offset, low);
        }
    }
}
""")

AVG_POOL = Template("""\
/* y[c, i, j] = factor * the mean of x[c, i * down + $u - top, j * right + $v - left] - x_zero over the
 * part of a window that is inside of the image */
static void ${name}_avg_pool$suffix(const ${name}_window *s, const int8_t *x, int8_t *y,
    int32_t factor, int32_t x_zero, int32_t shift, int32_t offset)
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
                const int32_t count = $rows_inside * $columns_inside;
                int32_t sum = -count * x_zero;
                for (int32_t u = u0; u < u1; u += $down) {
                    for (int32_t v = v0; v < v1; v += $across) {
                        sum += x[u * s->width + v];
                    }
                }
                *y++ = ${name}_rescale(sum * ((factor + count / 2) / count), shift, offset);
            }
        }
    }
}
""")

INTERPOLATE = Template("""\
/* y[c, i, j] = x[c] at the place (i + 1/2) / down - 1/2, (j + 1/2) / right - 1/2 between four pixels */
static void ${name}_interpolate(const int8_t *x, int8_t *y, int32_t channels, int32_t height,
    int32_t width, int32_t down, int32_t right)
{
    const int32_t count = 4 * down * right;
    for (int32_t c = 0; c < channels; c++, x += height * width) {
        for (int32_t i = 0; i < height * down; i++) {
            const int32_t row = 2 * i + 1 < down ? 0 : 2 * i + 1 - down;  /* in halves of 1 / down */
            const int32_t i0 = row / (2 * down), s = row - i0 * 2 * down;
            const int8_t *above = x + i0 * width;
            const int8_t *below = x + ${name}_min(i0 + 1, height - 1) * width;
            for (int32_t j = 0; j < width * right; j++) {
                const int32_t column = 2 * j + 1 < right ? 0 : 2 * j + 1 - right;
                const int32_t j0 = column / (2 * right), t = column - j0 * 2 * right;
                const int32_t j1 = ${name}_min(j0 + 1, width - 1);
                const int32_t u = (2 * down - s) * above[j0] + s * below[j0];
                const int32_t v = (2 * down - s) * above[j1] + s * below[j1];
                const int32_t sum = (2 * right - t) * u + t * v + 128 * count;  /* at least 0 */
                *y++ = (int8_t)((sum + count / 2) / count - 128);
            }
        }
    }
}
""")

PAD = Template("""\
/* y[c, i, j] = x[c, i - top, j - left], zero outside of the image */
static void ${name}_pad(const ${name}_window *s, const int8_t *x, int8_t *y, int32_t zero)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = -s->top; i < s->out_height - s->top; i++) {
            for (int32_t j = -s->left; j < s->out_width - s->left; j++) {
                const int inside = i >= 0 && i < s->height && j >= 0 && j < s->width;
                *y++ = (int8_t)(inside ? x[i * s->width + j] : zero);
            }
        }
    }
}
""")
