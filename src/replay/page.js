// The page: the order of all events, the moment that is shown, and the controls.

const find = id => document.getElementById(id);
const MAX_FOUND = 200, MARGIN = 8;
// The least widths, in pixels, of what a link names: of a call, and of the time in which a thread is awake around another event.
const LEAST_CALL = 20, LEAST_TURN = 200;

const sides = [];
// For each event of all recordings by time: its recording, and its number there.
let order = {side: new Uint8Array(0), index: new Int32Array(0), time: new Float64Array(0)};
// For each recording, how many of its events are among the first ones of all.
let counts = [];
// The links of a lesson.
const jumps = [...document.querySelectorAll("a.jump")];
// The moment: events up to `at` have happened, and the clock shows `now`.
let at = 0, now = 0, scale = 0, playing = false, selection = null, found = [], shown = -1;

async function readAll() {
  const data = [...document.querySelectorAll("script.recording")], courses = document.querySelectorAll("template.course");
  const all = await Promise.all(data.map(script => bytesOf(script.textContent.trim())));
  data.forEach((script, index) => {
    script.remove();
    const side = new Side(new Recording(all[index]), script.dataset.name, data.length > 1 ? "ABC"[index] : "", courses[index]);
    sides.push(side);
    find("sides").append(side.root);
  });
  find("sides").classList.toggle("two", sides.length > 1);
  find("sides").classList.toggle("three", sides.length > 2);
}

// One clock: 0 is when each recording opens its first connection, or when the first client that is recorded too does something.
function merge() {
  const total = sides.reduce((sum, side) => sum + side.recording.count, 0);
  order = {side: new Uint8Array(total), index: new Int32Array(total), time: new Float64Array(total)};
  counts = sides.map(() => new Int32Array(total + 1));
  const next = new Int32Array(sides.length), times = sides.map(side => side.recording.end), zeros = sides.map(side => side.zero);
  for (let i = 0; i < total; i++) {
    let first = -1, time = 0;
    for (let k = 0; k < times.length; k++) {
      const at = times[k][next[k]] - zeros[k];
      if (next[k] < times[k].length && (first < 0 || at < time)) [first, time] = [k, at];
    }
    order.side[i] = first;
    order.index[i] = next[first]++;
    order.time[i] = time;
    for (let k = 0; k < times.length; k++) counts[k][i + 1] = next[k];
  }
}

// The number of the last event that has happened at a time; -1 before the first.
function lastUntil(moment) {
  let low = -1, high = order.time.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (order.time[middle] <= moment) low = middle; else high = middle;
  }
  return low;
}

// About how much time a pixel is, so that a usual event can be read.
function usualScale() {
  const gaps = [];
  for (let i = 1; i < order.time.length; i += Math.ceil(order.time.length / 5000)) {
    const gap = order.time[i] - order.time[i - 1];
    if (gap > 0) gaps.push(gap);
  }
  gaps.sort((a, b) => a - b);
  return 36 / (gaps[gaps.length >> 1] || 1000);
}

// The events in sight and the places of their moments. Walks from the moment to both edges.
function sight(width, x) {
  const {time} = order, shortens = find("shorten").checked;
  const step = (a, b) => shortens ? Math.min((b - a) * scale, GAP) : (b - a) * scale;
  let low = at + 1, high = at;
  for (let used = 0, from = now; low > 0 && at - low < MAX_EVENTS && used < x + GAP; low--) {
    used += step(time[low - 1], from);
    from = time[low - 1];
  }
  for (let used = 0, from = now; high < time.length - 1 && high - at < MAX_EVENTS && used < width - x + GAP; high++) {
    used += step(from, time[high + 1]);
    from = time[high + 1];
  }
  const moments = new Set([now]);
  for (let i = low; i <= high; i++) {
    const side = sides[order.side[i]], begin = side.recording.begin[order.index[i]] - side.zero;
    moments.add(time[i]);
    moments.add(low > 0 ? Math.max(begin, time[low]) : begin);
  }
  return {low, high, clock: new Clock(Float64Array.from(moments).sort(), now, scale, x, shortens)};
}

