"""The C functions of a backward pass. See :mod:`.templates`; ``gradients.py`` has the formulas.

The weights of a layer are stored as the forward pass reads them. $parameter is what the optimizer
needs, and its updates are $update… (``optimizers.py``).
"""

from __future__ import annotations

from string import Template

ZERO = Template("""\
static void ${name}_zero(float *y, int32_t length)
{
    for (int32_t i = 0; i < length; i++) {
        y[i] = 0.0f;
    }
}
""")

LOSS_GRAD = Template("""\
/* dy = the loss's gradient at y */
static void ${name}_loss_grad(const float *y, const float *target, float *dy, int32_t length)
{
    for (int32_t i = 0; i < length; i++) {
$lines
    }
}
""")

ACTIVATION_GRAD = Template("""\
static void ${name}_${function}_grad(const float *dy, const float *cache, float *dx,
    int32_t length$alpha)
{
    for (int32_t i = 0; i < length; i++) {
        const float $variable = cache[i];
        dx[i] = dy[i] * $expression;
    }
}
""")

DENSE_INPUT_GRAD = Template("""\
/* dx += W^T dy, $rows rows of W at a time */
static void ${name}_dense_input_grad$rows(const float *W, const float *dy, float *dx, int32_t rows,
    int32_t columns)
{
    for (int32_t o = 0; o < rows; o += $rows) {
        const float d@ = dy[o + @];
        for (int32_t k = 0; k < columns; k++) {
            const float *w = W + (1 + k) * $rows;
            float t = dx[k];
            t = ${name}_fma(w[@], d@, t);
            dx[k] = t;
        }
        W += (1 + columns) * $rows;
    }
}
""")

DENSE_UPDATE = Template("""\
/* W moves against its gradient dy x^T, $rows rows at a time, b against dy */
static void ${name}_dense_update$rows(float *W, const float *x, const float *dy, int32_t rows,
    int32_t columns, $parameter)
{
    for (int32_t o = 0; o < rows; o += $rows) {
        const float d@ = $scaled_dy;
        $update_b
        for (int32_t k = 0; k < columns; k++) {
            const float xk = x[k];
            float *w = W + (1 + k) * $rows;
            $update_w
        }
        W += (1 + columns) * $rows;
    }
}
""")

DENSE_BACKWARD = Template("""\
/* dx += W^T dy; then W moves against its gradient dy x^T, $rows rows at a time, b against dy */
static void ${name}_dense_backward$rows(float *W, const float *x, const float *dy, float *dx,
    int32_t rows, int32_t columns, $parameter)
{
    for (int32_t o = 0; o < rows; o += $rows) {
        const float d@ = dy[o + @];
        const float g@ = $scaled_d;
        $update_b_by_g
        for (int32_t k = 0; k < columns; k++) {
            const float xk = x[k];
            float *w = W + (1 + k) * $rows;
            float t = dx[k];
            t = ${name}_fma(w[@], d@, t);
            dx[k] = t;
            $update_w_by_g
        }
        W += (1 + columns) * $rows;
    }
}
""")

AFFINE_GRAD = Template("""\
/* dx[c, p] = scale[c] * dy[c, p]      dx, dy (channels, length) */
static void ${name}_affine_grad(const float *scale, const float *dy, float *dx, int32_t channels,
    int32_t length)
{
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            dx[p] = scale[c] * dy[p];
        }
    }
}
""")

AFFINE_UPDATE = Template("""\
/* w[c] moves against the sum over p of dy[c, p] * x[c, p]      x, dy (channels, length) */
static void ${name}_affine_update(float *w, const float *x, const float *dy, int32_t channels,
    int32_t length, $parameter)
{
    for (int32_t c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            sum += dy[p] * x[p];
        }
        $update_c
    }
}
""")

AFFINE_BACKWARD = Template("""\
/* dx[c, p] = scale[c] * dy[c, p]; then scale[c] moves against the sum over p of dy[c, p] * x[c, p]
 * x, dx, dy (channels, length) */
static void ${name}_affine_backward(float *scale, const float *x, const float *dy, float *dx,
    int32_t channels, int32_t length, $parameter)
{
    for (int32_t c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            sum += dy[p] * x[p];
            dx[p] = scale[c] * dy[p];
        }
        $update_scale
    }
}
""")

SHIFT_UPDATE = Template("""\
/* w[c] moves against the sum over p of dy[c, p]      dy (channels, length) */
static void ${name}_shift_update(float *w, const float *dy, int32_t channels, int32_t length,
    $parameter)
{
    for (int32_t c = 0; c < channels; c++) {
        const float sum = ${name}_sum(dy + c * length, length);
        $update_c
    }
}
""")

