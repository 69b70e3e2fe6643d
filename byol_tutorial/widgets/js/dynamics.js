// The dynamics of BYOL's predictor in one eigenmode, Tian et al. 2021 (arXiv 2102.06810). phase.js draws them.
//   ṗ = α s (τ̂ − (1+σ²) p) − η p          p: the predictor's eigenvalue in this direction
//   ṡ = 2 p s (τ̂ − (1+σ²) p) − 2 η s      s: the correlation of the online output in this direction, s ≥ 0
// A model m is {tau, eta, alpha, noise}, noise being σ².

const phaseVelocity = (m, p, s) => {
  const pull = m.tau - (1 + m.noise) * p;
  return [m.alpha * s * pull - m.eta * p, 2 * s * (p * pull - m.eta)];
};

/**
 * Return the fixed points, [{p, s, stable, name}], "collapse" first.
 * With s > 0, ṡ = 0 requires (1+σ²) p² − τ̂ p + η = 0, and ṗ = 0 then requires s = p²/α. So there are two such points,
 * or none if η > τ̂² / (4 (1+σ²)). Without weight decay p₊ = τ̂/(1+σ²) with any s is a fixed point, and so is s = 0 with
 * any p.
 */
function phaseFixedPoints(m) {
  const k = 1 + m.noise, root = m.tau ** 2 - 4 * m.eta * k;
  const points = [{p: 0, s: 0, stable: m.eta > 0, name: "collapse"}];
  if (m.eta === 0 || root < 0) return points;
  const low = 2 * m.eta / (m.tau + Math.sqrt(root)), high = (m.tau + Math.sqrt(root)) / (2 * k);
  points.push({p: low, s: low ** 2 / m.alpha, stable: false, name: "saddle"});
  points.push({p: high, s: high ** 2 / m.alpha, stable: root > 0, name: "healthy"});
  return points;
}

const phaseLimit = (m) => m.tau ** 2 / (4 * (1 + m.noise)); // the weight decay above which everything collapses

/**
 * Make one step of Dormand and Prince for (x, y)˙ = f(x, y), of order 5 with an error of order 4; return [x, y, error].
 */
function phaseStep(f, x, y, dt) {
  const [x1, y1] = f(x, y);
  const [x2, y2] = f(x + dt * x1 / 5, y + dt * y1 / 5);
  const [x3, y3] = f(x + dt * (3 * x1 + 9 * x2) / 40, y + dt * (3 * y1 + 9 * y2) / 40);
  const sum4 = (k1, k2, k3) => 44 / 45 * k1 - 56 / 15 * k2 + 32 / 9 * k3;
  const [x4, y4] = f(x + dt * sum4(x1, x2, x3), y + dt * sum4(y1, y2, y3));
  const sum5 = (k1, k2, k3, k4) => 19372 / 6561 * k1 - 25360 / 2187 * k2 + 64448 / 6561 * k3 - 212 / 729 * k4;
  const [x5, y5] = f(x + dt * sum5(x1, x2, x3, x4), y + dt * sum5(y1, y2, y3, y4));
  const sum6 = (k1, k2, k3, k4, k5) => 9017 / 3168 * k1 - 355 / 33 * k2 + 46732 / 5247 * k3 + 49 / 176 * k4 - 5103 / 18656 * k5;
  const [x6, y6] = f(x + dt * sum6(x1, x2, x3, x4, x5), y + dt * sum6(y1, y2, y3, y4, y5));
  const sum7 = (k1, k3, k4, k5, k6) => 35 / 384 * k1 + 500 / 1113 * k3 + 125 / 192 * k4 - 2187 / 6784 * k5 + 11 / 84 * k6;
  const xn = x + dt * sum7(x1, x3, x4, x5, x6), yn = y + dt * sum7(y1, y3, y4, y5, y6);
  const [x7, y7] = f(xn, yn);
  const wrong = (k1, k3, k4, k5, k6, k7) => 71 / 57600 * k1 - 71 / 16695 * k3 + 71 / 1920 * k4 - 17253 / 339200 * k5 + 22 / 525 * k6 - k7 / 40;
  return [xn, yn, dt * Math.hypot(wrong(x1, x3, x4, x5, x6, x7), wrong(y1, y3, y4, y5, y6, y7))];
}

