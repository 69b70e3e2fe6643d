// Shows the panels that static.py has put into this page: each gets its module's render(), as in a notebook, and a
// stand-in for the model, whose traits are what they were and whose messages reach nobody.

const btModules = (globalThis.btModules ??= new Map()); // one import for all panels of a kind

function btSource(name) {
  return JSON.parse(document.querySelector(`script[data-bt-source="${name}"]`).textContent);
}

function btRead(value) {
  if (Array.isArray(value)) return value.map(btRead);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.bytes === "string") return new DataView(Uint8Array.from(atob(btSource(value.bytes)), (c) => c.charCodeAt(0)).buffer);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, btRead(item)]));
}

function btRecorded(traits) {
  const heard = new Map();
  return {
    recorded: true,
    get: (name) => traits[name],
    set(name, value) {
      traits[name] = value;
      for (const event of [`change:${name}`, "change"]) heard.get(event)?.forEach((f) => f());
    },
    on(event, f) { heard.set(event, (heard.get(event) ?? new Set()).add(f)); },
    off(event, f) { f ? heard.get(event)?.delete(f) : heard.delete(event); },
    save_changes() {},
    send() {},
  };
}

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
  if (place.hasAttribute("data-bt-shown")) continue; // by another fragment's copy of this script, perhaps meanwhile
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
