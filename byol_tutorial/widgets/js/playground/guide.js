// This file guides the reader: the six experiments, the prediction before one, the verdict in words, and the tour of the first visit.

const EXPERIMENTS = { // name: [the settings that differ from BYOL's, the experiment in words]
  "BYOL": [{}, "predictor, stop-gradient and moving average"],
  "no predictor": [{predictor: "identity"}, "the online network must equal the target"],
  "no stop-gradient": [{stop_gradient: false}, "both branches learn to agree"],
  "a target that never moves": [{target: "random"}, "predict a random network"],
  "no EMA": [{target: "online"}, "the target is the online network itself"],
  "no colours": [{jitter_p: 0, grayscale_p: 0}, "views keep the picture’s colours"],
};
const RUN_FOR = 600; // steps of an experiment
const SHORTCUT = {hue: 0.9, shape: 0.25}; // a higher kNN accuracy of hue and a lower one of shape show a shortcut

const meanOfLast = (y, n) => { const last = y.slice(-n); return last.reduce((a, b) => a + b, 0) / last.length; };

/** Return {kind, text}: the verdict of evaluate/diagnose.py on a run, and what its neighbours show. */
function verdictOf(about, run) {
  const {thresholds: t, verdicts} = about, {std, seen} = run.curves, last = seen.at(-1);
  if (run.frame?.failed) return {kind: "not finite", text: `not finite: ${verdicts["not finite"]} (at step ${run.frame.step})`};
  if (!std.length || !last) return {kind: "", text: "not trained yet: the map and the neighbours are those of random weights"};
  const spread = meanOfLast(std, t.recent);
  const kind = spread < t.collapsed ? "collapse" : spread < t.partial || last.rank < t.one_direction ? "partial collapse" : "healthy";
  const found = last.hue >= SHORTCUT.hue && last.shape <= SHORTCUT.shape ? "It has learned the hue, not the shape: a shortcut. " : "";
  const percent = (x) => `${Math.round(100 * x)} %`;
  return {kind, text: `${kind}: ${verdicts[kind]} (√d·std ${spread.toFixed(kind === "collapse" ? 3 : 2)}, rank ${last.rank.toFixed(1)}). ${found}Neighbours tell the shape of ${percent(last.shape)} of the pictures (untrained ${percent(seen[0].shape)}) and the hue of ${percent(last.hue)}.`};
}

/** Return the answers that are right for the run so far, as predictions.py does. */
function outcomesOf({asked: {late, margin, questions, spread: answers}, thresholds: t}, {loss, std, seen}) {
  const right = {}, mean = (y) => y.reduce((a, b) => a + b, 0) / y.length;
  if (loss.length >= 2 * late) {
    const first = mean(loss.slice(0, late)), last = meanOfLast(loss, late), spread = meanOfLast(std, late);
    right.loss = last < 0.1 ? 0 : last < 0.9 * first ? 1 : 2;
    right.spread = answers[spread < t.collapsed ? "collapse" : spread < t.partial ? "partial collapse" : "healthy"];
  }
  if (seen.length > 1) {
    const gain = seen.at(-1).shape - seen[0].shape;
    right.knn = gain > margin ? 0 : gain > -margin ? 1 : 2;
  }
  return Object.fromEntries(Object.entries(right).map(([name, index]) => [name, questions[name][1][index]]));
}

/** Make the form for a prediction. ask(name, from, run) opens it; run(prediction) is called when it is sent. The focus returns to `from`. */
function makePrediction(about) {
  const element = h("form", {class: "bt-form", hidden: true, "aria-label": "Your prediction"});
  let from = null;
  const close = () => { element.hidden = true; element.replaceChildren(); from.focus({preventScroll: true}); };
  return {element, ask(name, asker, run) {
    from = asker;
    const fields = Object.entries(about.asked.questions).map(([key, [text, answers]]) => [key, btChoice({label: `${text} …`}, "", ["", ...answers], () => {})]);
    element.onsubmit = (event) => {
      event.preventDefault();
      const prediction = Object.fromEntries(fields.map(([key, field]) => [key, field.get()]).filter((f) => f[1]));
      close();
      run(prediction);
    };
    element.replaceChildren(h("strong", {}, `${name}: what will happen?`), ...fields.map(([, field]) => field.element),
      h("div", {class: "bt-row"}, h("button", {type: "submit", class: "bt-main"}, "run it"), btButton("run without predicting", () => { close(); run(null); }), btButton("cancel", close)));
    element.hidden = false;
    fields[0][1].input.focus({preventScroll: true});
  }};
}

/** Return what was predicted beside what has happened so far, as elements. */
function outcomeRows(about, prediction, run) {
  const seen = outcomesOf(about, run.curves);
  return Object.entries(prediction).map(([name, guess]) => {
    const mark = !seen[name] ? "…" : seen[name] === guess ? "✓" : "✗";
    return h("div", {}, h("strong", {}, `${about.asked.questions[name][0]}: `), `you said “${guess}”; so far it ${seen[name] ?? "is undecided"} `, h("span", {class: "bt-mark"}, mark));
  });
}

// --- the tour -------------------------------------------------------------------------------------------------------------

const TOURED = "byol-playground-tour";
const TOUR = [ // the text about each part
  "Press “train”. A network with random weights begins to learn from pictures without labels, here in this page.",
  "Each dot is a picture, placed by the network’s answer to it. Watch equal shapes come together. Point at a dot to see its picture.",
  "The loss alone does not tell whether it learns: it is smallest when all answers are the same. √d·std tells whether the answers differ, kNN whether they tell shapes apart.",
  "Now break it. Five of these six remove one part of BYOL each. Predict what happens, then run it.",
  "Everything can be changed while it trains. The address of the page holds the whole experiment: send it to others.",
];
