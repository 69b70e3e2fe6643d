// This file shows explanations, in one small window for each panel, where the pointer rests or the keyboard's focus is.

/**
 * Make a panel's explanations. about: {part: {text, equation, file, lesson}}. Returns {element, on(target, part, why), close()}.
 * on() explains the part when `target` is pointed at or gets the focus. why() may give a first line, such as the reason for
 * which a control is switched off. The Tab key also stops at a target without a control inside. Escape closes the window,
 * and the pointer may enter it, to follow its link.
 */
function btHints(about) {
  const element = h("div", {class: "bt-hint", role: "tooltip", popover: "manual", id: btId()});
  let owner = null, timer = 0, ended = new AbortController();

  const fill = (part, reason) => {
    const {text, equation, file, lesson} = about[part];
    const link = btLesson(file);
    element.replaceChildren(...[
      reason ? h("p", {class: "bt-hint-why"}, `Switched off: ${reason}.`) : null,
      h("p", {}, text),
      equation ? h("p", {class: "bt-hint-equation"}, equation) : null,
      link ? h("a", {href: link, target: "_blank"}, lesson) : h("span", {class: "bt-quiet"}, lesson),
    ].filter(Boolean));
  };
  const place = (target) => {
    element.style.left = "0"; // its width must not depend on where it was before
    const at = target.getBoundingClientRect(), own = element.getBoundingClientRect();
    const below = at.bottom + 6 + own.height <= innerHeight;
    element.style.left = `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`;
    element.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - own.height - 6)}px`;
  };
  const show = (target, part, why) => {
    clearTimeout(timer);
    if (!element.isConnected) return;
    owner = target;
    fill(part, why?.() ?? "");
    if (element.showPopover && !element.matches(":popover-open")) element.showPopover();
    element.dataset.open = "";
    place(target);
  };
  const hide = () => {
    clearTimeout(timer);
    owner = null;
    delete element.dataset.open;
    if (element.hidePopover && element.matches(":popover-open")) element.hidePopover();
  };
  const later = (f, ms) => { clearTimeout(timer); timer = setTimeout(f, ms); };
  const signal = {signal: ended.signal};
  element.addEventListener("pointerenter", () => clearTimeout(timer), signal);
  element.addEventListener("pointerleave", () => later(hide, 200), signal);
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); }, signal);
  addEventListener("scroll", () => { if (owner) place(owner); }, {...signal, capture: true, passive: true}); // giving an element the focus may scroll the page

  return {element, hide, close() { ended.abort(); hide(); }, on(target, part, why) {
    if (!about[part]) return;
    const control = target.matches(BT_KEYS.join()) ? target : target.querySelector(BT_KEYS.join());
    (control ?? target).setAttribute("aria-description", about[part].text);
    target.setAttribute("data-lm-suppress-shortcuts", "true"); // h() does the same for controls
    if (!control) target.tabIndex = 0; // the keyboard must also reach a text
    target.addEventListener("pointerenter", () => later(() => show(target, part, why), owner ? 80 : 350));
    target.addEventListener("pointerleave", () => later(hide, 200));
    target.addEventListener("pointerdown", hide);
    target.addEventListener("focusin", (event) => { if (event.target.matches(":focus-visible")) show(target, part, why); });
    target.addEventListener("focusout", () => later(hide, 200));
  }};
}

/**
 * Return the address of a lesson beside this page: a notebook in JupyterLab, a page in the book; null elsewhere. The file must be
 * a plain word and not an address, because a notebook from an unknown author may hold anything in its place.
 */
function btLesson(file) {
  const here = decodeURIComponent(location.pathname).split("/").at(-1);
  if (!/^(\d\d_\w+|live_controls|ledger|troubles|playground)\.(ipynb|html)$/.test(here)) return null;
  return /^\w+$/.test(file) ? `${file}.${here.split(".").at(-1)}` : null;
}
