// This file measures representations of pictures: neighbours and their vote, the effective rank, and the plane of the map.

/** Bring the rows of x, (n, d), to length 1, in place. */
function unitRows(x, d) {
  for (let i = 0; i < x.length; i += d) {
    let sum = 0;
    for (let k = i; k < i + d; k++) sum += x[k] * x[k];
    const length = Math.max(Math.sqrt(sum), 1e-12);
    for (let k = i; k < i + d; k++) x[k] /= length;
  }
  return x;
}

/** Find the k nearest others of each of n rows by their cosines, (n, n): {index, cosine}, (n, k) each, nearest first. */
function neighbours(cosines, n, k = 20) {
  const index = new Uint16Array(n * k), cosine = new Float32Array(n * k).fill(-2);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const c = cosines[i * n + j];
    let place = (i + 1) * k - 1;
    if (!(c > cosine[place]) || i === j) continue;
    for (; place > i * k && cosine[place - 1] < c; place--) { cosine[place] = cosine[place - 1]; index[place] = index[place - 1]; }
    cosine[place] = c;
    index[place] = j;
  }
  return {index, cosine, k};
}

/** Return the share of rows whose label wins the vote of their neighbours, weighted by exp(cosine / temperature) as in evaluate.knn. */
function voteAccuracy({index, cosine, k}, labels, classes, temperature = 0.07) {
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    const votes = new Float64Array(classes);
    for (let p = i * k; p < (i + 1) * k; p++) votes[labels[index[p]]] += Math.exp((cosine[p] - cosine[i * k]) / temperature);
    right += votes.indexOf(Math.max(...votes)) === labels[i];
  }
  return right / labels.length;
}

/** Return {mean, covariance} of the rows of x: float64 (d) and (d, d), divided by n. */
function covariance(x, d) {
  const n = x.length / d, mean = new Float64Array(d), matrix = new Float64Array(d * d), row = new Float64Array(d);
  for (let i = 0; i < x.length; i++) mean[i % d] += x[i] / n;
  for (let i = 0; i < x.length; i += d) {
    for (let k = 0; k < d; k++) row[k] = x[i + k] - mean[k];
    for (let a = 0; a < d; a++) for (let b = a; b < d; b++) matrix[a * d + b] += row[a] * row[b] / n;
  }
  for (let a = 0; a < d; a++) for (let b = 0; b < a; b++) matrix[a * d + b] = matrix[b * d + a];
  return {mean, matrix};
}

/** Return the effective rank of a covariance of unit rows, v · exp(entropy of the eigenvalues / v), as diagnose.effective_rank does. */
function effectiveRank(matrix, d) {
  const eigenvalues = eigenvaluesOf(matrix, d).map((v) => Math.max(v, 0)), v = eigenvalues.reduce((a, b) => a + b, 0);
  if (!(v > 0)) return 0;
  return v * Math.exp(-eigenvalues.reduce((sum, e) => sum + e / v * Math.log(Math.max(e / v, 1e-12)), 0));
}

/** Return the eigenvalues of a symmetric matrix, (d, d): by Householder's reflections to three diagonals, then bisection. */
function eigenvaluesOf(matrix, d) {
  const a = Float64Array.from(matrix), diagonal = new Float64Array(d), square = new Float64Array(d); // squares of the other diagonal
  for (let m = d - 1; m > 0; m--) { // reflect so that row m is 0 before column m − 1
    const row = a.slice(m * d, m * d + m);
    const length = Math.hypot(...row);
    diagonal[m] = a[m * d + m];
    square[m] = length * length;
    if (length === 0 || m === 1) continue;
    row[m - 1] += row[m - 1] < 0 ? -length : length;
    const half = row.reduce((sum, x) => sum + x * x, 0) / 2;
    const product = Float64Array.from({length: m}, (_, i) => { let s = 0; for (let j = 0; j < m; j++) s += a[i * d + j] * row[j]; return s / half; });
    const along = row.reduce((sum, x, i) => sum + x * product[i], 0) / (2 * half);
    for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) a[i * d + j] -= row[i] * (product[j] - along * row[j]) + (product[i] - along * row[i]) * row[j];
  }
  diagonal[0] = a[0];
  const bound = Math.max(...diagonal.map((x, i) => Math.abs(x) + Math.sqrt(square[i]) + Math.sqrt(square[i + 1] ?? 0)));
  const below = (x) => { // how many eigenvalues are below x: the sign changes of a Sturm sequence
    let count = 0, q = 1;
    for (let i = 0; i < d; i++) {
      q = diagonal[i] - x - (i ? square[i] / q : 0);
      if (q === 0) q = -1e-300;
      count += q < 0;
    }
    return count;
  };
  return Array.from({length: d}, (_, i) => {
    let [low, high] = [-bound, bound];
    while (high - low > 1e-13 * bound) { const middle = (low + high) / 2; if (middle <= low || middle >= high) break; below(middle) > i ? high = middle : low = middle; }
    return (low + high) / 2;
  });
}

/**
 * Return {xy, directions}: rows x, (n, d), less `mean`, on two principal directions of `matrix`. The search begins at the directions of
 * the last map, so the map turns with the representation and does not flip.
 */
function principalPlane(x, d, {mean, matrix}, before) {
  const v = before ? Float64Array.from(before) : Float64Array.from({length: 2 * d}, (_, i) => Math.sin(12.9898 * i + 1));
  for (let round = 0; round < (before ? 4 : 40); round++) {
    const w = new Float64Array(2 * d);
    for (let q = 0; q < 2; q++) for (let a = 0; a < d; a++) for (let b = 0; b < d; b++) w[q * d + a] += matrix[a * d + b] * v[q * d + b];
    v.set(w);
    for (let q = 0; q < 2; q++) {
      if (q) { let s = 0; for (let k = 0; k < d; k++) s += v[k] * v[d + k]; for (let k = 0; k < d; k++) v[d + k] -= s * v[k]; }
      let s = 0;
      for (let k = q * d; k < (q + 1) * d; k++) s += v[k] * v[k];
      for (let k = q * d; k < (q + 1) * d; k++) v[k] /= Math.max(Math.sqrt(s), 1e-300);
    }
  }
  const n = x.length / d, xy = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) for (let k = 0; k < d; k++) {
    xy[2 * i] += (x[i * d + k] - mean[k]) * v[k];
    xy[2 * i + 1] += (x[i * d + k] - mean[k]) * v[d + k];
  }
  return {xy, directions: v};
}
