"""The C functions of a backward pass through images. See :mod:`.backward_templates`."""

from __future__ import annotations

from string import Template

from tinyae.program.to_c.image_templates import suffix

SUM = Template("""\
static float ${name}_sum(const float *x, int32_t length)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < length; i++) {
        sum += x[i];
    }
    return sum;
}
""")


def gaps(dilation: tuple[int, int]) -> dict[str, str]:
    """The parts of CONV_TRANSPOSE_UPDATE that depend on the dilation: zeros in W stay what they are."""
    parts = {"suffix": suffix(dilation), "skip_gaps": ""}
    if dilation != (1, 1):
        down, across = dilation
        condition = f"u % {down} != 0 || v % {across} != 0"
        parts["skip_gaps"] = f"""
                    if ({condition}) {{
                        continue;
                    }}"""
    return parts


CONV_INPUT_GRAD = Template("""\
/* dx[c, i * down + $step_down - top, j * right + $step_across - left] += W[o, c, u, v] * dy[o, i, j]
 * where that is inside of x; $rows channels o at a time */
static void ${name}_conv_input_grad$suffix$rows(const ${name}_window *s, int32_t out_channels,
    const float *W, const float *dy, float *dx)
{
    const int32_t pixels = s->out_height * s->out_width;
    for (int32_t o = 0; o < out_channels; o += $rows) {
        const float *p = dy + o * pixels;
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? $first_down : 0;
            const int32_t u1 = ${name}_min(s->window_height, $last_down);
            for (int32_t j = 0; j < s->out_width; j++, p++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? $first_across : 0;
                const int32_t v1 = ${name}_min(s->window_width, $last_across);
                const float d@ = p[@ * pixels];
                for (int32_t c = 0; c < s->channels; c++) {
                    for (int32_t u = u0; u < u1; u++) {
                        const int32_t at = (c * s->height + row + $step_down) * s->width + column;
                        const int32_t tap = (c * s->window_height + u) * s->window_width;
                        for (int32_t v = v0; v < v1; v++) {
                            const float *w = W + (1 + tap + v) * $rows;
                            float t = dx[at + $step_across];
                            t = ${name}_fma(w[@], d@, t);
                            dx[at + $step_across] = t;
                        }
                    }
                }
            }
        }
        W += (1 + s->channels * s->window_height * s->window_width) * $rows;
    }
}
""")

RANGE = Template("""\
/* For which i < count the index i * stride + offset is in 0 ... length - 1: from first to before end */
static inline void ${name}_range(int32_t offset, int32_t stride, int32_t length, int32_t count,
    int32_t *first, int32_t *end)
{
    *first = offset < 0 ? (stride - 1 - offset) / stride : 0;
    *end = offset < length ? ${name}_min(count, (length - 1 - offset) / stride + 1) : 0;
}
""")

CONV_UPDATE = Template("""\
/* W[o, c, u, v] moves against the sum over i, j of dy[o, i, j] * x[c, i * down + $step_down - top,
 * j * right + $step_across - left] where that is inside of x, b[o] against the sum of dy[o];
 * $rows channels o at a time */
static void ${name}_conv_update$suffix$rows(const ${name}_window *s, int32_t out_channels, float *W,
    const float *x, const float *dy, $parameter)
{
    const int32_t pixels = s->out_height * s->out_width;
    for (int32_t o = 0; o < out_channels; o += $rows, dy += $rows * pixels) {
        const float b@ = ${name}_sum(dy + @ * pixels, pixels);
        $update_b_by_sum
        W += $rows;
        for (int32_t c = 0; c < s->channels; c++) {
            for (int32_t u = 0; u < s->window_height; u++) {
                int32_t i0, i1;
                ${name}_range($step_down - s->top, s->down, s->height, s->out_height, &i0, &i1);
                for (int32_t v = 0; v < s->window_width; v++, W += $rows) {
                    int32_t j0, j1;
                    ${name}_range($step_across - s->left, s->right, s->width, s->out_width, &j0, &j1);
                    float s@ = 0.0f;
                    for (int32_t i = i0; i < i1; i++) {
                        const int32_t row = c * s->height + i * s->down + $step_down - s->top;
                        const int32_t at = row * s->width + $step_across - s->left;
                        float t@ = 0.0f;
                        for (int32_t j = j0; j < j1; j++) {
                            const float xv = x[at + j * s->right];
                            const float *d = dy + i * s->out_width + j;
                            t@ = ${name}_fma(d[@ * pixels], xv, t@);
                        }
                        s@ += t@;
                    }
                    $update_w_by_sum
                }
            }
        }
    }
}
""")

