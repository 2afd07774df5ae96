// What every page does: it reads what it holds, makes elements and draws its figures. Every text from outside gets in by
// textContent: none of it is ever read as HTML.
"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const content = read("content"), figures = read("figures");
const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
function attributes(element, values) {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  return element;
}

const drawn = [];

async function draw() {
  for (const [number, figure] of figures.entries()) {
    await Bokeh.embed.embed_item(figure.item, `figure-${number}`);
    const doc = Bokeh.documents.at(-1);
    drawn.push({ figure, model: (name) => doc.get_model_by_name(name) });
  }
}

// Figures are drawn for the screen's width and do not follow that of paper, so their places keep the screen's width.
addEventListener("beforeprint", () => {
  for (const figure of document.querySelectorAll("figure")) {
    figure.style.setProperty("--drawn", `${figure.getBoundingClientRect().width}px`);
  }
});

function ready() { document.documentElement.dataset.ready = "yes"; }
