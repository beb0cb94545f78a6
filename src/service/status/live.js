"use strict";
// Fills in the page. Each event is a snapshot of the server; a rate is the difference of two snapshots.

const find = id => document.getElementById(id);
const CLASSES = ["read", "write", "nothing", "acting"];
// What the signs of the legend mean; nothing without a legend.
const WAITS = CLASSES.map(name => document.querySelector(`[data-mark=${name}]`)?.dataset.about);
const COLOURS = {
  "reading request": "#2f81f7", "reading body": "#12a5a5", "building response": "#a060e0", "writing head": "#f08c1a",
  "streaming file": "#e5484d", "keep-alive": "#3aa860", "closing": "#8a94a3", "sending events": "#c04fb8",
  "echoing": "#12a5a5", "idle": "#3aa860", "broadcasting": "#f08c1a", "sending the time": "#f08c1a",
};
const colour = state => COLOURS[state] || "#7a8699";

// The states in the order of the diagrams; others follow as they appear.
const order = [...new Set([...document.querySelectorAll("#diagrams [data-state]")].map(one => one.dataset.state))];
function place(state) {
  if (!order.includes(state)) order.push(state);
  return order.indexOf(state);
}

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

const digits = value => value < 9.95 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value));
const micros = us => us === null ? "–" : us < 1000 ? us + " µs" : us < 1e6 ? digits(us / 1000) + " ms" : digits(us / 1e6) + " s";
const short = value => value < 10_000 ? String(value) : value < 1e6 ? digits(value / 1000) + "k" : digits(value / 1e6) + "M";

// A model leaves out the figures that would mean nothing.
function put(id, text) {
  const figure = find(id);
  if (figure) figure.textContent = text;
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
  put("connections", number(now.connections));
  put("executors", `${number(now.executors.busy)} of ${number(now.executors.count)} ${now.executors.kind}`);
  put("in-flight", number(now.in_flight.reduce((sum, [, count]) => sum + count, 0)));
  find("in-flight").parentElement.hidden = now.counters.operations === 0;
  certificate(now.certificates[0]);
}

// What happened between two snapshots.
function difference(from, to) {
  const seconds = (to.uptime_ms - from.uptime_ms) / 1000;
  const more = name => to.counters[name] - from.counters[name];
  const earlier = new Map(from.response_times_us);
  const times = to.response_times_us.map(([most, count]) => [most, count - (earlier.get(most) || 0)]);
  return {
    at: to.uptime_ms, seconds, rate: name => more(name) / seconds, more,
    requests: more("requests") + more("received_datagrams"),
    p50: quantile(times, 0.5), p99: quantile(times, 0.99),
    idle: Math.min(1, (to.loop_wait_ms - from.loop_wait_ms) / (seconds * 1000 * to.executors.count)),
    calls: to.system_calls - from.system_calls,
    states: new Map(to.states), connections: to.connections,
  };
}

// The longest time of the bucket that has the quantile; null without responses.
function quantile(times, part) {
  let left = Math.ceil(times.reduce((sum, [, count]) => sum + count, 0) * part);
  if (left === 0) return null;
  for (const [most, count] of times) {
    left -= count;
    if (left <= 0) return most;
  }
  return null;
}

function rates(last) {
  put("requests", number(last.requests / last.seconds));
  put("sent", bytes(last.rate("sent_bytes")));
  put("turns", number(last.rate("wait_calls")));
  // The results of a ring include its events.
  put("events", number((last.more("completions") || last.more("events")) / last.more("wait_calls")));
  put("calls", number(last.calls / last.requests));
  put("blocks", number(last.rate("would_blocks")));
  put("spurious", number(last.rate("spurious_events")));
  put("waiting", Math.round(last.idle * 100) + " %");
}

// The last minute, a part for each second that the page has seen.
const MINUTE = 60_000;
const [LEFT, RIGHT, TOP, BOTTOM] = [42, 296, 6, 94];
const minute = [];

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The next larger number of the form 1, 2 or 5 times a power of ten.
function round_up(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map(one => one * power).find(one => one >= value);
}

function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

