"use strict";
// Fills the page in with each event: how things stand at a moment. Rates are the difference of two.

const find = id => document.getElementById(id);
const WAITS = ["read", "write", "nothing"];
const COLOURS = {
  "reading request": "#2f81f7", "reading body": "#12a5a5", "making answer": "#a060e0", "writing head": "#f08c1a",
  "streaming file": "#e5484d", "keep-alive": "#3aa860", "closing": "#8a94a3", "sending events": "#c04fb8",
  "echoing": "#12a5a5", "listening": "#3aa860", "speaking": "#f08c1a", "telling the time": "#f08c1a",
};
const colour = state => COLOURS[state] || "#7a8699";

let before = null;
let chosen = null;
let heard = 0;

const number = value => !isFinite(value) ? "–"
  : value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(2);

function bytes(value) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return (value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)) + " " + unit;
    value /= 1024;
  }
}

function time(ms) {
  return ms < 10_000 ? (ms / 1000).toFixed(1) + " s" : ms < 3_600_000 ? Math.round(ms / 1000) + " s" : Math.round(ms / 60_000) + " min";
}

function figures(now) {
  find("connections").textContent = number(now.connections);
  find("doers").textContent = `${number(now.doers.busy)} of ${number(now.doers.number)} ${now.doers.kind}`;
  const seconds = before ? (now.uptime_ms - before.uptime_ms) / 1000 : 0;
  if (seconds <= 0) return;
  const more = name => now.counters[name] - before.counters[name];
  const rate = name => number(more(name) / seconds);
  const requests = more("requests") + more("datagrams");
  find("requests").textContent = number(requests / seconds);
  find("sent").textContent = bytes(more("sent") / seconds);
  find("turns").textContent = rate("waits");
  find("events").textContent = number(more("events") / more("waits"));
  find("calls").textContent = number((now.system_calls - before.system_calls) / requests);
  find("blocks").textContent = rate("would_blocks");
  find("spurious").textContent = rate("spurious");
  if (now.doers.kind === "loops") {
    const share = (now.waited_ms - before.waited_ms) / (seconds * 1000 * now.doers.number);
    find("waiting").textContent = Math.round(Math.min(1, share) * 100) + " %";
  }
}

function states(now) {
  const list = [...now.states].sort((a, b) => a[0] < b[0] ? -1 : 1).map(([state, count]) => {
    const item = document.createElement("li");
    const mark = document.createElement("i");
    mark.style.background = colour(state);
    item.append(mark, `${state} ${number(count)}`);
    return item;
  });
  find("states").replaceChildren(...list);
}

// Cells are kept from event to event, so that one can be followed with the eyes and the keyboard.
const cells = new Map();

function grid(now) {
  const parent = find("cells");
  const gone = new Set(cells.keys());
  for (const [key, state, waits, received, sent, age, left] of now.cells) {
    let cell = cells.get(key);
    if (!cell) {
      cell = document.createElement("button");
      cell.type = "button";
      cell.addEventListener("click", () => choose(key));
      cells.set(key, cell);
      parent.append(cell);
    }
    gone.delete(key);
    const name = now.states[state] ? now.states[state][0] : "unknown";
    const words = `connection ${key}: ${name}, waits to ${WAITS[waits]}`.replace("waits to nothing", "waits for nothing");
    cell.style.background = colour(name);
    cell.className = WAITS[waits];
    cell.dataset.state = name;
    cell.setAttribute("aria-label", words);
    cell.setAttribute("aria-pressed", key === chosen);
    if (key === chosen) {
      const end = left === null ? "no deadline" : `${time(left)} to its deadline`;
      find("chosen").textContent = `${words}; ${bytes(received)} received, ${bytes(sent)} sent; ${time(age)} old, ${end}`;
    }
  }
  for (const key of gone) {
    cells.get(key).remove();
    cells.delete(key);
    if (key === chosen) find("chosen").textContent = `connection ${key} is over`;
  }
  const hidden = now.connections - now.cells.length;
  find("shown").textContent = hidden > 0 ? `${number(now.cells.length)} of ${number(now.connections)} are shown, evenly chosen.` : "";
}

function choose(key) {
  chosen = key === chosen ? null : key;
  if (chosen === null) find("chosen").textContent = "Choose one to see what it waits for.";
}

function steps(now) {
  const count = Object.fromEntries(now.states);
  for (const state of document.querySelectorAll("[data-state]:not(button)")) {
    const name = state.dataset.state;
    const text = state.querySelector("text");
    text.textContent = count[name] ? `${name} · ${number(count[name])}` : name;
    state.querySelector("rect").style.fill = count[name] ? colour(name) + "55" : "none";
  }
  const taken = Object.fromEntries(now.steps.map(([[from, to], count]) => [from + "→" + to, count]));
  for (const step of document.querySelectorAll("[data-from]")) {
    step.textContent = short(taken[step.dataset.from + "→" + step.dataset.to] || 0);
  }
}

const short = value => value < 10_000 ? String(value) : value < 1e7 ? Math.round(value / 1000) + "k" : Math.round(value / 1e6) + "M";

function show(now) {
  if (before && now.uptime_ms < before.uptime_ms) before = null; // Another server.
  find("news").textContent = `${now.draining ? "about to stop; " : ""}up for ${time(now.uptime_ms)}`;
  figures(now);
  states(now);
  grid(now);
  steps(now);
  // A second apart, or rates would jump.
  if (!before || now.uptime_ms - before.uptime_ms >= 1000) before = now;
  document.body.dataset.events = Number(document.body.dataset.events || 0) + 1;
}

const source = new EventSource("events");
source.onmessage = event => {
  heard = Date.now();
  show(JSON.parse(event.data));
};
setInterval(() => {
  if (heard && Date.now() - heard > 3000) find("news").textContent = "nothing was heard for a while; trying again";
}, 1000);
