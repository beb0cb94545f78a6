// Reads recordings (docs/recording.md), and knows the state at each of their events.

const KINDS = ["", "call", "waits", "found", "queued", "completed", "turn", "stop", "buffers", "step", "opened", "closed",
  "expired", "woken", "request", "text", "answered", "forked"];
const [, CALL, WAITS, FOUND, QUEUED, COMPLETED, TURN, STOP, BUFFERS, STEP, OPENED, CLOSED, EXPIRED, WOKEN, REQUEST, TEXT,
  ANSWERED, FORKED] = KINDS.keys();
const TABLE = {calls: 2, sources: 3, reasons: 4, ends: 5, operations: 6, deadlines: 7, states: 8};
const SENDS = new Set(["send", "sendmsg", "sendfile"]);
const POLLERS = new Set(["epoll_wait", "poll", "select", "io_uring_enter", "runtime"]);
const EVENT_SIZE = 32;
const UTF8 = new TextDecoder();

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const binary = atob(base64), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// A recording. Its columns have a number for each event, in the order in which events have ended; `begin` and `end` are in
// nanoseconds. The program has checked the bytes.
class Recording {
  constructor(bytes) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes = bytes;
    // The bytes of targets by the place of their request, and the targets by its number.
    this.texts = new Map();
    this.targets = new Map();
    this.readHeader();
    this.merge(this.readParts());
    this.texts = null;
    this.nameConnections();
    this.nameThreads();
    this.analyze();
  }

  u64(at) { return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32; }

  readHeader() {
    const view = this.view;
    this.lost = this.u64(40);
    this.completeSince = this.u64(48);
    this.position = view.getUint32(12, true);
    this.facts = new Map();
    for (let left = view.getUint32(56, true); left; left--) {
      const key = this.readText();
      this.facts.set(key, this.readText());
    }
    this.hasRing = this.facts.get("model") === "io-uring";
    this.names = new Map();
    for (let left = view.getUint32(60, true); left; left--) {
      const key = this.bytes[this.position] * 256 + this.bytes[this.position + 1];
      this.position += 2;
      this.names.set(key, this.readText());
    }
    this.reasonNames = Array.from({length: 256}, (_, number) => this.name("reasons", number));
    this.callNames = Array.from({length: 256}, (_, number) => this.name("calls", number));
  }

  readText() {
    const begin = this.position + 2;
    this.position = begin + this.view.getUint16(this.position, true);
    return UTF8.decode(this.bytes.subarray(begin, this.position));
  }

  // The places of each thread's events, with the times at which they ended.
  readParts() {
    const threads = new Map();
    for (let left = this.view.getUint32(64, true); left; left--) {
      const [process, id, count] = [0, 4, 8].map(at => this.view.getUint32(this.position + at, true));
      const key = `${process} ${id}`;
      if (!threads.has(key)) threads.set(key, {process, id, places: [], ends: [], target: null});
      const thread = threads.get(key);
      this.position += 12;
      for (let i = 0; i < count; i++, this.position += EVENT_SIZE) this.readEvent(thread, this.position);
    }
    this.threads = [...threads.values()];
    return this.threads;
  }

  readEvent(thread, at) {
    const kind = this.bytes[at + 8];
    if (kind === TEXT) {
      if (thread.target) for (let i = 0; i < Math.min(this.bytes[at + 9], 16); i++) thread.target.push(this.bytes[at + 16 + i]);
      return;
    }
    if (kind === REQUEST) this.texts.set(at, thread.target = []);
    const end = this.u64(at) + (kind === CALL ? this.u64(at + 24) : 0);
    const latest = thread.ends.length ? thread.ends[thread.ends.length - 1] : 0;
    thread.places.push(at);
    thread.ends.push(Math.max(end, latest));
  }

  // Merges the threads, two by two, and fills the columns.
  merge(threads) {
    let runs = threads.map((thread, index) => ({
      ends: Float64Array.from(thread.ends), places: Uint32Array.from(thread.places), owners: new Uint16Array(thread.ends.length).fill(index),
    }));
    for (const thread of threads) thread.places = thread.ends = null;
    while (runs.length > 1) {
      const next = [];
      for (let i = 0; i < runs.length; i += 2) next.push(i + 1 < runs.length ? mergeRuns(runs[i], runs[i + 1]) : runs[i]);
      runs = next;
    }
    const {ends, places, owners} = runs[0] || {ends: new Float64Array(0), places: new Uint32Array(0), owners: new Uint16Array(0)};
    const count = this.count = ends.length;
    Object.assign(this, {end: ends, thread: owners, begin: new Float64Array(count), kind: new Uint8Array(count),
      code: new Uint8Array(count), detail: new Uint16Array(count), fd: new Int32Array(count), value: new Float64Array(count),
      extra: new Float64Array(count), conn: new Int32Array(count).fill(-1), next: new Int32Array(count).fill(-1), sleeps: new Uint8Array(count)});
    for (let i = 0; i < count; i++) this.fill(i, places[i]);
    this.first = new Int32Array(threads.length).fill(-1);
    for (let i = count - 1; i >= 0; i--) {
      this.next[i] = this.first[owners[i]];
      this.first[owners[i]] = i;
      // A call that may sleep is announced.
      if (this.kind[i] === WAITS && this.next[i] >= 0) this.sleeps[this.next[i]] = 1;
    }
  }

  fill(i, at) {
    const view = this.view;
    this.kind[i] = view.getUint8(at + 8);
    this.code[i] = view.getUint8(at + 9);
    this.detail[i] = view.getUint16(at + 10, true);
    this.fd[i] = view.getInt32(at + 12, true);
    this.value[i] = view.getUint32(at + 16, true) + view.getInt32(at + 20, true) * 2 ** 32;
    const never = view.getUint32(at + 24, true) === 0xffffffff && view.getUint32(at + 28, true) === 0xffffffff;
    this.extra[i] = never ? Infinity : this.u64(at + 24);
    this.begin[i] = this.kind[i] === CALL ? Math.min(this.u64(at), this.end[i]) : this.end[i];
    const text = this.kind[i] === REQUEST ? this.texts.get(at) : null;
    if (text) {
      this.targets.set(i, UTF8.decode(Uint8Array.from(text)));
    }
  }

  // The method and target of a request.
  target(i) { return this.targets.get(i) || "a request"; }

  name(table, number) { return this.names.get(TABLE[table] * 256 + number) || `${table} ${number}`; }

  // The name of an event's call.
  call(i) { return this.callNames[this.code[i]]; }

  state(number) { return number === 0 ? "unknown" : this.name("states", number); }

  // Gives each event its connection. A descriptor whose opening is lost is a connection, too.
  nameConnections() {
    const open = new Map(), isOf = new Set([TURN, STOP, BUFFERS, STEP, CLOSED, EXPIRED, WOKEN, REQUEST, ANSWERED]);
    this.connections = [];
    for (let i = 0; i < this.count; i++) {
      const kind = this.kind[i], fd = this.fd[i];
      if (fd < 0) continue;
      const key = this.threads[this.thread[i]].process * 2 ** 31 + fd;
      if (kind === OPENED) open.set(key, this.addConnection(fd, i, this.value[i]));
      else if (!open.has(key)) {
        const isConnection = isOf.has(kind) || (kind === FOUND && this.code[i] === 0)
          || (kind === CALL && (this.call(i) === "recv" || SENDS.has(this.call(i))));
        if (isConnection) open.set(key, this.addConnection(fd, i, null));
      }
      const conn = open.has(key) ? open.get(key) : -1;
      this.conn[i] = conn;
      if (conn < 0) continue;
      const connection = this.connections[conn];
      connection.last = i;
      if (kind === STEP && connection.initial === null) connection.initial = this.detail[i];
      if (kind === CLOSED) open.delete(key);
    }
  }

  addConnection(fd, first, number) {
    const label = number === null ? `fd ${fd}` : `#${number}`;
    return this.connections.push({fd, first, number, label, last: first, initial: null}) - 1;
  }

  // A thread with turns is an event loop.
  nameThreads() {
    for (let i = 0; i < this.count; i++) {
      const thread = this.threads[this.thread[i]];
      if (this.kind[i] === TURN) thread.isLoop = true;
      if (this.kind[i] === OPENED) thread.serves = true;
      if (this.kind[i] === CALL && this.call(i) === "accept4") thread.accepts = true;
    }
    const isForking = this.isForking = new Set(this.threads.map(thread => thread.process)).size > 1;
    const counts = {};
    for (const thread of this.threads) {
      const isMain = thread.id === thread.process && !thread.accepts && !thread.serves && !isForking;
      const role = thread.isLoop ? "loop" : isMain ? "main thread" : thread.accepts && !thread.serves ? "acceptor" : isForking ? "process" : "thread";
      thread.number = counts[role] = (counts[role] || 0) + 1;
      thread.role = role;
    }
    for (const thread of this.threads) thread.name = counts[thread.role] > 1 ? `${thread.role} ${thread.number}` : thread.role;
  }

  // Keeps states on the way, and finds the requests with their durations.
  analyze() {
    this.stride = Math.max(1024, Math.ceil(this.count / 64));
    this.kept = [];
    this.requests = [];
    const state = new State(this), began = new Map(), pending = new Map();
    for (let i = 0; i < this.count; i++) {
      if (i % this.stride === 0) this.kept.push(state.copy());
      state.apply(i);
      this.follow(i, began, pending);
    }
    this.requests.sort((a, b) => a.index - b.index);
  }

  // A request begins when its connection is found ready for input, and ends when all is sent.
  follow(i, began, pending) {
    const conn = this.conn[i], kind = this.kind[i];
    if (conn < 0) return;
    const isInput = (kind === CALL && this.call(i) === "recv" && this.value[i] > 0) || (kind === COMPLETED && this.value[i] > 0);
    if ((kind === FOUND || isInput) && !began.has(conn)) began.set(conn, {at: this.begin[i], isSure: isInput});
    else if (isInput) began.get(conn).isSure = true;
    else if (kind === STOP && began.has(conn) && !began.get(conn).isSure && !(pending.get(conn) || []).length) began.delete(conn);
    if (kind === REQUEST) {
      const begin = began.has(conn) ? began.get(conn).at : this.end[i];
      const request = {index: i, conn, begin, end: null, status: this.detail[i]};
      this.requests.push(request);
      pending.set(conn, [...(pending.get(conn) || []), request]);
    } else if (kind === ANSWERED || kind === CLOSED) {
      for (const request of pending.get(conn) || []) if (kind === ANSWERED) request.end = this.end[i];
      pending.delete(conn);
      began.delete(conn);
    }
  }

  // The state after the events up to this one.
  stateAfter(last) {
    const state = this.kept.length ? this.kept[Math.min(Math.floor((last + 1) / this.stride), this.kept.length - 1)].copy() : new State(this);
    while (state.count <= last) state.apply(state.count);
    return state;
  }
}

