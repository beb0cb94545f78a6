// Says what the numbers of a recording mean.

const ERRORS = {2: "ENOENT", 4: "EINTR", 11: "EAGAIN", 13: "EACCES", 18: "EXDEV", 20: "ENOTDIR", 22: "EINVAL", 24: "EMFILE", 32: "EPIPE", 111: "ECONNREFUSED", 103: "ECONNABORTED", 104: "ECONNRESET", 105: "ENOBUFS", 107: "ENOTCONN", 110: "ETIMEDOUT", 125: "ECANCELED"};
const FILE_READS = new Set(["read", "pread", "preadv2"]);
const WHY = {
  receive: "it waits until the client sends", send: "it waits until the client reads", load: "it waits for its file",
  others: "it waits for other connections", job: "it waits for a thread that calls a file system",
  budget: "other connections have their turn first", work: "the work of this turn is used up",
  disk: "a thread reads its file from disk", remote: "a thread sends its file", close: "it is to be closed",
};

const WHY_OF_RING = {receive: "the kernel is to receive for it", send: "the kernel is to send for it"};

// A duration in nanoseconds.
function time(ns) {
  if (ns === Infinity) return "ever";
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    if (Math.abs(ns) >= size) return `${trimmed(ns / size)} ${unit}`;
  }
  return `${Math.round(ns)} ns`;
}

