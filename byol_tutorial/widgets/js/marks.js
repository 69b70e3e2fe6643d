// The marks of the phase plane, drawn on a canvas c within a box b of {left, top, right, bottom} pixels.

/** Return about n round numbers from low to high. */
function phaseTicks(low, high, n) {
  const raw = (high - low) / n, ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((x) => x * ten).find((x) => x >= raw);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9; i++) ticks.push(Number((i * step).toPrecision(6)));
  return ticks;
}

/** The colours of the two fates and of the two curves. */
const PHASE_COLOURS = {healthy: BT_COLOURS[0], collapse: BT_COLOURS[5], p: BT_COLOURS[6], s: BT_COLOURS[0]};

/** Return the two places nearest to a and b that are at least `gap` apart, in the same order, and between low and high. */
function phaseApart(a, b, gap, low, high) {
  const clamp = (x, from, to) => Math.min(to, Math.max(from, x));
  if (a > b) return phaseApart(b, a, gap, low, high).reverse();
  const middle = clamp((a + b) / 2, low + gap / 2, high - gap / 2);
  return b - a < gap ? [middle - gap / 2, middle + gap / 2] : [clamp(a, low, high - gap), clamp(b, low + gap, high)];
}

/** Draw the frame, the ticks x and y as [value, pixel] pairs, and the names of the axes. */
function phaseAxes(c, b, theme, x, y, xName, yName) {
  c.font = theme.font;
  c.strokeStyle = theme.line;
  c.fillStyle = theme.quiet;
  c.lineWidth = 1;
  c.strokeRect(b.left, b.top, b.right - b.left, b.bottom - b.top);
  c.textAlign = "center";
  c.textBaseline = "top";
  for (const [value, at] of x) c.fillText(String(value).replace("-", "−"), at, b.bottom + 8);
  c.textAlign = "right";
  c.textBaseline = "middle";
  for (const [value, at] of y) c.fillText(String(value), b.left - 5, at);
  c.fillStyle = theme.ink;
  c.font = `italic 600 ${theme.font.replace("12px", "15px")}`;
  c.textBaseline = "top";
  c.fillText(xName, b.right - 2, b.bottom + 6);
  c.textAlign = "left";
  c.fillText(yName, b.left + 7, b.top + 5);
}

/** Shade and hatch the basin of collapse. Readers who cannot distinguish the colours see the hatching. */
function phaseShade(c, b, basin, colour) {
  const small = new OffscreenCanvas(basin.columns, basin.rows), pen = small.getContext("2d");
  const pixels = pen.createImageData(basin.columns, basin.rows);
  basin.cells.forEach((cell, i) => {
    const row = basin.rows - 1 - Math.floor(i / basin.columns);
    pixels.data[4 * (row * basin.columns + i % basin.columns) + 3] = 255 * cell;
  });
  pen.putImageData(pixels, 0, 0);
  const scale = c.getTransform().a, wide = b.right - b.left, tall = b.bottom - b.top;
  const mask = new OffscreenCanvas(Math.max(1, Math.round(wide * scale)), Math.max(1, Math.round(tall * scale))), brush = mask.getContext("2d");
  brush.drawImage(small, 0, 0, mask.width, mask.height);
  brush.globalCompositeOperation = "source-in";
  brush.fillStyle = colour;
  brush.fillRect(0, 0, mask.width, mask.height);
  c.globalAlpha = 0.16;
  c.drawImage(mask, b.left, b.top, wide, tall);
  brush.lineWidth = 1.2 * scale;
  brush.globalCompositeOperation = "destination-in";
  brush.beginPath();
  for (let x = -tall; x < wide; x += 9) { brush.moveTo(x * scale, mask.height); brush.lineTo((x + tall) * scale, 0); }
  brush.stroke();
  c.globalAlpha = 0.3;
  c.drawImage(mask, b.left, b.top, wide, tall);
  c.globalAlpha = 1;
}

/** Draw a dot with a rim. */
const phaseDot = (c, x, y, radius, colour, rim) => {
  c.beginPath();
  c.arc(x, y, radius, 0, 7);
  c.fillStyle = colour;
  c.fill();
  c.lineWidth = 1.5;
  c.strokeStyle = rim;
  c.stroke();
};

/** Draw arrow heads at a third and at two thirds of the path's length. */
function phaseHeads(c, path, colour) {
  const lengths = path.map(([x, y], i) => i ? Math.hypot(x - path[i - 1][0], y - path[i - 1][1]) : 0);
  const whole = lengths.reduce((a, b) => a + b, 0);
  if (whole < 40) return;
  let done = 0, next = whole / 3;
  path.forEach(([x, y], i) => {
    done += lengths[i];
    if (done < next || next > 0.7 * whole || !i) return;
    const angle = Math.atan2(y - path[i - 1][1], x - path[i - 1][0]);
    next += whole / 3;
    c.fillStyle = colour;
    c.beginPath();
    c.moveTo(x + 8 * Math.cos(angle), y + 8 * Math.sin(angle));
    for (const turn of [2.5, -2.5]) c.lineTo(x + 8 * Math.cos(angle + turn), y + 8 * Math.sin(angle + turn));
    c.fill();
  });
}
