// The cockpit in the browser. Python (cockpit/cockpit.py) sends `setup` once and `frame` up to twice a second;
// the controls send messages. All drawing is done here.

const PRESET_HELP = "Begins a new run with the first settings and this one change";

function render({model, el}) {
  const setup = model.get("setup");
  const send = (message) => model.send(message);
  const root = h("div", {class: "bt bt-cockpit", role: "region", "aria-label": "BYOL cockpit"});

  // --- the run -------------------------------------------------------------------------------
  const play = btButton("▶ play", () => send({do: model.get("frame").state === "running" ? "pause" : "play"}),
                        {class: "bt-main", style: "min-width:90px"});
  const step = btButton("step", () => send({do: "step"}), {title: "One step, then pause"});
  const reset = btButton("reset", () => send({do: "reset"}), {title: "Back to step 0, with the settings as they are now"});
  const undo = btButton("undo", () => send({do: "undo"}), {title: "Take the last change back"});
  const speed = btChoice({label: "speed", help: "Steps a second at most"}, "", [["", "full"], ["20", "20 / s"], ["5", "5 / s"], ["1", "1 / s"]],
                         (v) => send({do: "speed", value: v === "" ? null : Number(v)}));
  const seed = h("input", {type: "number", id: btId(), min: 0, step: 1, style: "width:76px", value: model.get("frame").values.seed,
                           title: "Another seed begins a new run", onchange: () => newSeed(),
                           onkeydown: (event) => { if (event.key === "Enter") newSeed(); }}); // JupyterLab handles Enter itself, so no change event follows
  let lastSeed = seed.value;
  const newSeed = () => {
    if (seed.value === "" || seed.value === lastSeed) return;
    lastSeed = seed.value;
    send({do: "change", name: "seed", value: Number(seed.value)});
  };
  const seedBox = h("div", {class: "bt-control"}, h("label", {for: seed.id}, "seed"), seed);
  const state = h("span", {class: "bt-badge bt-state"});
  const counter = h("span", {class: "bt-counter bt-quiet"});
  const notice = h("span", {class: "bt-badge", "data-kind": "warn", hidden: true});

  // --- presets, and the learner's prediction ---------------------------------------------------
  const ask = btSwitch({label: "ask me first", help: "Before a preset runs, write down what you expect"}, false, () => closeForm());
  const form = h("form", {class: "bt-form", hidden: true, "aria-label": "Your prediction"});
  const closeForm = () => { form.hidden = true; form.replaceChildren(); };
  const openForm = (name) => {
    const fields = Object.entries(setup.questions).map(([key, q]) =>
      [key, btChoice({label: `${q.text} …`}, q.answers[0], q.answers, () => {})]);
    const run = h("button", {type: "submit", class: "bt-main"}, `run “${name}”`);
    form.onsubmit = (event) => {
      event.preventDefault();
      send({do: "preset", name, prediction: Object.fromEntries(fields.map(([key, f]) => [key, f.get()]))});
      closeForm();
    };
    form.replaceChildren(h("strong", {}, `${name}: what will happen?`), ...fields.map(([, f]) => f.element),
                         h("div", {class: "bt-row"}, run, btButton("never mind", closeForm)));
    form.hidden = false;
    fields[0][1].input.focus();
  };
  const presets = setup.presets.map((name) => btButton(name, () => {
    if (ask.get()) openForm(name);
    else { closeForm(); send({do: "preset", name}); }
  }, {title: PRESET_HELP}));
  const outcome = h("div", {class: "bt-outcome", hidden: true});

  // --- pictures and texts -------------------------------------------------------------------------
  const verdict = h("div", {class: "bt-verdict", role: "status"});
  const announced = h("div", {class: "bt-hidden", "aria-live": "polite"});
  const problem = h("div", {class: "bt-problem", role: "alert"});
  const log = h("ol", {class: "bt-log", "aria-label": "Changes made to this run"});
  const plots = {
    loss: btPlot("loss", () => series("loss"), {low: setup.loss_low}),
    std: btPlot("spread √d·std of z", () => series("std"), {low: 0, high: 1.05}),
    rank: btPlot("rank of z", () => series("ranks"), {low: 0, dots: true}),
    knn: btPlot("kNN accuracy", () => series("knn"), {low: 0, high: 1, dots: true}),
  };
  const hidden = new Set();
  let colourBy = "class", mapOf = "z";
  const map = btCanvas(300, "Map of the embedding", drawMap);
  const mapKind = btChoice({label: "map of", help: "Two principal components"}, mapOf,
                           [["z", "projections z/‖z‖"], ["y", "representations y"]], (v) => { mapOf = v; map.redraw(); });
  const factorNames = Object.keys(setup.factors);
  const colouring = btChoice({label: "colour by"}, colourBy, [["class", setup.classes.length ? "class" : "nothing"], ...factorNames],
                             (v) => { colourBy = v; legend.hidden = v !== "class"; map.redraw(); });
  const labels = btArray(setup.labels, Uint8Array);
  const factors = Object.fromEntries(factorNames.map((name) => [name, btArray(setup.factors[name], Float32Array)]));
  const legend = h("div", {class: "bt-legend"}, ...setup.classes.map((name, k) => {
    const button = btButton("", () => {
      hidden.has(k) ? hidden.delete(k) : hidden.add(k);
      button.setAttribute("aria-pressed", String(!hidden.has(k)));
      map.redraw();
    }, {"aria-pressed": "true", "aria-label": name, class: "bt-key"});
    button.append(btKey(k), name);
    return button;
  }));

  // --- controls ----------------------------------------------------------------------------------
  const controls = {};
  const touched = {}; // when each control was last moved: frames do not move it back before the run has the new value
  const groups = new Map();
  for (const spec of setup.controls) {
    const change = (value) => {
      touched[spec.name] = performance.now();
      send({do: "change", name: spec.name, value});
    };
    const control = spec.kind === "switch" ? btSwitch(spec, spec.value, change)
      : spec.kind === "choice" ? btChoice(spec, String(spec.value), spec.options.map(String),
          (v) => change(typeof spec.options[0] === "number" ? Number(v) : v))
      : btSlider(spec, spec.value, change);
    controls[spec.name] = {...control, spec};
    if (!groups.has(spec.group)) groups.set(spec.group, []);
    groups.get(spec.group).push(control.element);
  }
  const NOTES = {"New run": "each of these begins a new run, at step 0"};
  const fieldsets = [...groups].map(([name, elements]) =>
    h("fieldset", {}, h("legend", {}, name, NOTES[name] ? h("span", {class: "bt-quiet bt-note"}, ` ${NOTES[name]}`) : null),
      h("div", {class: "bt-controls"}, ...elements)));

  // --- the experiment as a line of code ------------------------------------------------------------
  const code = h("input", {type: "text", readonly: true, id: btId(), class: "bt-code", onfocus: () => code.select()});
  const copy = btButton("copy experiment", () => btCopy(copy, model.get("frame").code),
                        {title: "One line of Python that makes this run again: config, changes, seed, steps"});

  root.append(
    h("div", {class: "bt-row bt-spread"},
      h("div", {class: "bt-row"}, play, step, reset, undo, speed.element, seedBox),
      h("div", {class: "bt-row"}, state, counter, notice)),
    h("div", {class: "bt-row bt-presets", role: "group", "aria-label": "Presets"}, h("span", {class: "bt-quiet"}, "run:"), ...presets, ask.element),
    form, verdict, announced, outcome, problem,
    h("div", {class: "bt-views"},
      h("div", {class: "bt-plots"}, ...Object.values(plots).map((p) => p.element)),
      h("div", {class: "bt-map"}, h("div", {class: "bt-row"}, mapKind.element, setup.classes.length || factorNames.length ? colouring.element : null),
        map.element, legend)),
    ...fieldsets,
    h("fieldset", {}, h("legend", {}, "This run"), log,
      h("div", {class: "bt-row bt-codeline"}, copy, h("label", {for: code.id, class: "bt-hidden"}, "Experiment as code"), code)));
  el.append(root);

  // --- frames --------------------------------------------------------------------------------------
  let announcedKind = "", arrays = {}, earlier = null, drawn = {};
  const series = (name) => ({
    now: name === "ranks" || name === "knn" ? pairs(model.get("frame")[name]) : {x: arrays.steps, y: arrays[name]},
    before: !earlier ? null : name === "ranks" || name === "knn" ? pairs(earlier[name]) : {x: earlier.steps, y: earlier[name]},
    frame: model.get("frame"),
    base: name === "knn" ? model.get("frame").start_knn : null,
    beforeEnd: earlier?.end ?? 0,
  });

  const onFrame = () => {
    const f = model.get("frame");
    arrays = btRows(f.curves);
    play.textContent = f.state === "running" ? "❚❚ pause" : "▶ play";
    play.disabled = f.state === "done" || f.state === "failed";
    step.disabled = play.disabled || f.state === "running";
    undo.disabled = f.changes.length === 0;
    state.textContent = f.state;
    state.dataset.state = f.state;
    state.dataset.kind = f.state === "failed" ? "warn" : "";
    counter.textContent = `step ${f.step} of ${f.total} · epoch ${(f.step / f.epoch).toFixed(1)} · ${f.name}`;
    const kind = f.verdict.split(":")[0];
    verdict.dataset.kind = kind;
    verdict.textContent = f.note ? `${f.verdict} — ${f.note}` : f.verdict;
    if (kind !== announcedKind) announced.textContent = announcedKind = kind; // the numbers change too often to be read aloud
    for (const [name, value] of Object.entries(f.values)) {
      if (performance.now() - (touched[name] ?? -1e9) < 700) continue;
      if (name === "seed") { if (document.activeElement !== seed) seed.value = lastSeed = String(value); continue; }
      const control = controls[name];
      if (control.spec.kind === "choice") control.set(String(value));
      else if (control.get() !== value) control.set(value);
    }
    code.value = f.code;
    const changes = f.resets + JSON.stringify(f.changes);
    if (changes !== drawn.changes) {
      log.replaceChildren(...f.changes.slice(-8).map(([at, words]) => h("li", {}, `step ${at}: ${words}`)));
      if (!f.changes.length) log.append(h("li", {class: "bt-quiet"}, "no changes since step 0"));
    }
    outcome.hidden = !f.outcome;
    if (f.outcome) outcome.replaceChildren(...outcomeRows(f.outcome));
    // Drawing takes time from the training, so only what has changed is drawn again.
    const views = [changes, f.ranks.length, f.knn.length, Math.ceil(f.step / f.epoch), f.state].join();
    for (const [name, plot] of Object.entries(plots))
      if (name === "loss" || name === "std" || views !== drawn.views) plot.redraw(plotWords(name, f));
    const seen = [f.resets, f.map_step, f.state].join();
    const moved = seen !== drawn.map;
    drawn = {changes, views, map: seen};
    if (!moved) return;
    const at = f.map_step === null ? "nothing measured yet" : `at step ${f.map_step}`;
    map.alt(`Map of the embedding, ${at}; ${f.verdict}`);
    map.redraw();
  };
  const onBefore = () => {
    const b = model.get("before");
    earlier = b ? {...btRows(b.curves), knn: b.knn, ranks: b.ranks, name: b.name, end: b.step} : null;
    for (const plot of Object.values(plots)) plot.redraw();
  };
  const plotWords = (name, f) => {
    const last = {loss: arrays.loss?.at(-1), std: arrays.std?.at(-1), rank: f.ranks.at(-1)?.[1], knn: f.knn.at(-1)?.[1]}[name];
    const beside = name === "knn" && setup.floor ? ` (${setup.floor})` : "";
    return (last === undefined ? "nothing yet" : `now ${btNumber(last)}`) + beside;
  };
  const onProblem = () => { problem.textContent = model.get("problem"); };

  function outcomeRows(rows) {
    return Object.values(rows).map(({text, guess, seen}) => {
      const mark = !seen ? "…" : seen === guess ? "✓" : "✗";
      return h("div", {}, h("strong", {}, `${text}: `), `you said “${guess}”; so far it ${seen ?? "is undecided"} `,
               h("span", {class: "bt-mark", "data-mark": mark}, mark));
    });
  }

  function drawMap(context, width, height, theme) {
    const f = model.get("frame");
    const points = btArray(f.maps[mapOf], Int16Array);
    const side = Math.min(width, height) - 16, x0 = width / 2, y0 = height / 2;
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    if (mapOf === "z") {
      context.beginPath();
      context.arc(x0, y0, side / 2, 0, 2 * Math.PI);
      context.stroke();
    }
    context.fillStyle = theme.quiet;
    context.font = theme.font;
    if (!points.length) {
      context.textAlign = "center";
      context.fillText(f.map_step === null ? "the map appears when the run begins" : "nothing finite to show", x0, y0);
      return;
    }
    const factor = factors[colourBy];
    for (let i = 0; i < points.length / 2; i++) {
      const k = labels[i];
      if (colourBy === "class" && hidden.has(k)) continue;
      context.fillStyle = factor ? setup.circle[Math.floor(factor[i] * setup.circle.length) % setup.circle.length] : setup.classes.length ? BT_COLOURS[k % 10] : BT_COLOURS[0];
      context.globalAlpha = 0.85;
      btMark(context, factor || !setup.classes.length ? 0 : k, x0 + points[2 * i] / 32000 * side / 2, y0 - points[2 * i + 1] / 32000 * side / 2, 3);
    }
    context.globalAlpha = 1;
    context.fillStyle = theme.quiet;
    context.textAlign = "left";
    context.fillText(mapOf === "z" ? "circle: the unit sphere’s size" : "scaled to fill", 4, height - 6);
  }

  model.on("change:frame", onFrame);
  model.on("change:before", onBefore);
  model.on("change:problem", onProblem);
  const kernelControls = () => [...root.querySelectorAll("button, input, select")]
    .filter((control) => !control.closest(".bt-map") && control !== copy && control !== code);
  const connection = btConnection(model, (now) => {
    notice.hidden = now;
    notice.textContent = model.recorded ? "a recorded picture: run the notebook for live controls"
      : "not live: no kernel answers; run the cell again";
    for (const control of kernelControls()) control.toggleAttribute("data-off", !now);
  });
  model.on("change:frame", connection.received);
  onBefore();
  onFrame();
  onProblem();
  if (model.recorded) for (const control of kernelControls()) control.disabled = true;
  return () => {
    connection.close();
    for (const [event, handler] of [["frame", onFrame], ["frame", connection.received], ["before", onBefore], ["problem", onProblem]])
      model.off(`change:${event}`, handler);
    map.close();
    for (const plot of Object.values(plots)) plot.close();
  };
}

/** Return the float32 rows steps, loss and std of a frame. */
function btRows(view) {
  const all = btArray(view, Float32Array), n = all.length / 3;
  return {steps: all.subarray(0, n), loss: all.subarray(n, 2 * n), std: all.subarray(2 * n)};
}

export default {render};
