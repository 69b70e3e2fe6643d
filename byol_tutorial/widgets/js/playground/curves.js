// This file keeps what a page needs of a run: its curves, with fewer points in their older part, and only the newest maps.

const KEPT = 4096, FIRST = 128; // values at the end and at the beginning of a curve that are never left out

const noCurves = () => ({step: [], loss: [], std: [], seen: []});

/** Leave out every second of the older values, once there are twice as many as are kept in full. */
const thin = (list) => list.length <= 2 * KEPT ? list : list.filter((_, i) => i < FIRST || i % 2 === 0 || i >= list.length - KEPT);

/** Add what a frame brings: {step, loss, std, seen}; loss and std are those of the last steps up to `step`. */
function extend(curves, frame) {
  frame.loss.forEach((loss, i) => {
    curves.step.push(frame.step - frame.loss.length + i + 1);
    curves.loss.push(loss);
    curves.std.push(frame.std[i]);
  });
  if (frame.seen) {
    const last = curves.seen.at(-1);
    if (last) last.maps = last.near = null; // only the newest maps are drawn
    curves.seen.push(frame.seen);
  }
  for (const name of Object.keys(curves)) curves[name] = thin(curves[name]);
}

/** Return the curves as columns of a table: {name: {x: steps, y: values}}. */
function columnsOf({step, loss, std, seen}) {
  const points = (key) => ({x: seen.map((s) => s.step), y: seen.map((s) => s[key])});
  return {loss: {x: step, y: loss}, std: {x: step, y: std}, rank: points("rank"), knn_shape: points("shape"), knn_hue: points("hue")};
}
