// The arithmetic of the playground in WebAssembly with SIMD, float32. kernels.js has the same functions in JavaScript.
//
// There is one memory for all arrays. An address is the index of a float in it, counted from 0. Pictures are stored row by row
// with their channels last, so that a batch of pictures is also a matrix with one row for each pixel.
//
// playground/build.py compiles this file; a test compares the result with kernels.wasm.
typedef int address;

#define EXPORT(name) __attribute__((export_name(#name))) void name

static inline void *at(address a) { return (void *)((unsigned)a << 2); }

// Four floats in a row, on which all arithmetic works at once. Every array but a picture has a multiple of four columns.
typedef float four __attribute__((ext_vector_type(4), aligned(4)));

// --- matrix product ---------------------------------------------------------------------------------------------------

#define ROWS 4    // rows of A in a tile
#define WIDE 8    // columns of B in a panel: two SIMD registers
#define DEPTH 512 // rows of a panel that are used at a time, so that they stay in the first-level cache
#define BLOCK 48  // rows of A that are used with all panels before the next ones
#define EACH_ROW _Pragma("clang loop unroll(full)") for (int r = 0; r < ROWS; r++) // unrolled, so that sums are in registers

// Add the product of up to four rows of A and a panel of B, over a depth of k, to C, or write it there if it is the first part.
// Where there are fewer rows, the last one is computed several times, and written once.
static void tile(int rows, int k, const float *a, int a_row, int a_col, const four *panel, float *c, int c_row, int width, int first) {
  const float *row[ROWS];
  four sum[ROWS][2], part[ROWS][2];
  EACH_ROW { row[r] = a + (r < rows ? r : rows - 1) * a_row, sum[r][0] = sum[r][1] = 0; }
  for (int i = 0; i < k; i++, panel += 2)
    EACH_ROW {
      float x = row[r][i * a_col];
      sum[r][0] += x * panel[0];
      sum[r][1] += x * panel[1];
    }
  EACH_ROW { part[r][0] = sum[r][0], part[r][1] = sum[r][1]; }
  for (int r = 0; r < rows; r++, c += c_row)
    if (width == WIDE)
      for (int j = 0; j < 2; j++) ((four *)c)[j] = part[r][j] + (first ? 0 : ((four *)c)[j]);
    else
      for (int j = 0; j < width; j++) c[j] = ((float *)part[r])[j] + (first ? 0 : c[j]);
}

// C ← A · B. A is m × k and B is k × n; each has a step from row to row and one from column to column, so that a transposed
// matrix needs no copy. C is m × n, row by row. `room` holds k · (n rounded up to a multiple of 8) floats.
EXPORT(matmul)(int m, int n, int k, address A, int a_row, int a_col, address B, int b_row, int b_col, address C, address room) {
  const float *a = at(A), *b = at(B);
  float *c = at(C), *panels = at(room);
  int count = (n + WIDE - 1) / WIDE;
  for (int p = 0; p < count; p++)
    for (int i = 0; i < k; i++)
      for (int j = 0; j < WIDE; j++) {
        int column = p * WIDE + j;
        panels[(p * k + i) * WIDE + j] = column < n ? b[i * b_row + column * b_col] : 0;
      }
  for (int k0 = 0; k0 < k; k0 += DEPTH) {
    int depth = k - k0 < DEPTH ? k - k0 : DEPTH;
    for (int i0 = 0; i0 < m; i0 += BLOCK) {
      int end = i0 + BLOCK < m ? i0 + BLOCK : m;
      for (int p = 0; p < count; p++) {
        int width = n - p * WIDE < WIDE ? n - p * WIDE : WIDE;
        const float *panel = panels + (p * k + k0) * WIDE, *from = a + k0 * a_col;
        for (int i = i0; i < end; i += ROWS)
          tile(end - i < ROWS ? end - i : ROWS, depth, from + i * a_row, a_row, a_col, (const four *)panel, c + i * n + p * WIDE, n, width, !k0);
      }
    }
  }
}

// --- convolution: 3 × 3, with a border of zeros ------------------------------------------------------------------------

// Copy c floats.
static inline void copy(float *to, const float *from, int c) {
  for (; c >= 4; c -= 4, to += 4, from += 4) *(four *)to = *(const four *)from;
  for (int k = 0; k < c; k++) to[k] = from[k];
}

// Write the neighbourhood of each output pixel as one row: pictures (n, size, size, c) -> (n · out · out, 9 c). The
// convolution is then one matrix product.
EXPORT(unfold)(int n, int size, int c, int stride, address X, address Y) {
  const float *x = at(X);
  float *y = at(Y);
  int out = (size - 1) / stride + 1;
  for (int i = 0; i < n; i++, x += size * size * c)
    for (int row = 0; row < out; row++)
      for (int column = 0; column < out; column++)
        for (int down = -1; down <= 1; down++)
          for (int across = -1; across <= 1; across++, y += c) {
            int r = row * stride + down, s = column * stride + across;
            if (r < 0 || s < 0 || r >= size || s >= size)
              for (int k = 0; k < c; k++) y[k] = 0;
            else
              copy(y, x + (r * size + s) * c, c);
          }
}

// Compute the transpose of unfold: add each row to the pixels that it came from.
EXPORT(fold)(int n, int size, int c, int stride, address Y, address X) {
  const four *y = at(Y);
  four *x = at(X);
  int out = (size - 1) / stride + 1;
  c /= 4;
  for (int i = 0; i < n * size * size * c; i++) x[i] = 0;
  for (int i = 0; i < n; i++, x += size * size * c)
    for (int row = 0; row < out; row++)
      for (int column = 0; column < out; column++)
        for (int down = -1; down <= 1; down++)
          for (int across = -1; across <= 1; across++, y += c) {
            int r = row * stride + down, s = column * stride + across;
            if (r < 0 || s < 0 || r >= size || s >= size) continue;
            four *pixel = x + (r * size + s) * c;
            for (int k = 0; k < c; k++) pixel[k] += y[k];
          }
}

