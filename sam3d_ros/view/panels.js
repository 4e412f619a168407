// What stands beside the 3-D view: the picture, the tables and one object's numbers, from `frame` and `selected` of page.js.
"use strict";

const $ = (id) => document.getElementById(id);

// An element with attributes and children; text is always text.
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function dot(color) {
  const node = element("span", { class: "dot" });
  node.style.background = color;
  return node;
}

function showPicture() {
  $("picture").hidden = !frame.picture;
  if (!frame.picture) return;
  const [width, height] = frame.picture.size;
  $("image").src = $("veil").src = frame.picture.src;
  $("image").width = width;
  $("image").height = height;
  $("caption").textContent = frame.picture.caption;
  const svg = $("outlines");
  svg.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
  svg.replaceChildren(...frame.objects.filter((o) => o.outline).map((o) => {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", o.outline);
    path.setAttribute("stroke", o.color);
    path.dataset.id = o.id;
    path.addEventListener("click", () => select(o.id));
    return path;
  }));
}

function fillTable(table, headings, rows) {
  table.hidden = !rows.length;
  table.tHead.replaceChildren(element("tr", {}, ...headings.map((text) => element("th", { scope: "col" }, text))));
  table.tBodies[0].replaceChildren(...rows);
}

function showTable() {
  const rows = frame.objects.map((o) => {
    const button = element("button", { type: "button", class: "name", "aria-pressed": "false" },
      dot(o.color), element("span", { title: o.label }, o.label));
    const cells = [button, o.id, ...o.cells.map((text) => text || "–")];
    const row = element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
    row.dataset.id = o.id;
    row.addEventListener("click", () => select(o.id === selected ? null : o.id));
    return row;
  });
  fillTable($("objects"), ["Object", "Id", "Size x × y × z", "Confidence", ...frame.columns], rows);
  $("none").hidden = rows.length > 0;
}

function showRejected() {
  $("refused").hidden = !frame.rejected.length;
  fillTable($("rejected"), ["Mask", "Label", "Code", "Reason"], frame.rejected.map((cells) =>
    element("tr", {}, ...cells.map((text) => element("td", { class: "wrap" }, text || "–")))));
}

function showDetails() {
  const o = frame.objects.find(({ id }) => id === selected);
  $("focus").disabled = !o || !stage;
  if (!o) {
    const text = frame.objects.length ? "Select an object in the view, the image or the table to see its numbers." : "";
    $("details").replaceChildren(element("p", { class: "muted" }, text));
    return;
  }
  const named = [...frame.columns.map((name, i) => [name, o.cells[i + 2]]), ...o.details].filter(([, text]) => text);
  const list = element("dl", {}, ...named.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
  const parts = [element("h2", {}, dot(o.color), element("span", {}, o.label)), list];
  if (o.seconds.length) {
    const total = o.seconds.reduce((sum, [, s]) => sum + s, 0);
    const bar = element("div", { class: "stages", "aria-hidden": "true" }, ...o.seconds.map(([name, s]) => {
      const part = element("span", { title: `${name}: ${timeText(s)}` });
      part.style.flexGrow = total ? s / total : 1;
      return part;
    }));
    list.append(element("dt", {}, "Time"), element("dd", {}, timeText(total)));
    parts.push(bar, element("p", { class: "muted" }, o.seconds.map(([name, s]) => `${name} ${timeText(s)}`).join(" · ")));
  }
  $("details").replaceChildren(...parts);
}

function timeText(seconds) {
  return seconds < 1 ? `${+(seconds * 1000).toPrecision(3)} ms` : `${seconds.toFixed(2)} s`;
}

function lengthText(metres) {
  return metres < 0.01 ? `${+(metres * 1000).toPrecision(3)} mm` : metres < 1 ? `${+(metres * 100).toPrecision(3)} cm` : `${metres} m`;
}
