// Tables that sort by any column and show some rows at a time.
const AT_ONCE = 100;

// `columns`: title, value (to sort by), text (as shown; the value else), kind. `lead`: [title, lane of a row] where rows open one.
function grid(place, name, columns, all, laneOf) {
  let sorted = null, down = false, shown = AT_ONCE, current = all;
  const wide = element("div", "", "wide"), table = element("table"), body = element("tbody"), lead = element("tr");
  const note = element("p", "", "note"), more = button(`${AT_ONCE} more`, () => {
    shown += AT_ONCE;
    fill();
  });
  const heads = columns.map((column, at) => {
    const cell = element("th", "", column.kind);
    cell.scope = "col";
    cell.append(button(column.title, () => {
      down = sorted === at ? !down : false;
      sorted = at;
      fill();
    }));
    lead.append(cell);
    return cell;
  });
  const top = element("thead");
  top.append(lead);
  table.append(element("caption", name, "unseen"), top, body);
  wide.append(table);
  wide.tabIndex = 0;
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-label", name);
  place.append(wide, note, more);

  function order(one, other) {
    const [a, b] = [columns[sorted].value(one), columns[sorted].value(other)];
    const missing = (a === null || a === "") - (b === null || b === "");
    if (missing) return missing; // what nobody knows stands last, either way
    return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
  }

  function line(row) {
    const made = element("tr", "", columns.bad && columns.bad(row) ? "bad" : "");
    for (const column of columns) {
      const value = column.text ? column.text(row) : column.value(row), cell = element("td", "", column.kind);
      const lane = column.opens ? laneOf(row) : null;
      if (lane) {
        const link = button(String(value), () => open(lane, link), "link");
        cell.append(link);
      } else cell.textContent = value === null ? "-" : String(value);
      made.append(cell);
    }
    return made;
  }

  function fill() {
    const ordered = sorted === null ? current : [...current].sort(order);
    body.replaceChildren(...ordered.slice(0, shown).map(line));
    heads.forEach((cell, at) => {
      if (at === sorted) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    more.hidden = shown >= current.length;
    note.textContent = more.hidden ? "" : `${Math.min(shown, current.length)} of ${current.length} rows`;
  }

  return (chosen) => {
    current = chosen;
    shown = AT_ONCE;
    fill();
  };
}

const laneById = new Map(lanes.map((lane) => [lane.id, lane]));

function longest(lane, kinds) {
  let most = null;
  for (let at = 0; at < lane.phases.length; at += SIZE)
    if (kinds.includes(data.kinds[lane.phases[at]])) most = Math.max(most || 0, lane.phases[at + 2]);
  return most;
}

function moved(lane, offset) {
  let all = 0;
  for (let at = 0; at < lane.phases.length; at += SIZE) all += lane.phases[at + offset];
  return all;
}

const took = (title, value) => ({ title, value, text: (row) => duration(value(row)), kind: NUMBER });
const amount = (title, value) => ({ title, value, text: (row) => bytes(value(row)), kind: NUMBER });

function connectionTable() {
  const columns = [
    { title: "id", value: (lane) => Number(lane.id.slice(1)), text: (lane) => lane.id, kind: SHORT, opens: true },
    { title: "peer", value: (lane) => lane.label, kind: WORDS },
    { title: "process", value: (lane) => lane.process },
    { title: "opened", value: (lane) => lane.from, text: (lane) => moment(lane.from), kind: SHORT },
    took("connect", (lane) => longest(lane, ["connect", "failed"])),
    took("waited", (lane) => longest(lane, ["waiting", "lookup"])),
    took("silence", (lane) => longest(lane, ["silence"])),
    amount("out", (lane) => moved(lane, 3)),
    amount("in", (lane) => moved(lane, 4)),
    { title: "how it ended", value: (lane) => lane.end },
    { title: "finding", value: (lane) => lane.causes.join(", ") },
  ];
  columns.bad = (lane) => lane.bad;
  return grid(find("connections"), "Connections", columns, shownLanes, (lane) => lane);
}

// A row: at, socket, who, method, URL, status, then times (look-up, connect, TLS, first byte, transfer, total), bytes of the
// request and of the answer, type, error, line.
function exchangeTable() {
  const place = find("exchanges"), all = data.exchanges;
  if (!all.length) {
    place.append(element("p", "No HTTP request in this log.", "note"));
    return;
  }
  const columns = [
    { title: "start", value: (row) => row[0], text: (row) => moment(row[0]), kind: SHORT },
    { title: "connection", value: (row) => Number(row[1].slice(1)), text: (row) => row[1], kind: SHORT, opens: true },
    { title: "method", value: (row) => row[3] },
    { title: "URL", value: (row) => row[4], text: (row) => row[4] || "(request not in the log)", kind: WORDS },
    { title: "status", value: (row) => row[5] || null, kind: NUMBER },
    took("look-up", (row) => row[6]),
    took("connect", (row) => row[7]),
    took("TLS", (row) => row[8]),
    took("first byte", (row) => row[9]),
    took("transfer", (row) => row[10]),
    took("total", (row) => row[11]),
    amount("sent", (row) => row[12]),
    amount("got", (row) => row[13]),
    { title: "type", value: (row) => row[14] },
    { title: "note", value: (row) => row[15] },
    { title: "who", value: (row) => row[2] },
    { title: "line", value: (row) => row[16], kind: NUMBER },
  ].filter((column) => all.some((row) => column.value(row) !== null && column.value(row) !== ""));
  const harmless = ["", "encrypted", "clipped", "the answer is not kept"];
  columns.bad = (row) => row[5] >= 400 || !harmless.includes(row[15]);
  const label = element("label", "Filter "), input = element("input"), bar = element("div", "", "bar");
  input.type = "search";
  input.id = "exchange-filter";
  label.append(input);
  bar.append(label);
  place.append(bar);
  const fill = grid(place, "Requests and answers", columns, all, (row) => laneById.get(row[1]));
  const texts = all.map((row) => [row[1], row[2], row[3], row[4], row[5], row[14], row[15]].join(" ").toLowerCase());
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(" ").filter(Boolean);
    fill(all.filter((_row, at) => words.every((word) => texts[at].includes(word))));
  });
  fill(all);
}
