// Draws the lanes of a recording: its threads, then its connections, around the moment of the replay.

const SVG = "http://www.w3.org/2000/svg";
const ROW = 44, HIGH_ROW = 60, LOW_ROW = 24, AXIS = 24, MAX_EVENTS = 1500, MAX_ROWS = 100, SOME = 3, FEW = 12, MANY = 30;
const GROUPS = {
  accept4: "accept", recv: "receive", recvmsg: "receive", recvfrom: "receive", send: "send", sendmsg: "send", sendfile: "send",
  sendto: "send", epoll_ctl: "watch",
};

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, title) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, typeof value === "number" ? Math.round(value * 10) / 10 : value);
  if (title) {
    const text = document.createElementNS(SVG, "title");
    text.textContent = title;
    made.append(text);
  }
  return made;
}

function text(x, y, words, kind, anchor = "start") {
  const made = shape("text", {x, y, class: kind, "text-anchor": anchor});
  made.textContent = words;
  return made;
}

// Where labels have little room, and lanes are higher for them.
const NARROW = matchMedia("(max-width: 40rem)");

// The parts of a time in which nobody sleeps. The times of sleep are in order.
function awake(from, to, sleeps) {
  const parts = [];
  for (const [begin, end] of sleeps) {
    if (end <= from || begin >= to) continue;
    if (begin > from) parts.push([from, begin]);
    from = end;
  }
  if (from < to) parts.push([from, to]);
  return parts;
}

const slug = state => `state-${state.replace(/[^a-z]+/g, "-")}`;

// Cut so that it fits into a width, in letters of 12 px; empty if hardly a letter does.
function fitted(words, width) {
  const letters = Math.floor((width - 6) / 6.8);
  return words.length <= letters ? words : letters < 4 ? "" : `${words.slice(0, letters - 1)}…`;
}

// One recording on the page.
class Side {
  constructor(recording, name, letter, course) {
    this.recording = recording;
    this.words = new Words(recording);
    this.letter = letter;
    const opened = recording.kind.indexOf(OPENED);
    const clients = recording.threads.flatMap(({isClient}, thread) => isClient ? [recording.begin[recording.first[thread]]] : []);
    this.zero = clients.length ? Math.min(...clients) : recording.count ? recording.end[Math.max(opened, 0)] : 0;
    // The event that a link of a lesson names.
    this.named = -1;
    this.build(name, course);
  }

  build(name, course) {
    const model = this.recording.facts.get("model") || "unknown model";
    this.title = element("h2", {}, `${this.letter ? `${this.letter}: ` : ""}${model}`, element("small", {}, name));
    this.lost = element("p", {class: "faint"}, this.facts());
    const figures = element("p", {class: "faint"});
    this.figures = element("details", {class: "figures"}, element("summary", {}, "Calls, counted"), figures);
    this.figures.ontoggle = () => figures.textContent ||= this.words.figures();
    this.sentence = element("p", {class: "sentence"});
    this.labels = element("div", {class: "labels"});
    this.svg = shape("svg", {role: "img", class: "lanes"});
    this.more = element("p", {class: "faint"});
    this.ready = element("dd", {class: "ready"});
    this.asleep = element("dd");
    this.chosen = element("dd");
    this.course = element("div", {class: "course"}, ...(course ? [course.content.cloneNode(true)] : []));
    this.lines = [...this.course.querySelectorAll("code")];
    const lanes = element("div", {class: "tracks"}, this.labels, element("div", {class: "canvas"}, this.svg));
    const list = element("dl", {}, element("dt", {}, "Ready list"), this.ready, element("dt", {}, "Asleep"), this.asleep,
      element("dt", {}, "Selected connection"), this.chosen);
    const aside = element("aside", {"aria-label": `More about ${this.letter} ${model}`}, ...(this.letter ? [element("p", {}, element("b", {}, `${this.letter}: ${model}`))] : []), list);
    if (this.lines.length) {
      const summary = element("summary", {}, "The same step in the course's smallest server");
      aside.append(element("details", {open: ""}, summary, this.course));
      for (const pre of this.course.querySelectorAll("pre")) pre.before(element("p", {class: "faint"}, pre.dataset.file));
    }
    this.root = element("section", {class: "side", "aria-label": `Recording ${this.letter} ${model}`}, this.title, this.lost, this.figures, this.sentence,
      element("div", {class: "columns"}, element("div", {}, lanes, this.more), aside));
  }