// Where the moment is drawn: left of the middle. If all fits, the picture stands still and the moment moves.
function cursor(width) {
  const isWhole = !find("shorten").checked && lasts() * scale <= width - MARGIN;
  return Math.round(isWhole ? MARGIN + (now - order.time[0]) * scale : width * 0.45);
}

function draw() {
  if (!order.time.length) {
    find("sentence").textContent = "This recording has no events.";
    return;
  }
  const widths = sides.map(side => side.svg.parentElement.clientWidth);
  const width = Math.max(Math.min(...widths), 120), {low, high, clock} = sight(width, cursor(width));
  sides.forEach((side, k) => {
    side.selected = selection && selection.side === side ? selection.conn : undefined;
    side.draw({low: counts[k][low], high: counts[k][high + 1] - 1, last: counts[k][at + 1] - 1, clock, width, now});
  });
  say();
  document.body.dataset.at = at;
}

function say() {
  const letter = at >= 0 && sides.length > 1 ? `${sides[order.side[at]].letter}: ` : "";
  const words = at < 0 ? "Nothing has happened yet." : sides[order.side[at]].words.sentence(order.index[at]);
  const quiet = at >= 0 && now > order.time[at] ? ` ${time(now - order.time[at])} ago.` : "";
  find("sentence").textContent = `${letter}${words}${quiet}`;
  find("clock").textContent = moment(now);
  find("place").textContent = `event ${(at + 1).toLocaleString("en")} of ${order.time.length.toLocaleString("en")}`;
  find("scrubber").value = at;
  find("scrubber").setAttribute("aria-valuetext", `${moment(now)}, event ${at + 1} of ${order.time.length}`);
}

// Shows the moment right after an event.
function go(index) {
  at = Math.max(0, Math.min(index, order.time.length - 1));
  now = order.time[at] || 0;
  draw();
}

function goTo(moment) {
  const end = order.time[order.time.length - 1];
  now = Math.max(order.time[0], Math.min(moment, end));
  at = lastUntil(now);
  draw();
}

// The next event in a direction for which a test is true; the place stays if there is none.
function seek(direction, test) {
  for (let i = at + direction; i >= 0 && i < order.time.length; i += direction) {
    if (test(sides[order.side[i]], order.index[i])) return go(i);
  }
}

const isTurn = (side, i) => side.recording.kind[i] === WAITS && !side.recording.threads[side.recording.thread[i]].isClient;
const isCall = (side, i) => [CALL, QUEUED, COMPLETED].includes(side.recording.kind[i]);
const isOfSelection = (side, i) => selection !== null && side === selection.side && side.recording.conn[i] === selection.conn;

function select(side, conn) {
  const isSame = selection && selection.side === side && selection.conn === conn;
  selection = isSame ? null : {side, conn};
  for (const id of ["before", "after"]) find(id).hidden = !selection;
  draw();
}

