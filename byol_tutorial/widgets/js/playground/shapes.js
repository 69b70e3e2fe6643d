// This file draws the course's ten shapes as data/shapes.py does: it looks up each pixel's distance to the curve on a grid. Pictures
// are bytes (n, size, size, 3).

const SHAPES = ["circle", "triangle", "square", "star", "cross", "heart", "moon", "arrow", "eight", "clover"];
const GRID = 96, REACH = 1.5; // points of the grid a side; it covers [−1.5, 1.5]² around a curve of radius 1
const STROKE = 2.2, INK = 0.62, GROUND = 0.12; // width of the line at 32 px, luma of the line and of the ground
const LUMA = [0.2989, 0.587, 0.114];

/** Return the points [x, y] of a closed curve around the origin, the farthest at distance 1. */
function curve(name) {
  const {PI, sin, cos} = Math, turn = (n) => Array.from({length: n}, (_, i) => 2 * PI * i / n), t = turn(120);
  const between = (low, high, n) => Array.from({length: n}, (_, i) => low + (high - low) * i / (n - 1));
  const polar = (angles, radius) => angles.map((a, i) => [radius(i) * sin(a), -radius(i) * cos(a)]);
  let points;
  switch (name) {
    case "circle": points = polar(t, () => 1); break;
    case "triangle": points = polar(turn(3), () => 1); break;
    case "square": points = polar(turn(4), () => 1); break;
    case "star": points = polar(turn(10), (i) => i % 2 ? 0.42 : 1); break;
    case "cross": {
      const half = [[0.32, -1], [0.32, -0.32], [1, -0.32], [1, 0.32], [0.32, 0.32], [0.32, 1]];
      points = [...half, ...half.map(([x, y]) => [-x, -y])];
      break;
    }
    case "heart": points = t.map((a) => [16 * sin(a) ** 3, -(13 * cos(a) - 5 * cos(2 * a) - 2 * cos(3 * a) - cos(4 * a)) - 2]); break;
    case "moon": {
      const outer = between(0.25 * PI, 1.75 * PI, 60).map((a) => [cos(a), sin(a)]);
      const inner = between(1.62 * PI, 0.38 * PI, 50).map((a) => [0.76 * cos(a), 0.76 * sin(a)]);
      const shift = outer[0][0] - inner.at(-1)[0];
      points = [...outer, ...inner.map(([x, y]) => [x + shift, y])];
      break;
    }
    case "arrow": points = [[0, -1], [0.75, -0.1], [0.28, -0.1], [0.28, 0.95], [-0.28, 0.95], [-0.28, -0.1], [-0.75, -0.1]]; break;
    case "eight": points = t.map((a) => [0.55 * sin(2 * a), -cos(a)]); break;
    case "clover": points = polar(t, (i) => 0.62 + 0.38 * cos(3 * t[i])); break;
  }
  const most = Math.max(...points.map(([x, y]) => Math.hypot(x, y)));
  return points.map(([x, y]) => [x / most, y / most]);
}

const fields = new Map();

/** Return the distance to the curve of a shape on the grid, float32 (GRID, GRID); computed once. */
function distanceField(shape) {
  if (fields.has(shape)) return fields.get(shape);
  const points = curve(SHAPES[shape]), field = new Float32Array(GRID * GRID);
  const segments = points.map(([x, y], i) => {
    const [u, v] = points[(i + 1) % points.length], dx = u - x, dy = v - y;
    return {x, y, dx, dy, square: dx * dx + dy * dy};
  });
  const place = (i) => (i + 0.5) / GRID * 2 * REACH - REACH;
  for (let i = 0; i < GRID; i++) for (let j = 0; j < GRID; j++) {
    let least = Infinity;
    for (const {x, y, dx, dy, square} of segments) {
      const u = place(j) - x, v = place(i) - y, along = Math.min(1, Math.max(0, (u * dx + v * dy) / square));
      least = Math.min(least, (u - along * dx) ** 2 + (v - along * dy) ** 2);
    }
    field[i * GRID + j] = Math.sqrt(least);
  }
  fields.set(shape, field);
  return field;
}