CONV_TRANSPOSE_INPUT_GRAD = Template("""\
/* dx[c, i, j] += W[o, c, u, v] * dy[o, i * down + u - top, j * right + v - left] where that is inside
 * of dy; computed pixel by pixel of dy, $rows channels o at a time */
static void ${name}_conv_transpose_input_grad$rows(const ${name}_window *s, int32_t out_channels,
    const float *W, const float *dy, float *dx)
{
    const int32_t pixels = s->out_height * s->out_width;
    for (int32_t o = 0; o < out_channels; o += $rows) {
        const float *p = dy + o * pixels;
        for (int32_t row = s->top; row < s->top + s->out_height; row++) {  /* i * down + u */
            const int32_t above = row - s->window_height;
            const int32_t i0 = above < 0 ? 0 : above / s->down + 1;
            const int32_t i1 = ${name}_min(s->height, row / s->down + 1);
            for (int32_t column = s->left; column < s->left + s->out_width; column++, p++) {
                const int32_t before = column - s->window_width;
                const int32_t j0 = before < 0 ? 0 : before / s->right + 1;
                const int32_t j1 = ${name}_min(s->width, column / s->right + 1);
                const float d@ = p[@ * pixels];
                for (int32_t c = 0; c < s->channels; c++) {
                    for (int32_t i = i0; i < i1; i++) {
                        const int32_t at = (c * s->height + i) * s->width;
                        const int32_t u = row - i * s->down;
                        const int32_t tap = (c * s->window_height + u) * s->window_width + column;
                        for (int32_t j = j0; j < j1; j++) {
                            const float *w = W + (1 + tap - j * s->right) * $rows;
                            float t = dx[at + j];
                            t = ${name}_fma(w[@], d@, t);
                            dx[at + j] = t;
                        }
                    }
                }
            }
        }
        W += (1 + s->channels * s->window_height * s->window_width) * $rows;
    }
}
""")

CONV_TRANSPOSE_UPDATE = Template("""\
/* W[o, c, u, v] moves against the sum over i, j of x[c, i, j] * dy[o, i * down + u - top,
 * j * right + v - left] where that is inside of dy, b[o] against the sum of dy[o]; $rows channels o at
 * a time */
static void ${name}_conv_transpose_update$suffix$rows(const ${name}_window *s, int32_t out_channels,
    float *W, const float *x, const float *dy, $parameter)
{
    const int32_t pixels = s->out_height * s->out_width;
    for (int32_t o = 0; o < out_channels; o += $rows, dy += $rows * pixels) {
        const float b@ = ${name}_sum(dy + @ * pixels, pixels);
        $update_b_by_sum
        W += $rows;
        for (int32_t c = 0; c < s->channels; c++) {
            for (int32_t u = 0; u < s->window_height; u++) {
                int32_t i0, i1;
                ${name}_range(u - s->top, s->down, s->out_height, s->height, &i0, &i1);
                for (int32_t v = 0; v < s->window_width; v++, W += $rows) {$skip_gaps
                    int32_t j0, j1;
                    ${name}_range(v - s->left, s->right, s->out_width, s->width, &j0, &j1);
                    float s@ = 0.0f;
                    for (int32_t i = i0; i < i1; i++) {
                        const float *xi = x + (c * s->height + i) * s->width;
                        const int32_t at = (i * s->down + u - s->top) * s->out_width + v - s->left;
                        float t@ = 0.0f;
                        for (int32_t j = j0; j < j1; j++) {
                            const float *d = dy + at + j * s->right;
                            t@ = ${name}_fma(d[@ * pixels], xi[j], t@);
                        }
                        s@ += t@;
                    }
                    $update_w_by_sum
                }
            }
        }
    }
}
""")

MAX_POOL_GRAD = Template("""\
/* dx at the first of the largest entries of each window += dy */
static void ${name}_max_pool_grad$suffix(const ${name}_window *s, const float *x, const float *dy,
    float *dx)
{
    const int32_t pixels = s->height * s->width;
    for (int32_t c = 0; c < s->channels; c++, x += pixels, dx += pixels) {
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? $first_row : row;
            const int32_t u1 = ${name}_min(row + s->window_height, s->height);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? $first_column : column;
                const int32_t v1 = ${name}_min(column + s->window_width, s->width);
                int32_t largest = u0 * s->width + v0;
                for (int32_t u = u0; u < u1; u += $down) {
                    for (int32_t v = v0; v < v1; v += $across) {
                        if (x[u * s->width + v] > x[largest]) {
                            largest = u * s->width + v;
                        }
                    }
                }
                dx[largest] += *dy++;
            }
        }
    }
}
""")

