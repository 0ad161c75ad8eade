"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400, "7d": 604800 };
const RANGE = new URLSearchParams(location.search).get("range") in RANGES
  ? new URLSearchParams(location.search).get("range") : "1h";
const SPAN = RANGES[RANGE];
const STEP = Math.max(10, Math.ceil(SPAN / 180));
const WINDOW = Math.max(60, 4 * STEP) + "s";
const charts = [];

// ---- Prometheus

// A network that changes under the browser (a container starts, a laptop wakes) breaks what is under way.
async function fetched(what, options, tries = 3) {
  try {
    return await (await fetch("../api/v1/" + what, options)).json();
  } catch (error) {
    if (tries === 1) throw error;
    await new Promise((later) => setTimeout(later, 500));
    return fetched(what, options, tries - 1);
  }
}
async function ask(what, parameters) {
  const answer = await fetched(what, { method: "POST", body: new URLSearchParams(parameters) });
  if (answer.status !== "success") throw new Error(answer.error);
  return answer.data.result;
}
const promql = (expression) => expression.replaceAll("$w", WINDOW);
const now = () => Math.floor(Date.now() / 1000 / STEP) * STEP;
const instant = ([expression]) => ask("query", { query: promql(expression) });
const history = ([expression], end) =>
  ask("query_range", { query: promql(expression), start: end - SPAN, end, step: STEP });
const called = (legend, metric) => legend.replace(/\{(\w+)\}/g, (_, label) => metric[label] ?? "");

// ---- Words

function short(value) {
  const size = Math.abs(value);
  for (const [factor, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]])
    if (size >= factor) return short(value / (letter === "k" ? 1e3 : factor)) + " " + letter;
  return String(Number(value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)));
}
function bytes(value) {
  let unit = 0;
  for (; Math.abs(value) >= 1024 && unit < 4; unit++) value /= 1024;
  return short(value) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][unit];
}
function seconds(value) {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-3) return short(value * 1e6) + " µs";
  if (size < 1) return short(value * 1e3) + " ms";
  if (size < 120) return short(value) + " s";
  if (size < 7200) return short(value / 60) + " min";
  return size < 172800 ? short(value / 3600) + " h" : short(value / 86400) + " d";
}
const UNITS = {
  number: short, rate: (v) => short(v) + "/s", percent: (v) => short(v) + " %", bytes,
  bytes_rate: (v) => bytes(v) + "/s", seconds, milliseconds: (v) => seconds(v / 1000),
};
const words = (panel, value) => panel.names?.[value]?.[0] ?? UNITS[panel.unit](value);
function judged(panel, value) {
  if (panel.names?.[value]) return panel.names[value][1];
  let state = "";
  for (const [from, then] of panel.steps ?? []) if (from === null || value >= from) state = then;
  return state;
}

// ---- Drawing

function element(parent, name, attributes = {}, text = "") {
  const drawing = parent.namespaceURI.endsWith("svg") || name === "svg";
  const made = drawing ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  return parent.appendChild(made);
}
const plot = (panel, height) => {
  const width = Math.max(120, panel.body.clientWidth);
  return [width, element(panel.body, "svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": panel.title })];
};
const clock = (time) => new Date(time * 1000).toLocaleString([], SPAN > 86400
  ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
// A machine has one colour on every page.
const colour = (name, index) => {
  const machine = /^pg-(\d+)$/.exec(name);
  return `var(--s${(machine ? machine[1] - 1 : index) % 8})`;
};
function path(points, x, y) {
  let drawn = "", last = -Infinity;
  for (const [time, value] of points) {
    const number = Number(value);
    if (!Number.isFinite(number)) { last = -Infinity; continue; }
    drawn += `${time - last > 1.5 * STEP ? "M" : "L"}${x(time).toFixed(1)} ${y(number).toFixed(1)}`;
    last = time;
  }
  return drawn;
}
function scale(most, unit) {
  const rough = most / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let tick = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
  if (unit.startsWith("bytes")) tick = 2 ** Math.max(0, Math.ceil(Math.log2(rough)));
  if (unit === "seconds" && rough > 10)
    tick = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].find((each) => each >= rough) ?? tick;
  return [tick, Math.ceil(most / tick) * tick || tick];
}
function times(svg, x, end, height) {
  const gap = [60, 300, 600, 900, 3600, 7200, 10800, 21600, 43200, 86400].find((each) => SPAN / each <= 7);
  const zone = new Date().getTimezoneOffset() * 60;
  for (let time = Math.ceil((end - SPAN - zone) / gap) * gap + zone; time <= end; time += gap)
    element(svg, "text", { x: x(time), y: height, "text-anchor": x(end) - x(time) < 16 ? "end" : "middle" }, clock(time));
}
function marks(svg, x, top, bottom) {
  for (const time of page.failovers ?? []) {
    const line = element(svg, "line", { class: "mark", x1: x(time), x2: x(time), y1: top, y2: bottom });
    element(line, "title", {}, "failover or handover at " + new Date(time * 1000).toLocaleTimeString([], { hourCycle: "h23" }));
  }
}