function mergeRuns(a, b) {
  const count = a.ends.length + b.ends.length;
  const merged = {ends: new Float64Array(count), places: new Uint32Array(count), owners: new Uint16Array(count)};
  for (let i = 0, j = 0, k = 0; k < count; k++) {
    const isFirst = j === b.ends.length || (i < a.ends.length && a.ends[i] <= b.ends[j]);
    const [run, at] = isFirst ? [a, i++] : [b, j++];
    merged.ends[k] = run.ends[at];
    merged.places[k] = run.places[at];
    merged.owners[k] = run.owners[at];
  }
  return merged;
}

// What a connection does.
const ABSENT = 0, READY = 1, ACTING = 2, WAITING = 3, GONE = 4;

// Each connection has these numbers. All but the first two and `owner` are numbers of events; -1 is none.
const [DOES, IN_STATE, OWNER, SINCE, PLACE, ANSWERS, HOLDS, FULL, INPUT] = Array(9).keys();
const WIDTH = 9;

// The state of everything after a number of events. It is a function of the recording alone.
class State {
  constructor(recording) {
    this.recording = recording;
    this.count = 0;
    this.last = new Int32Array(recording.threads.length).fill(-1);
    this.acts = new Int32Array(recording.threads.length).fill(-1);
    this.cells = new Int32Array(recording.connections.length * WIDTH).fill(-1);
    recording.connections.forEach((connection, conn) => {
      const isThere = connection.number === null, owner = recording.thread[connection.first];
      const isServed = isThere && !recording.threads[owner].isLoop;
      this.set(conn, DOES, isServed ? ACTING : isThere ? WAITING : ABSENT);
      this.set(conn, IN_STATE, connection.initial || 0);
      this.set(conn, OWNER, owner);
      if (isServed && this.acts[owner] < 0) this.acts[owner] = conn;
    });
  }

