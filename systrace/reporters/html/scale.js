// Time as pixels: which stretch is in view, and what the axis says.
const ROW = 22, AXIS = 28, LEAST_US = 20;
const span = Math.max(data.span || 0, 1);
const view = { from: 0, to: span, gutter: 240, width: 800 };

const x = (us) => view.gutter + ((us - view.from) / (view.to - view.from)) * (view.width - view.gutter);
const timeAt = (px) => view.from + ((px - view.gutter) / (view.width - view.gutter)) * (view.to - view.from);

// Shows a stretch, kept within the log.
function look(from, to) {
  const wanted = Math.min(Math.max(to - from, LEAST_US), span * 1.02);
  const margin = span * 0.01;
  from = Math.min(Math.max(from, -margin), span + margin - wanted);
  view.from = from;
  view.to = from + wanted;
  redraw();
}

// By a factor, around a place on the canvas.
function zoom(factor, px = (view.gutter + view.width) / 2) {
  const at = timeAt(Math.max(px, view.gutter));
  look(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

const pan = (share) => look(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
const whole = () => look(-span * 0.01, span * 1.01);

const STEPS = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map((s) => s * 1e6);

// The distance of two ticks that leaves room for their labels.
function step() {
  const least = ((view.to - view.from) / Math.max(view.width - view.gutter, 1)) * 110;
  for (let power = 1; power < 1e7; power *= 10)
    for (const digit of [1, 2, 5]) if (digit * power >= least) return digit * power;
  return STEPS.find((each) => each >= least) || Math.ceil(least / 86400e6) * 86400e6;
}

// The date, where a log is longer than a day.
const day = (us) =>
  data.clock.kind === "epoch" && span > 86400e6 ? `${new Date((data.clock.first + us) / 1000).toISOString().slice(5, 10)} ` : "";

// [[time, label], ...]: round moments of the log's own clock.
function ticks() {
  const every = step(), digits = every >= 1e6 ? 0 : every >= 1000 ? 3 : 6;
  const offset = data.clock.kind === "relative" ? 0 : data.clock.first % every;
  const out = [];
  for (let at = Math.ceil((view.from + offset) / every) * every - offset; at <= view.to; at += every)
    out.push([at, day(at) + moment(at, digits)]);
  return out;
}
