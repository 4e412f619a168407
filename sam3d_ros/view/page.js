// The page: which frame, which object, what is switched on, keyboard and mouse.
"use strict";

const frameElements = [...document.querySelectorAll("script.frame")];
const SWITCHES = [
  { layer: "meshes", key: "m", text: "Meshes", on: true },
  { layer: "points", key: "p", text: "Pointmap", on: true },
  { layer: "objectPoints", key: "o", text: "Object points", on: false },
  { layer: "truth", key: "t", text: "Ground truth", on: false },
  { layer: "boxes", key: "b", text: "Boxes", on: false },
  { layer: "axes", key: "a", text: "Axes", on: false },
  { layer: "camera", key: "c", text: "Camera", on: true },
  { layer: "labels", key: "l", text: "Labels", on: true },
  { layer: "grid", key: "g", text: "Grid", on: true },
];
let stage = null;
let frame = { objects: [], rejected: [], columns: [] };
let frameIndex = 0;
let selected = null;
const tags = new Map();

function notify(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// ---- frames

async function showFrame(index) {
  frameIndex = index;
  document.documentElement.dataset.ready = "no";
  const next = JSON.parse(frameElements[index].textContent);
  frame = next;
  $("frame").value = index;
  $("frame-name").textContent = frameElements.length > 1 ? `${next.name} (${index + 1} of ${frameElements.length})` : next.name;
  showPicture();
  showTable();
  showRejected();
  const same = frame.objects.some(({ id }) => id === selected) ? selected : null;
  if (stage) {
    tags.clear(); // those of the frame before have no place any more
    const content = await unpackFrame(next);
    if (frame !== next) return; // another frame was asked for meanwhile
    stage.show(content);
    showTags();
    for (const { layer, button } of SWITCHES) {
      button.disabled = layer === "labels" ? !next.objects.length : stage.isEmpty(layer);
    }
    $("through").disabled = !next.camera;
    $("legend").textContent = stage.grid ? `Grid ${lengthText(stage.grid)}` : "";
    stage.draw();
  }
  select(same);
  document.documentElement.dataset.ready = "yes";
}

async function unpackFrame(next) {
  const cloud = async (packed) => packed && {
    positions: await unpackPoints(packed.positions), colors: await unpack(packed.colors),
  };
  const [scene, own, objects, image] = await Promise.all([
    cloud(next.points?.scene),
    cloud(next.points?.objects),
    Promise.all(next.objects.map(async (o) => ({
      ...o,
      mesh: o.mesh && await unpackMesh(o.mesh),
      truth: o.truth?.mesh && { pose: o.truth.pose, mesh: await unpackMesh(o.truth.mesh) },
    }))),
    decodeImage(next.picture),
  ]);
  return { frame: next, clouds: { scene, objects: own }, objects, image };
}

async function decodeImage(picture) {
  if (!picture) return null;
  const image = new Image();
  image.src = picture.src;
  await image.decode();
  return image;
}

// ---- selection and labels

function select(id) {
  selected = id;
  for (const row of $("objects").tBodies[0].rows) {
    const mine = row.dataset.id === id;
    row.setAttribute("aria-current", mine);
    row.querySelector("button").setAttribute("aria-pressed", mine);
    if (mine) row.scrollIntoView({ block: "nearest" });
  }
  for (const path of $("outlines").children) path.classList.toggle("selected", path.dataset.id === id);
  for (const [key, tag] of tags) tag.classList.toggle("selected", key === id);
  stage?.select(id, getComputedStyle(document.documentElement).getPropertyValue("--accent").trim());
  showDetails();
}

function selectNeighbour(step) {
  if (!frame.objects.length) return;
  const at = frame.objects.findIndex(({ id }) => id === selected);
  const count = frame.objects.length;
  select(frame.objects[at < 0 ? (step > 0 ? 0 : count - 1) : (at + step + count) % count].id);
}

function showTags() {
  tags.clear();
  for (const o of frame.objects) tags.set(o.id, element("span", { class: "tag" }, o.label));
  $("tags").replaceChildren(...tags.values());
}

function placeTags() {
  for (const [id, tag] of tags) {
    const place = stage.labelPosition(id);
    tag.hidden = !place;
    if (place) tag.style.transform = `translate(${place[0]}px, ${place[1]}px) translate(-50%, -130%)`;
  }
}

// ---- looking through the camera

function showThrough(through) {
  $("through").setAttribute("aria-pressed", through);
  $("fade").hidden = !through || !frame.picture;
  placeVeil();
}

function placeVeil() {
  const veil = $("veil");
  veil.hidden = $("fade").hidden;
  if (veil.hidden) return;
  for (const [side, length] of Object.entries(stage.imageArea())) veil.style[side] = `${length}px`;
  veil.style.opacity = $("opacity").value / 100;
}

function toggleThrough() {
  if (stage.through) stage.home();
  else stage.lookThroughCamera();
}

// ---- switches and keyboard

function buildSwitches() {
  for (const item of SWITCHES) {
    const button = element("button", {
      type: "button", class: "chip", "aria-pressed": item.on, title: `${item.text} (${item.key.toUpperCase()})`,
      "data-layer": item.layer,
    }, item.text);
    button.addEventListener("click", () => flip(item));
    item.button = button;
    $("layers").append(button);
    apply(item);
  }
}

function flip(item) {
  if (item.button.disabled) return;
  item.on = !item.on;
  item.button.setAttribute("aria-pressed", item.on);
  apply(item);
}

function apply({ layer, on }) {
  if (layer === "labels") $("tags").hidden = !on;
  else stage.setLayer(layer, on);
}

function buildKeys() {
  const view = stage && {
    r: ["Reset view", () => stage.home()],
    v: ["Look through the camera and back", toggleThrough],
    f: ["Zoom to the selected object", () => stage.focus(selected)],
    ...Object.fromEntries(SWITCHES.map((item) => [item.key, [`${item.text} on or off`, () => flip(item)]])),
  };
  const keys = {
    ...view,
    n: ["Select the next object", () => selectNeighbour(1)],
    N: ["Select the object before", () => selectNeighbour(-1)],
    ".": ["Next frame", () => step(1)],
    ",": ["Frame before", () => step(-1)],
    Escape: ["Select nothing", () => select(null)],
    "?": ["This help", () => $("keys").showModal()],
  };
  const mouse = { Drag: "Turn", "Right drag": "Move", Wheel: "Zoom", Arrows: "Move (view in focus)" };
  const rows = [
    ...(stage ? Object.entries(mouse) : []),
    ...Object.entries(keys).map(([key, [text]]) => [key === "N" ? "Shift N" : key.length > 1 ? "Esc" : key.toUpperCase(), text]),
  ];
  $("key-list").append(...rows.flatMap(([key, text]) => [
    element("dt", {}, element("kbd", {}, key)), element("dd", {}, text),
  ]));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || $("keys").open) return;
    if (event.target.matches("input") && event.key.length > 1) return;
    keys[event.key]?.[1]();
  });
}

