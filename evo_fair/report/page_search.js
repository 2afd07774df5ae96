// The report of a search: limits and goal, what follows from them, the networks' cards, the figures.
"use strict";

const table = content.table, names = Object.keys(table.columns);
const choose = makeChooser(table, content.axes);
const ROWS = 50;

function short(value) {
  if (value === null || value === undefined) return "unknown";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  return String(Number(value.toPrecision(6)));
}
// A figure to the digits that its error leaves meaning.
function withError(value, doubt) {
  if (!doubt || value === null || value === undefined) return short(value);
  const digits = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(doubt))));
  return `${value.toFixed(digits)} ± ${doubt.toFixed(digits)}`;
}
const percent = (value) => (value === null ? "unknown" : `${(100 * value).toFixed(1)} %`);
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const limitText = (limit) => `${limit.name} ${limit.relation} ${limit.number}`;

// ---- limits and goal

const state = { limits: new Map(), card: null, search: "", confused: "" };

// A column's different values from the loosest to the strictest limit.
function steps(name) {
  const values = [...new Set(table.columns[name].filter((value) => value !== null))].sort((a, b) => a - b);
  return relationOf(name) === "<=" ? values.reverse() : values;
}
const relationOf = (name) => (table.directions[name] === "max" ? ">=" : "<=");

function addLimit(name) {
  const relation = relationOf(name), values = steps(name), id = `limit-${names.indexOf(name)}`;
  if (byId(id) || !values.length) return;
  const label = make("label", { htmlFor: id, textContent: `${table.titles[name]} ${relation === "<=" ? "at most" : "at least"}` });
  const slider = attributes(make("input", { id }), { type: "range", min: 0, max: values.length, step: 1, value: 0 });
  const number = attributes(make("input"), {
    type: "text", inputmode: "decimal", placeholder: "no limit", autocomplete: "off",
    "aria-label": `${table.titles[name]}, limit as a number; empty for none`,
  });
  const set = (value) => {
    if (value === null) state.limits.delete(name);
    else state.limits.set(name, { name, relation, number: value });
    slider.setAttribute("aria-valuetext", value === null ? "no limit" : limitText({ name, relation, number: value }));
    later();
  };
  slider.addEventListener("input", () => {
    const value = Number(slider.value) ? values[slider.value - 1] : null;
    number.value = value === null ? "" : String(value);
    number.removeAttribute("aria-invalid");
    set(value);
  });
  number.addEventListener("input", () => {
    const text = number.value.trim(), value = Number(text);
    const bad = text !== "" && !Number.isFinite(value);
    number.setAttribute("aria-invalid", String(bad));
    if (bad) return;
    slider.value = text === "" ? 0 : values.filter((one) => (relation === "<=" ? one >= value : one <= value)).length;
    set(text === "" ? null : value);
  });
  slider.setAttribute("aria-valuetext", "no limit");
  byId("limits").append(attributes(make("div", { className: "limit" }, label, slider, number), { "data-name": name }));
}

function buildControls() {
  table.shown.forEach(addLimit);
  const more = byId("more-limits");
  const fill = () => {
    const left = names.filter((name) => !byId(`limit-${names.indexOf(name)}`) && steps(name).length);
    more.replaceChildren(make("option", { value: "", textContent: "choose a figure…" }),
      ...left.map((name) => make("option", { value: name, textContent: table.titles[name] })));
    more.disabled = !left.length;
  };
  fill();
  more.addEventListener("change", () => {
    const name = more.value;
    if (!name) return;
    addLimit(name);
    fill();
    byId(`limit-${names.indexOf(name)}`).focus();
  });
  const goal = byId("goal");
  for (const name of names) {
    for (const direction of table.directions[name] ? [table.directions[name]] : ["min", "max"]) {
      const text = `${direction === "max" ? "highest" : "lowest"} ${table.titles[name]}`;
      const option = make("option", { textContent: text, value: JSON.stringify({ name, direction }) });
      option.selected = name === table.goal;
      goal.append(option);
    }
  }
  goal.addEventListener("change", later);
  byId("reset").addEventListener("click", () => {
    state.limits.clear();
    for (const row of byId("limits").children) {
      const [slider, number] = row.querySelectorAll("input");
      slider.value = 0;
      number.value = "";
      number.removeAttribute("aria-invalid");
      slider.setAttribute("aria-valuetext", "no limit");
    }
    later();
  });
  byId("find").addEventListener("input", () => { state.search = byId("find").value.trim(); later(); });
  for (const id of ["show-others", "show-outside"]) byId(id).addEventListener("change", later);
}

