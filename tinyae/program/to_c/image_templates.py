"""The C functions for images: convolutions, pooling, upsampling. See :mod:`.templates`."""

from __future__ import annotations

from string import Template

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
/* y[o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] * x[c, i * down + u - top,
 * j * right + v - left], where x is zero outside of the image; $rows channels o at a time
 * W (out_channels / $rows, 1 + channels * window_height * window_width, $rows),
 * where b comes first */
static void ${name}_conv$rows(const ${name}_window *s, int32_t out_channels,
    const float *W, const float *x, float *y)
{
    const int32_t pixels = s->out_height * s->out_width;
    /* channels that are summed up by themselves, about 64 products: that rounds less */
    const int32_t piece = 1 + 64 / (s->window_height * s->window_width);
    for (int32_t o = 0; o < out_channels; o += $rows) {
        float *p = y + o * pixels;
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? -row : 0;
            const int32_t u1 = ${name}_min(s->window_height, s->height - row);
            for (int32_t j = 0; j < s->out_width; j++, p++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? -column : 0;
                const int32_t v1 = ${name}_min(s->window_width, s->width - column);
                float s@ = W[@];
                for (int32_t begin = 0; begin < s->channels; begin += piece) {
                    const int32_t end = ${name}_min(begin + piece, s->channels);
                    float t@ = 0.0f;
                    for (int32_t c = begin; c < end; c++) {
                        for (int32_t u = u0; u < u1; u++) {
                            const int32_t at = (c * s->height + row + u) * s->width + column;
                            const int32_t tap = (c * s->window_height + u) * s->window_width;
                            for (int32_t v = v0; v < v1; v++) {
                                const float xv = x[at + v];
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
/* y[c, i, j] = the largest x[c, i * down + u, j * right + v] of a window; NaN if there is one */
static void ${name}_max_pool(const ${name}_window *s, const float *x, float *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            for (int32_t j = 0; j < s->out_width; j++) {
                const float *corner = x + i * s->down * s->width + j * s->right;
                float largest = corner[0];
                for (int32_t u = 0; u < s->window_height; u++) {
                    for (int32_t v = 0; v < s->window_width; v++) {
                        const float xv = corner[u * s->width + v];
                        largest = xv > largest || xv != xv ? xv : largest;
                    }
                }
                *y++ = largest;
            }
        }
    }
}
""")

AVG_POOL = Template("""\
/* y[c, i, j] = the mean of x[c, i * down + u, j * right + v] over a window */
static void ${name}_avg_pool(const ${name}_window *s, const float *x, float *y)
{
    for (int32_t c = 0; c < s->channels; c++, x += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            for (int32_t j = 0; j < s->out_width; j++) {
                const float *corner = x + i * s->down * s->width + j * s->right;
                float sum = 0.0f;
                for (int32_t u = 0; u < s->window_height; u++) {
                    for (int32_t v = 0; v < s->window_width; v++) {
                        sum += corner[u * s->width + v];
                    }
                }
                *y++ = sum / (float)(s->window_height * s->window_width);
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
