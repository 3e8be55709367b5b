// The page comes to life.
function options(id, values) {
  for (const [value, text] of values) {
    const made = element("option", text);
    made.value = value;
    find(id).append(made);
  }
}

// [[value, "value (count)"], ...], the most frequent first.
function counted(values, name = (value) => value) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  const ordered = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 300);
  return ordered.map(([value, times]) => [String(value), `${name(value)} (${times})`]);
}

function legend() {
  const used = new Set(lanes.flatMap((lane) => lane.phases.filter((_number, at) => at % SIZE === 0)));
  const names = data.kinds.filter((_kind, at) => used.has(at)).map((kind) => [kind, NAMES[kind]]);
  const limited = lanes.some((lane) => lane.network && data.limits.length && (longest(lane, FLAT) || 0) > data.limits[0].s * 1e6);
  if (limited) names.push(["limit", "known idle limit"]);
  if (lanes.some((lane) => lane.marks.length)) names.push(["mark", "kernel asked"]);
  for (const [kind, name] of names) {
    const item = element("li"), sample = element("i");
    sample.style.background = `var(--${kind})`;
    item.append(sample, name);
    find("legend").append(item);
  }
}

function darkNow() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function theme() {
  find("theme").setAttribute("aria-pressed", String(darkNow()));
  find("theme").textContent = darkNow() ? "Light" : "Dark";
  find("theme").setAttribute("aria-label", darkNow() ? "Light colours" : "Dark colours");
  dress();
}

async function copy(from) {
  const code = from.parentElement.querySelector("code"), said = from.textContent;
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  from.textContent = "Copied";
  setTimeout(() => {
    from.textContent = said === "Copied" ? "Copy" : said;
  }, 1500);
}

options("by-process", counted(lanes.map((lane) => lane.pid), processName));
options("by-peer", counted(lanes.map((lane) => lane.peer)));
options("by-cause", counted(lanes.flatMap((lane) => lane.causes)));
const fillConnections = connectionTable();
function again() {
  arrange();
  fillConnections(shownLanes);
  measure();
}
for (const id of ["search", "by-process", "by-peer", "by-cause", "bad"]) find(id).addEventListener("input", again);
find("zoom-in").addEventListener("click", () => zoom(0.6));
find("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
find("reset").addEventListener("click", whole);
find("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = darkNow() ? "light" : "dark";
  theme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
new ResizeObserver(measure).observe(box);
for (const each of document.querySelectorAll("[data-copy]")) each.addEventListener("click", () => copy(each));
for (const each of document.querySelectorAll("[data-rest]"))
  each.addEventListener("click", () => {
    each.closest(".card").classList.add("all");
    each.hidden = true;
  });
for (const each of document.querySelectorAll("[data-open]")) {
  const lane = laneById.get(each.dataset.open);
  if (lane) each.addEventListener("click", () => open(lane, each));
  else each.hidden = true;
}
// The last line of the details counts what there was no room for.
function leftOut() {
  const words = ["conversation (systrace follow shows it)", "calls (systrace parse --socket shows them)", "facts"];
  JSON.parse(details[lanes.length]).forEach((number, at) => {
    if (!number) return;
    find("left-out").hidden = false;
    find("left-out").nextElementSibling.append(element("li", `Connections without their ${words[at]}: ${number}`));
  });
}

leftOut();
legend();
exchangeTable();
arrange();
fillConnections(shownLanes);
whole();
theme();
measure();
if (data.verdict) select(rows.findIndex((row) => row.lane && row.lane.id === data.verdict), false);
globalThis.systraceReport = { view, drawn, draw, rows: () => rows, selected: () => selected, rowAt: (id) => rows.findIndex((row) => row.lane && row.lane.id === id), x, AXIS, ROW };