// ---- what follows from them

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; update(); });
}

function update() {
  const goal = JSON.parse(byId("goal").value), limits = [...state.limits.values()];
  const choice = choose(limits, goal);
  state.card = choice.point;
  showChoice(choice, goal, limits);
  showTable(choice, goal);
  showCard();
  drawChoice(choice);
}

function showChoice({ point, kept, costs }, goal, limits) {
  const word = goal.direction === "max" ? "highest" : "lowest", values = table.columns[goal.name];
  byId("chosen").textContent = point === null
    ? "No network of the front is within all limits."
    : `Chosen: ${table.ids[point]}, with the ${word} ${table.titles[goal.name]}: ${short(values[point])}.`;
  byId("chosen").dataset.id = point === null ? "" : table.ids[point];
  byId("count").textContent = `${kept.length.toLocaleString("en")} of ${table.ids.length.toLocaleString("en")} networks are within all limits.`;
  byId("costs").replaceChildren(...costs.map(({ limit, best, cost }) => {
    let told = ` costs ${cost === null ? "" : short(cost)} of ${goal.name}: without it the ${word} ${goal.name} is ${short(best)}`;
    if (best === null) told = ": without it there is still none";
    else if (cost === null) told = `: without it the ${word} ${goal.name} is ${short(best)}`;
    const item = make("li", {}, make("code", { textContent: limitText(limit) }), told);
    Object.assign(item.dataset, { limit: limitText(limit), best: String(best), cost: String(cost) });
    return item;
  }));
  const option = (name) => make("span", { className: "whole", textContent: `--${name}` });
  byId("command").replaceChildren(
    `evo-fair operating-point ${/^[\w.\/-]+$/.test(content.name) ? content.name : quoted(content.name)} `,
    option(goal.direction === "max" ? "maximise" : "minimise"), ` ${quoted(goal.name)}`,
    ...limits.flatMap((limit) => [" ", option("constraint"), ` ${quoted(limitText(limit))}`]));
}

function showTable({ point, kept }, goal) {
  const values = table.columns[goal.name], sign = goal.direction === "max" ? -1 : 1;
  const rows = kept.filter((place) => table.ids[place].includes(state.search))
    .sort((a, b) => sign * (values[a] - values[b]) || table.rank[a] - table.rank[b]);
  const shown = rows.slice(0, ROWS), columns = [...new Set([goal.name, ...table.shown])];
  byId("networks-head").replaceChildren(make("tr", {},
    ...["network", ...columns.map((name) => table.titles[name])].map((text) =>
      attributes(make("th", { textContent: text }), { scope: "col" }))));
  byId("networks-body").replaceChildren(...shown.map((place) => {
    const button = make("button", { type: "button", textContent: table.ids[place] });
    button.addEventListener("click", () => { state.card = place; showCard(); byId("card").scrollIntoView(); byId("card-title").focus(); });
    const row = make("tr", { className: place === point ? "is-chosen" : "" },
      attributes(make("th", {}, button, place === point ? " chosen" : ""), { scope: "row" }));
    for (const name of columns) {
      row.append(make("td", { textContent: withError(table.columns[name][place], table.uncertainty[name]?.[place]) }));
    }
    return row;
  }));
  byId("networks-note").textContent = rows.length > ROWS ? `The best ${ROWS} of ${rows.length.toLocaleString("en")} are listed.` : "";
}

// ---- the card

function showCard() {
  const place = state.card, id = place === null ? null : table.ids[place];
  byId("card-title").textContent = id === null ? "The network's card" : `Card of network ${id}`;
  const parts = [];
  if (id === null) parts.push(make("p", { textContent: "No network is chosen: loosen a limit." }));
  else {
    const card = Object.hasOwn(content.cards, id) ? content.cards[id] : null;
    parts.push(...groupsOf(place, card), ...confusionOf(card), ...figuresOf(place, card), ...layersOf(card));
  }
  byId("card-body").replaceChildren(...parts);
}

