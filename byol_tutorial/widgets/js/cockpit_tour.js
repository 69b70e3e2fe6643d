// This file makes the cockpit's tour of one minute: a run trains slowly, the reader predicts, and a branch of the run collapses. The
// tour highlights a part by darkening the others. Nothing is blocked: every control works as always. The reader's runs are kept: the
// cockpit keeps one run beside another, so the tour makes no branch of a run that already has one.

const COCKPIT_TOUR = "byol-cockpit-tour"; // the name under which the browser stores that the tour was taken
const SLOW = "20", SLOWER = "5"; // steps a second: while it learns, and while it collapses, in about 30 steps
const STAGED = "no predictor"; // the branch that collapses; methods without a branch of this name have a shorter tour
const GONE_BELOW = 0.3; // below this spread the collapse is visible
const GUESSES = {"rises": "it must do without its predictor", "stays": "a small part is missing", "falls": "the task becomes easier"};
const BEGIN = "Here a network learns from pictures without labels. Press “next”: it trains, slowly, so that you can follow. You can leave at any time, and nothing can break.";
const ENDED = "Here a network has learned from pictures without labels, and this run has ended: the tour shows what came of it. You can leave at any time, and the run is kept.";
const FAILED = "Here a network learns from pictures without labels. This run has failed, so the tour shows its parts. You can leave at any time, and the run is kept.";
const ASKS = "Now a branch of this run loses its predictor; the run itself is kept. Guess first: what will the loss do?";
const TAKEN = "Without its predictor the network collapses. The tour shows this in a branch, but this run has one already, and a new one would replace the run that is kept beside it. So this is left out.";

/**
 * Make the tour. places: the elements {play, map, std, predictor, views, branch}. speed: the control of steps a second. Returns
 * {element, invitation, open(), frame(f, arrays), switched(connected), close()}.
 */
function btCockpitTour({root, model, send, places, speed, branches}) {
  let guess = null, before = null; // the reader's guess; loss and spread when the branch began
  let was = null, slow = null; // the speed before the tour, and the tour's own
  let present = null; // the stop where the reader is
  const more = h("div", {}), said = h("p", {class: "bt-tour-said", "aria-live": "polite"});
  const limit = (value) => { was ??= speed.get(); slow = value; speed.set(value); send({do: "slow", value: Number(value)}); };
  const branched = () => !before && model.get("frame").branched_at !== null; // the reader has made a branch
  const train = () => {
    limit(SLOW);
    if (["idle", "paused"].includes(model.get("frame").state)) send({do: "play"});
  };
  const last = (arrays) => ({loss: arrays.loss?.at(-1), std: arrays.std?.at(-1)});
  const collapse = () => {
    const f = model.get("frame");
    before = last(btRows(f.curves));
    said.textContent = "";
    limit(SLOWER);
    send({do: "fork", step: Math.min(f.step, 2 * f.epoch), change: STAGED});
  };
  const answers = h("div", {class: "bt-row", role: "group", "aria-label": "Your guess"}, ...Object.entries(GUESSES).map(([word, why]) =>
    btButton(`${word}: ${why}`, () => { guess = word; tour.go(stops.length - 2); })));
  const stops = [
    {at: places.play, get text() { return {done: ENDED, failed: FAILED}[model.get("frame").state] ?? BEGIN; }},
    {at: places.map, begin: train, text: "Each dot is a picture, placed by the network’s answer to it. Watch: pictures of one class, with one colour and mark, come together, although the network never gets the classes."},
    {at: places.std, text: "The loss falls. But it would be smallest if every picture got the same answer. So look at the spread as well: 1 means answers all over the sphere, 0 means one answer for all."},
    ...branches.includes(STAGED) ? [
      {at: places.predictor, body: () => branched() ? [] : [answers], get text() { return branched() ? TAKEN : ASKS; }},
      {at: places.views, begin: collapse, body: () => [said], text: "The predictor is gone. Watch loss, spread and map; dashed is the run that still has it."},
    ] : [],
    {at: places.branch, text: "Any step can be branched from, with one change, and “swap runs” goes back to the run that was kept. Rest on a part to read what it means. “Share and keep”, below, has this tour too."},
  ];
  const spot = h("div", {class: "bt-spot"}), light = h("div", {class: "bt-light", hidden: true}, spot);

  /** Highlight the part of the present stop, and put the card beside it where there is room. */
  const place = () => {
    if (!present) return;
    const all = root.getBoundingClientRect(), at = present.at.getBoundingClientRect(), card = tour.element, own = card.getBoundingClientRect();
    Object.assign(spot.style, {left: `${at.left - all.left - 5}px`, top: `${at.top - all.top - 5}px`, width: `${at.width + 10}px`, height: `${at.height + 10}px`});
    const above = at.top - all.top - own.height - 12, below = at.bottom - all.top + 12;
    const top = above >= 0 ? above : below + own.height <= all.height ? below : Math.max(0, all.height - own.height - 8);
    card.style.top = `${top}px`;
    card.style.left = `${Math.max(8, Math.min(at.left - all.left, all.width - own.width - 8))}px`;
  };
  const arrive = (stop, card) => {
    if (stop?.begin === collapse && branched()) { tour.go(stops.length - 1); return; }
    present = stop;
    light.hidden = !stop;
    more.replaceChildren(...stop?.body?.() ?? []);
    if (!stop) { ended(); return; }
    card.firstChild.after(more);
    stop.begin?.();
    place();
    card.scrollIntoView({block: "nearest"});
    card.querySelector(".bt-main").focus({preventScroll: true});
  };
  const ended = () => {
    invitation.hidden = true;
    if (was === null) return; // the tour did not train
    send({do: "slow", value: null});
    if (speed.get() === slow) speed.set(was);
    send({do: "pause"}); // even if no frame of the running run has arrived yet
    was = null;
  };
  const tour = btTour(COCKPIT_TOUR, stops, arrive);
  const open = () => { guess = before = null; invitation.hidden = true; tour.go(0); };
  const invitation = h("span", {class: "bt-row bt-invitation", hidden: true}, "New here?", btButton("take the tour, one minute", open, {class: "bt-main"}),
    btButton("no, thanks", () => tour.go(stops.length)));
  tour.element.addEventListener("keydown", (event) => { if (event.key === "Escape") tour.go(stops.length); });
  const resized = new ResizeObserver(place);
  resized.observe(root);

  return {
    element: h("div", {class: "bt-touring"}, light, tour.element), invitation, open,
    switched(connected) { if (connected && !btToured(COCKPIT_TOUR)) invitation.hidden = false; else if (!connected) invitation.hidden = true; },
    /** Write what the branch does while the reader watches it. */
    frame(f, arrays) {
      if (!before || f.branched_at === null || !tour.element.contains(said)) return;
      const now = last(arrays), made = f.step - f.branched_at;
      if (made < 1 || now.loss === undefined) return;
      const words = `After ${made} steps: loss ${btNumber(now.loss, 2)}, was ${btNumber(before.loss, 2)}; spread ${btNumber(now.std, 2)}, was ${btNumber(before.std, 2)}.`;
      const answer = guess === null ? "" : guess === "falls" ? "You said that the loss falls, and it did. " : `You said that the loss ${guess}. It falls: `;
      said.textContent = now.std >= GONE_BELOW ? words : `${words} ${answer}${guess === "falls" || guess === null ? "One" : "one"} answer for all pictures is easy to predict, and worth nothing. This is collapse.`;
    },
    close() { resized.disconnect(); },
  };
}
