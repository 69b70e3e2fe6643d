// Thousands of dots in each frame without a GPU. They are blended into an ImageData here: about ten times faster than
// as many calls of drawImage or arc, and on one core only.

const DOTS_PLACES = 4; // positions within a pixel in each direction, so that slow dots move smoothly

/** Return a colour "#rrggbb" as three numbers. */
const dotsRgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/**
 * Draw marks about as large as a disc of this radius, in device pixels. start(context) begins a picture of the canvas's
 * size; dot(x, y, [r, g, b], alpha, k) adds the mark of class k at device pixels x, y; finish() replaces the content of the
 * canvas by the picture.
 */
function makeDots(radius) {
  const reach = Math.ceil(1.5 * radius + 1), side = 2 * reach + 1;
  const pen = new OffscreenCanvas(side, side).getContext("2d", {willReadFrequently: true});
  const all = BT_MARKS.map((_, k) => Array.from({length: DOTS_PLACES ** 2}, (_, place) => {
    pen.clearRect(0, 0, side, side);
    btMark(pen, k, reach + 0.5 + place % DOTS_PLACES / DOTS_PLACES, reach + 0.5 + Math.floor(place / DOTS_PLACES) / DOTS_PLACES, radius);
    const {data} = pen.getImageData(0, 0, side, side);
    return Float32Array.from({length: side * side}, (_, i) => data[4 * i + 3] / 255);
  })); // how much of each pixel a mark covers
  let context = null, image = null, pixels = null;
  return {
    radius,
    start(c) {
      const {width, height} = c.canvas;
      if (image?.width !== width || image?.height !== height) image = c.createImageData(width, height);
      context = c;
      pixels = image.data;
      pixels.fill(0);
    },
    dot(x, y, [r, g, b], alpha, k = 0) {
      const left = Math.floor(x), top = Math.floor(y), wide = image.width, tall = image.height;
      const mask = all[k % all.length][Math.floor((y - top) * DOTS_PLACES) * DOTS_PLACES + Math.floor((x - left) * DOTS_PLACES)];
      for (let j = 0; j < side; j++) {
        const row = top + j - reach;
        if (row < 0 || row >= tall) continue;
        for (let i = 0; i < side; i++) {
          const cover = mask[j * side + i], column = left + i - reach;
          if (cover === 0 || column < 0 || column >= wide) continue;
          const at = 4 * (row * wide + column), over = 255 * alpha * cover;
          const all = over + pixels[at + 3] * (1 - alpha * cover), share = over / all; // the operation "over", alpha not premultiplied
          pixels[at] += (r - pixels[at]) * share;
          pixels[at + 1] += (g - pixels[at + 1]) * share;
          pixels[at + 2] += (b - pixels[at + 2]) * share;
          pixels[at + 3] = all;
        }
      }
    },
    finish() { context.putImageData(image, 0, 0); },
  };
}

// --- colours

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** Return whether a colour, as the browser computed it, is dark. */
function isDark(colour) {
  const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return (0.3 * r + 0.59 * g + 0.11 * b) * (colour.startsWith("color") ? 255 : 1) < 128;
}

/** Return a colour of matplotlib's viridis, t in [0, 1]: equal steps look equal, also in lightness alone. */
function viridis(t) {
  const x = t * (VIRIDIS.length - 1), i = Math.min(Math.floor(x), VIRIDIS.length - 2), f = x - i;
  return "#" + VIRIDIS[i].map((v, j) => Math.round(v + f * (VIRIDIS[i + 1][j] - v)).toString(16).padStart(2, "0")).join("");
}
