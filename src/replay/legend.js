// Explains the signs of the lanes: those that occur in the recordings, and no others.

// What lanes are drawn of: how each looks, and what it means.
const bar = kind => shape("rect", {class: kind, x: 1, y: 1, width: 16, height: 10, rx: 2});
const SIGNS = {
  wants: [() => bar("wants"), "a client waits for the server"], quiet: [() => bar("sleep"), "a client does nothing"], sleep: [() => bar("sleep"), "asleep in a call"],
  accept: [() => bar("accept"), "accepts"], receive: [() => bar("receive"), "receives"], send: [() => bar("send"), "sends"],
  watch: [() => bar("watch"), "tells the kernel what to watch"], other: [() => bar("other"), "another call"],
  refused: [() => bar("call other refused"), "dashed edge: found nothing, or failed"],
  acts: [() => bar("acts"), "runs for a connection"], "is-ready": [() => bar("is-ready"), "in the ready list"],
  found: [() => shape("circle", {class: "found", cx: 9, cy: 6, r: 3}), "dot: found ready"],
  queued: [() => shape("rect", {class: "queued", x: 6, y: 3, width: 6, height: 6}), "hollow square: asked of the kernel"],
  completed: [() => shape("rect", {class: "found", x: 6, y: 3, width: 6, height: 6}), "full square: the kernel has done it"],
  opened: [() => shape("path", {class: "opened", d: "M9 1v10"}), "a session begins"],
  request: [() => shape("path", {class: "request", d: "M7 1l5 5l-5 5z"}), "a response begins"],
  answered: [() => shape("path", {class: "answered", d: "M5 6l3 4l6 -8"}), "all is sent"],
  closed: [() => shape("path", {class: "closed", d: "M4 1l10 10m0 -10l-10 10"}), "closed"],
  named: [() => bar("named"), "the moment of the link"],
};

// The signs that a recording needs, by their names; states by `state` in front.
function signsOf(recording) {
  const {kinds, states, calls: [server, client]} = recording.occurring, names = [];
  const add = (name, is) => is && names.push(name);
  recording.callNames.forEach((name, code) => {
    const isWish = ["recv", "send", "connect"].includes(name) || name.startsWith("waits");
    add(isWish ? "wants" : "quiet", client[code] & 4);
    add("sleep", server[code] & 4);
    if (name === "close") return add("closed", client[code]);
    add(GROUPS[name] || "other", (server[code] | client[code]) & 1);
    add("refused", (server[code] | client[code]) & 2);
  });
  for (const [kind, ...signs] of [[FOUND, "found", "is-ready"], [QUEUED, "queued"], [COMPLETED, "completed", "is-ready"], [TURN, "acts"],
    [OPENED, "opened", "acts"], [REQUEST, "request"], [ANSWERED, "answered"], [CLOSED, "closed"]]) for (const sign of signs) add(sign, kinds[kind]);
  // Of a connection that is closed there is no bar.
  states.forEach((is, state) => add(`state ${recording.state(state)}`, is && recording.state(state) !== "closed"));
  return names;
}

// Explains what is drawn, and nothing else.
function legendOf(recordings, hasLinks) {
  const names = new Set(recordings.flatMap(signsOf));
  if (hasLinks) names.add("named");
  const states = [...names].filter(name => name.startsWith("state ")).map(name => name.slice(6));
  const signs = Object.entries(SIGNS).filter(([name]) => names.has(name)).map(([, sign]) => sign);
  const bands = states.map(state => [() => bar(`band ${slug(state)}`), `connection: ${state}`]);
  return [...signs, ...bands].map(([draw, words]) => {
    const icon = shape("svg", {width: 18, height: 12, class: "sign", "aria-hidden": "true"});
    icon.append(draw());
    return element("li", {}, icon, ` ${words}`);
  });
}