  facts() {
    const r = this.recording;
    const parts = [many(r.count, "event"), r.isForking ? many(r.servers, "process", "processes") : many(r.servers, "thread"), many(r.connections.length, "connection"), many(r.requestCount, "request")];
    if (r.lost > 0) parts.push(`${r.lost.toLocaleString("en")} older events are lost`);
    return parts.join(", ");
  }

  time(i) { return this.recording.end[i] - this.zero; }

  // Draws the events from `low` up to `high`, of which those up to `last` have happened.
  draw(view) {
    const {low, high, last, clock, width, now} = view, r = this.recording;
    this.view = view;
    this.x = moment => clock.at(moment - this.zero);
    const left = r.stateAfter(low - 1);
    this.state = last < low ? r.stateAfter(last) : null;
    const spans = this.spans(left, low, high, last);
    const rows = this.rows(left, low, high);
    // Many lanes are low, but for those of loops. Of several recordings, so are those of more than a few connections.
    const isMany = rows.length > MANY, isCrowded = this.letter && rows.filter(row => row.conn !== undefined).length > SOME;
    let height = AXIS;
    for (const row of rows) {
      row.y = height;
      const {isLoop, isClient} = row.conn === undefined ? r.threads[row.thread] : {};
      const isLow = isMany ? !isLoop : isClient || (isCrowded && row.conn !== undefined);
      row.isLow = isLow;
      row.height = isLow ? LOW_ROW : row.conn !== undefined ? HIGH_ROW : ROW;
      // Labels have more lines there.
      if (NARROW.matches && !isMany) row.height = isLow ? 56 : row.conn !== undefined ? 92 : HIGH_ROW;
      height += row.height;
    }
    this.svg.replaceChildren();
    for (const [key, value] of Object.entries({width, height, viewBox: `0 0 ${width} ${height}`})) this.svg.setAttribute(key, value);
    this.svg.setAttribute("aria-label", `Lanes around ${moment(now)}; the sentence and the labels say the same in words`);
    this.drawAxis(height);
    for (const row of rows) this.drawRow(row, spans);
    this.drawCursor(height);
    this.drawNamed(rows);
    this.drawLabels(rows);
    this.describe(last);
  }

  // What was done from when to when, by thread and by connection.
  spans(state, low, high, last) {
    const r = this.recording, spans = {threads: r.threads.map(() => []), connections: new Map(), open: new Map()};
    const of = conn => spans.connections.get(conn) || spans.connections.set(conn, {bands: [], marks: [], calls: []}).get(conn);
    const begun = new Map();
    const watch = (conn, at) => {
      const does = state.get(conn, DOES), is = state.get(conn, IN_STATE), now = begun.get(conn);
      if (now && now.does === does && now.is === is) return;
      if (now) of(conn).bands.push({...now, to: at});
      begun.set(conn, {does, is, from: at});
    };
    const alive = conn => state.get(conn, DOES) !== ABSENT && state.get(conn, DOES) !== GONE;
    for (let conn = 0; conn < r.connections.length; conn++) if (alive(conn)) watch(conn, -Infinity);
    for (let i = low; i <= high; i++) {
      state.apply(i);
      if (i === last) this.state = state.copy();
      spans.threads[r.thread[i]].push(i);
      const conn = r.conn[i];
      if (conn < 0) continue;
      watch(conn, r.end[i]);
      (r.kind[i] === CALL ? of(conn).calls : of(conn).marks).push(i);
    }
    for (const [conn, now] of begun) of(conn).bands.push({...now, to: Infinity});
    // A call that began in sight may end out of sight.
    r.threads.forEach((_, thread) => {
      const last = state.last[thread], next = last < 0 ? r.first[thread] : r.next[last];
      if (next >= 0 && r.kind[next] === CALL && r.conn[next] >= 0) of(r.conn[next]).calls.push(next);
    });
    this.after = state;
    return spans;
  }

