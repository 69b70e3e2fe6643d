// The augmentation strip: the controls choose a row of the sheet. Its columns are the two views of each image.

function render({model, el}) {
  const {operations, count, size, names} = model.get("about");
  let operation = 0, level = 4;
  const side = size < 64 ? 64 : size; // in CSS pixels; small pictures show their pixels
  const sheet = new Image();

  const strengthText = () => `${operations[operation].unit} ${operations[operation].values[level]}`;
  const choice = btChoice({label: "operation"}, "0", operations.map((o, i) => [String(i), o.name]), (v) => { operation = Number(v); show(); });
  const strength = btSlider({label: "strength", low: 0, high: operations[0].values.length - 1, step: 1, format: () => strengthText()}, level, (v) => { level = v; show(); });
  const cells = Array.from({length: count}, () => {
    const canvases = [0, 1, 2].map(() => h("canvas", {width: size, height: size, style: `width:${side}px;height:${side}px`, "aria-hidden": "true"}));
    const words = ["image", "v", "v′"];
    return {canvases, element: h("div", {class: "bt-views", role: "img"}, ...canvases.map((c, i) => h("figure", {}, c, h("figcaption", {}, words[i]))))};
  });
  const problem = btProblem(model);
  el.append(h("div", {class: "bt bt-strip", role: "region", "aria-label": "Augmentation strip"},
    h("div", {class: "bt-choose"}, choice.element, strength.element),
    h("div", {class: "bt-row bt-pictures"}, ...cells.map((c) => c.element)),
    h("p", {class: "bt-quiet"}, "Two views of each image under this operation alone. The draw stays the same while the strength changes."),
    problem.element));

  function show() {
    strength.set(level); // its text depends on the operation
    const row = 1 + operation * operations[0].values.length + level;
    cells.forEach(({canvases, element}, i) => {
      [[2 * i, 0], [2 * i, row], [2 * i + 1, row]].forEach(([column, r], k) => {
        canvases[k].getContext("2d").drawImage(sheet, column * size, r * size, size, size, 0, 0, size, size);
      });
      element.setAttribute("aria-label", `Image and its two views${names[i] ? `, ${names[i]}` : ""}: ${operations[operation].name}, ${strengthText()}`);
    });
  }
  const url = URL.createObjectURL(new Blob([model.get("sheet")], {type: "image/webp"}));
  sheet.onload = show;
  sheet.src = url;
  show();
  return () => { URL.revokeObjectURL(url); problem.close(); };
}

export default {initialize: btKeepSaved, render: btFreed(render)};