// Draws the scale, then what `draw` makes with the functions for both axes. The caption is a list of
// texts and elements.
function chart(id, caption, ticks, height, draw) {
  const svg = document.querySelector(`[data-chart="${id}"]`);
  if (!svg) return;
  const end = minute.at(-1).at;
  const x = at => (RIGHT - (RIGHT - LEFT) * Math.min(1, (end - at) / MINUTE)).toFixed(1);
  const y = value => (BOTTOM - (BOTTOM - TOP) * height(value)).toFixed(1);
  const parts = ticks.flatMap(([value, text]) => [
    element("path", { class: "grid", d: `M${LEFT} ${y(value)}H${RIGHT}` }),
    element("text", { x: LEFT - 5, y: Number(y(value)) + 3.5, "text-anchor": "end" }, text),
  ]);
  for (const [seconds, text, anchor] of [[60, "60 s ago", "start"], [30, "30 s", "middle"], [0, "now", "end"]]) {
    parts.push(element("text", { x: x(end - seconds * 1000), y: 108, "text-anchor": anchor }, text));
  }
  svg.replaceChildren(...parts, ...draw(x, y));
  const words = svg.parentElement.querySelector("figcaption span");
  words.replaceChildren(...caption);
  svg.setAttribute("aria-label", `${svg.parentElement.querySelector("b").textContent} in the last minute; now ${words.textContent}`);
}

// A step for each part of the minute. A part without a value is a gap.
function steps(x, y, value) {
  let path = "", open = false;
  for (const part of minute) {
    const height = value(part);
    if (height === null) { open = false; continue; }
    path += `${open ? "V" : `M${x(part.at - part.seconds * 1000)} `}${y(height)}H${x(part.at)}`;
    open = true;
  }
  return path;
}

function band(x, y, low, high) {
  const back = [...minute].reverse().map(part => `V${y(low(part))}H${x(part.at - part.seconds * 1000)}`).join("");
  return steps(x, y, high) + back + "Z";
}

function linear(most, format) {
  return [[0, most / 2, most].map(value => [value, format(value)]), value => value / most];
}

function last_minute(last) {
  minute.push(last);
  while (minute[0].at < last.at - MINUTE) minute.shift();
  const most = read => Math.max(...minute.map(read));
  const area = (value, name) => (x, y) => [
    element("path", { class: `area ${name}`, d: band(x, y, () => 0, value) }),
    element("path", { class: `line ${name}`, d: steps(x, y, value) }),
  ];
  const requests = part => part.requests / part.seconds;
  chart("requests", [number(requests(last))], ...linear(round_up(most(requests)), value => short(value)), area(requests, "one"));
  chart("idle", [Math.round(last.idle * 100) + " %"], ...linear(1, value => value * 100 + " %"), area(part => part.idle, "two"));
  times(last);
  const states = order.filter(state => minute.some(part => part.states.get(state)));
  chart("open", [number(last.connections)], ...linear(Math.max(2, round_up(most(part => part.connections))), short), (x, y) => {
    const below = (part, until) => states.slice(0, until).reduce((sum, state) => sum + (part.states.get(state) || 0), 0);
    return states.map((state, index) => element("path", {
      fill: colour(state), d: band(x, y, part => below(part, index), part => below(part, index + 1)),
    }));
  });
}

// On a logarithmic scale, since a few responses may take a thousand times as long as most.
function times(last) {
  const known = minute.flatMap(part => part.p50 === null ? [] : [part.p50, part.p99]).map(us => Math.log10(Math.max(us, 1)));
  const least = known.length ? Math.floor(Math.min(...known)) : 1;
  const most = known.length ? Math.max(least + 1, Math.ceil(Math.max(...known))) : 3;
  const ticks = [];
  for (let power = least; power <= most; power += Math.ceil((most - least) / 4)) ticks.push([10 ** power, micros(10 ** power)]);
  const height = us => (Math.log10(Math.max(us, 1)) - least) / (most - least);
  const caption = last.p50 === null ? ["no responses"]
    : [span("one", `p50 ${micros(last.p50)}`), " · ", span("four", `p99 ${micros(last.p99)}`)];
  chart("times", caption, ticks, height, (x, y) => [
    element("path", { class: "line one", d: steps(x, y, part => part.p50) }),
    element("path", { class: "line four", d: steps(x, y, part => part.p99) }),
  ]);
}