  // The lanes: first the threads, then the connections. If there are too many, those at which nothing happens are left out.
  rows(left, low, high) {
    const r = this.recording, busy = new Set(), busyThreads = new Set();
    for (let i = low; i <= high; i++) {
      busy.add(r.conn[i]);
      busyThreads.add(r.thread[i]);
    }
    // A few keep their lanes, so that the picture stays in place.
    const isThere = conn => r.connections.length <= FEW || (r.connections[conn].first <= high && left.get(conn, DOES) !== GONE);
    const all = [...r.connections.keys()].filter(isThere);
    const fits = (list, some, most) => list.length <= most ? list : list.filter(some).slice(0, most);
    const connections = fits(all, conn => busy.has(conn) || conn === this.selected, MAX_ROWS);
    // What clients do is the cause of all else, so they come first.
    const ordered = [true, false].flatMap(isClient => [...r.threads.keys()].filter(thread => !!r.threads[thread].isClient === isClient));
    const threads = fits(ordered, thread => busyThreads.has(thread), MAX_ROWS);
    const hidden = [[r.threads.length - threads.length, "thread"], [all.length - connections.length, "connection"]].filter(([count]) => count > 0);
    this.more.textContent = hidden.length ? `Not shown, since nothing happens there now: ${hidden.map(([count, what]) => many(count, what)).join(", ")}.` : "";
    return [...threads.map(thread => ({thread})), ...connections.map(conn => ({conn}))];
  }

  drawAxis(height) {
    const {clock, width} = this.view;
    if (!clock.shortens) return this.drawTicks(height);
    let free = 4;
    for (let i = 0; i < clock.times.length; i++) {
      const x = clock.places[i] + clock.shift;
      if (x < free || x > width - 92) continue;
      const isGap = clock.gaps.includes(i + 1);
      this.svg.append(shape("path", {class: "tick", d: `M${x} 16v8`}), text(x + 3, 14, moment(clock.times[i]), "faint"));
      free = x + 104 + (isGap ? GAP : 0);
    }
    for (const i of clock.gaps) {
      const from = clock.places[i - 1] + clock.shift, length = clock.times[i] - clock.times[i - 1];
      if (from < -GAP || from > width) continue;
      this.svg.append(shape("rect", {class: "gap", x: from, y: AXIS, width: GAP, height: height - AXIS}, `nothing happens for ${time(length)}: drawn shorter`));
    }
  }

  // Round times at equal distances, where all time is equally wide.
  drawTicks(height) {
    const {clock, width} = this.view, zero = clock.at(0), least = 90 / clock.scale;
    const power = 10 ** Math.floor(Math.log10(least)), step = power * [1, 2, 5, 10].find(one => one * power >= least);
    for (let i = Math.ceil(-zero / clock.scale / step); ; i++) {
      const x = zero + i * step * clock.scale;
      if (x > width - 40) break;
      this.svg.append(shape("path", {class: "tick", d: `M${x} 16V${height}`}), text(x + 3, 14, rounded(i * step, step), "faint"));
    }
  }

  drawRow(row, spans) {
    const {width} = this.view;
    this.svg.append(shape("path", {class: "rule", d: `M0 ${row.y + row.height}H${width}`}));
    if (row.conn === undefined) this.drawThread(row, spans.threads[row.thread]);
    else this.drawConnection(row, spans.connections.get(row.conn));
  }