/** Return red, green and blue in [0, 1] of a hue at this luma; see shapes.tint. */
function tint(hue, luma) {
  const length = Math.min(luma, 1 - luma) / (2 * (1 - LUMA[2])), angle = 2 * Math.PI * hue;
  const red = luma + 2 * (1 - LUMA[0]) * length * Math.sin(angle), blue = luma + 2 * (1 - LUMA[2]) * length * Math.cos(angle);
  return [red, (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue].map((v) => Math.min(1, Math.max(0, v)));
}

/** Draw the picture of these factors {shape, hue, x, y, scale, rotation} into `bytes` from `at` on. */
function drawShape({shape, hue, x, y, scale, rotation}, size, bytes, at) {
  const field = distanceField(shape), half = size / 2, line = tint(hue, INK), ground = tint(hue, GROUND);
  const cos = Math.cos(rotation) / (scale * REACH), sin = Math.sin(rotation) / (scale * REACH);
  const onGrid = (v) => Math.min(GRID - 1, Math.max(0, ((v + 1) * GRID - 1) / 2));
  for (let row = 0; row < size; row++) for (let column = 0; column < size; column++) {
    const u = (column + 0.5) / half - 1 - x, v = (row + 0.5) / half - 1 - y;
    const a = onGrid(cos * u + sin * v), b = onGrid(cos * v - sin * u), i = Math.min(GRID - 2, Math.floor(a)), j = Math.min(GRID - 2, Math.floor(b));
    const f = a - i, g = b - j, o = j * GRID + i;
    const distance = (field[o] * (1 - f) + field[o + 1] * f) * (1 - g) + (field[o + GRID] * (1 - f) + field[o + GRID + 1] * f) * g;
    const ink = Math.min(1, Math.max(0, 0.5 + STROKE * size / 64 - distance * scale * half));
    for (let c = 0; c < 3; c++) bytes[at++] = Math.round(255 * (ground[c] + ink * (line[c] - ground[c])));
  }
}

/** A set of pictures with random factors and equal numbers of all shapes. A picture is drawn when it is first needed. */
class PictureSet {
  constructor(n, size, random) {
    Object.assign(this, {n, size, each: size * size * 3, bytes: new Uint8Array(n * size * size * 3), drawn: new Uint8Array(n)});
    this.factors = Array.from(shuffled(n, random), (i) => ({shape: i % SHAPES.length, hue: random(), x: random() / 2 - 0.25, y: random() / 2 - 0.25,
                                                             scale: 0.58 + 0.2 * random(), rotation: 2 * Math.PI * random()}));
  }
  /** Return where picture i begins in `bytes`. */
  at(i) {
    if (!this.drawn[i]) drawShape(this.factors[i], this.size, this.bytes, i * this.each);
    this.drawn[i] = 1;
    return i * this.each;
  }
  all() {
    for (let i = 0; i < this.n; i++) this.at(i);
    return this.bytes;
  }
}

/** Return mean and standard deviation of each channel of the bytes of pictures, in [0, 1]. */
function channelStatistics(bytes) {
  const n = bytes.length / 3, mean = [0, 0, 0], square = [0, 0, 0];
  for (let i = 0; i < bytes.length; i++) mean[i % 3] += bytes[i] / 255 / n;
  for (let i = 0; i < bytes.length; i++) square[i % 3] += (bytes[i] / 255 - mean[i % 3]) ** 2;
  return {mean, std: square.map((s) => Math.sqrt(s / (n - 1)))};
}

/** Return the pictures as float32, (value − mean) / std. */
function normalisedPictures(bytes, {mean, std}) {
  const out = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = (bytes[i] / 255 - mean[i % 3]) / std[i % 3];
  return out;
}