/**
 * Integrate from (p, s) until time `end`, with the longest steps that `tolerance` allows: an absolute error of p, and a
 * relative error of s, per step. The variables are p and ln s, so that s stays positive, and a mode that has nearly
 * vanished can grow again. With direction −1 time runs backwards. visit(t, p, s) is called at the start and after every
 * step; the trajectory ends when it returns true. Returns {t, p, s}, arrays.
 */
function phaseTrajectory(m, p, s, {end = 100, tolerance = 1e-7, direction = 1, most = 5000, visit = null} = {}) {
  const path = {t: [0], p: [p], s: [s]}, k = 1 + m.noise;
  const f = (x, y) => {
    const pull = m.tau - k * x;
    return [direction * (m.alpha * Math.exp(y) * pull - m.eta * x), direction * 2 * (x * pull - m.eta)];
  };
  let t = 0, dt = Math.min(0.05, end), y = Math.log(s);
  for (let tries = 0; t < end && tries < most && !visit?.(t, p, Math.exp(y)); tries++) {
    dt = Math.min(dt, end - t);
    const [pn, yn, error] = phaseStep(f, p, y, dt);
    const allowed = tolerance * (1 + Math.abs(p));
    if (error <= allowed) {
      t = end - t - dt < 1e-12 * end ? end : t + dt;
      [p, y] = [pn, yn];
      path.t.push(t);
      path.p.push(p);
      path.s.push(Math.exp(y));
    }
    dt *= error >= 0 ? Math.min(4, Math.max(0.2, 0.9 * (allowed / Math.max(error, 1e-300)) ** 0.2)) : 0.2;
  }
  return path;
}

/**
 * Return whether the mode that starts at (p, s) collapses, that is s → 0.
 * u = s − p²/α follows u̇ = −2ηu, so its sign never changes. Therefore no trajectory leaves any of these sets again, and
 * it is enough to integrate until one is reached: {p ≤ p₋, s ≤ s₋} collapses; {p ≥ p₋, u ≥ 0} and {p₋ ≤ p ≤ p₊, s ≥ s₋}
 * do not. All other trajectories approach the healthy point from its right.
 * Without weight decay u is constant: the mode moves along its parabola to p₊, unless the parabola meets s = 0 before.
 */
function phaseCollapses(m, p, s) {
  if (s <= 0) return true;
  if (m.eta === 0) {
    const rest = m.tau / (1 + m.noise), u = s - p * p / m.alpha;
    return p < 0 ? u <= 0 : p > rest && u <= -rest * rest / m.alpha;
  }
  const [, low, high] = phaseFixedPoints(m);
  if (!low) return true;
  const near = 0.05 * Math.hypot(1 - low.p / high.p, 1 - low.s / high.s); // a twentieth of the way to the saddle
  let fate = null;
  const {p: ps} = phaseTrajectory(m, p, s, {end: 1e5, tolerance: 1e-4, most: 1000, visit: (_, a, b) => {
    if (a <= low.p && b <= low.s) fate = true;
    else if (a >= low.p && (b * m.alpha >= a * a || (a <= high.p && b >= low.s))) fate = false;
    else if (Math.hypot(a / high.p - 1, b / high.s - 1) < near) fate = false;
    return fate !== null;
  }});
  return fate ?? ps.at(-1) < low.p;
}

/** Return the basin of collapse on a grid, {columns, rows, cells}: cells[row * columns + column] is 1 or 0, row 0 is s = 0. */
function phaseBasin(m, view, columns = 72, rows = 54) {
  const cells = new Uint8Array(columns * rows);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      cells[r * columns + c] = phaseCollapses(m, view.p[0] + (c + 0.5) / columns * (view.p[1] - view.p[0]),
                                              (r + 0.5) / rows * view.s[1]) ? 1 : 0;
  return {columns, rows, cells};
}

