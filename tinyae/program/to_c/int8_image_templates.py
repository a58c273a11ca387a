"""The C functions for images in int8. See :mod:`.int8_templates`, and :mod:`.image_templates`."""

from __future__ import annotations

from string import Template

CONV = Template("""\
/* y[o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] * (x[c, i * down + u - top,
 * j * right + v - left] - x_zero), nothing outside of the image; $rows channels o at a time
 * W (out_channels / $rows, channels * window_height * window_width, $rows)
 * scales (out_channels, 2): b, and the multiplier of a sum */
static void ${name}_conv$rows(const ${name}_window *s, int32_t out_channels, const int8_t *W,
    const int32_t *scales, const int8_t *x, int8_t *y, int32_t x_zero, int32_t shift,
    int32_t offset, int32_t low)
{
    const int32_t pixels = s->out_height * s->out_width;
    for (int32_t o = 0; o < out_channels; o += $rows, scales += 2 * $rows) {
        int8_t *p = y + o * pixels;
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? -row : 0;
            const int32_t u1 = ${name}_min(s->window_height, s->height - row);
            for (int32_t j = 0; j < s->out_width; j++, p++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? -column : 0;
                const int32_t v1 = ${name}_min(s->window_width, s->width - column);
                int32_t s@ = scales[@ * 2];
                for (int32_t c = 0; c < s->channels; c++) {
                    for (int32_t u = u0; u < u1; u++) {
                        const int32_t at = (c * s->height + row + u) * s->width + column;
                        const int32_t tap = (c * s->window_height + u) * s->window_width;
                        for (int32_t v = v0; v < v1; v++) {
                            const int32_t xv = x[at + v] - x_zero;
                            const int8_t *w = W + (tap + v) * $rows;
                            s@ += w[@] * xv;
                        }
                    }
                }
                p[@ * pixels] = ${name}_requantize(s@, scales[@ * 2 + 1], shift, offset, low);
            }
        }
        W += s->channels * s->window_height * s->window_width * $rows;
    }
}
""")

CONV_TRANSPOSE = Template("""\
/* y[o] = b[o], then y[o, i * down + u - top, j * right + v - left] += W[o, c, u, v] *
 * (x[c, i, j] - x_zero) where that is inside of y; computed pixel by pixel of y, $rows channels o at
 * a time
 * W (out_channels / $rows, channels * window_height * window_width, $rows)
 * scales (out_channels, 2): b, and the multiplier of a sum */
static void ${name}_conv_transpose$rows(const ${name}_window *s, int32_t out_channels,
    const int8_t *W, const int32_t *scales, const int8_t *x, int8_t *y, int32_t x_zero,
    int32_t shift, int32_t offset, int32_t low)
{
    const int32_t pixels = s->out_height * s->out_width;
    for (int32_t o = 0; o < out_channels; o += $rows, scales += 2 * $rows) {
        int8_t *p = y + o * pixels;
        for (int32_t row = s->top; row < s->top + s->out_height; row++) {  /* i * down + u */
            const int32_t above = row - s->window_height;
            const int32_t i0 = above < 0 ? 0 : above / s->down + 1;
            const int32_t i1 = ${name}_min(s->height, row / s->down + 1);
            for (int32_t column = s->left; column < s->left + s->out_width; column++, p++) {
                const int32_t before = column - s->window_width;
                const int32_t j0 = before < 0 ? 0 : before / s->right + 1;
                const int32_t j1 = ${name}_min(s->width, column / s->right + 1);
                int32_t s@ = scales[@ * 2];
                for (int32_t c = 0; c < s->channels; c++) {
                    for (int32_t i = i0; i < i1; i++) {
                        const int32_t at = (c * s->height + i) * s->width;
                        const int32_t u = row - i * s->down;
                        const int32_t tap = (c * s->window_height + u) * s->window_width + column;
                        for (int32_t j = j0; j < j1; j++) {
                            const int32_t xv = x[at + j] - x_zero;
                            const int8_t *w = W + (tap - j * s->right) * $rows;
                            s@ += w[@] * xv;
                        }
                    }
                }
                p[@ * pixels] = ${name}_requantize(s@, scales[@ * 2 + 1], shift, offset, low);
            }
        }
        W += s->channels * s->window_height * s->window_width * $rows;
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