function step(by) {
  const next = frameIndex + by;
  if (next >= 0 && next < frameElements.length) go(next);
}

function go(index) {
  showFrame(index).catch((error) => {
    console.error(error);
    notify("This frame cannot be shown: the page is damaged or the browser too old.");
  });
}

// ---- start

function startStage() {
  try {
    return new Stage($("canvas"), {
      onPick: select,
      onThrough: showThrough,
      onDraw: () => {
        placeTags();
        placeVeil();
      },
    });
  } catch (error) {
    console.warn(`no 3-D view: ${error.message}`);
    document.documentElement.dataset.webgl = "missing";
    notify("This browser shows no WebGL 2, so there is no 3-D view. The image, the table and all numbers are here.");
    $("stage").querySelectorAll("button").forEach((button) => (button.disabled = button.id !== "help"));
    return null;
  }
}

stage = startStage();
if (stage) {
  buildSwitches();
  $("home").addEventListener("click", () => stage.home());
  $("through").addEventListener("click", toggleThrough);
  $("focus").addEventListener("click", () => stage.focus(selected));
  $("opacity").addEventListener("input", placeVeil);
  $("canvas").addEventListener("webglcontextlost", () => notify("The graphics card gave up on this page: reload it."));
}
$("help").addEventListener("click", () => $("keys").showModal());
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("frame").addEventListener("input", () => go(Number($("frame").value)));
$("frame").max = frameElements.length - 1;
$("frames").hidden = frameElements.length < 2;
buildKeys();
if (frameElements.length) go(0);
else {
  $("none").hidden = false;
  $("objects").hidden = true;
  document.documentElement.dataset.ready = "yes";
}
