// This file computes the losses and their gradients. Rows 0 … n − 1 of a matrix belong to the first views of n pictures, the other n
// to the second views, in the same order. All matrices have d columns and lie in H at the given addresses; old gradients are overwritten.

/** Return 1/‖row‖ of each of n rows. A row of zeros counts as one of length 10⁻¹². */
function inverseLengths(H, x, n, d) {
  return Float64Array.from({length: n}, (_, i) => {
    let sum = 0;
    for (let k = x + i * d; k < x + (i + 1) * d; k++) sum += H[k] * H[k];
    return 1 / Math.max(Math.sqrt(sum), 1e-12);
  });
}

/**
 * Return BYOL's loss, the mean of ‖p/‖p‖ − z′/‖z′‖‖² = 2 − 2 cos(p, z′), where z′ belongs to the other view. If symmetric, it is summed
 * over the p of both views, otherwise only the first view has a p. scale multiplies the gradients: dp, and dz of z′, whose address is
 * null behind a stop-gradient.
 */
function cosineLoss(H, p, z, dp, dz, n, d, symmetric, scale = 1) {
  const lengthP = inverseLengths(H, p, 2 * n, d), lengthZ = inverseLengths(H, z, 2 * n, d);
  H.fill(0, dp, dp + 2 * n * d);
  if (dz !== null) H.fill(0, dz, dz + 2 * n * d);
  let loss = 0;
  for (let i = 0; i < (symmetric ? 2 * n : n); i++) {
    const j = (i + n) % (2 * n), a = lengthP[i], b = lengthZ[j], x = p + i * d, y = z + j * d;
    let cosine = 0;
    for (let k = 0; k < d; k++) cosine += H[x + k] * a * H[y + k] * b;
    loss += (2 - 2 * cosine) / n;
    for (let k = 0; k < d; k++) H[dp + i * d + k] = -2 * scale / n * a * (H[y + k] * b - cosine * H[x + k] * a);
    if (dz !== null) for (let k = 0; k < d; k++) H[dz + j * d + k] = -2 * scale / n * b * (H[x + k] * a - cosine * H[y + k] * b);
  }
  return loss;
}

/** Return SimSiam's loss, −½ (cos(p, z′) + cos(p′, z)), which is a quarter of BYOL's loss, less 1. */
const simsiamLoss = (H, p, z, dp, dz, n, d) => cosineLoss(H, p, z, dp, dz, n, d, true, 0.25) / 4 - 1;

/** Return SimCLR's loss, the cross entropy of finding each view's partner among all other views; without negatives, −cos(z, z′)/α. */
function contrastiveLoss(H, z, dz, n, d, temperature, negatives) {
  const all = 2 * n, length = inverseLengths(H, z, all, d);
  const unit = Float64Array.from({length: all * d}, (_, i) => H[z + i] * length[Math.floor(i / d)]), toUnit = new Float64Array(all * d);
  const score = new Float64Array(all);
  let loss = 0;
  for (let i = 0; i < all; i++) {
    const partner = (i + n) % all;
    for (let j = 0; j < all; j++) {
      score[j] = 0;
      if (negatives || j === partner) for (let k = 0; k < d; k++) score[j] += unit[i * d + k] * unit[j * d + k] / temperature;
    }
    if (negatives) score[i] = -Infinity;
    let most = 0, sum = 0;
    if (negatives) {
      most = score.reduce((a, b) => Math.max(a, b));
      for (let j = 0; j < all; j++) sum += Math.exp(score[j] - most);
    }
    loss += ((negatives ? most + Math.log(sum) : 0) - score[partner]) / all;
    for (let j = 0; j < all; j++) {
      const weight = ((negatives ? Math.exp(score[j] - most) / sum : 0) - (j === partner ? 1 : 0)) / (all * temperature);
      if (weight !== 0) for (let k = 0; k < d; k++) {
        toUnit[i * d + k] += weight * unit[j * d + k];
        toUnit[j * d + k] += weight * unit[i * d + k];
      }
    }
  }
  for (let i = 0; i < all; i++) { // the gradient through z/‖z‖
    let along = 0;
    for (let k = i * d; k < (i + 1) * d; k++) along += toUnit[k] * unit[k];
    for (let k = i * d; k < (i + 1) * d; k++) H[dz + k] = length[i] * (toUnit[k] - along * unit[k]);
  }
  return loss;
}

/** Return √d·std: the standard deviation over n rows of each dimension of z/‖z‖, averaged over the dimensions, times √d. */
function spread(H, z, n, d) {
  const length = inverseLengths(H, z, n, d);
  let total = 0;
  for (let k = 0; k < d; k++) {
    let mean = 0, square = 0;
    for (let i = 0; i < n; i++) mean += H[z + i * d + k] * length[i] / n;
    for (let i = 0; i < n; i++) square += (H[z + i * d + k] * length[i] - mean) ** 2;
    total += Math.sqrt(square / (n - 1));
  }
  return total / Math.sqrt(d);
}
