// The chart: only rows in view are drawn, and of each only what differs from pixel to pixel.
const canvas = find("canvas"), box = find("lanes"), paper = canvas.getContext("2d");
const COLOURS = [...data.kinds, "limit", "mark", "text", "dim", "line", "card", "row", "select", "red", "accent"];
const FONT = "12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
const MIDDLE = { connect: 10, failed: 12, tls: 10, both: 12, waiting: 8, silence: 2, lookup: 10 }; // heights
const FLAT = ["waiting", "silence"];
const colour = {}, drawn = { rows: 0, marks: 0, ms: 0 };
let letter = 7, waiting = false, stretch = null;

function dress() {
  const style = getComputedStyle(document.documentElement);
  for (const name of COLOURS) colour[name] = style.getPropertyValue(`--${name}`).trim();
  redraw();
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

// The paper fits the window; all rows fit into what is scrolled.
function measure() {
  const height = AXIS + rows.length * ROW + 6;
  find("height").style.height = `${height}px`;
  view.width = box.clientWidth;
  view.gutter = Math.min(300, Math.max(140, Math.round(view.width * 0.26)));
  const tall = Math.min(height, box.clientHeight || height), ratio = window.devicePixelRatio || 1;
  canvas.style.height = `${tall}px`;
  canvas.width = Math.round(view.width * ratio);
  canvas.height = Math.round(tall * ratio);
  paper.setTransform(ratio, 0, 0, ratio, 0, 0);
  paper.font = FONT;
  letter = paper.measureText("m").width || 7;
  redraw();
}

// Text within a width: its middle goes first, as ports and numbers stand at the end.
function fitting(text, width) {
  const room = Math.floor(width / letter);
  if (text.length <= room) return text;
  if (room < 8) return room > 1 ? `${text.slice(0, room - 1)}\u2026` : "";
  const tail = Math.floor((room - 1) * 0.4);
  return `${text.slice(0, room - 1 - tail)}\u2026${text.slice(-tail)}`;
}

function draw() {
  const began = performance.now(), tall = canvas.clientHeight, top = box.scrollTop;
  drawn.rows = drawn.marks = 0;
  paper.font = FONT;
  paper.textBaseline = "middle";
  paper.fillStyle = colour.card;
  paper.fillRect(0, 0, view.width, tall);
  const marks = data.clock.kind === "none" ? [] : ticks();
  paper.fillStyle = colour.line;
  for (const [at] of marks) if (x(at) >= view.gutter) paper.fillRect(Math.round(x(at)), AXIS, 1, tall);
  const first = Math.max(0, Math.floor(top / ROW));
  for (let at = first; at < rows.length; at += 1) {
    const y = AXIS + at * ROW - top;
    if (y > tall) break;
    drawRow(rows[at], y, at === selected);
    drawn.rows += 1;
  }
  drawAxis(marks);
  if (stretch) {
    paper.globalAlpha = 0.2;
    paper.fillStyle = colour.accent;
    paper.fillRect(Math.min(...stretch), AXIS, Math.abs(stretch[1] - stretch[0]), tall);
    paper.globalAlpha = 1;
  }
  drawn.ms = performance.now() - began;
}

function drawAxis(marks) {
  paper.fillStyle = colour.row;
  paper.fillRect(0, 0, view.width, AXIS);
  paper.fillStyle = colour.dim;
  const label = data.clock.kind === "none" ? "no clock" : `${duration(view.to - view.from)} in view`;
  paper.fillText(fitting(label, view.gutter - 12), 8, AXIS / 2);
  let free = view.gutter;
  for (const [at, text] of marks) {
    const px = Math.round(x(at)), wide = text.length * letter;
    if (px < free || px + wide > view.width) continue;
    paper.fillText(text, px + 3, AXIS / 2);
    free = px + wide + 12;
  }
  paper.fillStyle = colour.line;
  paper.fillRect(0, AXIS - 1, view.width, 1);
  paper.fillRect(view.gutter - 1, 0, 1, canvas.clientHeight);
}

function drawRow(row, y, chosen) {
  if (chosen || row.process) {
    paper.fillStyle = chosen ? colour.select : colour.row;
    paper.fillRect(0, y, view.gutter - 1, ROW);
    if (chosen) paper.fillRect(view.gutter, y, view.width, ROW);
  }
  paper.save();
  paper.beginPath();
  paper.rect(view.gutter, AXIS, view.width - view.gutter, canvas.clientHeight);
  paper.clip();
  if (row.process) drawProcess(row.process, y);
  else drawLane(row.lane, y);
  paper.restore();
  drawLabel(row, y);
}

function drawLabel(row, y) {
  if (row.process) {
    const name = row.process.pid ? `${row.process.name}[${row.process.pid}]` : row.process.name;
    paper.fillStyle = row.process.bad ? colour.red : colour.text;
    paper.fillText(fitting(name, view.gutter - 14), 8, y + ROW / 2);
    return;
  }
  const lane = row.lane, lead = `${lane.id} `;
  paper.fillStyle = lane.bad ? colour.red : colour.dim;
  if (lane.bad) paper.fillRect(10, y + ROW / 2 - 3, 6, 6);
  paper.fillText(lead, 20, y + ROW / 2);
  paper.fillStyle = colour.text;
  paper.fillText(fitting(lane.label, view.gutter - 28 - lead.length * letter), 20 + lead.length * letter, y + ROW / 2);
}

function bar(kind, from, to, y, tall) {
  paper.fillStyle = colour[kind];
  paper.fillRect(from, y, Math.max(to - from, kind === "failed" ? 3 : 1.5), tall);
  drawn.marks += 1;
}

function drawProcess(process, y) {
  if (data.clock.kind === "none") return;
  const from = x(process.from === null ? 0 : process.from), to = x(process.to === null ? span : process.to);
  paper.fillStyle = colour.line;
  paper.fillRect(from, y + 6, Math.max(to - from, 1.5), ROW - 12);
  paper.fillStyle = process.bad ? colour.red : colour.dim;
  if (process.to !== null) paper.fillRect(to - 2, y + 3, 3, ROW - 6);
  for (const [at, name] of process.signals) {
    const px = x(at);
    paper.fillStyle = colour.mark;
    paper.fillRect(px - 1, y + 1, 2, ROW - 2);
    const wide = name.length * letter + 6;
    if (view.to - view.from < span || process.signals.length < 6) paper.fillText(name, px + wide > view.width ? px - wide : px + 4, y + ROW / 2);
  }
}

function drawLane(lane, y) {
  const phases = lane.phases, left = view.gutter, right = view.width;
  for (const flat of [true, false]) {
    let last = -1, lastKind = -1;
    for (let at = 0; at < phases.length; at += SIZE) {
      const kind = data.kinds[phases[at]];
      if (FLAT.includes(kind) !== flat) continue;
      const from = x(phases[at + 1]), to = x(phases[at + 1] + phases[at + 2]);
      if (to < left || from > right || (to <= last && lastKind === phases[at])) continue;
      last = Math.max(Math.ceil(from + 1), to);
      lastKind = phases[at];
      if (kind === "error") cross(from, y);
      else if (kind === "sent") bar(kind, from, to, y + 3, ROW / 2 - 3);
      else if (kind === "received") bar(kind, from, to, y + ROW / 2, ROW / 2 - 3);
      else bar(kind, from, to, y + (ROW - MIDDLE[kind]) / 2, MIDDLE[kind]);
      if (kind === "failed") cross(to, y);
      if (flat && lane.network) drawLimits(phases[at + 1], phases[at + 2], y);
    }
  }
  paper.fillStyle = colour.mark;
  for (const [at] of lane.marks) {
    paper.beginPath();
    paper.moveTo(x(at) - 4, y + ROW - 1);
    paper.lineTo(x(at) + 4, y + ROW - 1);
    paper.lineTo(x(at), y + ROW - 8);
    paper.fill();
  }
}

function cross(px, y) {
  paper.strokeStyle = colour.error;
  paper.lineWidth = 2;
  paper.beginPath();
  paper.moveTo(px - 4, y + ROW / 2 - 4);
  paper.lineTo(px + 4, y + ROW / 2 + 4);
  paper.moveTo(px + 4, y + ROW / 2 - 4);
  paper.lineTo(px - 4, y + ROW / 2 + 4);
  paper.stroke();
  drawn.marks += 1;
}

// Where somebody in the path may have forgotten the connection.
function drawLimits(start, took, y) {
  for (const limit of data.limits) {
    if (limit.s * 1e6 >= took) break;
    const px = Math.round(x(start + limit.s * 1e6)), room = px - x(start);
    if (room < 6) continue;
    paper.fillStyle = colour.limit;
    paper.globalAlpha = room < 60 ? 0.5 : 1;
    for (let dash = 1; dash < ROW; dash += 5) paper.fillRect(px, y + dash, room < 60 ? 1 : 2, 3);
    paper.globalAlpha = 1;
  }
}

const limitNear = (lane, us, near) => {
  if (!lane.network) return null;
  for (let at = 0; at < lane.phases.length; at += SIZE) {
    if (!FLAT.includes(data.kinds[lane.phases[at]])) continue;
    const hit = data.limits.find(
      (limit) => limit.s * 1e6 < lane.phases[at + 2] && Math.abs(lane.phases[at + 1] + limit.s * 1e6 - us) <= near);
    if (hit) return hit;
  }
  return null;
};
