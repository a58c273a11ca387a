"""The C functions for images in int8. See :mod:`.int8_templates`, and :mod:`.image_templates`."""

from __future__ import annotations

from string import Template

GATHER = Template("""\
/* patch = the window of x whose corner is at row, column; x_zero outside of the image */
static void ${name}_gather(const ${name}_window *s, const int8_t *x, int8_t *patch, int32_t row,
    int32_t column, int32_t height, int32_t width, int32_t x_zero)
{
    if (row >= 0 && column >= 0 && row + height <= s->height && column + width <= s->width) {
        const int32_t gap = (s->height - height) * s->width;
        int32_t at = row * s->width + column;
        for (int32_t c = 0; c < s->channels; c++, at += gap) {
            for (int32_t i = 0; i < height; i++, at += s->width) {
                for (int32_t j = 0; j < width; j++) {
                    *patch++ = x[at + j];
                }
            }
        }
        return;
    }
    for (int32_t c = 0; c < s->channels; c++) {
        for (int32_t i = row; i < row + height; i++) {
            const int32_t at = (c * s->height + i) * s->width;
            const int outside = i < 0 || i >= s->height;
            for (int32_t j = column; j < column + width; j++) {
                *patch++ = (int8_t)(outside || j < 0 || j >= s->width ? x_zero : x[at + j]);
            }
        }
    }
}
""")

CONV = Template("""\
/* y[o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] * x[c, i * down + u - top,
 * j * right + v - left]; each window of x is gathered in a patch, then that is a Dense layer
 * W, scales   as there */
static void ${name}_conv(const ${name}_window *s, int32_t out_channels, const int8_t *W,
    const int32_t *scales, const int8_t *x, int8_t *y, int8_t *patch, int32_t x_zero,
    int32_t shift, int32_t offset, int32_t low)
{
    const int32_t columns = s->channels * s->window_height * s->window_width;
    const int32_t pixels = s->out_height * s->out_width, fours = out_channels / 4 * 4;
    for (int32_t i = 0; i < s->out_height; i++) {
        for (int32_t j = 0; j < s->out_width; j++, y++) {
            ${name}_gather(s, x, patch, i * s->down - s->top, j * s->right - s->left,
                s->window_height, s->window_width, x_zero);
            ${name}_dense4(W, scales, patch, y, fours, columns, pixels, shift, offset, low);
            ${name}_dense1(W + fours * columns, scales + 2 * fours, patch, y + fours * pixels,
                out_channels - fours, columns, pixels, shift, offset, low);
        }
    }
}
""")

CONV_TRANSPOSE = Template("""\
/* y[o] = b[o], then y[o, i * down + u - top, j * right + v - left] += W[o, c, u, v] * x[c, i, j]
 * where that is inside of y. Pixels of y at the same distance a, b from multiples of down, right meet
 * the same weights, u = a, a + down, ... and v = b, b + right, ...: for them that is a convolution.
 * W, scales   for each a and b, the weights that are met, turned around, as of a Dense layer */
static void ${name}_conv_transpose(const ${name}_window *s, int32_t out_channels, const int8_t *W,
    const int32_t *scales, const int8_t *x, int8_t *y, int8_t *patch, int32_t x_zero,
    int32_t shift, int32_t offset, int32_t low)
{
    const int32_t pixels = s->out_height * s->out_width, fours = out_channels / 4 * 4;
    for (int32_t ab = 0; ab < s->down * s->right; ab++) {
        const int32_t a = ab / s->right, b = ab % s->right;
        const int32_t height = (s->window_height - a + s->down - 1) / s->down;
        const int32_t width = (s->window_width - b + s->right - 1) / s->right;
        const int32_t columns = s->channels * height * width;
        const int32_t i0 = (a - s->top % s->down + s->down) % s->down;
        const int32_t j0 = (b - s->left % s->right + s->right) % s->right;
        for (int32_t i = i0; i < s->out_height; i += s->down) {
            for (int32_t j = j0; j < s->out_width; j += s->right) {
                int8_t *p = y + i * s->out_width + j;
                ${name}_gather(s, x, patch, (i + s->top) / s->down - height + 1,
                    (j + s->left) / s->right - width + 1, height, width, x_zero);
                ${name}_dense4(W, scales, patch, p, fours, columns, pixels, shift, offset, low);
                ${name}_dense1(W + fours * columns, scales + 2 * fours, patch,
                    p + fours * pixels, out_channels - fours, columns, pixels, shift, offset, low);
            }
        }
        W += out_channels * columns;
        scales += 2 * out_channels;
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

MAX_POOL = Template("""\
/* y[c, i, j] = the largest x[c, i * down + u, j * right + v] of a window */
static void ${name}_max_pool(const ${name}_window *s, const int8_t *x, int8_t *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            for (int32_t j = 0; j < s->out_width; j++) {
                const int8_t *corner = x + i * s->down * s->width + j * s->right;
                int8_t largest = corner[0];
                for (int32_t u = 0; u < s->window_height; u++) {
                    for (int32_t v = 0; v < s->window_width; v++) {
                        const int8_t xv = corner[u * s->width + v];
                        largest = xv > largest ? xv : largest;
                    }
                }
                *y++ = largest;
            }
        }
    }
}
""")

AVG_POOL = Template("""\
/* y[c, i, j] = factor * the sum of x[c, i * down + u, j * right + v] over a window */
static void ${name}_avg_pool(const ${name}_window *s, const int8_t *x, int8_t *y, int32_t factor,
    int32_t shift, int32_t offset)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            for (int32_t j = 0; j < s->out_width; j++) {
                const int8_t *corner = x + i * s->down * s->width + j * s->right;
                int32_t sum = 0;
                for (int32_t u = 0; u < s->window_height; u++) {
                    for (int32_t v = 0; v < s->window_width; v++) {
                        sum += corner[u * s->width + v];
                    }
                }
                *y++ = ${name}_rescale(sum * factor, shift, offset);
            }
        }
    }
}
""")

UPSAMPLE = Template("""\
/* y[c, i, j] = x[c, i / down, j / right]      x (rows, width), where rows = channels * height */
static void ${name}_upsample(const int8_t *x, int8_t *y, int32_t rows, int32_t width,
    int32_t down, int32_t right)
{
    for (int32_t i = 0; i < rows * down; i++) {
        for (int32_t j = 0; j < width * right; j++) {
            *y++ = x[i / down * width + j / right];
        }
    }
}
""")