  copy() {
    const copy = Object.create(State.prototype);
    return Object.assign(copy, this, {last: this.last.slice(), acts: this.acts.slice(), cells: this.cells.slice()});
  }

  get(conn, field) { return this.cells[conn * WIDTH + field]; }

  set(conn, field, value) { this.cells[conn * WIDTH + field] = value; }

  apply(i) {
    const {kind, conn, thread} = this.recording;
    this.count = i + 1;
    this.last[thread[i]] = i;
    if (conn[i] >= 0) this.applyTo(conn[i], i, kind[i], thread[i]);
  }

  applyTo(conn, i, kind, thread) {
    const {code, detail, value, threads} = this.recording;
    switch (kind) {
      case OPENED:
        this.set(conn, OWNER, thread);
        if (threads[thread].isLoop) return this.queue(conn, i);
        return this.act(conn, i, thread);
      case FOUND:
        if (detail[i] & 5) this.set(conn, INPUT, i);
        if (detail[i] & 2) this.set(conn, FULL, -1);
        return this.queue(conn, i);
      case COMPLETED: case EXPIRED: case WOKEN: return this.queue(conn, i);
      case TURN: return this.act(conn, i, thread);
      case STOP: return this.stop(conn, i, code[i], thread);
      case BUFFERS: return this.set(conn, HOLDS, i);
      case STEP: return this.set(conn, IN_STATE, code[i]);
      case REQUEST: return this.set(conn, ANSWERS, i);
      case ANSWERED: return this.set(conn, ANSWERS, -1);
      case CALL: return this.applyCall(conn, i, value[i]);
      case CLOSED:
        if (this.acts[thread] === conn) this.acts[thread] = -1;
        this.set(conn, DOES, GONE);
        this.set(conn, PLACE, -1);
        return this.set(conn, SINCE, i);
    }
  }

