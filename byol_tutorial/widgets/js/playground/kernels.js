// This file has the functions of kernels.c in JavaScript, for browsers that have no WebAssembly SIMD or forbid it. On a Float64Array
// they are also the reference that the tests compare with PyTorch. An address is an index into H.

function scriptKernels(H) {
  const EPSILON = 1e-5;
  return {
    matmul(m, n, k, A, aRow, aCol, B, bRow, bCol, C, room) {
      const whole = n & ~3;
      for (let j = 0; j < n; j++) // first panels of four columns, then single columns
        for (let i = 0; i < k; i++) H[room + (j < whole ? (j >> 2) * 4 * k + 4 * i + (j & 3) : j * k + i)] = H[B + i * bRow + j * bCol];
      for (let i = 0; i < m; i++) {
        const row = A + i * aRow, c = C + i * n;
        for (let j = 0; j < whole; j += 4) {
          let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
          for (let t = 0, a = row, b = room + j * k; t < k; t++, a += aCol, b += 4) {
            const x = H[a];
            s0 += x * H[b]; s1 += x * H[b + 1]; s2 += x * H[b + 2]; s3 += x * H[b + 3];
          }
          H[c + j] = s0; H[c + j + 1] = s1; H[c + j + 2] = s2; H[c + j + 3] = s3;
        }
        for (let j = whole; j < n; j++) {
          let s = 0;
          for (let t = 0, a = row, b = room + j * k; t < k; t++, a += aCol, b++) s += H[a] * H[b];
          H[c + j] = s;
        }
      }
    },
    unfold(n, size, c, stride, X, Y) { neighbourhoods(n, size, c, stride, Y, X, (y, x) => { for (let k = 0; k < c; k++) H[y + k] = x < 0 ? 0 : H[x + k]; }); },
    fold(n, size, c, stride, Y, X) {
      H.fill(0, X, X + n * size * size * c);
      neighbourhoods(n, size, c, stride, Y, X, (y, x) => { if (x >= 0) for (let k = 0; k < c; k++) H[x + k] += H[y + k]; });
    },
    pool(n, area, c, X, Y) {
      H.fill(0, Y, Y + n * c);
      for (let i = 0; i < n * area; i++) for (let k = 0, y = Y + Math.floor(i / area) * c; k < c; k++) H[y + k] += H[X + i * c + k] / area;
    },
    pool_back(n, area, c, D, X) {
      for (let i = 0; i < n * area; i++) for (let k = 0, d = D + Math.floor(i / area) * c; k < c; k++) H[X + i * c + k] = H[d + k] / area;
    },
    norm_relu(rows, c, X, Y, gamma, beta, statistics) {
      for (let i = 0; i < rows; i++, X += c, Y += c) for (let k = 0; k < c; k++)
        H[Y + k] = Math.max(0, (H[X + k] - H[statistics + k]) * H[statistics + c + k] * H[gamma + k] + H[beta + k]);
    },
    moments(rows, c, X, statistics) {
      const mean = statistics, inverse = statistics + c;
      H.fill(0, mean, inverse + c);
      for (let i = 0; i < rows; i++) for (let k = 0; k < c; k++) H[mean + k] += H[X + i * c + k];
      for (let k = 0; k < c; k++) H[mean + k] /= rows;
      for (let i = 0; i < rows; i++) for (let k = 0; k < c; k++) { const away = H[X + i * c + k] - H[mean + k]; H[inverse + k] += away * away; }
      for (let k = 0; k < c; k++) H[inverse + k] = 1 / Math.sqrt(H[inverse + k] / rows + EPSILON);
    },
    norm_relu_back(rows, c, X, Y, D, gamma, statistics, dgamma, dbeta, room) {
      const mean = statistics, inverse = statistics + c, scaled = room, plain = room + c;
      H.fill(0, room, room + 2 * c);
      for (let i = 0; i < rows * c; i += c) for (let k = 0; k < c; k++) {
        const v = H[Y + i + k] <= 0 ? 0 : H[D + i + k];
        H[D + i + k] = v;
        H[plain + k] += v;
        H[scaled + k] += v * (H[X + i + k] - H[mean + k]) * H[inverse + k];
      }
      for (let k = 0; k < c; k++) {
        H[dgamma + k] += H[scaled + k];
        H[dbeta + k] += H[plain + k];
        H[scaled + k] /= rows;
        H[plain + k] /= rows;
      }
      for (let i = 0; i < rows * c; i += c) for (let k = 0; k < c; k++) {
        const normal = (H[X + i + k] - H[mean + k]) * H[inverse + k];
        H[D + i + k] = H[gamma + k] * H[inverse + k] * (H[D + i + k] - H[plain + k] - normal * H[scaled + k]);
      }
    },
    add_bias(rows, c, X, bias) { for (let i = 0; i < rows; i++, X += c) for (let k = 0; k < c; k++) H[X + k] += H[bias + k]; },
    sum_rows(rows, c, X, sums) {
      H.fill(0, sums, sums + c);
      for (let i = 0; i < rows; i++, X += c) for (let k = 0; k < c; k++) H[sums + k] += H[X + k];
    },
    sgd(n, W, G, V, lr, momentum, decay) {
      for (let i = 0; i < n; i++) {
        H[V + i] = momentum * H[V + i] + (H[G + i] + decay * H[W + i]);
        H[W + i] -= lr * H[V + i];
      }
    },
    follow(n, target, online, share) { for (let i = 0; i < n; i++) H[target + i] += share * (H[online + i] - H[target + i]); },
  };
}

/** Call each(y, x) for each output pixel and neighbour: its address in the unfolded rows, and in the picture, −1 on the border. */
function neighbourhoods(n, size, c, stride, Y, X, each) {
  const out = Math.floor((size - 1) / stride) + 1;
  let y = Y;
  for (let i = 0; i < n; i++) for (let row = 0; row < out; row++) for (let column = 0; column < out; column++)
    for (let down = -1; down <= 1; down++) for (let across = -1; across <= 1; across++, y += c) {
      const r = row * stride + down, s = column * stride + across;
      each(y, r < 0 || s < 0 || r >= size || s >= size ? -1 : X + ((i * size + r) * size + s) * c);
    }
}

/** Return open(floats) -> {H, kernels}, a function that makes a memory of so many numbers of this Type, with kernels in JavaScript. */
const openScript = (Type = Float32Array) => (floats) => {
  const H = new Type(floats);
  return {H, kernels: scriptKernels(H)};
};

const STACK = 4096; // floats at the beginning of the memory that WebAssembly uses itself

/** Return the same function with the kernels of kernels.wasm, given as bytes. Throw where WebAssembly or its SIMD is missing or forbidden. */
async function openWebAssembly(bytes) {
  const module = await WebAssembly.compile(bytes);
  const open = (floats) => {
    const memory = new WebAssembly.Memory({initial: Math.ceil(4 * floats / 65536) + 1});
    const instance = new WebAssembly.Instance(module, {env: {memory}});
    return {H: new Float32Array(memory.buffer), kernels: instance.exports};
  };
  return Object.assign(open, {wasm: true});
}
