// Every operation of a program as a function of flat arrays in C order: x and what else it reads,
// then y, which it writes, then sizes. A program takes those that it uses.

// y = W x + b      x (I)   W (O, I)   b, y (O)
function dense(x, W, b, y) {
  const I = x.length;
  for (let o = 0, k = 0; o < b.length; o++) {
    let sum = b[o];
    for (let i = 0; i < I; i++) sum += W[k++] * x[i];
    y[o] = sum;
  }
}

// y[c, p] = scale[c] x[c, p] + shift[c]
function affine(x, scale, shift, y) {
  const P = x.length / scale.length;
  for (let c = 0, k = 0; c < scale.length; c++)
    for (let p = 0; p < P; p++, k++) y[k] = scale[c] * x[k] + shift[c];
}

// y[o, i, j] = b[o] + Σ W[o, c, u, v] x[c, i s + u d − top, j s + v d − left]; c in the group of o
function conv(x, W, b, y, [C, H, V], [O, I, J], [m, n], [s, t], [top, left], [d, e], groups) {
  const inside = C / groups, outside = O / groups;
  for (let o = 0, k = 0; o < O; o++) {
    const first = Math.floor(o / outside) * inside;
    for (let i = 0; i < I; i++)
      for (let j = 0; j < J; j++, k++) {
        let sum = b[o];
        for (let c = 0; c < inside; c++)
          for (let u = 0; u < m; u++) {
            const row = i * s + u * d - top;
            if (row < 0 || row >= H) continue;
            const from = ((first + c) * H + row) * V, w = ((o * inside + c) * m + u) * n;
            for (let v = 0; v < n; v++) {
              const column = j * t + v * e - left;
              if (column >= 0 && column < V) sum += W[w + v] * x[from + column];
            }
          }
        y[k] = sum;
      }
  }
}

// y[o, i s + u d − top, j s + v d − left] += Σ W[c, o, u, v] x[c, i, j], from y = b[o]
function convTranspose(x, W, b, y, [C, H, V], [O, I, J], [m, n], [s, t], [top, left], [d, e], groups) {
  const inside = C / groups, outside = O / groups;
  for (let o = 0; o < O; o++) y.fill(b[o], o * I * J, (o + 1) * I * J);
  for (let c = 0; c < C; c++) {
    const first = Math.floor(c / inside) * outside;
    for (let o = 0; o < outside; o++)
      for (let i = 0; i < H; i++)
        for (let u = 0; u < m; u++) {
          const row = i * s + u * d - top;
          if (row < 0 || row >= I) continue;
          const to = ((first + o) * I + row) * J, w = ((c * outside + o) * m + u) * n;
          for (let j = 0; j < V; j++) {
            const value = x[(c * H + i) * V + j];
            for (let v = 0; v < n; v++) {
              const column = j * t + v * e - left;
              if (column >= 0 && column < J) y[to + column] += W[w + v] * value;
            }
          }
        }
  }
}

// y[c, i, j] = the largest entry of x under the window, where inside x; NaN if one is NaN
function maxPool(x, y, [C, H, V], [, I, J], [m, n], [s, t], [top, left], [d, e]) {
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < I; i++)
      for (let j = 0; j < J; j++, k++) {
        let most = -Infinity;
        for (let u = 0; u < m; u++)
          for (let v = 0; v < n; v++) {
            const row = i * s + u * d - top, column = j * t + v * e - left;
            if (row >= 0 && row < H && column >= 0 && column < V)
              most = Math.max(most, x[(c * H + row) * V + column]);
          }
        y[k] = most;
      }
}

// y[c, i, j] = the mean of x under the window, where inside x
function avgPool(x, y, [C, H, V], [, I, J], [m, n], [s, t], [top, left], [d, e]) {
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < I; i++)
      for (let j = 0; j < J; j++, k++) {
        let sum = 0, count = 0;
        for (let u = 0; u < m; u++)
          for (let v = 0; v < n; v++) {
            const row = i * s + u * d - top, column = j * t + v * e - left;
            if (row >= 0 && row < H && column >= 0 && column < V) {
              sum += x[(c * H + row) * V + column];
              count++;
            }
          }
        y[k] = sum / count;
      }
}

// y[c, i, j] = x[c, ⌊i/a⌋, ⌊j/b⌋]
function upsample(x, y, [C, H, V], [a, b]) {
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < a * H; i++)
      for (let j = 0; j < b * V; j++)
        y[k++] = x[(c * H + Math.floor(i / a)) * V + Math.floor(j / b)];
}

// y[c, i, j] = x[c] at (i + ½)/a − ½, (j + ½)/b − ½, between its four nearest pixels
function interpolate(x, y, [C, H, V], [a, b]) {
  const place = (i, a, n) => Math.min(Math.max((i + 0.5) / a - 0.5, 0), n - 1);
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < a * H; i++) {
      const p = place(i, a, H), r = Math.floor(p), q = p - r;
      const upper = (c * H + r) * V, lower = (c * H + Math.min(r + 1, H - 1)) * V;
      for (let j = 0; j < b * V; j++) {
        const u = place(j, b, V), l = Math.floor(u), w = u - l, next = Math.min(l + 1, V - 1);
        const left = x[upper + l] + q * (x[lower + l] - x[upper + l]);
        const right = x[upper + next] + q * (x[lower + next] - x[upper + next]);
        y[k++] = left + w * (right - left);
      }
    }
}