// Plays. Gaps that would take longer than a second are cut short.
function play(begin) {
  playing = begin;
  find("play").textContent = playing ? "Pause" : "Play";
  // A screen reader could not keep up.
  find("sentence").setAttribute("aria-live", playing ? "off" : "polite");
  if (!playing) return draw();
  if (at === order.time.length - 1) go(0);
  let before = performance.now();
  const frame = moment => {
    if (!playing) return;
    const step = Math.min(moment - before, 100) * 1e6 / Number(find("speed").value);
    before = moment;
    const next = order.time[at + 1];
    if (next === undefined) return play(false);
    const isLong = find("shorten").checked && (next - now) * Number(find("speed").value) > 1e9;
    goTo(isLong ? Math.max(now + step, next - 3e8 / Number(find("speed").value)) : now + step);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function zoom(factor) {
  scale = Math.max(1e-7, Math.min(scale * factor, 1));
  draw();
}

// Reads a duration such as 5ms, in nanoseconds.
function duration(words) {
  const match = words.match(/^>?\s*([0-9.]+)\s*(ns|us|µs|ms|s)$/);
  return match ? Number(match[1]) * {ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9}[match[2]] : null;
}

function label(side, words) { return side.letter ? `${side.letter}: ${words}` : words; }

function place(side, index) { return counts[sides.indexOf(side)].length ? globalOf(sides.indexOf(side), index) : 0; }

// The place of a recording's event among all.
function globalOf(k, index) {
  let low = 0, high = order.time.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (counts[k][middle + 1] > index) high = middle; else low = middle + 1;
  }
  return low;
}

const lasted = request => request.end === null ? -1 : request.end - request.begin;

function requestFound(side, request) {
  const took = request.end === null ? "not answered" : time(request.end - request.begin);
  const what = side.recording.requestCount ? `${side.recording.target(request.index)}, ${request.status}` : `${bytes(request.bytes)} sent by the first call after input`;
  const words = `${took}: ${what}, ${side.words.connection(request.conn)}`;
  return {at: place(side, request.index), words: label(side, words), size: lasted(request), select: {side, conn: request.conn}, from: request.begin - side.zero};
}

function findLong(side, least) {
  const r = side.recording, all = [];
  for (let i = 0; i < r.count; i++) {
    const took = r.end[i] - r.begin[i];
    if (took > least && r.kind[i] === CALL) all.push({side, i, size: took});
  }
  const calls = all.sort((a, b) => b.size - a.size).slice(0, MAX_FOUND)
    .map(({i, size}) => ({at: place(side, i), words: label(side, `${time(size)}: ${r.call(i)} by ${side.words.who(r.thread[i])}`), size, total: all.length}));
  const requests = r.requests.filter(one => lasted(one) > least).map(one => requestFound(side, one));
  return {found: [...calls, ...requests].sort((a, b) => b.size - a.size), total: all.length + requests.length};
}

function findWords(side, words) {
  const r = side.recording, all = [];
  r.connections.forEach((connection, conn) => {
    if ([connection.label, `fd ${connection.fd}`].includes(words)) {
      all.push({at: place(side, connection.first), words: label(side, `${side.words.connection(conn)}, descriptor ${connection.fd}`), select: {side, conn}});
    }
  });
  for (let i = 0; i < r.count; i++) {
    if (r.kind[i] === STEP && r.state(r.code[i]).includes(words)) all.push({at: place(side, i), words: label(side, side.words.sentence(i)), select: {side, conn: r.conn[i]}});
    if (all.length > 10 * MAX_FOUND) break;
  }
  if (r.requestCount) for (const one of r.requests) if (r.target(one.index).toLowerCase().includes(words)) all.push(requestFound(side, one));
  return {found: all, total: all.length};
}

function search(words) {
  const wanted = words.trim().toLowerCase(), least = duration(wanted);
  if (!wanted) return showFound([], 0, "");
  const each = sides.map(side => least === null ? findWords(side, wanted) : findLong(side, least));
  const all = each.flatMap(one => one.found);
  if (least !== null) all.sort((a, b) => b.size - a.size);
  showFound(all, each.reduce((sum, one) => sum + one.total, 0), "");
}

// Goes to where the request begins that took longest, and selects its connection. Without requests, this is input that was
// answered by a send.
function slowest() {
  let best = null;
  const some = sides.filter(side => side.recording.requestCount > 0);
  for (const side of some.length ? some : sides) {
    for (const one of side.recording.requests) if (!best || lasted(one) > lasted(best.one)) best = {side, one};
  }
  if (!best) return showFound([], 0, "No request is recorded.");
  showFound([requestFound(best.side, best.one)], 1, find("slowest").textContent);
  showOne(0);
}

function showFound(all, total, title) {
  found = all.slice(0, MAX_FOUND);
  shown = -1;
  const count = total > found.length ? `${total.toLocaleString("en")} found, ${found.length} shown` : many(total, "place");
  find("count").textContent = title || (find("query").value ? count : "");
  find("found").replaceChildren(...found.map((one, index) => {
    const button = element("button", {type: "button"}, one.words);
    button.onclick = () => showOne(index);
    return element("li", {}, button);
  }));
}

function showOne(index) {
  if (!found.length) return;
  shown = (index + found.length) % found.length;
  const one = found[shown];
  if (one.select && one.select.conn >= 0) {
    selection = one.select;
    for (const id of ["before", "after"]) find(id).hidden = false;
  }
  [...find("found").children].forEach((item, i) => item.firstChild.setAttribute("aria-current", i === shown));
  go(one.from !== undefined ? Math.max(lastUntil(one.from), 0) : one.at);
}

const step = () => Number(find("step").value);
const ACTIONS = {
  start: () => go(0), end: () => go(order.time.length - 1), back: () => go(at - 1), forward: () => go(at + 1),
  "call-back": () => seek(-1, isCall), "call-forward": () => seek(1, isCall), "turn-back": () => seek(-1, isTurn), "turn-forward": () => seek(1, isTurn),
  earlier: () => goTo(now - step()), later: () => goTo(now + step()), play: () => play(!playing), in: () => zoom(1.5), out: () => zoom(1 / 1.5),
  before: () => seek(-1, isOfSelection), after: () => seek(1, isOfSelection), slowest, help: () => find("keys").showModal(),
  search: () => find("query").focus(), next: () => showOne(shown + 1), previous: () => showOne(shown - 1),
};
const KEYS = {
  ArrowLeft: "back", ArrowRight: "forward", "Shift+ArrowLeft": "turn-back", "Shift+ArrowRight": "turn-forward", ",": "call-back", ".": "call-forward",
  PageUp: "earlier", PageDown: "later", Home: "start", End: "end", " ": "play", "+": "in", "-": "out", "[": "before", "]": "after", "s": "slowest",
  "n": "next", "N": "previous", "/": "search", "?": "help",
};

// The search field takes all keys, and a list takes those that choose in it.
const isTyping = target => target.matches("input[type=search]");

function onKey(event) {
  const {target} = event;
  if (event.ctrlKey || event.altKey || event.metaKey || find("keys").open) return;
  if (target.id === "query" && event.key === "Escape") return target.blur();
  if (isTyping(target) || (target.matches("select") && event.key !== " ")) return;
  // Space plays, so Enter is the key of a box, as it is of buttons.
  if (event.key === "Enter" && target.matches("[type=checkbox]")) return target.click();
  const isArrow = event.key.startsWith("Arrow");
  const action = KEYS[event.shiftKey && isArrow ? `Shift+${event.key}` : event.key];
  if (!action) return;
  event.preventDefault();
  if (action !== "play" && playing) play(false);
  ACTIONS[action]();
}

// Some browsers press the button that has the focus when Space is let go.
function onKeyUp(event) {
  if (event.key === " " && !find("keys").open && !isTyping(event.target)) event.preventDefault();
}

// Goes to the moment of a lesson that a link names: an event of a thread, counted from its first one.
function jump(link) {
  const {side, process, thread, place: nth} = link.dataset, k = Number(side), r = sides[k].recording;
  const owner = r.threads.findIndex(one => one.process === Number(process) && one.id === Number(thread));
  let i = r.first[owner];
  for (let left = Number(nth); left > 0 && i >= 0; left--) i = r.next[i];
  if (i < 0) return;
  for (const one of jumps) if (one === link) one.setAttribute("aria-current", "step"); else one.removeAttribute("aria-current");
  if (playing) play(false);
  sides.forEach((side, index) => { side.named = index === k ? i : -1; });
  frame(link, k, i);
  go(globalOf(k, i));
}

// Chooses how much time is in sight at a link: what it says, or else what the last one before it says, but so that what it
// names is neither a hair nor wider than the lanes. Where a link says that all is in sight, it is.
function frame(link, k, i) {
  const before = jumps.slice(0, jumps.indexOf(link) + 1).reverse(), r = sides[k].recording;
  const says = before.find(one => one.dataset.sight !== undefined), nanos = says ? Number(says.dataset.sight) : 0;
  const width = Math.min(...sides.map(side => side.svg.parentElement.clientWidth));
  find("shorten").checked = false;
  scale = (width - 2 * MARGIN) / (nanos || lasts());
  if (says === link && nanos === 0) return;
  const isCall = [CALL, WAITS].includes(r.kind[i]), [from, to] = isCall ? r.extent(i) : r.turnAround(i), length = Math.max(to - from, 1);
  if (isCall || says !== link) scale = Math.max(scale, Math.min((isCall ? LEAST_CALL : LEAST_TURN) / length, 1));
  if (says !== link) scale = Math.min(scale, width * 0.4 / length);
}

// Scrolls to the lanes that a link is about, and lets what it names flash once.
function reveal(side) {
  const {top, bottom} = side.labels.parentElement.getBoundingClientRect();
  const over = (NARROW.matches ? find("where") : document.querySelector("header")).offsetHeight;
  if (top < over || bottom > innerHeight) scrollBy(0, top - over - 8);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const outline of side.svg.querySelectorAll(".named")) outline.animate([{strokeWidth: "8px"}, {strokeWidth: "2px"}], {duration: 700, easing: "ease-out"});
}

