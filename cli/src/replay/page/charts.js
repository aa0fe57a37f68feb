const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function nanoseconds(ns) {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${trimmed(ns / 1e3)} µs`;
  if (ns < 1e9) return `${trimmed(ns / 1e6)} ms`;
  return `${trimmed(ns / 1e9)} s`;
}

function trimmed(number) {
  return number >= 100 ? String(Math.round(number)) : String(Number(number.toPrecision(number >= 10 ? 2 : 2)));
}

function rate(number) {
  if (number >= 1e6) return `${(number / 1e6).toFixed(number >= 1e8 ? 0 : 1)} M`;
  if (number >= 1e3) return `${(number / 1e3).toFixed(0)} k`;
  return number.toFixed(0);
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (number >= 1024 && unit < 3) { number /= 1024; unit++; }
  return `${unit ? number.toFixed(1) : number} ${units[unit]}`;
}

/* Moves labels apart along the vertical, keeping their order. */
function spread(labels, distance, top, bottom) {
  labels.sort((a, b) => a.y - b.y);
  for (let at = 1; at < labels.length; at++) labels[at].y = Math.max(labels[at].y, labels[at - 1].y + distance);
  let limit = bottom;
  for (let at = labels.length - 1; at >= 0; at--) { labels[at].y = Math.min(labels[at].y, limit); limit = labels[at].y - distance; }
  for (const label of labels) label.y = Math.max(label.y, top);
}

function latencyChart() {
  const { curves } = data;
  const width = 520, height = 360, left = 58, right = 18, top = 12, bottom = 40;
  const deepest = Math.max(2, ...curves.map((curve) => -Math.log10(1 - curve.points.at(-1)[0])));
  const values = curves.flatMap((curve) => curve.points.map((point) => point[1]));
  const low = 10 ** Math.floor(Math.log10(Math.min(...values))), high = 10 ** Math.ceil(Math.log10(Math.max(...values)));
  const toX = (quantile) => left + (-Math.log10(1 - quantile) / deepest) * (width - left - right);
  const toY = (ns) => height - bottom - (Math.log10(ns / low) / Math.log10(high / low)) * (height - top - bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Latency by percentile" });
  for (let ns = low; ns <= high * 1.01; ns *= 10) {
    svg.append(shape("line", { class: "grid", x1: left, x2: width - right, y1: toY(ns), y2: toY(ns) }));
    svg.append(shape("text", { x: left - 9, y: toY(ns) + 4, "text-anchor": "end" }, nanoseconds(ns)));
  }
  const quantiles = [[.5, "p50"], [.9, "p90"], [.99, "p99"], [.999, "p99.9"], [.9999, "p99.99"], [.99999, "p99.999"], [.999999, "p99.9999"]];
  for (const [quantile, name] of quantiles.filter(([quantile]) => toX(quantile) <= width - right + 1)) {
    const end = toX(quantile) > width - right - 20;
    svg.append(shape("line", { class: "grid", x1: toX(quantile), x2: toX(quantile), y1: top, y2: height - bottom }));
    svg.append(shape("text", { x: toX(quantile), y: height - bottom + 18, "text-anchor": end ? "end" : "middle" }, name));
  }
  // the names stand in the free corner above the curves, in the order in which these end
  const labels = [];
  for (const curve of curves) {
    const line = curve.points.map(([quantile, ns], at) => `${at ? "L" : "M"}${toX(quantile).toFixed(1)} ${toY(ns).toFixed(1)}`).join("");
    svg.append(shape("path", { d: line, fill: "none", stroke: `var(--${curve.colour})`, "stroke-width": 2.2, "stroke-linejoin": "round" }));
    labels.push({ y: toY(curve.points.at(-1)[1]), curve });
  }
  labels.sort((a, b) => a.y - b.y);
  labels.forEach(({ curve }, at) => {
    const y = top + 14 + at * 19;
    svg.append(shape("line", { x1: left + 14, x2: left + 32, y1: y - 4, y2: y - 4, stroke: `var(--${curve.colour})`, "stroke-width": 3 }));
    svg.append(shape("text", { class: "label halo", x: left + 39, y, style: `fill: var(--${curve.colour}-ink)` }, curve.name));
  });
  byId("latency").append(svg);
  const { speed } = data.report;
  byId("latency-note").textContent =
    `${count(speed.readers_beside_writer.latency.timed)} lookups and ${count(speed.writer.latency.timed)} writes were timed, each alone; ` +
    `what reading the clock costs (${speed.clock_ns} ns) is taken off. Where threads outnumber processors, the longest times are those of a thread that waits for its turn.`;
}

function throughputChart() {
  const points = data.throughput;
  const width = 520, left = 58, right = 18, each = 150, gap = 34, top = 22;
  const height = top + 2 * each + gap + 40;
  const end = points.at(-1).to;
  const joined = (points.find((point) => point.writes > 0) || { from: end }).from;
  const toX = (at) => left + (at / end) * (width - left - right);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Throughput over time" });
  const panel = (from, key, name, colourName) => {
    const most = Math.max(...points.map((point) => point[key]), 1);
    const step = niceStep(most, 3), limit = Math.ceil(most / step) * step;
    const toY = (value) => from + each - (value / limit) * each;
    for (let value = 0; value <= limit * 1.001; value += step) {
      svg.append(shape("line", { class: value ? "grid" : "axis", x1: left, x2: width - right, y1: toY(value), y2: toY(value) }));
      svg.append(shape("text", { x: left - 9, y: toY(value) + 4, "text-anchor": "end" }, value ? rate(value) : "0"));
    }
    let line = "", before = null;
    for (const point of points) {
      const x = toX((point.from + point.to) / 2).toFixed(1), y = toY(point[key]).toFixed(1);
      const apart = before === null || point.from - before > .05;
      if (key !== "writes" || point.from >= joined) line += `${apart || line === "" ? "M" : "L"}${x} ${y}`;
      before = point.to;
    }
    svg.append(shape("path", { d: line, fill: "none", stroke: `var(--${colourName})`, "stroke-width": 2.2, "stroke-linejoin": "round", "stroke-linecap": "round" }));
    svg.append(shape("text", { class: "label halo", x: left + 2, y: from - 8, style: `fill: var(--${colourName}-ink)` }, name));
  };
  panel(top, "lookups", "lookups a second", "lookup");
  panel(top + each + gap, "writes", "writes a second", "write");
  if (joined > 0 && joined < end) {
    const x = toX(joined);
    svg.append(shape("line", { x1: x, x2: x, y1: top, y2: top + 2 * each + gap, stroke: "var(--faint)", "stroke-dasharray": "3 4" }));
    svg.append(shape("text", { x: x + 6, y: top + 2 * each + gap - 9, class: "halo" }, "the writer joins"));
  }
  const step = niceStep(end, 6);
  for (let at = 0; at <= end; at += step) {
    svg.append(shape("text", { x: toX(at), y: height - 20, "text-anchor": at ? "middle" : "start" }, `${Number(at.toFixed(3))} s`));
  }
  byId("throughput").append(svg);
  const { speed, readers } = data.report;
  byId("throughput-note").textContent =
    `${readers} readers. Beside the writer they keep ${Math.round(speed.readers_keep * 100)} % of their rate per second of processor time; ` +
    `at most ${bytes(speed.held_bytes_peak)} were retired and waiting for readers.`;
}

function words() {
  const { report } = data;
  const { trace, checked, speed } = report;
  const name = trace.file.split("/").at(-1);
  byId("title").textContent = name;
  const verdict = element("strong", report.held ? {} : { class: "bad" }, report.held ? "Everything held." : "Not everything held.");
  const threads = trace.threads > 1 ? ` by ${trace.threads} threads` : "";
  byId("lede").append(
    `${count(trace.operations)} memory operations${threads}${trace.threads ? ", recorded from a real process," : ""} were replayed in the index ` +
    `while ${report.readers} readers resolved ${trace.faults ? `its ${count(trace.faults)} page faults` : "addresses of its layout"} without a lock. `, verdict);
  const tile = (figure, unit, text) => {
    const head = element("b", {}, figure);
    if (unit) head.append(element("small", {}, " " + unit));
    byId("tiles").append(element("div", { class: "tile" }, head, element("span", {}, text)));
  };
  tile(rate(checked.answers).replace(" ", "\u00a0"), "", `answers checked, ${count(checked.wrong)} wrong`);
  tile(checked.answers ? `${((checked.overlapped / checked.answers) * 100).toFixed(1)}` : "0", "%", "of them overlapped a write");
  tile(count(trace.blocks), "", `recorded layouts compared, ${count(report.differences.length + report.differences_omitted)} differences`);
  if (speed) {
    tile(rate(speed.readers_beside_writer.lookups_per_second), "/s", "lookups beside the writer");
    tile(rate(speed.writer.writes_per_second), "/s", "writes");
    tile(nanoseconds(speed.readers_beside_writer.latency.p50_ns), "", `median lookup; p99 ${nanoseconds(speed.readers_beside_writer.latency.p99_ns)}`);
  }
  tile(bytes(report.index.at_end.index_bytes), "", `index of the ${count(report.index.at_end.entries)} areas at the end`);
}

function differences() {
  const { report } = data;
  byId("differences").hidden = report.held;
  for (const difference of report.differences) {
    byId("told").append(element("div", { class: "told" }, element("code", {}, difference.place), " " + difference.text, element("pre", {}, difference.around.join("\n"))));
  }
}

function figures() {
  const { speed } = data.report;
  const head = ["", "a second", "a processor second", "p50", "p90", "p99", "p99.9", "p99.99", "longest"];
  const row = (name, all, processor, latency) => [
    name, rate(all), rate(processor), ...["p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns"].map((key) => nanoseconds(latency[key])),
  ];
  const reading = (name, phase) => row(name, phase.lookups_per_second, phase.lookups_per_processor_second, phase.latency);
  const rows = [
    reading("lookups, readers alone", speed.readers_alone),
    reading("lookups beside the writer", speed.readers_beside_writer),
    row("writes", speed.writer.writes_per_second, speed.writer.writes_per_processor_second, speed.writer.latency),
  ];
  const line = (kind, cells) => element("tr", {}, ...cells.map((cell) => element(kind, {}, cell)));
  byId("figures").append(element("thead", {}, line("th", head)), element("tbody", {}, ...rows.map((cells) => line("td", cells))));
}

words();
differences();
map.draw();
if (data.report.speed && data.throughput.length && data.curves.length) {
  latencyChart();
  throughputChart();
  figures();
} else {
  byId("measured").hidden = true;
  byId("table-card").hidden = true;
}
let resizing = 0;
addEventListener("resize", () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(map.draw); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", map.draw);
