// This file leads a tour of a panel, one part after the other. The tour opens by itself once in a browser, and the reader can leave
// it at any time.

/** Return whether a tour was taken or declined in this browser. Where a page may store nothing, return true. */
function btToured(key) {
  try { return localStorage.getItem(key) !== null; } catch { return true; }
}

/**
 * Make a tour. stops: [{at: the element that the stop is about, text}, ...]. arrived(stop, card) is called at each stop, and at the
 * end with undefined as its stop. Returns {element, go(number of a stop)}; go(0) opens the tour.
 */
function btTour(key, stops, arrived) {
  let now = -1;
  const words = h("span", {}), element = h("div", {class: "bt-tour", role: "note", "aria-label": "Tour", hidden: true});
  const go = (stop) => {
    now = stop;
    for (const {at} of stops) at.classList.toggle("bt-toured", at === stops[now]?.at);
    element.hidden = !stops[now];
    words.textContent = `${now + 1} of ${stops.length}: ${stops[now]?.text}`;
    next.textContent = now + 1 < stops.length ? "next" : "done";
    if (element.hidden) try { localStorage.setItem(key, "seen"); } catch { /* the next visit offers the tour again */ }
    arrived?.(stops[now], element);
  };
  const next = btButton("next", () => go(now + 1), {class: "bt-main"});
  element.append(words, h("span", {class: "bt-row"}, next, btButton("skip the tour", () => go(stops.length))));
  return {element, go};
}