// y = x with its axes in another order: sizes of y's axes, and steps along each of them in x
function permute(x, y, sizes, steps) {
  const [A, B, C, D, E] = sizes, [a, b, c, d, e] = steps;
  let k = 0;
  for (let i = 0; i < A; i++)
    for (let j = 0; j < B; j++)
      for (let l = 0; l < C; l++)
        for (let m = 0; m < D; m++)
          for (let n = 0; n < E; n++) y[k++] = x[i * a + j * b + l * c + m * d + n * e];
}

// y[c, i, j] = x[c, i − top, j − left]; outside x 0, or its mirror image
function pad(x, y, [C, H, V], [, I, J], [top, left], reflect) {
  const mirrored = (i, n) => (i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i);
  for (let c = 0, k = 0; c < C; c++)
    for (let i = 0; i < I; i++)
      for (let j = 0; j < J; j++, k++) {
        const row = reflect ? mirrored(i - top, H) : i - top;
        const column = reflect ? mirrored(j - left, V) : j - left;
        const inside = row >= 0 && row < H && column >= 0 && column < V;
        y[k] = inside ? x[(c * H + row) * V + column] : 0;
      }
}

// y[c, p] = x[c, p] if positive, else slope[c] x[c, p]
function prelu(x, slope, y) {
  const P = x.length / slope.length;
  for (let c = 0, k = 0; c < slope.length; c++)
    for (let p = 0; p < P; p++, k++) y[k] = x[k] > 0 ? x[k] : slope[c] * x[k];
}

// y = γ (x − mean x) / √(var x + ε) + β over each row of γ's length
function layerNorm(x, gamma, beta, y, eps) {
  const L = gamma.length;
  for (let row = 0; row < x.length; row += L) {
    let mean = 0, variance = 0;
    for (let i = 0; i < L; i++) mean += x[row + i] / L;
    for (let i = 0; i < L; i++) variance += (x[row + i] - mean) ** 2 / L;
    const sigma = Math.sqrt(variance + eps);
    for (let i = 0; i < L; i++) y[row + i] = ((x[row + i] - mean) / sigma) * gamma[i] + beta[i];
  }
}

// y = (x − μ) / √(v + ε) along axis 1 of (rows, length, columns); μ = 0 unless centered
function normalize(x, y, [rows, length, columns], centered, eps) {
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const first = r * length * columns + c, end = first + length * columns;
      let mean = 0, variance = 0;
      if (centered) for (let k = first; k < end; k += columns) mean += x[k] / length;
      for (let k = first; k < end; k += columns) variance += (x[k] - mean) ** 2 / length;
      const sigma = Math.sqrt(variance + eps);
      for (let k = first; k < end; k += columns) y[k] = (x[k] - mean) / sigma;
    }
}

// y[k, p] = exp(x[k, p] − m) / Σ exp(x[j, p] − m), m the largest x[k, p]
function softmax(x, y, classes) {
  const P = x.length / classes;
  for (let p = 0; p < P; p++) {
    let most = -Infinity, sum = 0;
    for (let k = p; k < x.length; k += P) most = Math.max(most, x[k]);
    for (let k = p; k < x.length; k += P) sum += Math.exp(x[k] - most);
    for (let k = p; k < x.length; k += P) y[k] = Math.exp(x[k] - most) / sum;
  }
}

// y = x at the k largest entries, 0 x elsewhere; ties go to the first
function topK(x, y, k) {
  const least = Float32Array.from(x).sort()[x.length - k];
  let ties = k;
  for (const value of x) if (value > least) ties--;
  for (let i = 0; i < x.length; i++)
    y[i] = x[i] * (x[i] > least || (x[i] === least && ties-- > 0) ? 1 : 0);
}

function add(x, other, y) {
  for (let i = 0; i < x.length; i++) y[i] = x[i] + other[i];
}

function multiply(x, other, y) {
  for (let i = 0; i < x.length; i++) y[i] = x[i] * other[i];
}

function copy(x, y) {
  y.set(x);
}

// y[0] = mean (x − target)²
function squaredError(x, target, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] - target[i]) ** 2;
  y[0] = sum / x.length;
}

// 1 − erf x: by its series where |x| < 2, by its continued fraction beyond
// (Abramowitz & Stegun 1964, 7.1.6 and 7.1.14)
function erfc(x) {
  const z = Math.abs(x), factor = Math.exp(-z * z) / Math.sqrt(Math.PI);
  let value;
  if (z < 2) {
    let term = z, sum = z;
    for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * z * z) / (2 * n + 1);
    value = 1 - 2 * factor * sum;
  } else {
    let t = 0;
    for (let k = 60; k > 0; k--) t = k / 2 / (z + t);
    value = factor / (z + t);
  }
  return x < 0 ? 2 - value : value;
}