// Compute the mean over the pixels of each picture: (n · area, c) -> (n, c).
EXPORT(pool)(int n, int area, int c, address X, address Y) {
  const four *x = at(X);
  four *y = at(Y);
  c /= 4;
  for (int i = 0; i < n; i++, y += c) {
    for (int k = 0; k < c; k++) y[k] = 0;
    for (int p = 0; p < area; p++, x += c)
      for (int k = 0; k < c; k++) y[k] += x[k];
    for (int k = 0; k < c; k++) y[k] /= area;
  }
}

EXPORT(pool_back)(int n, int area, int c, address D, address X) {
  const four *d = at(D);
  four *x = at(X);
  c /= 4;
  for (int i = 0; i < n; i++, d += c)
    for (int p = 0; p < area; p++, x += c)
      for (int k = 0; k < c; k++) x[k] = d[k] / area;
}

// --- BatchNorm and ReLU -------------------------------------------------------------------------------------------------

// Compute y ← max(0, γ (x − mean) · inverse + β) with given statistics: the mean and 1/√(variance + 10⁻⁵) of each of c columns.
EXPORT(norm_relu)(int rows, int c, address X, address Y, address gamma, address beta, address statistics) {
  c /= 4;
  const four *x = at(X), *g = at(gamma), *b = at(beta), *mean = at(statistics), *inverse = mean + c;
  four *y = at(Y);
  for (int i = 0; i < rows; i++, x += c, y += c)
    for (int k = 0; k < c; k++) {
      four v = (x[k] - mean[k]) * inverse[k] * g[k] + b[k];
      y[k] = v < 0 ? 0 : v; // NaN stays NaN, as in PyTorch
    }
}

// Compute the statistics of the rows of x, as norm_relu takes them.
EXPORT(moments)(int rows, int c, address X, address statistics) {
  c /= 4;
  const four *x = at(X);
  four *mean = at(statistics), *inverse = mean + c;
  for (int k = 0; k < c; k++) mean[k] = inverse[k] = 0;
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < c; k++) mean[k] += x[i * c + k];
  for (int k = 0; k < c; k++) mean[k] /= rows;
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < c; k++) {
      four away = x[i * c + k] - mean[k];
      inverse[k] += away * away;
    }
  for (int k = 0; k < c; k++) inverse[k] = 1 / __builtin_elementwise_sqrt(inverse[k] / rows + 1e-5f);
}

// Go backward through ReLU and BatchNorm: d is dL/dy and becomes dL/dx. The gradients of γ and β are increased. `room` holds 2 c floats.
EXPORT(norm_relu_back)(int rows, int c, address X, address Y, address D, address gamma, address statistics, address dgamma,
                       address dbeta, address room) {
  c /= 4;
  const four *x = at(X), *y = at(Y), *g = at(gamma), *mean = at(statistics), *inverse = mean + c;
  four *d = at(D), *dg = at(dgamma), *db = at(dbeta), *scaled = at(room), *plain = scaled + c;
  for (int k = 0; k < c; k++) scaled[k] = plain[k] = 0;
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < c; k++) {
      four v = y[i * c + k] <= 0 ? 0 : d[i * c + k];
      d[i * c + k] = v;
      plain[k] += v;
      scaled[k] += v * (x[i * c + k] - mean[k]) * inverse[k];
    }
  for (int k = 0; k < c; k++) {
    dg[k] += scaled[k];
    db[k] += plain[k];
    scaled[k] /= rows;
    plain[k] /= rows;
  }
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < c; k++) {
      four normal = (x[i * c + k] - mean[k]) * inverse[k];
      d[i * c + k] = g[k] * inverse[k] * (d[i * c + k] - plain[k] - normal * scaled[k]);
    }
}

// --- rows, and the change of weights ------------------------------------------------------------------------------------

EXPORT(add_bias)(int rows, int c, address X, address bias) {
  four *x = at(X);
  const four *b = at(bias);
  c /= 4;
  for (int i = 0; i < rows; i++, x += c)
    for (int k = 0; k < c; k++) x[k] += b[k];
}

EXPORT(sum_rows)(int rows, int c, address X, address sums) {
  const four *x = at(X);
  four *s = at(sums);
  c /= 4;
  for (int k = 0; k < c; k++) s[k] = 0;
  for (int i = 0; i < rows; i++, x += c)
    for (int k = 0; k < c; k++) s[k] += x[k];
}

// Make a step of SGD with momentum μ and weight decay λ, as torch.optim.SGD: v ← μ v + (g + λ w), w ← w − lr · v.
EXPORT(sgd)(int n, address W, address G, address V, float lr, float momentum, float decay) {
  four *w = at(W), *v = at(V);
  const four *g = at(G);
  for (int i = 0; i < n / 4; i++) {
    v[i] = momentum * v[i] + (g[i] + decay * w[i]);
    w[i] -= lr * v[i];
  }
}

// Update the moving average: ξ ← ξ + share · (θ − ξ), with share = 1 − τ.
EXPORT(follow)(int n, address target, address online, float share) {
  four *xi = at(target);
  const four *theta = at(online);
  for (int i = 0; i < n / 4; i++) xi[i] += share * (theta[i] - xi[i]);
}
