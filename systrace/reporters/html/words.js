// Data of the page, and how durations, sizes and moments are written (as systrace.words and reporters.words.clock do).
const data = JSON.parse(document.getElementById("data").textContent);
const details = document.getElementById("details").textContent.split("\n");
const find = (id) => document.getElementById(id);

// An element with text in it: nothing of a trace becomes markup.
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined && text !== "") made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function button(text, act, kind) {
  const made = element("button", text, kind);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

const trimmed = (value, digits) => value.toFixed(digits).replace(/0+$/, "").replace(/\.$/, "");

function duration(us) {
  if (us === null || us === undefined) return "-";
  if (us < 10000) return `${trimmed(us / 1e3, 2)} ms`;
  if (us < 1e6) return `${(us / 1e3).toFixed(0)} ms`;
  const seconds = us / 1e6;
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${seconds.toFixed(0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60 * 48) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor(minutes / 60) % 24} h`;
}

function bytes(count) {
  if (count === null || count === undefined) return "-";
  if (count < 1000) return `${count} B`;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    count /= 1000;
    if (count < 999.5 || unit === "TB") return `${count < 9.95 ? count.toFixed(1) : count.toFixed(0)} ${unit}`;
  }
}

const two = (number, digits = 2) => String(number).padStart(digits, "0");

// A moment of the log; `digits` of a second.
function moment(us, digits = 3) {
  if (us === null || us === undefined || data.clock.kind === "none") return "";
  if (data.clock.kind === "relative") return `+${(us / 1e6).toFixed(digits)} s`;
  const at = data.clock.first + us, second = Math.floor(at / 1e6), part = Math.floor((at - second * 1e6) / 10 ** (6 - digits));
  const day = ((second % 86400) + 86400) % 86400;
  const clock = `${two(Math.floor(day / 3600))}:${two(Math.floor(day / 60) % 60)}:${two(day % 60)}`;
  return digits ? `${clock}.${two(part, digits)}` : clock;
}

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;
