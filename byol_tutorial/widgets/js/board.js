// This file makes the hyperparameter board: the run that the controls choose, its curves beside BYOL's, its map and its verdict.

function render({model, el}) {
  const data = model.get("runs");
  const taus = [...new Set(data.places.map((p) => p[0]))];
  const start = {tau: 0.9, predictor: true, stop: true, colour: true};
  let place = {...start}, colourBy = "class";
  const indexAt = (q) => data.places.find((p) => p[0] === q.tau && p[1] === q.predictor && p[2] === q.stop && p[3] === q.colour)[4];
  const byol = data.runs[indexAt(start)];
  const run = () => data.runs[indexAt(place)];

  // --- controls
  const move = (change) => { place = {...place, ...change}; show(); };
  const tau = btSlider({label: "decay rate τ", low: 0, high: taus.length - 1, step: 1, help: "ξ ← τ ξ + (1 − τ) θ; 0: the online network itself, 1: a fixed random network",
                        format: (i) => ({0: "0, online", 1: "1, fixed"})[taus[i]] ?? String(taus[i])},
                       taus.indexOf(start.tau), (i) => move({tau: taus[i]}));
  const predictor = btSwitch({label: "predictor", help: "q: without it p = z"}, true, (v) => move({predictor: v}));
  const stop = btSwitch({label: "stop-gradient", help: "Without it the gradient passes through both branches, and ξ = θ"}, true, (v) => move({stop: v}));
  const colour = btSwitch({label: "colour changes", help: "Jitter and grayscale in T and T′"}, true, (v) => move({colour: v}));
  const reset = btButton("BYOL", () => { tau.set(taus.indexOf(start.tau)); for (const s of [predictor, stop, colour]) s.set(true); move(start); },
                         {title: "Set everything back to BYOL's values"});

  // --- views
  const series = (name, r) => name === "knn" ? pairs(r.knn) : {x: r[name].map((_, i) => Math.min((i + 0.5) * r.block, r.epoch * data.epochs)), y: r[name]};
  const plots = Object.fromEntries([["loss", "loss", {low: 0, high: 4.2}], ["std", "spread √d·std of z", {low: 0, high: 1.05}], ["knn", "kNN accuracy", {low: 0, high: 1, dots: true}]]
    .map(([name, title, options]) => [name, btPlot(title, () => ({
      now: series(name, run()), before: run() === byol ? null : series(name, byol), base: name === "knn" ? run().start_knn : null,
      frame: {step: run().epoch * data.epochs, epoch: run().epoch, total: run().epoch * data.epochs, changes: []}, beforeEnd: 0}), options)]));
  const map = btCanvas(260, "Map of the projections", drawMap);
  const colouring = btChoice({label: "colour by"}, colourBy, ["class", "hue"], (v) => { colourBy = v; legend.hidden = v !== "class"; map.redraw(); });
  const legend = h("div", {class: "bt-row bt-quiet bt-legend"}, ...data.classes.map((name, k) => h("span", {}, btKey(k), name)));
  const verdict = h("div", {class: "bt-verdict", role: "status"});
  const numbers = h("p", {class: "bt-quiet bt-numbers"});

  const problem = btProblem(model);
  const root = h("div", {class: "bt bt-board", role: "region", "aria-label": "Hyperparameter board"},
    h("div", {class: "bt-row bt-spread"}, h("strong", {}, "Choose a run"), reset),
    h("div", {class: "bt-choose"}, tau.element, predictor.element, stop.element, colour.element),
    verdict, numbers,
    h("div", {class: "bt-views"}, h("div", {class: "bt-plots"}, ...Object.values(plots).map((p) => p.element)),
      h("div", {}, colouring.element, map.element, h("p", {class: "bt-quiet"}, "circle: the size of the unit sphere"), legend)),
    h("p", {class: "bt-quiet"}, `These ${data.runs.length} runs of ${data.epochs} epochs on drawn shapes were trained beforehand, with one seed. The pale curves are BYOL’s.`), problem.element);
  el.append(root);
  show();

  function show() {
    const r = run(), text = r.verdict;
    verdict.dataset.kind = text.split(":")[0];
    verdict.textContent = text;
    tau.input.disabled = !place.stop;
    const last = r.knn.at(-1)[1];
    numbers.textContent = `linear probe ${r.linear.toFixed(2)}, kNN ${last.toFixed(2)} (untrained ${r.start_knn.toFixed(2)}, chance ${(1 / data.classes.length).toFixed(2)})`
      + (place.stop ? "" : "; without stop-gradient τ has no effect");
    plots.loss.redraw(`at the end ${btNumber(r.loss.at(-1))}`);
    plots.std.redraw(`at the end ${r.std.at(-1).toFixed(2)}`);
    plots.knn.redraw(`at the end ${last.toFixed(2)}`);
    map.alt(`Map of the projections, two principal components of ${data.labels.length} test images: ${text}`);
    map.redraw();
  }
  function drawMap(context, width, height, theme) {
    const bytes = Uint8Array.from(atob(run().map), (c) => c.charCodeAt(0));
    const points = new Int16Array(bytes.buffer), side = Math.min(width, height) - 16, x0 = width / 2, y0 = height / 2;
    context.strokeStyle = theme.line;
    context.beginPath();
    context.arc(x0, y0, side / 2, 0, 2 * Math.PI);
    context.stroke();
    context.globalAlpha = 0.85;
    data.labels.forEach((k, i) => {
      context.fillStyle = colourBy === "class" ? BT_COLOURS[k % 10] : data.circle[Math.floor(data.hue[i] * data.circle.length) % data.circle.length];
      btMark(context, colourBy === "class" ? k : 0, x0 + points[2 * i] / data.full * side / 2, y0 - points[2 * i + 1] / data.full * side / 2, 3);
    });
    context.globalAlpha = 1;
  }
  return () => { problem.close(); map.close(); for (const plot of Object.values(plots)) plot.close(); };
}

export default {initialize: btKeepSaved, render: btFreed(render)};