function lasts() { return order.time.length ? order.time[order.time.length - 1] - order.time[0] : 1; }

// The links of a lesson have numbers. The page begins at the one that its address names, or at the first.
function beginLesson() {
  jumps.forEach((link, index) => {
    link.href = `#${index + 1}`;
    link.onclick = () => {
      jump(link);
      reveal(sides[Number(link.dataset.side)]);
    };
  });
  if (!jumps.length) return;
  // To play all of it takes up to 20 s.
  const speeds = [...find("speed").options].map(option => Number(option.value));
  find("speed").value = Math.max(1, ...speeds.filter(speed => lasts() * speed < 20e9));
  jump(jumps[Number(location.hash.slice(1)) - 1] || jumps[0]);
}

// What the button finds, if it can find anything.
function nameSlowest() {
  const hasRequests = sides.some(side => side.recording.requestCount > 0);
  find("slowest").textContent = hasRequests ? "Slowest request" : "Slowest answer";
  find("slowest").hidden = !hasRequests && !sides.some(side => side.recording.requests.length);
}

async function begin() {
  await readAll();
  merge();
  scale = usualScale();
  find("scrubber").max = Math.max(order.time.length - 1, 0);
  find("scrubber").oninput = event => go(Number(event.target.value));
  for (const button of document.querySelectorAll("[data-do]")) {
    button.onclick = () => {
      if (button.dataset.do !== "play" && playing) play(false);
      ACTIONS[button.dataset.do]();
    };
  }
  find("search").onsubmit = event => {
    event.preventDefault();
    search(find("query").value);
    showOne(0);
  };
  find("shorten").onchange = draw;
  document.addEventListener("keydown", onKey);
  document.addEventListener("keyup", onKeyUp);
  find("legend").replaceChildren(...legendOf(sides.map(side => side.recording), jumps.length > 0));
  nameSlowest();
  new ResizeObserver(draw).observe(find("sides"));
  // The first connection, or the beginning if none is opened.
  go(Math.max(lastUntil(0), 0));
  beginLesson();
  performance.mark("ready");
  document.body.dataset.ready = "yes";
}

begin();