  // A rectangle that ends at the edges of the picture.
  box(kind, from, to, y, height, title, least = 0) {
    const {width} = this.view;
    const begin = Math.max(from, -2), end = Math.min(Math.max(to, from + least), width + 2);
    if (end <= begin || begin > width) return 0;
    this.svg.append(shape("rect", {class: kind, x: begin, y, width: end - begin, height, rx: 2}, title));
    return end - begin;
  }

  drawThread({thread, y, isLow}, events) {
    const r = this.recording;
    const calls = events.filter(i => r.kind[i] === CALL && r.call(i) !== "close");
    const last = events.length ? events[events.length - 1] : this.after.last[thread];
    const next = last < 0 ? r.first[thread] : r.next[last];
    // A call that began in sight may end out of sight.
    if (next >= 0 && r.kind[next] === CALL) calls.push(next);
    let waits = -1;
    for (const i of events) {
      if (r.kind[i] === WAITS) waits = i;
    }
    if (waits === last && waits >= 0 && next < 0) this.drawSleep(waits, this.x(r.end[waits]), Infinity, y + (isLow ? 4 : 6), isLow ? 15 : 20, "until the end");
    for (const i of calls) this.drawCall(i, y + (isLow ? 4 : 6), isLow ? 15 : 20);
    if (r.threads[thread].isClient) for (const i of events) if (r.call(i) === "close" && r.kind[i] === CALL) this.drawCross(i, y);
    if (!isLow) this.drawTurns(events, y + 30, calls.filter(i => r.sleeps[i]).map(i => r.extent(i).map(moment => this.x(moment))));
    for (const i of events) {
      if (r.kind[i] === FOUND) this.svg.append(shape("circle", {class: "found", cx: this.x(r.end[i]), cy: y + 4, r: 3}, this.words.sentence(i)));
      if (r.kind[i] === QUEUED || r.kind[i] === COMPLETED) {
        this.svg.append(shape("rect", {class: r.kind[i] === QUEUED ? "queued" : "found", x: this.x(r.end[i]) - 2.5, y: y + 1.5, width: 5, height: 5}, this.words.sentence(i)));
      }
    }
  }

  // A call in which a thread sleeps, or a client waits, with as many words as fit.
  drawSleep(i, from, to, y, height, span) {
    const r = this.recording, name = r.call(i), conn = r.conn[i], {isClient} = r.threads[r.thread[i]];
    const words = isClient ? clientWaits(name) : `asleep in ${name}${conn >= 0 ? ` for ${r.connections[conn].label}` : ""}`;
    const wants = isClient && (["recv", "send", "connect"].includes(name) || name.startsWith("waits"));
    const width = this.box(wants ? "wants" : "sleep", from, to, y, height, `${this.words.who(r.thread[i])}: ${words}, ${span}`, 2);
    const label = [`${words}, ${span}`, `${wants ? "waits" : isClient ? "" : name}, ${span}`.replace(/^, /, ""), isClient ? span : name].find(one => one.length * 6.8 <= width - 6);
    if (label) this.svg.append(text(Math.max(from, 0) + 4, y + height - 5, label, "faint"));
  }

  drawCall(i, y, height) {
    const r = this.recording, name = r.call(i);
    const from = this.x(r.begin[i]), to = this.x(r.end[i]), title = this.words.sentence(i);
    if (r.sleeps[i]) return this.drawSleep(i, from, to, y, height, time(r.end[i] - r.begin[i]));
    const failed = r.value[i] < 0 ? " refused" : "";
    const width = this.box(`call ${GROUPS[name] || "other"}${failed}`, from, to, y, height, title, 3);
    const label = fitted(name, width);
    if (label) this.svg.append(text(Math.max(from, 0) + 3, y + height - 5, label, "on"));
  }

