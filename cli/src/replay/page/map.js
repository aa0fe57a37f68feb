"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const count = (number) => number.toLocaleString("en-US");
const KINDS = [
  ["none", "no access"], ["read", "read"], ["exec", "execute"], ["write", "write"], ["wx", "write and execute"], ["shared", "shared"],
];
const ACCESSES = ["read", "write", "execution"];

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* The picture of the map: bars, dots, labels on both sides, and what lies under the pointer. */
const map = (() => {
  const { scene } = data;
  const canvas = byId("map");
  const context = canvas.getContext("2d");
  let box, showDots = true, hovered = null;

  // the areas in columns of operations, so that the one under the pointer is found among few
  const COLUMNS = 256;
  const columns = Array.from({ length: COLUMNS }, () => []);
  const columnOf = (x) => Math.min(COLUMNS - 1, Math.floor((x * COLUMNS) / scene.operations));
  scene.areas.forEach((area, index) => {
    for (let at = columnOf(area.x[0]); at <= columnOf(area.x[1]); at++) columns[at].push(index);
  });

  const toX = (operation) => box.left + (operation / scene.operations) * box.width;
  const toY = (place) => box.top + (1 - place) * box.height;

  function measure() {
    const { width, height } = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const narrow = width < 720;
    const left = narrow ? 92 : 128, right = narrow ? 8 : 168;
    box = { left, top: 6, width: width - left - right, height: height - 46, right: narrow ? 0 : right };
    context.clearRect(0, 0, width, height);
  }

  function font(size, weight) {
    context.font = `${weight || 400} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  }

  function fitted(text, width) {
    if (context.measureText(text).width <= width) return text;
    let kept = text;
    while (kept.length > 3 && context.measureText(kept + "…").width > width) kept = kept.slice(0, -1);
    return kept + "…";
  }

  function bars() {
    const fills = KINDS.map(([name]) => colour(name));
    const edge = colour("card");
    for (const area of scene.areas) {
      const left = toX(area.x[0]), right = toX(area.x[1]);
      const top = toY(area.y[1]), bottom = toY(area.y[0]);
      context.fillStyle = fills[area.kind];
      context.fillRect(left, top, Math.max(right - left, .6), Math.max(bottom - top, .5));
    }
    // a thin edge where there is room for one, so that neighbours of one colour stay apart
    context.fillStyle = edge;
    context.globalAlpha = .55;
    for (const area of scene.areas) {
      const top = toY(area.y[1]), bottom = toY(area.y[0]);
      const left = toX(area.x[0]), right = toX(area.x[1]);
      if (bottom - top > 4) context.fillRect(left, top, right - left, .7);
      if (right - left > 6 && bottom - top > 2) context.fillRect(left, top, .7, bottom - top);
    }
    context.globalAlpha = 1;
  }

  function dots() {
    if (!showDots) return;
    context.fillStyle = colour("dot");
    const few = scene.dots.length < 1500;
    context.globalAlpha = few ? .75 : .42;
    const size = few ? 2.4 : 1.5;
    for (const [operation, place] of scene.dots) {
      context.fillRect(toX(operation) - size / 2, toY(place) - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  function bandLabels() {
    context.textAlign = "right";
    for (const band of scene.bands) {
      const top = toY(band.to), bottom = toY(band.from);
      const edge = box.left - 12, room = edge - 2;
      context.fillStyle = colour("line");
      context.fillRect(box.left - 7, top, 1.5, bottom - top);
      context.textBaseline = "middle";
      font(13, 600);
      context.fillStyle = colour("ink");
      const words = wrapped(band.name, room);
      const roomy = bottom - top > 34 + words.length * 16;
      const middle = (top + bottom) / 2;
      const names = roomy ? words : [fitted(band.name, room)];
      names.forEach((line, at) => context.fillText(line, edge, middle + (at - (names.length - 1) / 2) * 16));
      font(11.5);
      context.fillStyle = colour("soft");
      if (roomy) {
        context.fillText(fitted(band.end, room), edge, top + 7);
        context.fillText(fitted(band.start, room), edge, bottom - 7);
      }
    }
  }

  function wrapped(text, width) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const longer = (lines.at(-1) + " " + word).trim();
      if (lines.at(-1) && context.measureText(longer).width > width) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines.map((line) => fitted(line, width));
  }

  // the names of what is mapped at the end of the history, the tallest first, where they do not touch
  function objectLabels() {
    if (!box.right) return;
    const runs = [];
    const last = scene.areas.filter((area) => area.x[1] >= scene.operations).sort((a, b) => a.y[0] - b.y[0]);
    for (const area of last) {
      const before = runs.at(-1);
      if (before && before.object === area.object && area.y[0] - before.y[1] < .002) before.y[1] = area.y[1];
      else runs.push({ object: area.object, y: [...area.y] });
    }
    const taken = [];
    context.textAlign = "left";
    context.textBaseline = "middle";
    font(11.5);
    const named = runs.filter((run) => !["anonymous", "stack", "heap"].includes(scene.objects[run.object]));
    named.sort((a, b) => (b.y[1] - b.y[0]) - (a.y[1] - a.y[0]));
    const labelled = new Set();
    for (const run of named) {
      const middle = toY((run.y[0] + run.y[1]) / 2);
      if (labelled.has(run.object) || taken.some((y) => Math.abs(y - middle) < 14)) continue;
      labelled.add(run.object);
      taken.push(middle);
      context.fillStyle = colour("line");
      context.fillRect(box.left + box.width + 3, middle - .5, 6, 1);
      context.fillStyle = colour("soft");
      const name = scene.objects[run.object].split("/").at(-1);
      context.fillText(fitted(name, box.right - 14), box.left + box.width + 13, middle);
    }
  }

  function operationAxis() {
    const y = box.top + box.height + 8;
    context.fillStyle = colour("line");
    context.fillRect(box.left, y, box.width, 1);
    context.fillStyle = colour("soft");
    font(12);
    context.textBaseline = "top";
    const step = niceStep(scene.operations, Math.max(3, Math.floor(box.width / 110)));
    for (let at = 0; at <= scene.operations; at += step) {
      const x = toX(at);
      context.fillRect(x, y, 1, 5);
      context.textAlign = at === 0 ? "left" : x > box.left + box.width - 24 ? "right" : "center";
      context.fillText(at === 0 ? "operation 0" : count(at), x, y + 8);
    }
  }

  function highlight() {
    if (hovered === null) return;
    const area = scene.areas[hovered];
    context.strokeStyle = colour("ink");
    context.lineWidth = 1.5;
    const top = toY(area.y[1]), left = toX(area.x[0]);
    context.strokeRect(left, top, Math.max(toX(area.x[1]) - left, 1), Math.max(toY(area.y[0]) - top, 1));
  }

  function draw() {
    measure();
    bars();
    dots();
    bandLabels();
    objectLabels();
    operationAxis();
    highlight();
  }

  function under(event) {
    const { left, top } = canvas.getBoundingClientRect();
    const x = event.clientX - left, y = event.clientY - top;
    if (x < box.left || x > box.left + box.width || y < box.top || y > box.top + box.height) return null;
    const operation = ((x - box.left) / box.width) * scene.operations;
    const place = 1 - (y - box.top) / box.height;
    const slack = 1.5 / box.height;
    let best = null;
    for (const index of columns[columnOf(operation)]) {
      const area = scene.areas[index];
      if (area.x[0] > operation || area.x[1] < operation) continue;
      const away = Math.max(area.y[0] - place, place - area.y[1], 0);
      if (away <= slack && (best === null || away < best.away)) best = { index, away };
    }
    return best && best.index;
  }

  function hover(event) {
    const now = under(event);
    const tip = byId("tip");
    if (now !== hovered) {
      hovered = now;
      draw();
    }
    tip.hidden = now === null;
    if (now === null) return;
    const area = scene.areas[now];
    const end = area.x[1] >= scene.operations ? "to the end" : `to operation ${count(area.x[1])}`;
    tip.replaceChildren(
      element("code", {}, `${area.extent} ${area.perm}`), element("br"), scene.objects[area.object], element("br"),
      area.x[0] === 0 ? `from the start ${end}` : `from operation ${count(area.x[0])} ${end}`,
    );
    const { offsetWidth, offsetHeight } = tip;
    tip.style.left = Math.min(event.clientX + 14, innerWidth - offsetWidth - 8) + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - offsetHeight - 8) + "px";
  }

  function legend() {
    const used = new Set(scene.areas.map((area) => area.kind));
    for (const [kind, [name, words]] of KINDS.entries()) {
      if (used.has(kind)) byId("map-legend").append(element("span", {}, element("i", { style: `background: var(--${name})` }), words));
    }
    if (scene.dots.length === 0) return;
    const box = element("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => { showDots = box.checked; draw(); });
    byId("map-legend").append(element("label", {}, box, element("i", { class: "dot" }), "page faults"));
  }

  function note() {
    const parts = [];
    const faults = data.report.trace.faults;
    if (scene.dots.length && scene.dots.length < faults * .95) parts.push(`${count(scene.dots.length)} of ${count(faults)} page faults are drawn.`);
    if (scene.left_out) parts.push(`${count(scene.left_out)} areas that came and went within a column are left out.`);
    if (scene.other_spaces) parts.push(`${count(scene.other_spaces)} other address spaces of this trace are not drawn.`);
    byId("map-note").textContent = parts.join(" ");
  }

  legend();
  note();
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => { hovered = null; byId("tip").hidden = true; draw(); });
  return { draw };
})();

/* A step of 1, 2 or 5 and noughts, so that about `wanted` steps fill the whole. */
function niceStep(whole, wanted) {
  const rough = Math.max(whole / wanted, 1e-9);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((times) => times * power >= rough) * power;
  return Math.max(step, whole >= 1 ? Math.min(1, step) || step : step);
}