function section(title, head, rows, numbers = true) {
  const cells = rows.map((row) => make("tr", {}, ...row.map((cell, number) => {
    const one = number === 0 ? attributes(make("th"), { scope: "row" }) : make("td", { className: numbers ? "" : "text" });
    one.append(cell);
    return one;
  })));
  const heads = head.map((text) => attributes(make("th", { textContent: text }), { scope: "col" }));
  return make("div", { className: "part" }, make("h3", { textContent: title }),
    attributes(make("div", { className: "scroll" },
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...cells))),
    { tabindex: 0, role: "region", "aria-label": title }));
}

function figuresOf(place, card) {
  const rows = names.filter((name) => !name.startsWith("accuracy[") && table.columns[name][place] !== null)
    .map((name) => [table.titles[name], withError(table.columns[name][place], table.uncertainty[name]?.[place])]);
  if (card) rows.push(["size of the ONNX file (bytes)", short(card.bytes)]);
  return [section("Figures and size", ["figure", "value"], rows)];
}

// A line from the lower to the upper end, a dot at the value, from 0 to 100 %.
function interval({ accuracy, low, high }) {
  const space = "http://www.w3.org/2000/svg", part = (tag, values) => attributes(document.createElementNS(space, tag), values);
  const picture = part("svg", { viewBox: "0 0 104 12", class: "interval", "aria-hidden": "true" });
  picture.append(part("line", { x1: 2, x2: 102, y1: 6, y2: 6, class: "rail" }));
  if (low !== null) picture.append(part("line", { x1: 2 + 100 * low, x2: 2 + 100 * high, y1: 6, y2: 6, class: "span" }));
  if (accuracy !== null) picture.append(part("circle", { cx: 2 + 100 * accuracy, cy: 6, r: 3.5 }));
  return picture;
}

function groupsOf(place, card) {
  if (card) {
    const groupings = [...new Set(card.groups.map((row) => row.grouping))];
    return groupings.map((grouping) => section(
      `For whom it works: ${grouping} (${card.part} part)`,
      ["group", "samples", "accuracy", "95 % interval", "0 to 100 %"],
      card.groups.filter((row) => row.grouping === grouping).map((row) => [
        row.group, short(row.samples), percent(row.accuracy),
        row.low === null ? "unknown" : `${(100 * row.low).toFixed(1)} to ${(100 * row.high).toFixed(1)} %`, interval(row),
      ])));
  }
  const rows = names.filter((name) => /^accuracy\[.*\]$/.test(name))
    .map((name) => [name.slice(9, -1), percent(table.columns[name][place])]);
  const parts = rows.length ? [section("For whom it works", ["group", "accuracy"], rows)] : [];
  return [...parts, make("p", { className: "note", textContent:
    "The run's folder holds no card of this network: group sizes, intervals and layers are not known." })];
}

// What labels were taken for: a table, of all samples or of a group that is chosen; the choice stays between networks.
function confusionOf(card) {
  if (!card) return [];
  const title = `Which labels it mixes up (${card.part} part)`;
  const part = make("div", { className: "part wide" }, make("h3", { textContent: title }));
  if (!card.confusion.length) {
    part.append(make("p", { className: "note", textContent: "Confusion within groups is not known: the card is of an " +
      "earlier version. 'evo-fair search --resume' with the run's settings writes it." }));
    return [part];
  }
  const select = make("select", { id: "confusion-of" });
  select.append(...card.confusion.map(({ title }) => make("option", { value: title, textContent: title })));
  select.value = card.confusion.some(({ title }) => title === state.confused) ? state.confused : card.confusion[0].title;
  const body = make("div");
  const show = () => {
    state.confused = select.value;
    const one = card.confusion.find(({ title }) => title === select.value);
    body.replaceChildren(confusionTable(one));
  };
  select.addEventListener("change", show);
  show();
  part.append(make("p", {}, make("label", { htmlFor: select.id, textContent: "Samples of " }), select), body);
  return [part];
}

