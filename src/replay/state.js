// The state of a recording after some of its events.

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

  // Applies the events until it is the state after `count` of them.
  advance(count) {
    while (this.count < count) this.apply(this.count);
    return this;
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
    // A thread that serves one connection stays with it.
    if (this.acts[thread] === conn && this.recording.threads[thread].isLoop) this.acts[thread] = -1;
    this.set(conn, DOES, WAITING);
    this.set(conn, SINCE, i);
    this.set(conn, HOLDS, -1);
    // Under io_uring the kernel sends as soon as it can.
    if (name === "send" && !this.recording.hasRing) this.set(conn, FULL, i);
    if (name === "receive") this.set(conn, INPUT, -1);
    if (name === "budget" || name === "work") this.queue(conn, i);
  }

  applyCall(conn, i, value) {
    const {code, receives, sends} = this.recording;
    if (receives[code[i]] && value <= 0) this.set(conn, INPUT, -1);
    if (sends[code[i]]) this.set(conn, FULL, value === -11 ? i : -1);
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
    if (waits) return {call: recording.call(last), since: recording.end[last], sleeps: recording.value[last] !== 0, waits: last};
    return {call: null, since: last < 0 ? 0 : recording.end[last], sleeps: false, waits: -1, isOver: next < 0, isNew: last < 0};
  }
}
