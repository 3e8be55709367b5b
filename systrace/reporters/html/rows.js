// Which rows there are: a process, and below it its connections; filtered, nothing else.
const NAMES = {
  connect: "connect", failed: "connect failed", tls: "TLS handshake", sent: "sent", received: "received",
  both: "both ways", waiting: "waiting", silence: "silence", error: "error", lookup: "look-up",
};
const SIZE = 5; // numbers a phase: kind, start, duration, bytes sent, bytes received
const lanes = data.lanes, byPid = new Map(data.processes.map((each) => [each.pid, each]));
const processName = (pid) => (byPid.has(pid) ? `${byPid.get(pid).name}[${pid}]` : pid ? `[${pid}]` : "unknown process");
for (const lane of lanes) {
  lane.process = processName(lane.pid);
  lane.text = [lane.id, lane.label, lane.peer, lane.process, lane.protocol, lane.end, ...lane.causes].join(" ").toLowerCase();
}
// A shell script starts hundreds of programs: of so many, those that did well and spoke to nobody are in the list below only.
const MANY = 60;
let rows = [], shownLanes = lanes, selected = -1;

function wanted() {
  const words = find("search").value.toLowerCase().split(" ").filter(Boolean);
  const pid = find("by-process").value, peer = find("by-peer").value, cause = find("by-cause").value, bad = find("bad").checked;
  const any = words.length || pid || peer || cause || bad;
  const fits = (lane) =>
    words.every((word) => lane.text.includes(word)) && (!pid || String(lane.pid) === pid) &&
    (!peer || lane.peer === peer) && (!cause || lane.causes.includes(cause)) && (!bad || lane.bad);
  return { any, fits, pid };
}

function arrange() {
  const { any, fits } = wanted();
  const chosen = selected >= 0 ? rows[selected] : null;
  shownLanes = lanes.filter(fits);
  const of = new Map();
  for (const lane of shownLanes) of.set(lane.pid, [...(of.get(lane.pid) || []), lane]);
  rows = [];
  const add = (process, own) => {
    rows.push({ process });
    for (const lane of own) rows.push({ lane });
  };
  for (const process of data.processes) {
    const own = of.get(process.pid) || [];
    of.delete(process.pid);
    const plain = !process.bad && !process.signals.length;
    if (own.length || (!any && !(plain && data.processes.length > MANY))) add(process, own);
  }
  for (const [pid, own] of of) add({ name: processName(pid), pid: null, fate: "", from: null, to: null, signals: [] }, own);
  selected = chosen ? rows.findIndex((row) => row.lane === chosen.lane && row.process === chosen.process) : -1;
  const all = lanes.length;
  find("count").textContent = !all
    ? "This log has no connection."
    : data.clock.kind === "none"
      ? `${count(all, "connection", "connections")}; this log has no clock (strace -ttt), so there is nothing to draw.`
      : shownLanes.length === all
        ? count(all, "connection", "connections")
        : `${shownLanes.length} of ${count(all, "connection", "connections")}`;
}

// The phase of a lane at a time, the shortest of several; within `near` microseconds.
function phaseAt(lane, us, near) {
  const phases = lane.phases;
  let best = -1, least = Infinity;
  for (let at = 0; at < phases.length; at += SIZE) {
    const start = phases[at + 1], took = phases[at + 2];
    if (us >= start - near && us <= start + took + near && took < least) {
      best = at;
      least = took;
    }
  }
  return best;
}

function phaseWords(lane, at) {
  const [kind, start, took, sent, received] = lane.phases.slice(at, at + SIZE);
  const words = [NAMES[data.kinds[kind]]], text = lane.texts[at / SIZE];
  if (text) words.push(text);
  if (took) words.push(duration(took));
  if (sent) words.push(`${bytes(sent)} out`);
  if (received) words.push(`${bytes(received)} in`);
  return `${words.join(", ")}, at ${moment(start)}`;
}

// In one sentence: for who does not see the chart.
function rowWords(row) {
  if (row.process) return `Process ${row.process.name}${row.process.pid ? `[${row.process.pid}]` : ""} ${row.process.fate}`;
  const lane = row.lane, longest = {};
  for (let at = 0; at < lane.phases.length; at += SIZE) {
    const kind = data.kinds[lane.phases[at]];
    longest[kind] = Math.max(longest[kind] || 0, lane.phases[at + 2]);
  }
  const words = Object.entries(longest).map(([kind, us]) => (us ? `${NAMES[kind]} up to ${duration(us)}` : NAMES[kind]));
  return [`${lane.id} ${lane.label}`, ...words, lane.end, ...lane.causes].filter(Boolean).join(", ");
}