  // The connections for which a thread runs, below its calls. It does not while it sleeps.
  drawTurns(events, y, sleeps) {
    const r = this.recording;
    let begun = null;
    const end = at => {
      if (!begun) return;
      for (const [from, to] of awake(begun.x, Math.max(at, begun.x + 2), sleeps)) {
        const width = this.box("acts", from, to, y, 12, `runs for ${this.words.connection(begun.conn)}`, 1);
        const label = fitted(r.connections[begun.conn].label, width);
        if (label) this.svg.append(text(Math.max(from, 0) + 3, y + 11, label, "on"));
      }
      begun = null;
    };
    for (const i of events) {
      const starts = r.kind[i] === TURN || (r.kind[i] === OPENED && !r.threads[r.thread[i]].isLoop);
      const stops = (r.kind[i] === STOP || r.kind[i] === CLOSED) && r.conn[i] >= 0;
      if (!begun && stops && !events.some(j => j < i && r.conn[j] === r.conn[i] && r.kind[j] === STOP)) begun = {x: -2, conn: r.conn[i]};
      if (starts || stops) end(this.x(r.end[i]));
      if (starts && r.conn[i] >= 0) begun = {x: this.x(r.end[i]), conn: r.conn[i]};
    }
    const thread = events.length ? r.thread[events[0]] : -1;
    const stays = thread >= 0 && !r.threads[thread].isLoop ? this.after.acts[thread] : -1;
    if (!begun && stays >= 0 && this.after.get(stays, DOES) === ACTING) begun = {x: -2, conn: stays};
    end(Infinity);
  }

  drawConnection({y, height, isLow}, spans) {
    if (!spans) return;
    const r = this.recording, edge = isLow ? 1 : 3;
    const sleeps = spans.calls.filter(i => r.sleeps[i]).map(i => [this.x(r.begin[i]), this.x(r.end[i])]);
    for (const {does, is, from, to} of spans.bands) {
      if (does === ABSENT || does === GONE) continue;
      const [a, b] = [from === -Infinity ? -2 : this.x(from), to === Infinity ? this.view.width + 2 : this.x(to)];
      const name = r.state(is), width = this.box(`band ${slug(name)}`, a, b, y + edge, height - 2 * edge, `${name}; ${["", "in the ready list", "acts", "waits"][does]}`);
      if (does === READY) this.box("is-ready", a, b, y + height - edge - 5, 5, "", 1);
      if (does === ACTING) for (const [from, to] of awake(a, Math.max(b, a + 1), sleeps)) this.box("acts", from, to, y + height - edge - 5, 5);
      const label = does === ACTING || isLow ? "" : fitted(name, width);
      if (label) this.svg.append(text(Math.max(a, 0) + 4, y + height - 12, label, "faint"));
    }
    for (const i of spans.calls) if (r.call(i) !== "close") this.drawCall(i, y + (isLow ? 2 : 5), isLow ? 15 : 17);
    for (const i of spans.marks) this.drawMark(i, y, height);
  }

  drawMark(i, y, height) {
    const r = this.recording, x = this.x(r.end[i]), title = this.words.sentence(i);
    if (r.kind[i] === OPENED) this.svg.append(shape("path", {class: "opened", d: `M${x} ${y + 3}v${height - 6}`}, title));
    if (r.kind[i] === CLOSED) this.drawCross(i, y);
    if (r.kind[i] === FOUND) this.svg.append(shape("circle", {class: "found", cx: x, cy: y + 4, r: 3}, title));
    if (r.kind[i] === REQUEST) this.svg.append(shape("path", {class: "request", d: `M${x} ${y + 3}l5 6l-5 6z`}, title));
    if (r.kind[i] === ANSWERED) this.svg.append(shape("path", {class: "answered", d: `M${x - 3} ${y + 12}l3 4l6 -8`}, title));
  }

  drawCross(i, y) {
    this.svg.append(shape("path", {class: "closed", d: `M${this.x(this.recording.end[i]) - 5} ${y + 6}l10 10m0 -10l-10 10`}, this.words.sentence(i)));
  }

