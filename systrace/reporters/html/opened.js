// A connection that was opened: facts, what the decoders made of it, what was said, calls.
const panel = find("opened");
let opener = null;

function open(lane, from = canvas) {
  const at = lanes.indexOf(lane);
  if (at < 0) return;
  const found = JSON.parse(details[at]);
  opener = from;
  if (found) panel.replaceChildren(
    head(lane), factList(found.facts), ...readings(lane), ...decoded(found), ...conversation(found), ...callTable(found));
  else panel.replaceChildren(head(lane), element("p", "Left out, as the page would be too large.", "note"));
  panel.hidden = false;
  panel.focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest" });
}

function close() {
  if (panel.hidden) return;
  panel.hidden = true;
  panel.replaceChildren();
  if (opener) opener.focus();
}

function head(lane) {
  const top = element("div", "", "top"), title = element("h2", `${lane.id} ${lane.label}`);
  title.id = "opened-title";
  top.append(title, button("Close", close));
  return top;
}

function factList(facts) {
  const list = element("dl", "", "facts");
  for (const [name, text] of facts) list.append(element("dt", name), element("dd", text));
  return list;
}

function readings(lane) {
  if (!lane.marks.length) return [];
  const list = element("ul");
  for (const [at, text] of lane.marks) list.append(element("li", `${moment(at)} ${text}`.trim()));
  return [element("h3", "What the kernel said"), list];
}

// [{title, number, kind}], [[text, ...]]: a plain table.
function plainTable(columns, body, name) {
  const wide = element("div", "", "wide"), table = element("table"), first = element("tr"), rest = element("tbody");
  table.append(element("caption", name, "unseen"));
  for (const column of columns) first.append(element("th", column.title, column.kind));
  for (const cells of body) {
    const row = element("tr");
    cells.forEach((text, at) => row.append(element("td", String(text), columns[at].kind)));
    rest.append(row);
  }
  const lead = element("thead");
  lead.append(first);
  table.append(lead, rest);
  wide.append(table);
  return wide;
}

const NUMBER = "number", WORDS = "words", SHORT = "short";

function decoded(found) {
  if (!found.messages.length) return [];
  const columns = [{ title: "time", kind: SHORT }, { title: "direction", kind: SHORT }, { title: "message", kind: WORDS }, { title: "line", kind: NUMBER }];
  const body = found.messages.map((each) => [
    moment(each.at), each.sent ? "sent" : "received",
    `${each.protocol}: ${each.summary}${each.whole ? "" : " (not whole)"}`, each.line === null ? "" : each.line]);
  const out = [element("h3", "What it says"), plainTable(columns, body, "Decoded messages")];
  if (found.unread) out.push(element("p", `${found.unread} more messages are not kept`, "note"));
  const plain = found.messages.filter((each) => each.text);
  if (plain.length) {
    const said = element("div", "", "said");
    for (const each of plain) said.append(turn({ sent: each.sent, at: each.at, title: `decrypted ${each.protocol}`, text: each.text }));
    out.push(element("h3", "Decrypted"), said);
  }
  return out;
}

function turn(block) {
  const kind = block.title === undefined ? "gap" : block.sent ? "out" : "in";
  const made = element("div", "", `turn ${kind}`);
  if (block.title !== undefined) made.append(element("h4", `${block.sent ? ">" : "<"} ${moment(block.at)} ${block.title}`));
  let lines = [];
  const flush = () => {
    if (lines.length) made.append(element("pre", lines.join("\n") || " "));
    lines = [];
  };
  for (const line of block.text) {
    if (typeof line === "string") lines.push(line);
    else {
      flush();
      made.append(line.note ? element("div", line.note, "hole") : element("div", line.quiet, "quiet"));
    }
  }
  flush();
  return made;
}

function conversation(found) {
  const title = element("h3", "What went over it");
  if (!found.said) return [title, element("p", "Left out, as the page would be too large: systrace follow shows it.", "note")];
  if (!found.said.length) return [title, element("p", "Nothing that is kept.", "note")];
  const said = element("div", "", "said");
  said.tabIndex = 0;
  said.setAttribute("role", "region");
  said.setAttribute("aria-label", "Conversation");
  for (const block of found.said) said.append(turn(block));
  return [title, said];
}

function callTable(found) {
  const title = element("h3", `Calls (${found.calls.length}${found.dropped ? `, and ${found.dropped} that are not kept` : ""})`);
  const columns = [
    { title: "time", kind: SHORT }, { title: "thread", kind: NUMBER }, { title: "call", kind: SHORT }, { title: "result", kind: SHORT },
    { title: "took", kind: NUMBER }, { title: "about", kind: WORDS }, { title: "line", kind: NUMBER }];
  const body = found.calls.map(([at, tid, call, result, took, about, line]) =>
    [moment(at, 6), tid, call, result, duration(took), about, line]);
  return [title, plainTable(columns, body, "Calls")];
}
