// Elements that scroll sideways can be reached by keyboard.
function reachable() {
  for (const e of document.querySelectorAll("article table, article pre, mjx-container[display]")) {
    if (e.scrollWidth > e.clientWidth + 1) e.tabIndex = 0;
    else e.removeAttribute("tabindex");
  }
}
addEventListener("load", reachable);
addEventListener("resize", reachable);

// A term's definition is shown while the pointer is on the term or on the definition, or the term has the focus; Escape
// hides it.
function define(link) {
  const text = document.getElementById(`about-${decodeURIComponent(link.hash.slice(1))}`);
  if (!text) return;
  link.setAttribute("aria-describedby", text.id);
  let leaving;
  function place() {
    const term = link.getClientRects()[0], box = text.getBoundingClientRect(); // the first line of a broken term
    text.style.left = `${Math.max(8, Math.min(term.left, document.documentElement.clientWidth - box.width - 8))}px`;
    text.style.top = `${term.bottom + box.height + 4 < innerHeight ? term.bottom + 4 : Math.max(4, term.top - box.height - 4)}px`;
  }
  function show() {
    clearTimeout(leaving);
    for (const other of document.querySelectorAll(".bt-term")) other.hidden = other !== text;
    place();
  }
  const hide = () => { clearTimeout(leaving); text.hidden = true; };
  const leave = () => { leaving = setTimeout(hide, 200); }; // time to move the pointer from the term to the definition
  link.addEventListener("mouseenter", show);
  link.addEventListener("focus", show);
  link.addEventListener("blur", hide);
  for (const e of [link, text]) e.addEventListener("mouseleave", leave);
  text.addEventListener("mouseenter", () => clearTimeout(leaving));
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", () => { if (!text.hidden) place(); }, {passive: true}); // also after focus
}
addEventListener("DOMContentLoaded", () => document.querySelectorAll("article a[href*='glossary.html#term-']").forEach(define));