function trimmed(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

// A point in time, down to a tenth of a microsecond, or to one from a second on.
function moment(ns) {
  const size = Math.abs(ns), sign = ns < 0 ? "−" : "";
  return sign + (size < 999_950 ? `${(size / 1e3).toFixed(1)} µs` : size < 1e9 ? `${(size / 1e6).toFixed(4)} ms` : `${(size / 1e9).toFixed(6)} s`);
}

function bytes(count) {
  return count < 1024 ? `${count} B` : count < 1 << 20 ? `${trimmed(count / 1024)} KiB` : `${trimmed(count / (1 << 20))} MiB`;
}

function many(count, one, more) { return `${count.toLocaleString("en")} ${count === 1 ? one : more || `${one}s`}`; }

function capital(text) { return text.charAt(0).toUpperCase() + text.slice(1); }

function errorName(number) { return ERRORS[number] || `error ${number}`; }

// What a client does while it waits in a call.
function clientWaits(name) {
  return {recv: "waits for the server", send: "waits until it can send", connect: "waits for its connection"}[name] || name;
}

// The words about one recording.
class Words {
  constructor(recording) { this.recording = recording; }

  who(thread) {
    const {role, name} = this.recording.threads[thread];
    return name === role ? `the ${name}` : name;
  }

  connection(conn) { return conn < 0 ? "a connection" : `connection ${this.recording.connections[conn].label}`; }

  // An event, in a sentence.
  sentence(i) {
    const {kind, thread} = this.recording;
    const words = this[`say_${KINDS[kind[i]]}`];
    const sentence = words ? `${words.call(this, i, this.who(thread[i]))}.` : "";
    // The names of calls are written small.
    return kind[i] === CALL && sentence.startsWith(this.recording.call(i)) ? sentence : capital(sentence);
  }

  say_call(i, who) {
    const r = this.recording, name = r.call(i), value = r.value[i], took = time(r.end[i] - r.begin[i]);
    const of = r.conn[i] >= 0 ? ` on ${this.connection(r.conn[i])}` : "";
    if (r.threads[r.thread[i]].isClient) return this.say_client(i, who, name, value, took);
    if (POLLERS.has(name) && value >= 0) {
      const what = name === "io_uring_enter" ? "operations have completed" : `${many(value, "descriptor")} ${value === 1 ? "is" : "are"} ready`;
      if (value === 0) return `${name} returns to ${who} after ${took}: nothing is ready`;
      return r.sleeps[i] ? `${name} wakes ${who} after ${took}: ${what}` : `${name} tells ${who} without sleep, in ${took}: ${what}`;
    }
    if (value === -11 && r.sleeps[i]) return `${name} gives up after ${took}${of}: ${this.nothing(name)} (EAGAIN)`;
    if (value === -11) return `${name} would have to wait${of}: ${this.nothing(name)} (EAGAIN, ${took})`;
    if (value < 0) return `${name} fails${of}: ${errorName(-value)} (${took})`;
    if (name === "accept4") return `${who} accepts a connection: its descriptor is ${value} (accept4, ${took})`;
    if (name === "recv") return value === 0 ? `${who} learns that the client has ended its side${of} (recv = 0, ${took})` : `${who} receives ${bytes(value)}${of} (recv, ${took})`;
    // A call is told when it has ended, and what it sent may have arrived before that.
    if (SENDS.has(name)) return `${who} has sent ${bytes(value)}${of} (${name}, ${r.sleeps[i] ? "asleep for " : ""}${took})`;
    if (name === "openat2") return `${who} opens a file: its descriptor is ${value} (openat2, ${took})`;
    if (FILE_READS.has(name)) return `${who} reads ${bytes(value)} of a file (${name}, ${took})`;
    if (name === "close") return `${who} closes descriptor ${r.fd[i]}`;
    if (name === "epoll_ctl") return `${who} tells the kernel what to watch${of} (epoll_ctl, ${took})`;
    return `${who} calls ${name}${of}: ${value} (${took})`;
  }

  // What a client has done. The names of its calls may be words.
  say_client(i, who, name, value, took) {
    if (value < 0) return `${who} cannot ${name}: ${errorName(-value)}`;
    if (name === "connect") return value > 1 ? `${who} has opened ${value} connections` : `${who} connects`;
    if (name === "close") return `${who} closes its connection`;
    if (name === "shutdown") return `${who} ends its side of the connection`;
    if (name === "send") return this.recording.sleeps[i] ? `${who} has sent ${bytes(value)}, and had to wait for ${took}` : `${who} has sent ${bytes(value)}`;
    if (name === "recv") return value > 0 ? `${who} gets ${bytes(value)} after ${took}` : `${who} learns that the server has closed the connection`;
    return this.recording.sleeps[i] ? `${who} ${name.replace(/^is /, "was ")}, for ${took}` : `${who} ${name}`;
  }

  nothing(name) {
    return name === "accept4" ? "no client is waiting" : name === "recv" ? "nothing more has come" : "the kernel's buffer for sending is full";
  }

  say_waits(i, who) {
    const r = this.recording, longest = r.value[i] < 0 ? "without limit" : `for ${time(r.value[i])} at most`;
    if (r.threads[r.thread[i]].isClient) return `${who} ${clientWaits(r.call(i))}`;
    const conn = r.conn[i] >= 0 ? ` for ${this.connection(r.conn[i])}` : "";
    return r.value[i] === 0 ? `${who} looks what is ready, without sleeping (${r.call(i)})` : `${who} goes to sleep in ${r.call(i)}${conn}, ${longest}`;
  }

  say_found(i) {
    const r = this.recording, is = ["readable", "writable", "at its end"].filter((_, bit) => r.detail[i] & (1 << bit)).join(" and ") || "ready";
    if (r.code[i] === 0) return `${this.connection(r.conn[i])} is ${is}: it joins the ready list`;
    return `the ${r.name("sources", r.code[i]).replace(/s$/, "")} is ${is}`;
  }

  say_queued(i, who) {
    const r = this.recording, of = r.conn[i] >= 0 ? ` for ${this.connection(r.conn[i])}` : "";
    return `${who} notes for the kernel: ${r.name("operations", r.code[i])}${of}${r.value[i] > 0 ? `, ${bytes(r.value[i])}` : ""}`;
  }

  say_completed(i) {
    const r = this.recording, of = r.conn[i] >= 0 ? ` for ${this.connection(r.conn[i])}` : "", value = r.value[i];
    return `the kernel has done what it was asked for: ${r.name("operations", r.code[i])}${of} ${value < 0 ? `failed (${errorName(-value)})` : `= ${value}`}`;
  }

  say_turn(i, who) {
    const r = this.recording, isLoop = r.threads[r.thread[i]].isLoop;
    return `${who} ${isLoop ? "turns to" : "runs for"} ${this.connection(r.conn[i])}`;
  }

  say_stop(i, who) {
    const r = this.recording, reason = r.name("reasons", r.code[i]), until = r.extra[i] - r.end[i];
    const limit = isFinite(until) && until > 0 ? `, ${time(until)} at most` : "";
    const leaves = r.threads[r.thread[i]].isLoop ? "leaves" : "can do no more for";
    return `${who} ${leaves} ${this.connection(r.conn[i])}: ${(r.hasRing && WHY_OF_RING[reason]) || WHY[reason] || reason}${limit}`;
  }

  say_buffers(i) {
    const r = this.recording, holds = [[r.value[i], "still to be sent"], [r.extra[i], "received and not used yet"]].filter(([count]) => count > 0);
    return `${this.connection(r.conn[i])} has ${holds.map(([count, what]) => `${bytes(count)} ${what}`).join(" and ") || "empty buffers"}`;
  }

  say_step(i) {
    const r = this.recording;
    return `${this.connection(r.conn[i])} goes from “${r.state(r.detail[i])}” to “${r.state(r.code[i])}”`;
  }

  say_opened(i, who) { return `${who} begins a session: ${this.connection(this.recording.conn[i])}`; }

  say_closed(i) { return `${this.connection(this.recording.conn[i])} is closed: ${this.recording.name("ends", this.recording.code[i])}`; }

  say_expired(i) { return `the time of ${this.connection(this.recording.conn[i])} is over: ${this.recording.name("deadlines", this.recording.code[i])}`; }

  say_woken(i) { return `${this.connection(this.recording.conn[i])} is woken by other work and joins the ready list`; }

  say_request(i, who) { return `${who} answers ${this.recording.target(i)} with ${this.recording.detail[i]}`; }

  say_answered(i) { return `the response to ${this.connection(this.recording.conn[i])} is sent completely`; }

  say_forked(i, who) { return `${who} forks: process ${this.recording.value[i]} serves the client`; }

  // How often each system call was made, and what else the server counts.
  figures() {
    const {request, opened, queued, completed, ...calls} = this.recording.figures();
    const others = [[request, "response"], [opened, "connection opened", "connections opened"], [queued, "operation queued", "operations queued"],
      [completed, "operation completed", "operations completed"]];
    const parts = Object.entries(calls).sort((a, b) => b[1] - a[1]).map(([name, number]) => `${name} ${number.toLocaleString("en")}`);
    const named = others.filter(([number]) => number > 0).map(([number, one, more]) => many(number, one, more));
    const lost = this.recording.lost > 0 ? " Older events are lost, so the server has counted more." : "";
    return `${[...named, ...parts].join(", ")}.${lost}`;
  }

  // What a thread does, in a few words.
  doing(state, thread, now) {
    const {call, since, sleeps, isOver, isNew} = state.doing(thread, now), {isClient} = this.recording.threads[thread];
    if (isClient) return call && sleeps ? `${clientWaits(call)}${now > since ? `, ${time(now - since)}` : ""}` : isOver ? "has left" : isNew ? "not there yet" : "";
    const served = state.acts[thread], on = served >= 0 && sleeps ? ` for ${this.recording.connections[served].label}` : "";
    if (call) return `${sleeps ? "asleep" : "is"} in ${call}${on}${now > since ? `, ${time(now - since)}` : ""}`;
    if (isNew) return "not there yet";
    const acts = state.acts[thread];
    return acts >= 0 ? `runs for ${this.recording.connections[acts].label}` : isOver ? "no more events" : "runs";
  }

  // What a connection does, in a few words.
  does(state, conn, now) {
    const r = this.recording, does = state.get(conn, DOES), since = state.get(conn, SINCE), owner = state.get(conn, OWNER);
    if (does === ABSENT) return "not there yet";
    if (does === GONE) return "closed";
    if (does === READY) return "in the ready list";
    if (does === ACTING) {
      const {call, sleeps, since} = state.doing(owner, now);
      return sleeps ? `its thread is asleep in ${call}${now > since ? `, ${time(now - since)}` : ""}` : "acts";
    }
    if (since < 0) return "waits";
    return `waits: ${r.name("reasons", r.code[since])}${r.threads[owner].isLoop ? "" : ", with its thread"}`;
  }

  // The kernel's buffers and the program's, as far as they are known.
  buffers(state, conn) {
    const r = this.recording, holds = state.get(conn, HOLDS), parts = [], kernel = [];
    if (state.get(conn, FULL) >= 0) kernel.push("send buffer full");
    if (state.get(conn, INPUT) >= 0) kernel.push("has input");
    if (kernel.length) parts.push(`kernel: ${kernel.join(", ")}`);
    if (holds >= 0 && r.value[holds] > 0) parts.push(`${bytes(r.value[holds])} to send`);
    if (holds >= 0 && r.extra[holds] > 0) parts.push(`${bytes(r.extra[holds])} unread`);
    return parts.join("; ");
  }

  // The word by which the course's lines know what runs after an event.
  courseWord(state, i) {
    const r = this.recording, kind = r.kind[i];
    const word = kind === CALL || kind === WAITS ? r.call(i) : KINDS[kind];
    const serves = r.threads[r.thread[i]].isLoop || state.acts[r.thread[i]] >= 0;
    return word === "poll" && !serves ? "accept4" : word;
  }
}