function confusionTable({ title, labels, rows }) {
  const head = ["true label", ...labels, "right"];
  const cells = rows.map((row, number) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    return make("tr", {}, attributes(make("th", { textContent: labels[number] }), { scope: "row" }),
      ...row.map((count, taken) => {
        const cell = make("td", { textContent: count ? short(count) : "·", className: taken === number ? "right" : "" });
        // A wrong answer is the darker, the more of the label's samples it took.
        if (taken !== number && count) cell.style.backgroundColor = `rgba(208, 111, 0, ${0.15 + 0.6 * count / all})`;
        return cell;
      }),
      make("td", { textContent: percent(all ? row[number] / all : null) }));
  });
  const heads = head.map((text) => attributes(make("th", { textContent: text }), { scope: "col" }));
  return attributes(make("div", { className: "scroll" }, make("table", { className: "confusion" },
    make("caption", { textContent: `Of ${title}. Rows: the true label. Columns: what the network says.` }),
    make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...cells))),
  { tabindex: 0, role: "region", "aria-label": `Confusion of ${title}` });
}

function layersOf(card) {
  if (!card) return [];
  if (!card.latency.length) return [make("p", { className: "note", textContent: "Latency by layer is not known: the network's file or the device's profile is not at hand." })];
  return card.latency.map((one) => {
    const share = (ms) => percent(one.total_ms ? ms / one.total_ms : null);
    const rows = one.layers.map((layer) => [layer.name, layer.operator, layer.ms.toFixed(4) + (layer.outside ? " *" : ""), share(layer.ms)]);
    rows.push(["fixed cost of a network", "", one.fixed_ms.toFixed(4), share(one.fixed_ms)]);
    const part = section(`Latency by layer on ${one.device}: ${one.total_ms.toFixed(4)} ms, predicted`, ["layer", "operator", "ms", "share"], rows);
    if (one.layers.some((layer) => layer.outside)) {
      part.append(make("p", { className: "note", textContent: "* outside of what the profile was fitted to" }));
    }
    if (card.prepares_columns) {
      part.append(make("p", { className: "note", textContent: "The file also holds the preprocessing of its columns, columns/..., which the search's latency leaves out: it is the same for all networks." }));
    }
    return part;
  });
}

// ---- the figures

// The choice moves at once. Thousands of points take longer to draw: they follow when the slider rests.
const MANY = 2000, REST = 150;
let resting = null;

function drawChoice(choice) {
  const places = choice.point === null ? [] : [choice.point];
  for (const { figure, model } of drawn) {
    if (figure.kind !== "front") continue;
    fill(model("chosen"), figure, places);
    for (const [side, name] of [["x", figure.x], ["y", figure.y]]) {
      const limit = state.limits.get(name), line = model(`limit-${side}`);
      line.location = limit ? limit.number : null;
      line.visible = Boolean(limit);
    }
  }
  clearTimeout(resting);
  if (table.ids.length < MANY) drawPoints(choice);
  else resting = setTimeout(drawPoints, REST, choice);
}

function drawPoints({ kept }) {
  const inside = new Uint8Array(table.ids.length);
  for (const place of kept) inside[place] = 1;
  const outside = [];
  if (byId("show-outside").checked) for (let i = 0; i < inside.length; i++) if (!inside[i]) outside.push(i);
  for (const { figure, model } of drawn) {
    if (figure.kind !== "front") continue;
    fill(model("within"), figure, kept);
    fill(model("outside"), figure, outside);
    model("points-others").visible = byId("show-others").checked;
  }
}

function fill(source, figure, places) {
  source.data = {
    id: places.map((place) => table.ids[place]), x: along(figure.x, places), y: along(figure.y, places),
  };
}

const along = (name, places) => places.map((place) => (name ? table.columns[name][place] ?? NaN : place + 1));

function fillFigures() {
  for (const { figure, model } of drawn) {
    if (figure.kind === "search") {
      model("course").data = { x: content.search.map((row) => row.evaluated), y: content.search.map((row) => row.front) };
    } else if (content.others && figure.x) {
      const others = content.others, column = (name) => others.columns[name].map((value) => value ?? NaN);
      model("others").data = { id: others.ids, x: column(figure.x), y: column(figure.y) };
    }
    for (const kind of figure.kind === "front" ? ["within", "outside", "chosen"] : []) {
      const source = model(kind);
      source.selected.properties.indices.change.connect(() => {
        const id = source.data.id[source.selected.indices[0]];
        if (id === undefined) return;
        state.card = table.ids.indexOf(id);
        showCard();
      });
    }
  }
}

buildControls();
update();
draw().then(() => { fillFigures(); update(); ready(); });