  drawCursor(height) {
    const {clock, now, width} = this.view, x = clock.at(now);
    this.svg.append(shape("rect", {class: "future", x, y: AXIS, width: Math.max(width - x, 0), height: height - AXIS}),
      shape("path", {class: "cursor", d: `M${x} ${AXIS - 8}V${height}`}), shape("path", {class: "head", d: `M${x - 5} ${AXIS - 10}h10l-5 8z`}));
  }

  // An outline around the event that a link names, in its thread's lane and in its connection's.
  drawNamed(rows) {
    const r = this.recording, i = this.named;
    if (i < 0) return;
    const [from, to] = r.extent(i).map(moment => this.x(moment)), more = Math.max(0, 14 - (to - from)) / 2 + 3;
    for (const {thread, conn, y, height} of rows) {
      if (conn === undefined ? thread === r.thread[i] : conn === r.conn[i]) this.box("named", from - more, to + more, y + 1.5, height - 3);
    }
  }

  drawLabels(rows) {
    const now = this.view.now + this.zero, {state, words} = this, r = this.recording;
    const hasLoops = r.threads.filter(thread => thread.isLoop).length > 1;
    while (this.labels.children.length > rows.length) this.labels.lastChild.remove();
    rows.forEach((row, index) => {
      if (!this.labels.children[index]) this.labels.append(element("button", {type: "button"}, element("b"), element("span")));
      const label = this.labels.children[index], isConnection = row.conn !== undefined;
      const [name, does] = isConnection ? [r.connections[row.conn].label, words.does(state, row.conn, now)]
        : [r.threads[row.thread].name, words.doing(state, row.thread, now)];
      const there = isConnection && state.get(row.conn, DOES) !== ABSENT && state.get(row.conn, DOES) !== GONE;
      const is = there ? r.state(state.get(row.conn, IN_STATE)) : "";
      const owner = there && hasLoops ? `, ${r.threads[state.get(row.conn, OWNER)].name}` : "";
      label.firstChild.textContent = is ? `${name}${owner} ${is}` : name;
      label.lastChild.textContent = [does, isConnection && there ? words.buffers(state, row.conn) : ""].filter(part => part).join("; ");
      label.title = `${label.firstChild.textContent}: ${label.lastChild.textContent}`;
      label.className = `${isConnection ? "connection" : "thread"}${row.isLow ? " low" : ""}${row.height === LOW_ROW ? " one-line" : ""}`;
      label.style.height = `${row.height}px`;
      label.disabled = !isConnection;
      label.setAttribute("aria-pressed", isConnection && row.conn === this.selected);
      label.onclick = isConnection ? () => select(this, row.conn) : null;
    });
  }

  // All that is said in words beside the lanes.
  describe(last) {
    const r = this.recording, {state, words} = this, now = this.view.now + this.zero;
    this.sentence.textContent = last >= 0 ? words.sentence(last) : "Nothing has happened yet.";
    this.sentence.hidden = !this.letter;
    const loops = [...r.threads.keys()].filter(thread => r.threads[thread].isLoop);
    const ready = loops.map(thread => [thread, state.ready(thread)]);
    this.ready.replaceChildren(...this.listed(ready, loops.length));
    this.asleep.textContent = this.sleepers(now);
    this.chosen.textContent = this.selected === undefined ? "Select one by its label." : this.selectedInWords(now);
    this.mark(last, now);
  }

  listed(ready, loops) {
    if (!loops) return ["This model has none: the kernel chooses the thread that runs."];
    return ready.flatMap(([thread, list]) => {
      const name = loops > 1 ? [`${thread === ready[0][0] ? "" : "; "}${this.recording.threads[thread].name}: `] : [];
      if (!list.length) return [...name, "empty"];
      const shown = list.slice(0, 24).map(conn => element("span", {class: "chip"}, this.recording.connections[conn].label));
      return [...name, ...shown, list.length > 24 ? ` and ${list.length - 24} more` : ""];
    });
  }