/**
 * Return the curves between the two fates, [{p, s}], arrays: the saddle's stable manifold, integrated backwards in time
 * on both sides of the saddle; without weight decay the two parabolas that touch s = 0.
 */
function phaseSeparatrix(m, view) {
  if (m.eta === 0) {
    const rest = m.tau / (1 + m.noise), from = (a, b) => Array.from({length: 61}, (_, i) => a + i / 60 * (b - a));
    return [[from(view.p[0], 0), 0], [from(rest, Math.max(rest, view.p[1])), -rest * rest / m.alpha]]
      .map(([p, u]) => ({p, s: p.map((x) => Math.max(0, x * x / m.alpha + u))}));
  }
  const saddle = phaseFixedPoints(m)[1];
  if (!saddle) return [];
  const k = 1 + m.noise, pull = m.tau - k * saddle.p;
  // the Jacobian there is ((a, b), (c, 0)); its negative eigenvalue has the eigenvector (rate, c)
  const a = -m.alpha * saddle.s * k - m.eta, b = m.alpha * pull, c = 2 * saddle.s * (m.tau - 2 * k * saddle.p);
  const rate = (a - Math.sqrt(a * a + 4 * b * c)) / 2, length = Math.hypot(rate, c);
  const wide = view.p[1] - view.p[0], outside = (_, p, s) =>
    p < view.p[0] - wide || p > view.p[1] + wide || s > 3 * view.s[1];
  return [1, -1].map((side) => {
    const off = side * 1e-3 * Math.min(saddle.p * length / Math.abs(rate), saddle.s * length / c) / length;
    return phaseTrajectory(m, saddle.p + off * rate, saddle.s + off * c,
                           {end: 1e3, tolerance: 1e-6, direction: -1, most: 2000, visit: outside});
  });
}

/** Return how a start ends: {collapsed, p, s, time, trajectory}; at `time`, 1 % of the way to the end is left. */
function phaseOutcome(m, p, s) {
  const collapsed = phaseCollapses(m, p, s);
  const still = (_, a, b) => Math.hypot(...phaseVelocity(m, a, b)) < 1e-5 && (collapsed ? b < 1e-4 : b > 1e-4);
  const trajectory = phaseTrajectory(m, p, s, {end: 2000, visit: still});
  const healthy = phaseFixedPoints(m)[2];
  const end = collapsed ? {p: m.eta ? 0 : trajectory.p.at(-1), s: 0}
    : healthy ?? {p: m.tau / (1 + m.noise), s: s + ((m.tau / (1 + m.noise)) ** 2 - p * p) / m.alpha};
  const left = (i) => Math.hypot(trajectory.p[i] - end.p, trajectory.s[i] - end.s);
  const near = 0.01 * Math.max(left(0), 0.1);
  let last = trajectory.t.length - 1;
  while (last > 0 && left(last - 1) <= near) last--;
  if (last === 0) return {collapsed, p: end.p, s: end.s, time: 0, trajectory};
  // between two steps the remaining distance decays exponentially
  const [a, b] = [last - 1, last].map((i) => Math.log(Math.max(left(i), 1e-12)));
  const share = a > b ? Math.min(1, (a - Math.log(near)) / (a - b)) : 1;
  return {collapsed, p: end.p, s: end.s, time: trajectory.t[last - 1] + share * (trajectory.t[last] - trajectory.t[last - 1]), trajectory};
}

/** Return the trajectory's p and s at a time, linear between its steps. */
function phaseAt({t, p, s}, time) {
  let i = t.findIndex((x) => x >= time);
  if (i < 0) i = t.length - 1;
  if (i === 0) return [p[0], s[0]];
  const share = Math.min(1, (time - t[i - 1]) / (t[i] - t[i - 1]));
  return [p[i - 1] + share * (p[i] - p[i - 1]), s[i - 1] + share * (s[i] - s[i - 1])];
}

export {phaseVelocity, phaseFixedPoints, phaseTrajectory, phaseCollapses, phaseBasin, phaseSeparatrix, phaseOutcome};
