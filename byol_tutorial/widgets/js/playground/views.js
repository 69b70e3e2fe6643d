// This file makes the course's views, as augment/ does: random resized crop, colour jitter, grayscale. The course's recipe for the
// shapes flips, blurs and solarizes nothing, so these operations are missing.

const ORDERS = [0, 1, 2, 3].flatMap((a) => [0, 1, 2, 3].flatMap((b) => [0, 1, 2, 3].map((c) => [a, b, c, 6 - a - b - c]))).filter((o) => new Set(o).size === 4);
const CROP_TRIES = 10, TAPS = 8; // a pixel of a view takes at most eight pixels of the picture in each direction

/** Draw the random numbers of one view of a picture. s: settings with the names of Config, of which a page changes three. */
function drawView(s, size, random) {
  let height = size, width = size;
  for (let i = 0; i < CROP_TRIES; i++) {
    const side = size * Math.sqrt(s.crop_area + random() * (1 - s.crop_area)), stretch = Math.sqrt(0.9 * (1.1 / 0.9) ** random());
    if (side * stretch <= size && side / stretch <= size) { [height, width] = [side / stretch, side * stretch]; break; }
  }
  const around = (strength) => 1 + (2 * random() - 1) * strength;
  return {top: (size - height) * random(), left: (size - width) * random(), height, width, jitter: random() < s.jitter_p,
          factors: [around(0.4), around(0.4), around(0.4), around(0.5) - 1], order: ORDERS[Math.floor(24 * random())], grayscale: random() < s.grayscale_p};
}

/** Write the bicubic weights of `size` pixels of the stretch [start, start + length) of a line, as augment.resize_weights does. */
function resizeWeights(start, length, size, {first, count, weight}) {
  const step = length / size, zoom = 1 / Math.max(step, 1);
  for (let i = 0; i < size; i++) {
    const centre = start + (i + 0.5) * step;
    const low = Math.max(0, Math.ceil(Math.max(centre - 2 / zoom, start - 0.5) - 0.5)), high = Math.min(size - 1, Math.floor(Math.min(centre + 2 / zoom, start + length + 0.5) - 0.5));
    let sum = 0, n = 0;
    first[i] = low;
    for (let s = low; s <= high; s++) {
      const position = s + 0.5, outside = position <= start - 0.5 || position >= start + length + 0.5;
      const t = Math.abs(position - centre) * zoom, p = Math.max(2 - t, 0), q = Math.max(1 - t, 0);
      sum += weight[TAPS * i + n++] = outside ? 0 : 0.5 * p * p * (p - 1) + q * q * (1 - 2 * q);
    }
    count[i] = n;
    for (let k = 0; k < n; k++) weight[TAPS * i + k] /= sum;
  }
}

const clamp = (v) => v < 0 ? 0 : v > 1 ? 1 : v;

/** A maker of views of pictures of one size. */
class ViewMaker {
  constructor(size, {mean, std}) {
    const weights = () => ({first: new Int32Array(size), count: new Int32Array(size), weight: new Float32Array(size * TAPS)});
    Object.assign(this, {size, mean, std, rows: weights(), columns: weights(), half: new Float32Array(size * size * 3), view: new Float32Array(size * size * 3)});
  }

  /** Write the view of the picture at bytes[from] to H from `to` on, normalised. v: the random numbers that drawView drew. */
  make(bytes, from, v, H, to) {
    const {view: x, mean, std} = this;
    this.crop(bytes, from, v);
    if (v.jitter) for (const operation of v.order) this.change(operation, v.factors[operation]);
    if (v.grayscale) for (let i = 0; i < x.length; i += 3) x[i] = x[i + 1] = x[i + 2] = this.luma(i);
    for (let i = 0; i < x.length; i += 3) for (let c = 0; c < 3; c++) H[to + i + c] = (x[i + c] - mean[c]) / std[c];
  }

  /** Cut the rectangle out and resize it to the whole picture: first across, then down. */
  crop(bytes, from, v) {
    const {size, rows, columns, half, view} = this, line = 3 * size;
    resizeWeights(v.top, v.height, size, rows);
    resizeWeights(v.left, v.width, size, columns);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
      let r = 0, g = 0, b = 0;
      for (let k = 0, s = from + i * line + 3 * columns.first[j]; k < columns.count[j]; k++, s += 3) {
        const w = columns.weight[TAPS * j + k] / 255;
        r += w * bytes[s]; g += w * bytes[s + 1]; b += w * bytes[s + 2];
      }
      const o = i * line + 3 * j;
      half[o] = r; half[o + 1] = g; half[o + 2] = b;
    }
    for (let i = 0; i < size; i++) {
      view.fill(0, i * line, (i + 1) * line);
      for (let k = 0; k < rows.count[i]; k++) {
        const w = rows.weight[TAPS * i + k], s = (rows.first[i] + k) * line, o = i * line;
        for (let j = 0; j < line; j++) view[o + j] += w * half[s + j];
      }
    }
    for (let i = 0; i < view.length; i++) view[i] = clamp(view[i]);
  }

  luma(i) { return LUMA[0] * this.view[i] + LUMA[1] * this.view[i + 1] + LUMA[2] * this.view[i + 2]; }

  /** Change brightness (0), contrast (1) or saturation (2) by a factor, or turn the hue (3). */
  change(operation, factor) {
    const x = this.view;
    if (operation === 3) return this.turnHue(factor);
    let pull = 0; // brightness mixes with black, contrast with the mean luma, saturation with each pixel's own luma
    if (operation === 1) for (let i = 0; i < x.length; i += 3) pull += 3 * (1 - factor) * this.luma(i) / x.length;
    for (let i = 0; i < x.length; i += 3) {
      if (operation === 2) pull = (1 - factor) * this.luma(i);
      x[i] = clamp(factor * x[i] + pull); x[i + 1] = clamp(factor * x[i + 1] + pull); x[i + 2] = clamp(factor * x[i + 2] + pull);
    }
  }

  /** Turn the hue of HSV by a part of the circle, as operations.turn_hue does. */
  turnHue(turn) {
    const x = this.view;
    const share = (h) => clamp(2 - 6 * Math.abs(h - Math.round(h)));
    for (let i = 0; i < x.length; i += 3) {
      const r = x[i], g = x[i + 1], b = x[i + 2], value = Math.max(r, g, b), chroma = value - Math.min(r, g, b), sixth = 1 / (6 * Math.max(chroma, 1e-8));
      const h = turn + (value === r ? (g - b) * sixth : value === g ? (b - r) * sixth + 1 / 3 : (r - g) * sixth + 2 / 3);
      x[i] = value - chroma * share(h - 1 / 2); x[i + 1] = value - chroma * share(h - 5 / 6); x[i + 2] = value - chroma * share(h - 1 / 6);
    }
  }
}
