// Shows the panels that static.py has put into this page. Each is rendered by its module, as in a notebook, with a
// substitute for the model: its traits are the recorded ones, and its messages are not sent anywhere.

const btModules = (globalThis.btModules ??= new Map()); // one import for all panels of a kind

/** Return the source of this name. */
function btSource(name) {
  return JSON.parse(document.querySelector(`script[data-bt-source="${name}"]`).textContent);
}

/** Return a recorded value with its bytes as a DataView. */
function btRead(value) {
  if (Array.isArray(value)) return value.map(btRead);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.bytes === "string") return new DataView(Uint8Array.from(atob(btSource(value.bytes)), (c) => c.charCodeAt(0)).buffer);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, btRead(item)]));
}

/** Make a substitute for the model with these traits. */
function btRecorded(traits) {
  const handlers = new Map();
  return {
    recorded: true,
    get: (name) => traits[name],
    set(name, value) {
      traits[name] = value;
      for (const event of [`change:${name}`, "change"]) handlers.get(event)?.forEach((f) => f());
    },
    on(event, f) { handlers.set(event, (handlers.get(event) ?? new Set()).add(f)); },
    off(event, f) { f ? handlers.get(event)?.delete(f) : handlers.delete(event); },
    save_changes() {},
    send() {},
  };
}

/** Add a panel's style sheet to the page, and import its module. */
async function btImport(name) {
  const {js, css} = btSource(name);
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const url = URL.createObjectURL(new Blob([js], {type: "text/javascript"}));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

for (const place of document.querySelectorAll(".bt-static")) {
  if (place.hasAttribute("data-bt-shown")) continue; // another fragment's copy of this script shows it
  place.setAttribute("data-bt-shown", "");
  const name = place.getAttribute("data-bt-module"), script = place.querySelector("script");
  const traits = JSON.parse(script.textContent);
  script.remove();
  try {
    if (!btModules.has(name)) btModules.set(name, btImport(name));
    const panel = await btModules.get(name);
    await panel.render({model: btRecorded(btRead(traits)), el: place});
  } catch (error) {
    place.append(`This panel could not be shown: ${error.message ?? error}`);
    throw error;
  }
}