PRELU_GRAD = Template("""\
/* dx[c, p] = dy[c, p], times slope[c] unless x[c, p] is positive      x, dx, dy (channels, length) */
static void ${name}_prelu_grad(const float *slope, const float *x, const float *dy, float *dx,
    int32_t channels, int32_t length)
{
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            dx[p] = x[p] > 0.0f ? dy[p] : slope[c] * dy[p];
        }
    }
}
""")

PRELU_BACKWARD = Template("""\
/* dx[c, p] = dy[c, p], times slope[c] unless x[c, p] is positive; then slope[c] moves against the sum
 * over p of dy[c, p] * min(x[c, p], 0)      x, dx, dy (channels, length) */
static void ${name}_prelu_backward(float *slope, const float *x, const float *dy, float *dx,
    int32_t channels, int32_t length, $parameter)
{
    for (int32_t c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            sum += x[p] > 0.0f ? 0.0f : dy[p] * x[p];
            dx[p] = x[p] > 0.0f ? dy[p] : slope[c] * dy[p];
        }
        $update_slope
    }
}
""")

PRELU_UPDATE = Template("""\
/* w[c] moves against the sum over p of dy[c, p] * min(x[c, p], 0)      x, dy (channels, length) */
static void ${name}_prelu_update(float *w, const float *x, const float *dy, int32_t channels,
    int32_t length, $parameter)
{
    for (int32_t c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int32_t p = c * length; p < (c + 1) * length; p++) {
            sum += x[p] > 0.0f ? 0.0f : dy[p] * x[p];
        }
        $update_c
    }
}
""")

STANDARDIZE_GRAD = Template("""\
/* dx = (dy - mean of dy - y * mean of dy * y) / sigma over k, where y = (x - mean of x) / sigma
 * x, dx, dy (rows, length, columns), k < length */
static void ${name}_standardize_grad(float eps, const float *x, const float *dy, float *dx,
    int32_t rows, int32_t length, int32_t columns)
{
    const int32_t size = length * columns;
    for (int32_t r = 0; r < rows; r++, x += size, dy += size, dx += size) {
        for (int32_t p = 0; p < columns; p++) {
            float mean = 0.0f, variance = 0.0f, first = 0.0f, second = 0.0f;
            for (int32_t k = p; k < size; k += columns) {
                mean += x[k];
                first += dy[k];
            }
            mean /= (float)length;
            first /= (float)length;
            for (int32_t k = p; k < size; k += columns) {
                variance += (x[k] - mean) * (x[k] - mean);
                second += (dy[k] - first) * (x[k] - mean);
            }
            const float scale = 1.0f / sqrtf(variance / (float)length + eps);
            second *= scale * scale / (float)length;
            for (int32_t k = p; k < size; k += columns) {
                dx[k] = (dy[k] - first - (x[k] - mean) * second) * scale;
            }
        }
    }
}
""")

RMS_NORM_GRAD = Template("""\
/* dx = (dy - y * mean of dy * y) / sigma over k, where y = x / sigma
 * x, dx, dy (rows, length, columns), k < length */
static void ${name}_rms_norm_grad(float eps, const float *x, const float *dy, float *dx,
    int32_t rows, int32_t length, int32_t columns)
{
    const int32_t size = length * columns;
    for (int32_t r = 0; r < rows; r++, x += size, dy += size, dx += size) {
        for (int32_t p = 0; p < columns; p++) {
            float square = 0.0f, product = 0.0f;
            for (int32_t k = p; k < size; k += columns) {
                square += x[k] * x[k];
                product += dy[k] * x[k];
            }
            const float scale = 1.0f / sqrtf(square / (float)length + eps);
            product *= scale * scale / (float)length;
            for (int32_t k = p; k < size; k += columns) {
                dx[k] = (dy[k] - x[k] * product) * scale;
            }
        }
    }
}
""")

SOFTMAX_GRAD = Template("""\
/* dx[k, p] = y[k, p] * (dy[k, p] - sum over j of y[j, p] * dy[j, p])      y, dx, dy (classes, length) */
static void ${name}_softmax_grad(const float *y, const float *dy, float *dx, int32_t classes,
    int32_t length)
{
    for (int32_t p = 0; p < length; p++) {
        float sum = 0.0f;
        for (int32_t k = p; k < classes * length; k += length) {
            sum += y[k] * dy[k];
        }
        for (int32_t k = p; k < classes * length; k += length) {
            dx[k] = y[k] * (dy[k] - sum);
        }
    }
}
""")
