"use strict";
// Views are drawn beforehand, one for each box; this shows one at a time, moves it, and tells of its equations.
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("canvas");
const panel = document.getElementById("panel");
const trail = document.getElementById("trail");
const find = document.getElementById("find");
const READABLE = 0.7;
let picture = null;
let current = null;
let routed = null;
let whole = null;
let box = null;

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function link(text, action) {
  const button = make("button", text);
  button.addEventListener("click", action);
  return button;
}

// Where one looks: a window on the drawing, in its own units.
function look(x, y, width, height) {
  box = { x, y, width, height };
  picture.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
}

// The drawing from its top: no larger than life, and not so small that it cannot be read. What is too wide for that
// begins at its first node.
function fit(least) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = Math.min(1, Math.max(least, Math.min(width / whole.width, height / whole.height)));
  const spare = whole.width - width / scale;
  const first = Math.min(...[...picture.querySelectorAll("[data-node]")].map((node) => place(node).y));
  const top = [...picture.querySelectorAll("[data-node]")].find((node) => place(node).y === first);
  const wanted = top && spare > 0 ? Math.min(Math.max(place(top).x - width / scale / 2, 0), spare) : spare / 2;
  look(wanted, 0, width / scale, height / scale);
}

// The middle of a node.
function place(node) {
  const corner = node.transform.baseVal.getItem(0).matrix;
  const frame = node.querySelector("rect:not([x]), rect.frame");
  return { x: corner.e + frame.width.baseVal.value / 2, y: corner.f + frame.height.baseVal.value / 2 };
}

function zoom(by, clientX, clientY) {
  const frame = canvas.getBoundingClientRect();
  const scale = Math.max(box.width / frame.width, box.height / frame.height);
  const px = ((clientX ?? frame.x + frame.width / 2) - frame.x - frame.width / 2) * scale;
  const py = ((clientY ?? frame.y + frame.height / 2) - frame.y - frame.height / 2) * scale;
  const cx = box.x + box.width / 2 + px * (1 - by);
  const cy = box.y + box.height / 2 + py * (1 - by);
  look(cx - (box.width * by) / 2, cy - (box.height * by) / 2, box.width * by, box.height * by);
}

function show(k) {
  if (picture) picture.remove();
  current = k;
  picture = document.getElementById(`view${k}`).content.firstElementChild.cloneNode(true);
  whole = { width: Number(picture.getAttribute("width")), height: Number(picture.getAttribute("height")) };
  picture.removeAttribute("width");
  picture.removeAttribute("height");
  picture.setAttribute("preserveAspectRatio", "xMidYMid meet");
  canvas.prepend(picture);
  trail.replaceChildren(link("all", () => visit({ view: "" })));
  data.trails[k].forEach(([part, path]) => {
    trail.append(" / ", path === data.paths[k] ? part : link(part, () => visit({ view: path })));
  });
  fit(READABLE);
}

// Where one is stands in the address, so that the browser's Back and Forward lead through the page.
function visit(where) {
  location.hash = `#${new URLSearchParams(where)}`;
  route();
}

function route() {
  routed = location.hash;
  const where = new URLSearchParams(location.hash.slice(1));
  const path = where.get("view") ?? data.paths[0];
  const number = where.get("equation");
  const k = data.paths.indexOf(path);
  if (k < 0 && picture === null) show(0);
  if (k >= 0 && k !== current) show(k);
  light(null);
  if (k < 0) absent(path);
  else if (number in data.steps) tell(Number(number));
  else overview();
}

function absent(path) {
  const within = path ? `, within=${JSON.stringify(path)}` : "";
  panel.replaceChildren(
    make("h2", "not on this page"),
    make("div", "This page does not hold it. It is drawn by", "said"),
    make("pre", `mg.inspect.html(graph${within})`, "code"),
  );
}

function overview() {
  panel.replaceChildren(document.getElementById("overview").content.cloneNode(true));
}

// An equation that is not in this view is looked up in the box that shows it.
function go(number) {
  const here = picture.querySelector(`[data-step="${number}"]`);
  visit({ view: data.paths[here ? current : data.homes[number]], equation: number });
}

function named(number) {
  const step = data.steps[number];
  const item = make("li");
  const dot = make("span", undefined, "mark");
  dot.style.background = data.colours[step.order];
  item.append(dot, link(`${step.left} = ${step.formula}`, () => go(number)));
  return item;
}

