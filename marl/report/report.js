"use strict";

async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// Figures name the page's CSS variables; plotly needs their values.
function resolveColours(text) {
  const style = getComputedStyle(document.documentElement);
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
}

function findControls(section) {
  return [...section.querySelectorAll("input, select")];
}

function draw(figure) {
  const section = document.getElementById(figure.id);
  const chosen = findControls(section).map((control) => control.value).join(",");
  const boxes = section.querySelectorAll(".plot");
  return Promise.all(figure.plots.map((plot, i) => {
    const patch = plot.patches[chosen] ?? [];
    const data = plot.data.map((trace, j) => ({ ...trace, ...patch[j] }));
    // A copy of the layout: plotly writes into it.
    const layout = structuredClone(plot.layout);
    return Plotly.react(boxes[i], data, layout, { responsive: true, displayModeBar: false });
  }));
}

function connect(number, figure, getFigures) {
  const section = document.getElementById(figure.id);
  for (const control of findControls(section)) {
    control.addEventListener("input", () => {
      const output = control.parentElement.querySelector("output");
      if (output) output.value = control.value;
      draw(getFigures()[number]);
    });
  }
}

async function main() {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  const payload = await unpack("payload");
  let figures;
  const drawAll = async () => {
    figures = JSON.parse(resolveColours(payload));
    await Promise.all(figures.map(draw));
  };
  await drawAll();
  figures.forEach((figure, number) => connect(number, figure, () => figures));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.documentElement.dataset.drawn = "true";
}

main();