// A state that was seen once stays, so that the others do not jump.
const seen = new Set();

function states(now) {
  const count = new Map(now.states);
  now.states.forEach(([state]) => seen.add(state));
  const list = [...seen].sort((a, b) => place(a) - place(b)).map(state => {
    const item = document.createElement("li");
    const mark = document.createElement("i");
    mark.style.background = colour(state);
    item.classList.toggle("none", !count.get(state));
    item.append(mark, `${state} ${number(count.get(state) || 0)}`);
    return item;
  });
  find("states").replaceChildren(...list);
}

// A cell stays from event to event, so that a user can follow its connection by keyboard. Its place
// is that of its state.
const cells = new Map();

function grid(now) {
  const parent = find("cells");
  const gone = new Set(cells.keys());
  const marked = [0, 0, 0, 0];
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
    marked[waits] += 1;
    const name = now.states[state] ? now.states[state][0] : "unknown";
    const words = `connection ${key}: ${name}${WAITS[waits] ? ", " + WAITS[waits] : ""}`;
    cell.style.background = colour(name);
    cell.style.order = place(name) * CLASSES.length + waits;
    cell.className = WAITS[waits] ? CLASSES[waits] : "";
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
  for (const mark of document.querySelectorAll("[data-mark]")) mark.textContent = number(marked[CLASSES.indexOf(mark.dataset.mark)]);
  const hidden = now.connections - now.connection_rows.length;
  find("sample").textContent = hidden > 0 ? `Showing an even sample: ${number(now.connection_rows.length)} of ${number(now.connections)} connections.` : "";
}

function choose(key) {
  selected = key === selected ? null : key;
  if (selected === null) find("selected").textContent = "";
}

// The width of an arrow grows with its count: the square root, so that rare steps can be told apart.
function transitions(now) {
  const count = Object.fromEntries(now.states);
  const taken = Object.fromEntries(now.transitions.map(([[from, to], count]) => [from + "→" + to, count]));
  const most = Math.max(1, ...now.transitions.map(([, count]) => count));
  const entered = new Set(now.transitions.flatMap(([step]) => step));
  for (const state of document.querySelectorAll("#diagrams [data-state]")) {
    const name = state.dataset.state;
    const text = state.querySelector("text");
    text.textContent = count[name] ? `${name} · ${number(count[name])}` : name;
    state.querySelector("rect").style.fill = count[name] ? colour(name) + "55" : "none";
    state.classList.toggle("never", !count[name] && !entered.has(name));
  }
  for (const step of document.querySelectorAll("[data-from]")) {
    const times = taken[step.dataset.from + "→" + step.dataset.to] || 0;
    step.classList.toggle("never", times === 0);
    step.querySelector("path").style.strokeWidth = 1 + 4.5 * Math.sqrt(times / most);
    step.querySelector("text").textContent = times ? short(times) : "";
  }
}

function show(now) {
  // Counters that become smaller are those of a server that was restarted.
  if (before && now.uptime_ms < before.uptime_ms) {
    before = null;
    minute.length = 0;
  }
  find("summary").textContent = `${now.draining ? "draining, about to stop; " : ""}up for ${time(now.uptime_ms)}`;
  figures(now);
  states(now);
  grid(now);
  transitions(now);
  // Rates over less than a second would jump.
  if (before && now.uptime_ms - before.uptime_ms >= 1000) {
    const last = difference(before, now);
    before = now;
    rates(last);
    last_minute(last);
  }
  before ||= now;
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

async function record(button) {
  const say = text => find("recorded").textContent = text;
  button.disabled = true;
  say("recording …");
  try {
    const response = await fetch("record", { method: "POST", headers: { "X-Evserve-Token": button.dataset.token } });
    if (!response.ok) return say(await response.text());
    const file = await response.blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = /filename="(.*?)"/.exec(response.headers.get("Content-Disposition"))[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(`${link.download}: ${bytes(file.size)}`);
  } catch (error) {
    say(`The server does not answer: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}
find("record")?.addEventListener("click", event => record(event.currentTarget));