AVG_POOL_GRAD = Template("""\
/* dx at each entry of a window += dy over the number of entries that are inside of the image */
static void ${name}_avg_pool_grad$suffix(const ${name}_window *s, const float *dy, float *dx)
{
    for (int32_t c = 0; c < s->channels; c++, dx += s->height * s->width) {
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t row = i * s->down - s->top;
            const int32_t u0 = row < 0 ? $first_row : row;
            const int32_t u1 = ${name}_min(row + s->window_height, s->height);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t column = j * s->right - s->left;
                const int32_t v0 = column < 0 ? $first_column : column;
                const int32_t v1 = ${name}_min(column + s->window_width, s->width);
                const float share = *dy++ / (float)($rows_inside * $columns_inside);
                for (int32_t u = u0; u < u1; u += $down) {
                    for (int32_t v = v0; v < v1; v += $across) {
                        dx[u * s->width + v] += share;
                    }
                }
            }
        }
    }
}
""")

UPSAMPLE_GRAD = Template("""\
/* dx[c, i / down, j / right] += dy[c, i, j]      dx (rows, width), where rows = channels * height */
static void ${name}_upsample_grad(const float *dy, float *dx, int32_t rows, int32_t width,
    int32_t down, int32_t right)
{
    for (int32_t i = 0; i < rows * down; i++) {
        for (int32_t j = 0; j < width * right; j++) {
            dx[i / down * width + j / right] += *dy++;
        }
    }
}
""")

INTERPOLATE_GRAD = Template("""\
/* dx at the four pixels around the place of dy[c, i, j], see interpolate, += dy times their weights */
static void ${name}_interpolate_grad(const float *dy, float *dx, int32_t channels, int32_t height,
    int32_t width, int32_t down, int32_t right)
{
    for (int32_t c = 0; c < channels; c++, dx += height * width) {
        for (int32_t i = 0; i < height * down; i++) {
            const int32_t row = 2 * i + 1 < down ? 0 : 2 * i + 1 - down;  /* in halves of 1 / down */
            const int32_t i0 = row / (2 * down);
            float *above = dx + i0 * width;
            float *below = dx + ${name}_min(i0 + 1, height - 1) * width;
            const float s = (float)(row - i0 * 2 * down) / (float)(2 * down);
            for (int32_t j = 0; j < width * right; j++) {
                const int32_t column = 2 * j + 1 < right ? 0 : 2 * j + 1 - right;
                const int32_t j0 = column / (2 * right);
                const int32_t j1 = ${name}_min(j0 + 1, width - 1);
                const float t = (float)(column - j0 * 2 * right) / (float)(2 * right);
                const float d = *dy++;
                above[j0] += (1.0f - s) * (1.0f - t) * d;
                above[j1] += (1.0f - s) * t * d;
                below[j0] += s * (1.0f - t) * d;
                below[j1] += s * t * d;
            }
        }
    }
}
""")

PERMUTE_GRAD = Template("""\
/* dx with its axes in another order = dy */
static void ${name}_permute_grad(const ${name}_permutation *s, const float *dy, float *dx)
{
    for (int32_t i = 0; i < s->size0; i++) {
        for (int32_t j = 0; j < s->size1; j++) {
            for (int32_t k = 0; k < s->size2; k++) {
                for (int32_t l = 0; l < s->size3; l++) {
                    float *at = dx + i * s->step0 + j * s->step1 + k * s->step2 + l * s->step3;
                    for (int32_t m = 0; m < s->size4; m++) {
                        at[m * s->step4] = *dy++;
                    }
                }
            }
        }
    }
}
""")

PAD_GRAD = Template("""\
/* dx[c, i - top, j - left] = dy[c, i, j] where that is inside of the image */
static void ${name}_pad_grad(const ${name}_window *s, const float *dy, float *dx)
{
    for (int32_t c = 0; c < s->channels; c++, dx += s->height * s->width) {
        for (int32_t i = -s->top; i < s->out_height - s->top; i++) {
            for (int32_t j = -s->left; j < s->out_width - s->left; j++, dy++) {
                if (i >= 0 && i < s->height && j >= 0 && j < s->width) {
                    dx[i * s->width + j] = *dy;
                }
            }
        }
    }
}
""")

PAD_REFLECT_GRAD = Template("""\
/* dx[c, i - top, j - left] += dy[c, i, j], outside of the image at the mirror image */
static void ${name}_pad_reflect_grad(const ${name}_window *s, const float *dy, float *dx)
{
    for (int32_t c = 0; c < s->channels; c++, dx += s->height * s->width) {
        for (int32_t i = -s->top; i < s->out_height - s->top; i++) {
            float *line = dx + ${name}_mirrored(i, s->height) * s->width;
            for (int32_t j = -s->left; j < s->out_width - s->left; j++) {
                line[${name}_mirrored(j, s->width)] += *dy++;
            }
        }
    }
}
""")