const SHOW = {
  async tile(panel, end) {
    const [result, past] = await Promise.all([instant(panel.queries[0]), history(panel.queries[0], end)]);
    const [, legend] = panel.queries[0];
    const values = result.map((each) => Number(each.value[1])).filter(Number.isFinite);
    const value = legend ? result.length : values[0];
    const missing = value === undefined;
    panel.box.className = "panel tile " + (missing ? "unknown" : judged(panel, value));
    panel.body.replaceChildren();
    const text = legend ? result.map((each) => called(legend, each.metric)).join(", ") || "none" : missing ? "no data" : words(panel, value);
    element(panel.body, "div", { class: "value", title: text }, text);
    const [width, svg] = plot(panel, 24);
    const points = legend ? [] : past[0]?.values ?? [];
    const numbers = points.map((each) => Number(each[1])).filter(Number.isFinite);
    const most = Math.max(...numbers, 1e-9), least = Math.min(...numbers, 0);
    element(svg, "path", {
      d: path(points, (time) => width * (1 - (end - time) / SPAN), (v) => 22 - 20 * (v - least) / (most - least)),
      fill: "none", stroke: "var(--c, var(--info))", "stroke-width": 1.5, opacity: 0.7,
    });
  },

  async chart(panel, end) {
    const results = await Promise.all(panel.queries.map((query) => history(query, end)));
    const series = results.flatMap((result, query) => result.map((each) =>
      ({ name: called(panel.queries[query][1], each.metric), points: each.values })));
    series.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    panel.body.replaceChildren();
    if (!series.length) return void element(panel.body, "div", { class: "empty" }, panel.nothing ?? "no data in this time");
    const values = series.flatMap((each) => each.points.map((point) => Number(point[1]))).filter(Number.isFinite);
    const limits = (panel.steps ?? []).filter(([from]) => from > 0);
    const near = limits.filter(([from]) => from <= 2 * Math.max(...values));
    const [tick, top] = scale(Math.max(...values, ...near.map(([from]) => from)), panel.unit);
    const [width, svg] = plot(panel, 170);
    const left = 58, bottom = 150;
    const x = (time) => width - (width - left) * (end - time) / SPAN;
    const y = (value) => bottom - (bottom - 8) * Math.max(0, value) / top;
    for (let value = 0; value <= top * 1.001; value += tick) {
      element(svg, "line", { class: "grid-line", x1: left, x2: width, y1: y(value), y2: y(value) });
      element(svg, "text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, UNITS[panel.unit](value));
    }
    times(svg, x, end, 166);
    marks(svg, x, 8, bottom);
    for (const [from, state] of near)
      element(svg, "line", { class: "limit " + state, stroke: "var(--c)", x1: left, x2: width, y1: y(from), y2: y(from) });
    series.forEach((each, index) => element(svg, "path",
      { d: path(each.points, x, y), fill: "none", stroke: colour(each.name, index), "stroke-width": 1.8, "stroke-linejoin": "round" }));
    const cursor = element(svg, "line", { class: "cursor", y1: 8, y2: bottom, visibility: "hidden" });
    const legend = element(panel.body, "div", { class: "legend" });
    const shown = series.map((each, index) => {
      const entry = element(legend, "span", { style: `--c:${colour(each.name, index)}` });
      element(entry, "i");
      entry.append(each.name);
      return element(entry, "b");
    });
    const point = (time) => {
      cursor.setAttribute("visibility", time === null ? "hidden" : "visible");
      if (time !== null) { cursor.setAttribute("x1", x(time)); cursor.setAttribute("x2", x(time)); }
      series.forEach((each, index) => {
        const at = time === null ? each.points.at(-1) : each.points.find((found) => Math.abs(found[0] - time) <= STEP / 2);
        const fresh = at && (time !== null || end - at[0] < 3 * STEP);
        // Of many, those that are not there now would only hide the others.
        shown[index].parentNode.hidden = !fresh && time === null && series.length > 6;
        shown[index].textContent = fresh ? UNITS[panel.unit](Number(at[1])) : "–";
      });
    };
    point(null);
    panel.point = point;
    svg.onmousemove = (event) => {
      const time = end - SPAN * (1 - (event.offsetX - left) / (width - left));
      for (const each of charts) each.point?.(Math.min(end, Math.max(end - SPAN, time)));
    };
    svg.onmouseleave = () => charts.forEach((each) => each.point?.(null));
  },

  async states(panel, end) {
    const [query] = panel.queries;
    const series = (await history(query, end)).map((each) => ({ name: called(query[1], each.metric), points: each.values }));
    series.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    panel.body.replaceChildren();
    if (!series.length) return void element(panel.body, "div", { class: "empty" }, panel.nothing ?? "no data in this time");
    const bottom = series.length * 24;
    const [width, svg] = plot(panel, bottom + 18);
    const left = Math.min(240, Math.max(...series.map((each) => each.name.length)) * 7 + 12);
    const x = (time) => width - (width - left) * (end - time) / SPAN;
    times(svg, x, end, bottom + 14);
    const seen = new Map();
    series.forEach(({ name, points }, row) => {
      element(svg, "text", { x: 0, y: row * 24 + 16 }, name);
      for (let from = 0, to; from < points.length; from = to) {
        for (to = from + 1; to < points.length && points[to][1] === points[from][1] && points[to][0] - points[to - 1][0] < 1.5 * STEP;) to++;
        const [text, state] = panel.names?.[Number(points[from][1])] ?? [points[from][1], "unknown"];
        seen.set(text, state);
        const begin = Math.max(left, x(points[from][0] - STEP / 2));
        const block = element(svg, "rect", {
          class: state, x: begin, y: row * 24 + 2, height: 20, rx: 2, fill: "var(--c)", opacity: 0.85,
          width: Math.max(1.5, Math.min(width, x(points[to - 1][0] + STEP / 2)) - begin),
        });
        element(block, "title", {}, `${name}: ${text}, ${clock(points[from][0])} – ${clock(points[to - 1][0])}`);
      }
    });
    marks(svg, x, 0, bottom);
    const legend = element(panel.body, "div", { class: "legend" });
    for (const [text, state] of seen) {
      const entry = element(legend, "span", { class: state });
      element(entry, "i");
      entry.append(text);
    }
  },

  async table(panel) {
    const results = await Promise.all(panel.queries.map(instant));
    const rows = new Map();
    results.forEach((result, column) => {
      for (const { metric, value } of result) {
        const key = metric[panel.by];
        if (!rows.has(key)) rows.set(key, []);
        rows.get(key)[column] = [metric, Number(value[1])];
      }
    });
    panel.body.replaceChildren();
    if (!rows.size) return void element(panel.body, "div", { class: "empty" }, panel.nothing ?? "no data");
    const table = element(element(panel.body, "div", { class: "scroll" }), "table");
    const head = element(element(table, "thead"), "tr");
    for (const title of [panel.by.replaceAll("_", " "), ...panel.queries.map((each) => each[1])]) element(head, "th", {}, title);
    const body = element(table, "tbody");
    const largest = panel.queries.length === 1;
    const order = (a, b) => largest ? b[1][0][1] - a[1][0][1] : a[0].localeCompare(b[0], undefined, { numeric: true });
    for (const [key, cells] of [...rows].sort(order)) {
      const row = element(body, "tr");
      element(row, "td", {}, key);
      panel.queries.forEach(([, , column], index) => {
        const cell = element(row, "td");
        if (!cells[index] || Number.isNaN(cells[index][1])) return void (cell.textContent = "–");
        const state = judged(column, cells[index][1]);
        element(cell, "span", { class: state ? "state " + state : "" }, words(column, cells[index][1]));
      });
    }
  },

  async alerts(panel) {
    const answer = await fetched("rules?type=alert");
    const rules = answer.data.groups.flatMap((group) => group.rules);
    const order = { firing: 0, pending: 1, inactive: 2 };
    rules.sort((a, b) => order[a.state] - order[b.state] || (a.labels.severity ?? "").localeCompare(b.labels.severity ?? "") || a.name.localeCompare(b.name));
    panel.body.replaceChildren();
    const table = element(element(panel.body, "div", { class: "scroll" }), "table");
    const head = element(element(table, "thead"), "tr");
    for (const title of ["state", "severity", "alert", "what", "since", "runbook"]) element(head, "th", {}, title);
    const body = element(table, "tbody");
    for (const rule of rules)
      for (const alert of rule.alerts.length ? rule.alerts : [null]) {
        const severity = rule.labels.severity ?? "";
        const state = alert?.state === "firing" ? ({ critical: "critical", none: "info" }[severity] ?? "warning") : alert ? "info" : "ok";
        const row = element(body, "tr");
        element(element(row, "td"), "span", { class: "state " + state }, alert?.state ?? "quiet");
        for (const text of [severity, rule.name, alert?.annotations.description ?? alert?.annotations.summary ?? rule.annotations.summary?.replace(/\{\{.*?\}\}/g, "…") ?? "", alert ? seconds((Date.now() - new Date(alert.activeAt)) / 1000) + " ago" : ""])
          element(row, "td", {}, text);
        runbook(element(row, "td"), rule.annotations.runbook_url ?? rule.annotations.runbook ?? "");
      }
  },
};
function runbook(parent, where) {
  if (/^https:/.test(where)) element(parent, "a", { href: where }, where.split("/").at(-1));
  else parent.append(where);
}

// ---- The page

function build() {
  const main = document.querySelector("main");
  element(main, "p", {}, page.about);
  for (const [title, panels] of page.sections) {
    if (title) element(main, "h2", {}, title);
    const grid = element(main, "div", { class: "grid" });
    for (const panel of panels) {
      panel.box = element(grid, "section", { class: "panel " + (panel.kind === "tile" ? "tile" : ""), style: `grid-column: span ${panel.width}` });
      element(panel.box, "h3", {}, panel.title);
      panel.body = element(panel.box, "div", { class: "body" });
      const details = element(panel.box, "details");
      element(details, "summary", { title: panel.about, "aria-label": "about " + panel.title }, "i");
      const about = element(details, "div");
      about.append(panel.about);
      for (const [expression] of panel.queries) element(about, "code", {}, promql(expression));
      charts.push(panel);
    }
  }
  const ranges = document.getElementById("ranges");
  for (const each of Object.keys(RANGES))
    element(ranges, "button", { "aria-pressed": each === RANGE }, each).onclick = () => { location.search = "range=" + each; };
  for (const link of document.querySelectorAll("nav a")) link.search = "range=" + RANGE;
}
let drawing = false, again = false;
async function refresh() {
  if (drawing) { again = true; return; }
  drawing = true;
  await draw(now());
  drawing = false;
  if (again) { again = false; refresh(); }
}
async function draw(end) {
  try {
    const [timeline, firing] = await Promise.all([
      history(["max(patroni_postgres_timeline)"], end), instant(['count(ALERTS{alertstate="firing",severity!="none"})']),
    ]);
    page.failovers = (timeline[0]?.values ?? []).filter(([, value], index, all) => index && Number(value) > Number(all[index - 1][1])).map(([time]) => time);
    document.getElementById("badge").textContent = firing[0]?.value[1] ?? "";
  } catch (error) {
    document.getElementById("asked").textContent = "Prometheus does not answer: " + error.message;
    return;
  }
  await Promise.all(charts.map(async (panel) => {
    try {
      await SHOW[panel.kind](panel, end);
    } catch (error) {
      panel.body.replaceChildren();
      element(panel.body, "div", { class: "empty critical state" }, error.message);
    }
  }));
  document.getElementById("asked").textContent = new Date().toLocaleTimeString([], { hourCycle: "h23" });
  document.body.dataset.drawn = Date.now();
}
build();
refresh();
setInterval(() => document.hidden || refresh(), 10000);
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(refresh, 200); });
