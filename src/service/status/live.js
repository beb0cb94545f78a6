"use strict";
// Fills in the page. Each event is a snapshot of the server; a rate is the difference of two snapshots.

const find = id => document.getElementById(id);
const CLASSES = ["read", "write", "nothing"];
const WAITS = ["waits for input", "waits for room to send", "waits for its turn or for other work"];
const COLOURS = {
  "reading request": "#2f81f7", "reading body": "#12a5a5", "building response": "#a060e0", "writing head": "#f08c1a",
  "streaming file": "#e5484d", "keep-alive": "#3aa860", "closing": "#8a94a3", "sending events": "#c04fb8",
  "echoing": "#12a5a5", "idle": "#3aa860", "broadcasting": "#f08c1a", "sending the time": "#f08c1a",
};
const colour = state => COLOURS[state] || "#7a8699";

let before = null;
let selected = null;
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

function certificate(first) {
  const figure = find("certificate");
  figure.parentElement.hidden = !first;
  if (!first) return;
  const days = Math.floor((first.expires - Date.now() / 1000) / 86_400);
  figure.textContent = days < 0 ? "expired" : `in ${number(days)} ${days === 1 ? "day" : "days"}`;
  figure.parentElement.title = `the first certificate to expire: ${first.name || "no name"}, in ${first.file}`;
}

function figures(now) {
  find("connections").textContent = number(now.connections);
  find("executors").textContent = `${number(now.executors.busy)} of ${number(now.executors.count)} ${now.executors.kind}`;
  find("in-flight").textContent = number(now.in_flight.reduce((sum, [, count]) => sum + count, 0));
  find("in-flight").parentElement.hidden = now.counters.operations === 0;
  certificate(now.certificates[0]);
  const seconds = before ? (now.uptime_ms - before.uptime_ms) / 1000 : 0;
  if (seconds <= 0) return;
  const more = name => now.counters[name] - before.counters[name];
  const rate = name => number(more(name) / seconds);
  const requests = more("requests") + more("received_datagrams");
  find("requests").textContent = number(requests / seconds);
  find("sent").textContent = bytes(more("sent_bytes") / seconds);
  find("turns").textContent = rate("wait_calls");
  // The results of a ring include its events.
  find("events").textContent = number((more("completions") || more("events")) / more("wait_calls"));
  find("calls").textContent = number((now.system_calls - before.system_calls) / requests);
  find("blocks").textContent = rate("would_blocks");
  find("spurious").textContent = rate("spurious_events");
  if (now.executors.kind === "loops") {
    const share = (now.loop_wait_ms - before.loop_wait_ms) / (seconds * 1000 * now.executors.count);
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

// A cell stays from event to event, so that a user can follow its connection by eye and keyboard.
const cells = new Map();

function grid(now) {
  const parent = find("cells");
  const gone = new Set(cells.keys());
  for (const [key, state, waits, inFlight, received, sent, age, left] of now.connection_rows) {
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
    const words = `connection ${key}: ${name}, ${WAITS[waits]}`;
    cell.style.background = colour(name);
    cell.className = CLASSES[waits];
    cell.dataset.state = name;
    cell.setAttribute("aria-label", words);
    cell.setAttribute("aria-pressed", key === selected);
    if (key === selected) {
      const end = left === null ? "no deadline" : `deadline in ${time(left)}`;
      const under = inFlight.map(place => now.in_flight[place][0]).join(" and ");
      const operations = under && `; in the kernel: ${under}`;
      find("selected").textContent = `${words}${operations}; ${bytes(received)} received, ${bytes(sent)} sent; open for ${time(age)}, ${end}`;
    }
  }
  for (const key of gone) {
    cells.get(key).remove();
    cells.delete(key);
    if (key === selected) find("selected").textContent = `connection ${key} is closed`;
  }
  const hidden = now.connections - now.connection_rows.length;
  find("sample").textContent = hidden > 0 ? `Showing an even sample: ${number(now.connection_rows.length)} of ${number(now.connections)} connections.` : "";
}

function choose(key) {
  selected = key === selected ? null : key;
  if (selected === null) find("selected").textContent = "Select a connection to see what it waits for.";
}

function transitions(now) {
  const count = Object.fromEntries(now.states);
  for (const state of document.querySelectorAll("[data-state]:not(button)")) {
    const name = state.dataset.state;
    const text = state.querySelector("text");
    text.textContent = count[name] ? `${name} · ${number(count[name])}` : name;
    state.querySelector("rect").style.fill = count[name] ? colour(name) + "55" : "none";
  }
  const taken = Object.fromEntries(now.transitions.map(([[from, to], count]) => [from + "→" + to, count]));
  for (const step of document.querySelectorAll("[data-from]")) {
    step.textContent = short(taken[step.dataset.from + "→" + step.dataset.to] || 0);
  }
}

const short = value => value < 10_000 ? String(value) : value < 1e7 ? Math.round(value / 1000) + "k" : Math.round(value / 1e6) + "M";

function show(now) {
  if (before && now.uptime_ms < before.uptime_ms) before = null; // The server was restarted.
  find("summary").textContent = `${now.draining ? "draining, about to stop; " : ""}up for ${time(now.uptime_ms)}`;
  figures(now);
  states(now);
  grid(now);
  transitions(now);
  // Rates over less than a second would jump.
  if (!before || now.uptime_ms - before.uptime_ms >= 1000) before = now;
  document.body.dataset.events = Number(document.body.dataset.events || 0) + 1;
}

const source = new EventSource("events");
source.onmessage = event => {
  heard = Date.now();
  show(JSON.parse(event.data));
};
setInterval(() => {
  if (heard && Date.now() - heard > 3000) find("summary").textContent = "no update for 3 s; reconnecting";
}, 1000);