  // Which threads sleep, and on what.
  sleepers(now) {
    const r = this.recording, kinds = new Map();
    for (const thread of r.threads.keys()) {
      const {call, sleeps, waits, since} = this.state.doing(thread, now);
      if (!sleeps || r.threads[thread].isClient) continue;
      const acts = this.state.acts[thread];
      const on = acts >= 0 && !r.threads[thread].isLoop ? `${call}, for one connection` : `${call}${r.threads[thread].isLoop ? ", for all connections" : ""}`;
      const limit = waits >= 0 && r.value[waits] > 0 ? r.end[waits] + r.value[waits] : Infinity;
      const one = kinds.get(on) || {names: [], limit: Infinity};
      one.names.push(r.threads[thread].name);
      one.limit = Math.min(one.limit, limit);
      one.on = acts >= 0 && !r.threads[thread].isLoop && one.names.length === 1 ? `${call} for ${r.connections[acts].label}, ${time(now - since)}` : on;
      kinds.set(on, one);
    }
    let idle = 0;
    for (let conn = 0; conn < r.connections.length; conn++) {
      const owner = r.threads[this.state.get(conn, OWNER)];
      idle += this.state.get(conn, DOES) === WAITING && owner.isLoop;
    }
    const threads = [...kinds.values()].map(({on, names, limit}) => {
      const who = names.length > 2 ? many(names.length, "thread") : names.join(" and ");
      return `${who} in ${on}${isFinite(limit) && limit > now ? `, ${time(limit - now)} at most` : ""}`;
    });
    if (idle) threads.push(`${many(idle, "connection")} ${idle === 1 ? "waits" : "wait"} without a thread`);
    return threads.length ? `${capital(threads.join("; "))}.` : "Nothing.";
  }

  selectedInWords(now) {
    const r = this.recording, conn = this.selected, {state, words} = this, connection = r.connections[conn];
    const answers = state.get(conn, ANSWERS), since = state.get(conn, SINCE), buffers = words.buffers(state, conn);
    const parts = [`${words.connection(conn)}, descriptor ${connection.fd}: ${words.does(state, conn, now)}`];
    if (state.get(conn, DOES) !== ABSENT && state.get(conn, DOES) !== GONE) parts.push(`state “${r.state(state.get(conn, IN_STATE))}”`);
    if (since >= 0) parts.push(`for ${time(now - r.end[since])}`);
    if (since >= 0 && r.kind[since] === STOP && isFinite(r.extra[since])) parts.push(`${r.name("deadlines", r.detail[since])} deadline in ${time(r.extra[since] - now)}`);
    if (answers >= 0) parts.push(`answers ${r.target(answers)} with ${r.detail[answers]}`);
    if (buffers) parts.push(buffers);
    return `${capital(parts.join("; "))}.`;
  }

  // The word of the course's line that runs: that of what sleeps now, or of the last event that has a line.
  courseWord(end, now) {
    const r = this.recording;
    let last = end;
    // Clients and a thread that waits for signals have no line.
    const without = new Set(["client", "main thread"]);
    while (last >= 0 && without.has(r.threads[r.thread[last]].role)) last--;
    if (last < 0) return "";
    const known = new Set(this.lines.flatMap(line => line.dataset.events.split(" ")));
    const {call, sleeps} = this.state.doing(r.thread[last], now);
    if (sleeps && known.has(call) && call !== "poll") return call;
    for (let i = last; i >= 0 && i > last - 300; i--) {
      const word = r.thread[i] === r.thread[last] ? this.words.courseWord(this.state, i) : "";
      if (known.has(word)) return word;
    }
    return "";
  }

  // Marks the lines of the course that do what has happened last, or what sleeps now.
  mark(last, now) {
    if (!this.lines.length) return;
    const word = this.courseWord(last, now);
    for (const line of this.lines) {
      const runs = line.dataset.events.split(" ").includes(word) && word !== "";
      line.className = runs ? "runs" : "";
      if (runs) line.setAttribute("aria-current", "step"); else line.removeAttribute("aria-current");
    }
  }
}
