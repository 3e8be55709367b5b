// Mouse, touch and keys on the chart.
const tip = find("tip"), spoken = find("spoken");

function rowAt(py) {
  return py < AXIS ? -1 : Math.floor((py - AXIS + box.scrollTop) / ROW);
}

function place(event) {
  const frame = canvas.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
}

function tell(event) {
  const [px, py] = place(event), row = rows[rowAt(py)];
  if (!row || event.pointerType === "touch") {
    tip.hidden = true;
    return;
  }
  tip.textContent = tipWords(row, px).join("\n");
  tip.hidden = false;
  const wide = tip.offsetWidth, tall = tip.offsetHeight;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - wide - 8))}px`;
  tip.style.top = `${event.clientY + 18 + tall > window.innerHeight ? event.clientY - tall - 10 : event.clientY + 18}px`;
}

function tipWords(row, px) {
  const us = timeAt(px), near = (4 * (view.to - view.from)) / Math.max(view.width - view.gutter, 1);
  if (row.process) {
    const signals = row.process.signals.filter(([at]) => px >= view.gutter && Math.abs(at - us) <= near);
    return [rowWords(row), ...signals.map(([at, name]) => `${name} at ${moment(at)}`)];
  }
  const lane = row.lane, words = [`${lane.id} ${lane.label}`];
  if (lane.label !== lane.peer) words.push(lane.peer);
  if (px >= view.gutter && data.clock.kind !== "none") {
    const at = phaseAt(lane, us, near), limit = limitNear(lane, us, near);
    if (at >= 0) words.push(phaseWords(lane, at));
    if (limit) words.push(`idle limit of ${limit.s} s: ${limit.of}`);
    for (const [when, text] of lane.marks) if (Math.abs(when - us) <= near) words.push(`kernel: ${text}`);
  }
  return [...words, [lane.process, lane.end, ...lane.causes].filter(Boolean).join(", ")];
}

function select(at, speak = true) {
  selected = Math.min(Math.max(at, 0), rows.length - 1);
  const top = selected * ROW, room = canvas.clientHeight - AXIS;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW > box.scrollTop + room) box.scrollTop = top + ROW - room;
  if (speak && rows[selected]) spoken.textContent = rowWords(rows[selected]);
  redraw();
}

let held = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const [px, py] = place(event);
  held = { px, py, from: view.from, to: view.to, moved: false, marks: event.shiftKey && px >= view.gutter };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  tell(event);
  if (!held) return;
  const [px, py] = place(event);
  held.moved = held.moved || Math.hypot(px - held.px, py - held.py) > 4;
  if (!held.moved) return;
  tip.hidden = true;
  if (held.marks) {
    stretch = [held.px, Math.max(px, view.gutter)];
    redraw();
  } else {
    const us = ((held.px - px) / (view.width - view.gutter)) * (held.to - held.from);
    look(held.from + us, held.to + us);
  }
});
canvas.addEventListener("pointerup", (event) => {
  const was = held;
  held = null;
  if (!was) return;
  if (stretch) {
    const [from, to] = stretch.map(timeAt).sort((one, other) => one - other);
    stretch = null;
    look(from, to);
  } else if (!was.moved) {
    const at = rowAt(place(event)[1]);
    if (!rows[at]) return;
    select(at);
    if (rows[at].lane) open(rows[at].lane);
  }
});
canvas.addEventListener("pointercancel", () => {
  held = stretch = null;
  redraw();
});
canvas.addEventListener("pointerleave", () => {
  tip.hidden = true;
});
canvas.addEventListener("dblclick", (event) => zoom(0.25, place(event)[0]));
canvas.addEventListener("wheel", (event) => {
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
  if (event.ctrlKey || event.metaKey || event.altKey) zoom(Math.exp(Math.sign(event.deltaY) * 0.25), place(event)[0]);
  else if (sideways) pan(Math.sign(sideways) * 0.1);
  else return; // the page, or the rows, scroll
  event.preventDefault();
}, { passive: false });

const KEYS = {
  ArrowLeft: () => pan(-0.15),
  ArrowRight: () => pan(0.15),
  ArrowUp: () => select(selected - 1),
  ArrowDown: () => select(selected + 1),
  PageUp: () => select(selected - 15),
  PageDown: () => select(selected + 15),
  Home: () => select(0),
  End: () => select(rows.length - 1),
  "+": () => zoom(0.6),
  "=": () => zoom(0.6),
  "-": () => zoom(1 / 0.6),
  0: whole,
  Enter: () => selected >= 0 && rows[selected] && rows[selected].lane && open(rows[selected].lane),
};
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});
box.addEventListener("scroll", redraw);