  // Puts a connection at the end of the ready list, unless it is in it already.
  queue(conn, i) {
    const does = this.get(conn, DOES);
    if (does === READY || does === ACTING) return;
    this.set(conn, DOES, READY);
    this.set(conn, SINCE, i);
    this.set(conn, PLACE, i);
  }

  act(conn, i, thread) {
    this.acts[thread] = conn;
    this.set(conn, DOES, ACTING);
    this.set(conn, OWNER, thread);
    this.set(conn, SINCE, i);
    this.set(conn, PLACE, -1);
  }

  stop(conn, i, reason, thread) {
    const name = this.recording.reasonNames[reason];
    if (this.acts[thread] === conn) this.acts[thread] = -1;
    this.set(conn, DOES, WAITING);
    this.set(conn, SINCE, i);
    this.set(conn, HOLDS, -1);
    // Under io_uring the kernel sends as soon as it can.
    if (name === "send" && !this.recording.hasRing) this.set(conn, FULL, i);
    if (name === "receive") this.set(conn, INPUT, -1);
    if (name === "budget" || name === "work") this.queue(conn, i);
  }

  applyCall(conn, i, value) {
    const name = this.recording.call(i);
    if (name === "recv" && value <= 0) this.set(conn, INPUT, -1);
    if (SENDS.has(name)) this.set(conn, FULL, value === -11 ? i : -1);
  }

  // The connections that are ready, in their order, of one thread.
  ready(thread) {
    const all = [];
    for (let conn = 0; conn < this.recording.connections.length; conn++) {
      if (this.get(conn, DOES) === READY && this.get(conn, OWNER) === thread) all.push(conn);
    }
    return all.sort((a, b) => this.get(a, PLACE) - this.get(b, PLACE));
  }

  // What a thread does at a time that is not before the last event: the call that it is in, and whether that sleeps.
  doing(thread, now) {
    const {recording} = this, last = this.last[thread];
    const next = last < 0 ? recording.first[thread] : recording.next[last];
    const waits = last >= 0 && recording.kind[last] === WAITS;
    if (next >= 0 && recording.kind[next] === CALL && recording.begin[next] <= now) {
      const name = recording.call(next);
      return {call: name, since: recording.begin[next], sleeps: recording.sleeps[next] === 1, waits: waits ? last : -1};
    }
    if (waits) return {call: recording.call(last), since: recording.end[last], sleeps: true, waits: last};
    return {call: null, since: last < 0 ? 0 : recording.end[last], sleeps: false, waits: -1, isOver: next < 0, isNew: last < 0};
  }
}