function list(title, all, others) {
  const numbers = all.filter((k) => k in data.steps);
  const absent = all.length - numbers.length;
  if (absent) others = [...others, `${absent} that the page has no room for`];
  if (!numbers.length && !others.length) return;
  const items = make("ul");
  items.append(...others.map((text) => make("li", text, "said")), ...numbers.slice(0, 40).map(named));
  if (numbers.length > 40) items.append(make("li", `and ${numbers.length - 40} more`, "said"));
  panel.append(make("h2", title), items);
}

function source(title, step) {
  if (!step.source) return;
  panel.append(make("h2", title), make("div", step.source, "said"));
  if (step.code) panel.append(make("pre", step.code, "code"));
}

function tell(number) {
  const step = data.steps[number];
  light(picture.querySelector(`[data-step="${number}"]`));
  const order = `order ${step.order}: ${data.words[step.order]}`;
  panel.replaceChildren(
    make("h2", `equation ${number + 1}`),
    make("div", `${step.left} = ${step.formula}`, "formula"),
    make("div", step.types, "said"),
    make("h2", "what it is"),
    make("div", order + (step.needed ? "" : "; the result does not depend on it")),
    make("div", step.path ? `in ${step.path}` : "at the top", "said"),
    make("div", step.cost, "said"),
  );
  if (step.only) panel.append(make("div", step.only));
  source("made at", step);
  const origins = [];
  for (let k = step.origin; k !== null && k in data.steps; k = data.steps[k].origin) origins.push(k);
  if (origins.length) {
    list(origins.length === 1 ? "part of the derivative of" : "part of the derivative of, in turn", origins, []);
    source("which was written at", data.steps[origins.at(-1)]);
  }
  list("reads", step.reads, step.given.map((name) => `${name}, an input`));
  list("used by", step.users, step.result ? ["the result"] : []);
  panel.append(make("h2", ""), link("back to the overview", () => visit({ view: data.paths[current] })));
  panel.scrollTop = 0;
}

function light(group) {
  picture.querySelectorAll(".chosen, .lit").forEach((node) => node.classList.remove("chosen", "lit"));
  if (!group) return;
  group.classList.add("chosen");
  const node = group.closest("[data-node]");
  const k = node.dataset.node;
  const { x, y } = place(node);
  const seen = x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height;
  if (!seen) look(x - box.width / 2, y - box.height / 2, box.width, box.height);
  picture.querySelectorAll(`[data-from="${k}"], [data-to="${k}"]`).forEach((edge) => edge.classList.add("lit"));
}

function press(target) {
  const group = target.closest("[data-step], [data-path]");
  if (!group) return light(null);
  if (group.dataset.step !== undefined) go(Number(group.dataset.step));
  else visit({ view: group.dataset.path });
}

let held = null;
canvas.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#zoom")) held = { x: event.clientX, y: event.clientY, at: { ...box }, moved: false };
});
window.addEventListener("pointermove", (event) => {
  if (!held) return;
  const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
  if (!held.moved && Math.hypot(dx, dy) < 4) return;
  held.moved = true;
  canvas.classList.add("dragged");
  const scale = Math.max(box.width / canvas.clientWidth, box.height / canvas.clientHeight);
  look(held.at.x - dx * scale, held.at.y - dy * scale, box.width, box.height);
});
window.addEventListener("pointerup", (event) => {
  if (held && !held.moved && canvas.contains(event.target)) press(event.target);
  held = null;
  canvas.classList.remove("dragged");
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(event.deltaY * 0.0015), event.clientX, event.clientY);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") press(event.target);
});
document.getElementById("zoom").addEventListener("click", (event) => {
  const by = Number(event.target.dataset.by);
  if (by) zoom(by);
  else if (event.target.dataset.by) fit(0);
});
find.addEventListener("input", () => {
  const wanted = find.value.trim().toLowerCase();
  if (!wanted) return overview();
  const hits = [];
  for (const [k, step] of Object.entries(data.steps)) {
    if (`${step.left} = ${step.formula} ${step.path}`.toLowerCase().includes(wanted)) hits.push(Number(k));
  }
  const rank = (k) => {  // what has this name first, then what is this operation
    const step = data.steps[k];
    return step.left.split(", ").includes(wanted) ? 0 : step.formula.startsWith(wanted) ? 1 : 2;
  };
  hits.sort((a, b) => rank(a) - rank(b) || a - b);
  panel.replaceChildren();
  if (hits.length) list(`${hits.length} found`, hits, []);
  else panel.append(make("p", `No equation has “${find.value}” in its formula or its path.`, "said"));
});
window.addEventListener("resize", () => fit(READABLE));
window.addEventListener("hashchange", () => {
  if (location.hash !== routed) route();
});
route();
