// What scrolls sideways can be reached by keyboard.
function reachable() {
  for (const e of document.querySelectorAll("article table, article pre, mjx-container[display]")) {
    if (e.scrollWidth > e.clientWidth + 1) e.tabIndex = 0;
    else e.removeAttribute("tabindex");
  }
}
addEventListener("load", reachable);
addEventListener("resize", reachable);
