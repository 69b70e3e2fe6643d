// This file makes the panel: one run or two side by side, their controls and their displays. Each run is in a host (host.js); the page
// sends it settings and gets frames. The runs in this page compute everything that is drawn.

const REST_AFTER = 3000; // steps until a run pauses by itself, to spare the battery
const SETTLED = 150; // milliseconds without a move after which a slider counts as set
const LEAD = 100; // steps by which one of two runs may be ahead
const PERIOD = {moving: 120, still: 1000}; // milliseconds between drawings; the second where the reader prefers reduced motion
const RUN_COLOURS = [BT_COLOURS[4], BT_COLOURS[1]], RUN_NAMES = ["A", "B"];

function render({model, el}) {
  const about = model.get("about"), still = matchMedia("(prefers-reduced-motion: reduce)");
  const first = !document.querySelector(".bt-playground"); // the first panel of a page follows the address
  const {ViewMaker, drawView, generator} = playgroundEngine(); // for views of the picture that the reader points at
  let runs = [], selected = 0, playing = false, inView = false, opened = false, closed = false, chosen = null, mapOf = "z", colourBy = "shape", touched = false;
  const run = () => runs[selected];

  // --- running ------------------------------------------------------------------------------------------------------------
  // The state of a run that has not begun. asked: live changes that no frame has confirmed yet; sent: how many changes were posted.
  const nothing = () => ({limit: 0, begun: null, frame: null, curves: noCurves(), pairs: [], asked: {}, sent: 0});
  const makeRun = (plan) => ({...nothing(), plan, number: 0, goal: plan.steps, host: null, prediction: null, waiting: {}});
  const settingsOf = (one) => ({...(one.frame?.settings ?? one.plan.settings), ...one.asked});
  async function open(one) {
    one.host = {post() {}, end() { one.ended = true; }, place: "opening"};
    const host = await openHost((message) => { if (!one.ended) received(one, message); });
    if (one.ended || closed) { host.end(); return; }
    one.host = host;
    begin(one);
  }
  /** Begin the run of one.plan. Messages of an earlier run may still arrive, and their number distinguishes them. */
  const begin = (one) => {
    Object.assign(one, nothing(), {number: one.number + 1});
    one.host?.post({do: "begin", number: one.number, settings: one.plan.settings, changes: one.plan.changes});
  };
  /** Show the runs of these plans, one or two, from their beginning. */
  function load(plans, predictions = []) {
    pause();
    for (const one of runs) { one.ended = true; one.host?.end(); }
    runs = plans.map((plan, i) => ({...makeRun(plan), prediction: predictions[i] ?? null}));
    selected = runs.length - 1;
    compare.set(runs.length === 2);
    if (opened) runs.forEach(open);
    show();
  }
  function play() {
    if (runs.some((r) => r.frame && (r.frame.failed || r.frame.step >= r.begun.total))) restart(); // nothing is left to train
    for (const one of runs) if (!(one.goal > (one.frame?.step ?? 0))) one.goal = (one.frame?.step ?? 0) + REST_AFTER;
    if (globalThis.btPlaying && globalThis.btPlaying !== pause) globalThis.btPlaying(); // one panel runs at a time
    globalThis.btPlaying = pause;
    playing = touched = true;
    sync();
  }
  function pause() {
    playing = false;
    sync();
    show();
  }
  /** Tell every run until which step it may train now: none trains while the panel is hidden, and none gets far ahead of the other. */
  function sync() {
    const steps = runs.filter((r) => r.begun && !r.frame?.failed).map((r) => r.frame?.step ?? 0), least = Math.min(...steps);
    for (const one of runs) {
      if (!one.begun) continue;
      const limit = !playing || !inView || document.hidden ? 0 : runs.length === 1 ? one.goal : Math.min(one.goal, least + LEAD);
      if (limit === one.limit) continue;
      one.host.post(limit ? {do: "run", until: limit} : {do: "pause"});
      one.limit = limit;
    }
    playButton.textContent = playing ? "❚❚ pause" : "▶ train";
  }
  function received(one, message) {
    if (message.kind === "problem") { problem.textContent = message.text; problem.hidden = false; pause(); return; }
    if (message.number !== one.number) return;
    if (message.kind === "begun") {
      Object.assign(one, {begun: message, maker: new ViewMaker(message.size, message), random: generator(1)});
      return;
    }
    const begins = one.frame === null;
    one.frame = message;
    if (message.applied === one.sent) one.asked = {};
    if (begins && one === run()) choose(chosen ?? 0);
    extend(one.curves, message);
    if (message.pairs.length) one.pairs = message.pairs;
    if (playing && runs.every((r) => r.frame && (r.frame.failed || r.frame.step >= Math.min(r.goal, r.begun.total)))) pause();
    sync();
    schedule();
  }
  const change = (values, one = run()) => {
    if (closed || !runs.includes(one)) return;
    touched = true;
    const now = settingsOf(one), settings = {...now, ...values}, step = one.frame?.step ?? 0;
    try { planOf(about, settings); problem.hidden = true; } catch (error) { problem.textContent = error.message; problem.hidden = false; show(); return; }
    // A random target is drawn with the first weights, so at the start it needs a new run; later the target keeps its present weights.
    const anew = (name) => now[name] !== values[name] && (!about.fields[name].live || (name === "target" && !step));
    if (!one.frame || Object.keys(values).some(anew)) {
      one.plan = step ? {settings, changes: [], steps: 0} : {settings, changes: planNow(one).changes, steps: one.plan.steps};
      if (step) Object.assign(one, {goal: playing ? REST_AFTER : 0, prediction: null});
      begin(one);
    } else {
      one.host.post({do: "change", settings: values});
      one.sent++;
      Object.assign(one.asked, values);
    }
    show();
  };
  const restart = () => { touched = true; for (const one of runs) { one.plan = {...planNow(one), steps: 0}; one.prediction = null; begin(one); } sync(); };
  const planNow = (one) => one.frame ? {settings: one.frame.first, changes: one.frame.changes, steps: one.frame.step} : one.plan;
  const plansNow = () => runs.map(planNow);
  const link = () => model.recorded ? location.href.split(/[?#]/)[0] + writeFragment(about, plansNow()) : writeFragment(about, plansNow());
  let remembered = 0;
  function remember() {
    if (!model.recorded || !first || !touched || closed || !runs.length) return;
    remembered = performance.now();
    try { history.replaceState(null, "", (location.search ? location.pathname : "") + writeFragment(about, plansNow())); } catch { /* a page without an address of its own */ }
  }

  // --- the first row, the experiments -----------------------------------------------------------------------------------------
  const playButton = btButton("▶ train", () => playing ? pause() : play(), {class: "bt-main bt-play"});
  const step = btButton("step", () => { pause(); touched = true; for (const one of runs) if (one.begun) { one.host.post({do: "run", until: (one.frame?.step ?? 0) + 1}); one.limit = 0; } }, {title: "One step, then pause"});
  const again = btButton("start again", () => { pause(); restart(); }, {title: "Back to step 0, with the same settings, seed and changes"});
  const newSeed = btButton("new seed", () => { const next = settingsOf(run()).seed + 1; pause(); load(plansNow().map((p) => ({settings: {...p.settings, seed: next}, changes: [], steps: 0}))); touched = true; });
  const compare = btSwitch({label: "two runs, A and B", help: "Two runs with the same seed side by side; the controls change the chosen one"}, false, (on) => {
    const [a] = plansNow().map((p) => ({...p, steps: 0}));
    touched = true;
    load(on ? [a, {...a, changes: [...a.changes]}] : [a]);
  });
  const choice = h("div", {class: "bt-row", role: "group", "aria-label": "The run that the controls change"}, ...RUN_NAMES.map((name, i) => btButton(name, () => { selected = i; show(); }, {class: "bt-which", style: `border-bottom: 3px solid ${RUN_COLOURS[i]}`})));
  const counter = h("span", {class: "bt-counter bt-quiet"});
  const beside = btSwitch({label: "beside BYOL", help: "Run BYOL with the same seed next to the experiment"}, false, () => {});
  const prediction = makePrediction(about);
  const cards = h("div", {class: "bt-cards", role: "group", "aria-label": "Experiments"}, ...Object.entries(EXPERIMENTS).map(([name, [settings, words]]) => {
    const card = btButton("", () => prediction.ask(name, card, (guess) => {
      const {pixels, width, batch_size, seed} = settingsOf(run()), base = {...about.settings, pixels, width, batch_size, seed};
      const plan = (s) => ({settings: {...base, ...s}, changes: [], steps: RUN_FOR});
      load(beside.get() && name !== "BYOL" ? [plan({}), plan(settings)] : [plan(settings)], beside.get() && name !== "BYOL" ? [null, guess] : [guess]);
      play();
    }), {class: "bt-card", "aria-label": name, title: words});
    card.append(h("strong", {}, name), h("span", {class: "bt-quiet"}, words));
    return card;
  }));
  const outcome = h("div", {class: "bt-outcome", hidden: true});
  const problem = h("p", {class: "bt-problem", role: "alert", hidden: true});
  const verdicts = RUN_NAMES.map(() => h("div", {class: "bt-verdict"}));
  const announced = h("div", {class: "bt-hidden", "aria-live": "polite"});

  // --- curves, maps, pictures --------------------------------------------------------------------------------------------------
  const curve = (name) => {
    const of = (r) => columnsOf(r.curves)[name === "knn" ? "knn_shape" : name];
    const others = runs.flatMap((r, i) => [...(i ? [{...of(r), colour: RUN_COLOURS[1]}] : []), ...(name === "knn" ? [{...columnsOf(r.curves).knn_hue, colour: RUN_COLOURS[i], dashed: true}] : [])]);
    const least = name === "loss" ? runs.flatMap((r) => r.curves.loss).filter(Number.isFinite).reduce((a, b) => Math.min(a, b), 0) : 0; // SimSiam's loss is below 0
    return {now: of(runs[0]), before: null, others, low: Math.max(least, -1e6), base: name === "knn" ? runs[0].curves.seen[0]?.shape : null, beforeEnd: 0,
            frame: {step: Math.max(1, ...runs.map((r) => r.frame?.step ?? 0)), epoch: 100, total: Infinity, changes: run().frame?.changes ?? []}};
  };
  const plots = Object.fromEntries([["loss", "loss", {low: 0}], ["std", "√d·std of z", {low: 0, high: 1.05}], ["rank", "rank of z", {low: 0, dots: true}], ["knn", "kNN: shape, and hue dashed", {low: 0, high: 1, dots: true}]]
    .map(([name, title, options]) => [name, btPlot(title, () => curve(name), {...options, empty: "press train"})]));
  const sphere = () => mapOf === "z";
  const colourOf = (begun, i) => colourBy === "shape" ? BT_COLOURS[begun.labels[i]] : about.circle[Math.floor(begun.hues[i] * about.circle.length)];
  const maps = RUN_NAMES.map((name, i) => {
    const map = btCanvas(270, "Map", (context, width, height, theme) => {
      const one = runs[i], xy = one?.curves.seen.at(-1)?.maps[mapOf];
      if (xy) drawMap(context, width, height, theme, {xy, begun: one.begun, colourOf, sphere: sphere(), chosen: i === selected ? chosen : null});
    });
    for (const type of ["pointermove", "pointerdown"]) map.element.addEventListener(type, (event) => {
      const xy = runs[i]?.curves.seen.at(-1)?.maps[mapOf], box = map.element.getBoundingClientRect();
      const at = xy ? pictureAt(event.clientX - box.left, event.clientY - box.top, xy, sphere(), box.width, box.height) : null;
      if (at !== null && (at !== chosen || i !== selected)) { selected = i; choose(at); }
    });
    return {...map, figure: h("figure", {}, h("figcaption", {}, name), map.element)};
  });
  const space = btChoice({label: "map of", help: "z, the projection on the sphere, which the loss uses; y, the representation, which kNN uses"}, mapOf, ["z", "y"], (v) => { mapOf = v; show(); });
  const colouring = btChoice({label: "colour by"}, colourBy, ["shape", "hue"], (v) => { colourBy = v; legend.hidden = v !== "shape"; show(); });
  const legend = h("div", {class: "bt-row bt-quiet bt-legend"}, ...about.classes.map((name, k) => h("span", {}, btKey(k), name)));
  const diagram = btCanvas(168, "Network", (context, width, height, theme) => drawNetwork(context, wideNetwork(width, height), theme, settingsOf(run())));
  const pairs = btCanvas(132, "Pairs of views", (context, width, height) => { if (run().begun && run().pairs.length) drawPairs(context, width, height, run().begun, run().pairs); });
  const near = btCanvas(240, "Neighbours", (context, width, height, theme) => { const seen = run().curves.seen.at(-1); if (seen && run().begun) drawNeighbours(context, width, height, theme, run().begun, seen.near); });
  const detail = btCanvas(84, "Picture", (context, width, height) => {
    const one = run(), {begun} = one;
    if (!begun || chosen === null) return;
    const each = begun.size ** 2 * 3, side = Math.min(height, (width - 24) / 3);
    drawPicture(context, begun, begun.bytes, chosen * each, 0, 0, side);
    [0, 1].forEach((k) => {
      const view = new Float32Array(each);
      one.maker.make(begun.bytes, chosen * each, drawView(settingsOf(one), begun.size, one.random), view, 0);
      drawPicture(context, begun, view, 0, (k + 1) * (side + 8), 0, side);
    });
  });
  const number = btSlider({label: "picture", low: 0, high: 767, step: 1, format: (i) => i === null ? "none" : String(i + 1)}, 0, (i) => choose(i));
  const detailWords = h("p", {class: "bt-quiet"}, "Point at a dot, or move the slider: the picture, and two views of it.");
  function choose(i) {
    chosen = i;
    if (number.get() !== i) number.set(i);
    if (run().begun) detailWords.textContent = `Picture ${i + 1}, ${about.classes[run().begun.labels[i]]}: as it is, and two views of it.`;
    detail.alt(detailWords.textContent);
    detail.redraw();
    for (const map of maps) map.redraw();
  }

  // --- controls -----------------------------------------------------------------------------------------------------------------
  const help = (name) => about.fields[name].help, set = (name) => (value) => change({[name]: value});
  const settle = (name) => (value) => { // without this, a link would contain each place of a moving slider
    const one = run();
    clearTimeout(one.waiting[name]);
    one.waiting[name] = setTimeout(() => change({[name]: value}, one), SETTLED);
  };
  const controls = {
    predictor: btChoice({label: "predictor", help: help("predictor")}, "mlp", [["mlp", "MLP"], ["linear", "linear"], ["identity", "none"]], set("predictor")),
    target: btChoice({label: "target", help: help("target")}, "ema", [["ema", "moving average"], ["online", "online network"], ["random", "fixed"]], set("target")),
    stop_gradient: btSwitch({label: "stop-gradient", help: help("stop_gradient")}, true, set("stop_gradient")),
    symmetric: btSwitch({label: "symmetric loss", help: help("symmetric")}, true, set("symmetric")),
    negatives: btSwitch({label: "negatives", help: help("negatives")}, true, set("negatives")),
    colours: btSwitch({label: "colour changes", help: "Jitter and grayscale in the views"}, true, (on) => change({jitter_p: on ? 1 : 0, grayscale_p: on ? 0.3 : 0})),
    tau_base: btSlider({label: "decay rate τ", scale: "tau", help: help("tau_base")}, 0.9, settle("tau_base")),
    lr: btSlider({label: "learning rate", scale: "log", low: 0.01, high: 10, help: help("lr")}, 0.8, settle("lr")),
    weight_decay: btSlider({label: "weight decay", scale: "log", low: 1e-6, high: 0.1, zero: true, help: help("weight_decay")}, 4e-4, settle("weight_decay")),
    crop_area: btSlider({label: "smallest crop, of the area", low: 0.05, high: 1, step: 0.05, help: help("crop_area")}, 0.5, settle("crop_area")),
    temperature: btSlider({label: "temperature α", scale: "log", low: 0.02, high: 2, help: help("temperature")}, 0.1, settle("temperature")),
    method: btChoice({label: "method", help: help("method")}, "byol", [["byol", "BYOL"], ["simsiam", "SimSiam"], ["simclr", "SimCLR"]], (v) => change({method: v, ...about.methods[v]})),
    pixels: btChoice({label: "pictures", help: help("pixels")}, "24", [["24", "24 px, small encoder"], ["32", "32 px, the course’s"]], (v) => change({pixels: Number(v), width: WIDTHS[v]})),
    batch_size: btChoice({label: "batch size", help: help("batch_size")}, "32", about.fields.batch_size.options.map(String), (v) => change({batch_size: Number(v)})),
  };
  const seed = h("input", {type: "number", id: btId(), min: 0, step: 1, style: "width:80px", onchange: () => { if (/^\d+$/.test(seed.value)) change({seed: Number(seed.value)}); else show(); }});
  const OF = {byol: ["target", "tau_base", "symmetric", "predictor", "stop_gradient"], simsiam: ["predictor", "stop_gradient"], simclr: ["negatives", "temperature"]};
  const OWN = [...new Set(Object.values(OF).flat())], LIVE = ["predictor", "stop_gradient", "target", "symmetric", "negatives", "colours", "tau_base", "temperature", "lr", "weight_decay", "crop_area"];
  const live = h("fieldset", {}, h("legend", {}, "While it trains"), h("div", {class: "bt-controls"}, ...LIVE.map((name) => controls[name].element)));
  const anew = h("fieldset", {}, h("legend", {}, "New run", h("span", {class: "bt-quiet"}, " each of these begins at step 0")), h("div", {class: "bt-controls"}, controls.method.element, controls.pixels.element, controls.batch_size.element, h("div", {class: "bt-control"}, h("label", {for: seed.id}, "seed"), seed)));
  function showControls() {
    const s = settingsOf(run());
    for (const [name, control] of Object.entries(controls)) {
      const value = name === "colours" ? s.jitter_p > 0 : about.fields[name].kind === "choice" ? String(s[name]) : s[name];
      if (control.get() !== value && document.activeElement !== control.input) control.set(value);
      else if (control.get() !== value && control.input.type !== "range") control.set(value);
      if (OWN.includes(name)) control.element.hidden = !OF[s.method].includes(name);
    }
    controls.tau_base.input.disabled = networkOf(s).one || s.target === "random";
    controls.target.input.disabled = !s.stop_gradient;
    if (document.activeElement !== seed) seed.value = s.seed;
  }

  // --- to keep ---------------------------------------------------------------------------------------------------------------------
  const copyLink = btButton("copy link", () => btCopy(copyLink, link()), {title: "The address of this experiment, with all changes"});
  const copyText = btButton("copy experiment", () => btCopy(copyText, writeExperiment(about, planNow(run()))), {title: "One line for bt.rebuild in Python"});
  const savePicture = btButton("save picture", () => pictureOf(root, [counter, ...verdicts.filter((v) => !v.hidden), ...root.querySelectorAll("figcaption")]).toBlob((blob) => btDownload("byol.png", blob)));
  const saveCurves = btButton("save curves", () => btDownload("byol.csv", new Blob([curvesAsCsv(Object.fromEntries(runs.map((r, i) => [RUN_NAMES[i], columnsOf(r.curves)])))], {type: "text/csv"})));
  const text = h("input", {type: "text", id: btId(), class: "bt-code", placeholder: "a link, or the line of an experiment"});
  const openText = btButton("open", () => {
    try {
      const given = text.value.trim(), hash = /[?#]playground(&.*)?$/.exec(given)?.[0].replace("?", "#");
      load(hash ? readFragment(about, hash) : [readExperiment(about, given)]);
      problem.hidden = touched = true;
    } catch (error) { problem.textContent = error.message; problem.hidden = false; }
  });
  const tour = btTour(TOURED, [playButton, maps[0].figure, plots.std.element, cards, live].map((at, i) => ({at, text: TOUR[i]})));
  const keep = h("fieldset", {}, h("legend", {}, "Keep and open"), h("div", {class: "bt-row"}, copyLink, copyText, savePicture, saveCurves, btButton("tour", () => tour.go(0))),
    h("div", {class: "bt-row bt-open"}, h("label", {for: text.id}, "experiment"), text, openText));
  const place = h("span", {}), rate = h("span", {});
  const honest = h("p", {class: "bt-quiet"}, "Everything here was computed in this page, ", place, ". It has its own random numbers, so a seed gives another run than in a notebook. kNN uses the 20 nearest of 767 other pictures; the course uses a bank of 4,096. SimSiam has BYOL’s projector and predictor here; the library’s recipe “simsiam” has its own: z of 256 numbers, a projector of three layers with a normalised output, and a narrow predictor. BatchNorm’s averages are set by eight batches before the first step. ", rate);
  const root = h("div", {class: "bt bt-playground", role: "region", "aria-label": "BYOL playground"},
    h("div", {class: "bt-row bt-spread"}, h("div", {class: "bt-row"}, playButton, step, again, newSeed), counter),
    h("div", {class: "bt-row bt-spread bt-quiet"}, h("span", {}, "Predict, then run:"), h("div", {class: "bt-row"}, beside.element, compare.element, choice)),
    cards, tour.element, prediction.element, outcome, ...verdicts, announced, problem,
    h("div", {class: "bt-views"},
      h("div", {class: "bt-plots"}, ...Object.values(plots).map((p) => p.element)),
      h("div", {class: "bt-maps"}, h("div", {class: "bt-row"}, space.element, colouring.element), h("div", {class: "bt-pair"}, ...maps.map((m) => m.figure)), legend)),
    h("figure", {}, h("figcaption", {}, "The network of this run"), diagram.element), live,
    h("div", {class: "bt-pictures"},
      h("figure", {}, h("figcaption", {}, "Pairs of views, as the network gets them"), pairs.element, h("figcaption", {class: "bt-second"}, "One picture"), detail.element, number.element, detailWords),
      h("figure", {}, h("figcaption", {}, "Six pictures and their nearest by y; framed: another shape"), near.element)),
    anew, keep, honest);
  el.append(root);

  // --- showing ---------------------------------------------------------------------------------------------------------------------
  let drawnAt = 0, timer = 0, kinds = "";
  function schedule() {
    if (timer || closed) return;
    timer = setTimeout(() => { timer = 0; show(); for (const one of runs) if (one.begun) one.host.post({do: "drawn"}); }, Math.max(0, drawnAt + (still.matches ? PERIOD.still : PERIOD.moving) - performance.now()));
  }
  function show() {
    if (closed || !runs.length) return;
    drawnAt = performance.now();
    if (!playing || drawnAt - remembered > 1000) remember();
    const two = runs.length === 2, all = runs.map((one) => verdictOf(about, one)), s = settingsOf(run());
    choice.hidden = maps[1].figure.hidden = !two;
    root.toggleAttribute("data-two", two);
    [...choice.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === selected)));
    verdicts.forEach((element, i) => {
      element.hidden = !runs[i];
      if (!runs[i]) return;
      element.dataset.kind = all[i].kind;
      element.textContent = (two ? `${RUN_NAMES[i]}: ` : "") + (runs[i].begun ? all[i].text : "drawing the first pictures …");
    });
    const now = all.map((v) => v.kind).join();
    if (now !== kinds) announced.textContent = kinds = now; // the numbers change too often to be read aloud
    const speed = runs.map((r) => r.frame?.perSecond ?? 0).filter(Boolean).map((v) => v.toFixed(0)).join(" and ");
    counter.textContent = `step ${runs.map((r) => r.frame?.step ?? 0).join(" and ")}${speed ? ` · ${speed} steps a second` : ""} · ${run().frame?.failed ? "diverged" : !playing ? "paused" : inView && !document.hidden ? "training" : "waiting until it is visible"}`;
    rate.textContent = s.epochs >= about.settings.epochs ? "The learning rate stays nearly constant after its warm-up, so you can let a run go on for as long as you like." : `The learning rate falls to 0 within this run of ${s.epochs} × ${run().begun?.perEpoch ?? "…"} steps.`;
    place.textContent = run().host?.place ?? "once it is visible";
    const last = (r, name) => name === "loss" || name === "std" ? r.curves[name].at(-1) : r.curves.seen.at(-1)?.[name === "knn" ? "shape" : name];
    for (const [name, plot] of Object.entries(plots)) plot.redraw(runs.map((r, i) => `${two ? `${RUN_NAMES[i]} ` : ""}${last(r, name) === undefined ? "nothing yet" : btNumber(last(r, name), 2)}`).join(", "));
    maps.forEach((map, i) => {
      if (!runs[i]) return;
      map.figure.querySelector("figcaption").textContent = two ? `${RUN_NAMES[i]}${i === selected ? ", chosen" : ""}` : `${mapOf} of 768 new pictures`;
      map.alt(`Map of ${mapOf} in two principal components, coloured by ${colourBy}; ${all[i].text}`);
      map.redraw();
    });
    diagram.alt(`Network: ${networkOf(s).words}`);
    diagram.redraw();
    pairs.alt(run().pairs.length ? "Pairs of views of four pictures of the last batch" : "Pairs of views: none before the first step");
    pairs.redraw();
    const seen = run().curves.seen.at(-1), {labels} = run().begun ?? {};
    near.alt(seen && labels ? `Neighbours of six pictures: ${seen.near.flatMap((row, i) => row.filter((j) => labels[j] === labels[i])).length} of ${seen.near.flat().length} have the same shape` : "Neighbours: nothing yet");
    near.redraw();
    const predicted = runs.find((r) => r.prediction);
    outcome.hidden = !predicted;
    if (predicted) outcome.replaceChildren(...outcomeRows(about, predicted.prediction, predicted));
    showControls();
  }

  // --- visibility, and the address ----------------------------------------------------------------------------------------------------
  const follow = (address) => {
    if (!model.recorded || !first || !address) return;
    try { load(readFragment(about, address)); problem.hidden = true; } catch (error) { problem.textContent = error.message; problem.hidden = false; return; }
    root.scrollIntoView({block: "start"});
  };
  // A query is not read here, because it stays the same while a reader goes from heading to heading.
  const fromHash = () => follow(isFragment(location.hash) ? location.hash : null);
  const visible = () => sync();
  document.addEventListener("visibilitychange", visible);
  addEventListener("hashchange", fromHash);
  const watcher = new IntersectionObserver(([entry]) => {
    inView = entry.isIntersecting;
    if (inView && !opened) { opened = true; runs.forEach(open); if (model.recorded && first && !btToured(TOURED) && !addressed()) tour.go(0); }
    sync();
  });
  load(model.get("plans").map((plan) => ({...plan})));
  follow(addressed());
  watcher.observe(root);
  return () => {
    closed = true;
    watcher.disconnect();
    document.removeEventListener("visibilitychange", visible);
    removeEventListener("hashchange", fromHash);
    if (globalThis.btPlaying === pause) globalThis.btPlaying = null;
    clearTimeout(timer);
    for (const one of runs) { one.ended = true; one.host?.end(); }
    for (const part of [...maps, diagram, pairs, near, detail, ...Object.values(plots)]) part.close();
  };
}

export default {render};
