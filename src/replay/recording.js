// Reads recordings (docs/recording.md).

const KINDS = ["", "call", "waits", "found", "queued", "completed", "turn", "stop", "buffers", "step", "opened", "closed",
  "expired", "woken", "request", "text", "answered", "forked"];
const [, CALL, WAITS, FOUND, QUEUED, COMPLETED, TURN, STOP, BUFFERS, STEP, OPENED, CLOSED, EXPIRED, WOKEN, REQUEST, TEXT,
  ANSWERED, FORKED] = KINDS.keys();
const TABLE = {calls: 2, sources: 3, reasons: 4, ends: 5, operations: 6, deadlines: 7, states: 8};
const SENDS = new Set(["send", "sendmsg", "sendfile"]);
const POLLERS = new Set(["epoll_wait", "poll", "select", "io_uring_enter", "runtime"]);
// Models that send on sockets that block. A send that takes longer than this has slept in the kernel, until there was room.
const BLOCKING = new Set(["blocking", "forking", "threaded", "pool"]), LONG_SEND = 1e6;
const EVENT_SIZE = 32;
const UTF8 = new TextDecoder();

function decoded(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
}

// The bytes of a recording, which the page has compressed.
async function bytesOf(base64) {
  const stream = new Blob([decoded(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A recording. Its columns have a number for each event, in the order in which events have ended; `begin` and `end` are in
// nanoseconds. The program has checked the bytes. There may be millions of events, so nothing is made for each of them but
// numbers in typed arrays, and what only a search needs is made then.
class Recording {
  constructor(bytes) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes = bytes;
    this.readHeader();
    this.readParts();
    this.view = this.bytes = null;
    this.merge();
    this.nameConnections();
    this.nameThreads();
    // States on the way, each after this many events more; they are made as far as they are needed.
    this.stride = Math.max(1024, Math.ceil(this.count / 64));
    this.kept = [];
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
    this.receives = Uint8Array.from(this.callNames, name => name === "recv");
    this.sends = Uint8Array.from(this.callNames, name => SENDS.has(name));
  }

  readText() {
    const begin = this.position + 2;
    this.position = begin + this.view.getUint16(this.position, true);
    return UTF8.decode(this.bytes.subarray(begin, this.position));
  }

  // Puts the events of each thread behind each other, as `words` of 32 bits: eight an event.
  readParts() {
    const {view, bytes} = this, threads = new Map();
    let position = this.position, total = 0;
    for (let left = view.getUint32(64, true); left; left--) {
      const [process, id, count] = [0, 4, 8].map(at => view.getUint32(position + at, true));
      const key = process * 2 ** 32 + id, size = count * EVENT_SIZE;
      if (!threads.has(key)) threads.set(key, {process, id, parts: []});
      threads.get(key).parts.push(bytes.subarray(position + 12, position + 12 + size));
      position += 12 + size;
      total += size;
    }
    const all = new Uint8Array(total);
    this.threads = [...threads.values()];
    let at = 0;
    for (const thread of this.threads) {
      thread.from = at / EVENT_SIZE;
      for (const part of thread.parts) {
        all.set(part, at);
        at += part.length;
      }
      thread.to = at / EVENT_SIZE;
      thread.parts = null;
    }
    this.words = new Uint32Array(all.buffer);
  }

  // The place in `words` of each event that is no text, with its thread and the time at which it ended: thread by thread.
  placeEvents() {
    const {words} = this, total = words.length / 8, ends = new Float64Array(total), places = new Uint32Array(total), owners = new Uint32Array(total);
    let count = 0;
    for (let owner = 0; owner < this.threads.length; owner++) {
      const {from, to} = this.threads[owner];
      for (let place = from, latest = 0; place < to; place++) {
        const at = 8 * place, kind = words[at + 2] & 255;
        if (kind === TEXT) continue;
        let end = words[at] + words[at + 1] * 2 ** 32;
        if (kind === CALL) end += words[at + 6] + words[at + 7] * 2 ** 32;
        latest = Math.max(latest, end);
        ends[count] = latest;
        places[count] = place;
        owners[count++] = owner;
      }
    }
    return {ends: ends.subarray(0, count), places: places.subarray(0, count), owners: owners.subarray(0, count)};
  }

  // Merges the threads, and fills the columns.
  merge() {
    const events = this.placeEvents(), count = this.count = events.ends.length;
    const order = orderOf(events.ends, this.threads.length > 1);
    Object.assign(this, {end: new Float64Array(count), thread: new Uint32Array(count), places: new Uint32Array(count),
      begin: new Float64Array(count), kind: new Uint8Array(count), code: new Uint8Array(count), detail: new Uint16Array(count),
      fd: new Int32Array(count), value: new Float64Array(count), extra: new Float64Array(count), conn: new Int32Array(count),
      next: new Int32Array(count), sleeps: new Uint8Array(count)});
    this.fill(order, events);
    this.link();
  }

  fill(order, {ends, owners, places: placed}) {
    const {words, places, thread, count, end, begin, kind, code, detail, fd, value, extra} = this;
    this.requestCount = 0;
    for (let i = 0; i < count; i++) {
      const from = order[i], place = placed[from], at = 8 * place, head = words[at + 2];
      end[i] = ends[from];
      thread[i] = owners[from];
      places[i] = place;
      kind[i] = head;
      code[i] = head >>> 8;
      detail[i] = head >>> 16;
      fd[i] = words[at + 3];
      value[i] = words[at + 4] + (words[at + 5] | 0) * 2 ** 32;
      const low = words[at + 6], high = words[at + 7];
      extra[i] = low === 0xffffffff && high === 0xffffffff ? Infinity : low + high * 2 ** 32;
      begin[i] = (head & 255) === CALL ? Math.min(words[at] + words[at + 1] * 2 ** 32, end[i]) : end[i];
      if ((head & 255) === REQUEST) this.requestCount++;
    }
  }

  // The next event of the same thread, for each event; -1 for the last one.
  link() {
    const {count, next, thread, kind, value, sleeps, code, begin, end} = this, first = this.first = new Int32Array(this.threads.length).fill(-1);
    const blocks = BLOCKING.has(this.facts.get("model"));
    for (let i = count - 1; i >= 0; i--) {
      const after = next[i] = first[thread[i]];
      first[thread[i]] = i;
      // A call that may sleep is announced, with the longest time.
      if (kind[i] === WAITS && after >= 0 && value[i] !== 0) sleeps[after] = 1;
      // A send is not.
      if (blocks && kind[i] === CALL && this.sends[code[i]] && end[i] - begin[i] > LONG_SEND) sleeps[i] = 1;
    }
  }

  // The method and target of a request: the texts behind it.
  target(i) {
    const {words} = this, {to} = this.threads[this.thread[i]], text = [];
    for (let place = this.places[i] + 1; place < to && (words[8 * place + 2] & 255) === TEXT; place++) {
      const bytes = new Uint8Array(words.buffer, place * EVENT_SIZE, EVENT_SIZE);
      text.push(...bytes.subarray(16, 16 + Math.min(bytes[9], 16)));
    }
    return UTF8.decode(Uint8Array.from(text)) || "a request";
  }

  name(table, number) { return this.names.get(TABLE[table] * 256 + number) || `${table} ${number}`; }

  // The name of an event's call.
  call(i) { return this.callNames[this.code[i]]; }

  state(number) { return number === 0 ? "unknown" : this.name("states", number); }

  // Gives each event its connection. A descriptor whose opening is lost is a connection, too.
  nameConnections() {
    const {count, kind, code, detail, fd, value, thread, conn, receives, sends} = this, processes = new Map();
    const isOf = new Uint8Array(256);
    for (const one of [TURN, STOP, BUFFERS, STEP, CLOSED, EXPIRED, WOKEN, REQUEST, ANSWERED]) isOf[one] = 1;
    // The open connections of each thread's process, by descriptor.
    const open = this.threads.map(({process}) => processes.get(process) || processes.set(process, new Map()).get(process));
    this.connections = [];
    for (let i = 0; i < count; i++) {
      conn[i] = -1;
      if (fd[i] < 0) continue;
      const its = open[thread[i]], is = kind[i];
      let one = its.get(fd[i]);
      if (is === OPENED || one === undefined) {
        const isConnection = is === OPENED || isOf[is] || (is === FOUND && code[i] === 0) || (is === CALL && (receives[code[i]] || sends[code[i]]));
        if (!isConnection) continue;
        its.set(fd[i], one = this.addConnection(fd[i], i, is === OPENED ? value[i] : null));
      }
      conn[i] = one;
      if (is === STEP && this.connections[one].initial === null) this.connections[one].initial = detail[i];
      if (is === CLOSED) its.delete(fd[i]);
    }
  }

  addConnection(fd, first, number) {
    const label = number === null ? `fd ${fd}` : `#${number}`;
    return this.connections.push({fd, first, number, label, initial: null}) - 1;
  }

  // A thread that waits for more than one connection is an event loop.
  nameThreads() {
    const {count, kind, code, value, thread, threads} = this, loops = new Uint8Array(threads.length), serves = loops.slice(), accepts = loops.slice();
    const accept = this.callNames.indexOf("accept4"), runtime = this.callNames.indexOf("runtime");
    for (let i = 0; i < count; i++) {
      const is = kind[i];
      if (is === FOUND || is === COMPLETED || (is === WAITS && code[i] === runtime)) loops[thread[i]] = 1;
      if (is === OPENED) serves[thread[i]] = 1;
      // At the end a main thread looks for clients that still wait.
      if (code[i] === accept && (is === WAITS || (is === CALL && value[i] >= 0))) accepts[thread[i]] = 1;
    }
    // Clients that are recorded too are threads of a process that a fact names.
    const clients = Number(this.facts.get("clients") || -1), servers = threads.filter(thread => thread.process !== clients);
    const isForking = this.isForking = new Set(servers.map(thread => thread.process)).size > 1;
    this.servers = servers.length;
    const counts = {};
    threads.forEach((thread, index) => {
      thread.isClient = thread.process === clients;
      if (thread.isClient) return Object.assign(thread, {role: "client", number: thread.id});
      thread.isLoop = loops[index] === 1;
      const isMain = thread.id === thread.process && !accepts[index] && !serves[index] && !isForking;
      const role = thread.isLoop ? "loop" : isMain ? "main thread" : accepts[index] && !serves[index] ? "acceptor" : isForking ? "process" : "thread";
      thread.number = counts[role] = (counts[role] || 0) + 1;
      thread.role = role;
    });
    for (const thread of threads) thread.name = counts[thread.role] > 1 || thread.isClient ? `${thread.role} ${thread.number}` : thread.role;
    for (const thread of threads) if (thread.isClient) thread.name = this.facts.get(thread.name) || thread.name;
  }

  // How often there was what the server counts, by the name of the call or kind.
  figures() {
    const {count, kind, code} = this, calls = new Uint32Array(256), kinds = new Uint32Array(256);
    for (let i = 0; i < count; i++) {
      kinds[kind[i]]++;
      if (kind[i] === CALL) calls[code[i]]++;
    }
    const figures = {request: kinds[REQUEST], opened: kinds[OPENED], queued: kinds[QUEUED], completed: kinds[COMPLETED]};
    calls.forEach((number, call) => { if (number) figures[this.callNames[call]] = number; });
    return figures;
  }

  // The requests, with the times at which they began and ended; without any, what was received and then answered by a send.
  get requests() {
    if (!this.foundRequests) this.foundRequests = this.requestCount ? this.findRequests() : this.findAnswers();
    return this.foundRequests;
  }

  // The exchanges of a protocol without requests: from when input comes to a connection until the next send has ended. They
  // have the bytes that were sent first, and the number of the event that received.
  findAnswers() {
    const {count, kind, conn, code, value, begin, end, sleeps, receives, sends} = this, all = [];
    const operations = Array.from({length: 256}, (_, number) => this.name("operations", number));
    const found = new Float64Array(this.connections.length).fill(NaN), open = new Array(this.connections.length).fill(null);
    for (let i = 0; i < count; i++) {
      const one = conn[i], is = kind[i];
      if (one < 0) continue;
      if (is === FOUND) found[one] = end[i];
      if (is === STOP || is === CLOSED) found[one] = NaN;
      if (is === CLOSED) open[one] = null;
      const does = is === CALL ? (receives[code[i]] ? "receive" : sends[code[i]] ? "send" : "") : is === COMPLETED ? operations[code[i]] : "";
      if (value[i] <= 0) continue;
      if (does === "receive" && !open[one]) {
        const from = !isNaN(found[one]) ? found[one] : sleeps[i] ? end[i] : begin[i];
        open[one] = {index: i, conn: one, begin: from, end: null, bytes: 0};
      } else if (does === "send" && open[one]) {
        all.push(Object.assign(open[one], {end: end[i], bytes: value[i]}));
        open[one] = null;
      }
    }
    return all;
  }

  // A request begins when its connection is found ready for input, and ends when all is sent.
  findRequests() {
    const {count, kind, conn, code, value, begin, end, detail, sleeps, receives} = this, number = this.connections.length, all = [];
    // Of each connection: when its input came, whether that is sure, and the requests that are not answered yet.
    const began = new Float64Array(number).fill(NaN), isSure = new Uint8Array(number), pending = new Array(number).fill(null);
    for (let i = 0; i < count; i++) {
      const one = conn[i], is = kind[i];
      if (one < 0) continue;
      const isInput = value[i] > 0 && (is === COMPLETED || (is === CALL && receives[code[i]] === 1));
      if (isInput || is === FOUND) {
        // A call that sleeps returns when the input has come.
        if (isNaN(began[one])) began[one] = sleeps[i] ? end[i] : begin[i], isSure[one] = 0;
        if (isInput) isSure[one] = 1;
      } else if (is === STOP) {
        if (!isSure[one] && !pending[one]) began[one] = NaN;
      } else if (is === REQUEST) {
        const request = {index: i, conn: one, begin: isNaN(began[one]) ? end[i] : began[one], end: null, status: detail[i]};
        all.push(request);
        if (pending[one]) pending[one].push(request); else pending[one] = [request];
      } else if (is === ANSWERED || is === CLOSED) {
        if (is === ANSWERED && pending[one]) for (const request of pending[one]) request.end = end[i];
        pending[one] = null;
        began[one] = NaN;
      }
    }
    return all;
  }

  // From when to when a lane shows an event: a call as long as it takes, and from before a sleep until after it.
  extent(i) {
    const {kind, begin, end, next} = this, after = next[i];
    return [begin[i], kind[i] === WAITS && after >= 0 && kind[after] === CALL ? end[after] : end[i]];
  }

  // From when to when the thread of an event is awake around it.
  turnAround(i) {
    const {kind, begin, end, next, sleeps, value, thread} = this;
    let from = end[i], to = end[i], j = this.first[thread[i]];
    if (j >= 0) from = begin[j];
    for (; j >= 0; j = next[j]) {
      if (j <= i && sleeps[j]) from = end[j];
      if (j > i && sleeps[j]) return [from, begin[j]];
      to = end[j];
      if (j >= i && kind[j] === WAITS && value[j] !== 0) break;
    }
    return [from, Math.max(to, from)];
  }

  // What happens at all, for the legend: which kinds, which states, and of each call what there is: for a server's and for a
  // client's, 1 is a call without sleep, 2 one that failed, and 4 one that slept.
  get occurring() {
    const {count, kind, code, detail, value, sleeps, thread, threads} = this;
    const kinds = new Uint8Array(256), states = new Uint8Array(256), calls = [new Uint8Array(256), new Uint8Array(256)];
    for (let i = 0; i < count; i++) {
      kinds[kind[i]] = 1;
      if (kind[i] === STEP) states[code[i]] = states[detail[i] & 255] = 1;
      if (kind[i] === CALL) calls[threads[thread[i]].isClient ? 1 : 0][code[i]] |= sleeps[i] ? 4 : value[i] < 0 ? 3 : 1;
    }
    return {kinds, states, calls};
  }

  // The state after the events up to this one.
  stateAfter(last) {
    const wanted = Math.floor((last + 1) / this.stride);
    while (this.kept.length <= wanted) this.kept.push(this.kept.length ? this.kept[this.kept.length - 1].copy().advance(this.kept.length * this.stride) : new State(this));
    return this.kept[wanted].copy().advance(last + 1);
  }
}

// The numbers of events by their times, which are in order unless they `areMixed`: a counting sort for each 11 bits of the
// times, from the lowest on. It keeps the order of equal times.
function orderOf(times, areMixed) {
  const count = times.length, low = new Uint32Array(count), high = new Uint32Array(count);
  let first = Infinity, most = 0, order = new Uint32Array(count), next = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  if (!areMixed) return order;
  for (let i = 0; i < count; i++) first = Math.min(first, times[i]);
  for (let i = 0; i < count; i++) {
    const time = times[i] - first, upper = Math.floor(time / 2 ** 22);
    high[i] = upper;
    low[i] = time - upper * 2 ** 22;
    most = Math.max(most, upper);
  }
  for (const [keys, shift] of [[low, 0], [low, 11], [high, 0], [high, 11], [high, 22]]) {
    if (keys === high && most >>> shift === 0) break;
    const begins = new Uint32Array(2048);
    for (let i = 0; i < count; i++) begins[(keys[i] >>> shift) & 2047]++;
    for (let digit = 0, sum = 0; digit < 2048; digit++) sum += begins[digit], begins[digit] = sum - begins[digit];
    for (let i = 0; i < count; i++) {
      const one = order[i];
      next[begins[(keys[one] >>> shift) & 2047]++] = one;
    }
    [order, next] = [next, order];
  }
  return order;
}
