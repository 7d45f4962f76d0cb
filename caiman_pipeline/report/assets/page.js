"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { components, traces } = data;
  const bytes = Uint8Array.from(atob(traces.data), (c) => c.charCodeAt(0));
  const place = new Map(traces.rows.map((k, i) => [k, i]));
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  let current = -1;

  all("input[name=image]").forEach((input) =>
    input.addEventListener("change", () =>
      all(".picture").forEach((image) => image.toggleAttribute("hidden", image.id !== "img-" + input.value))));
  all("input[data-layer]").forEach((input) =>
    input.addEventListener("change", () => {
      find("#outlines ." + input.dataset.layer).style.display = input.checked ? "" : "none";
    }));

  const outlines = new Map(all("#outlines path").map((path) => [Number(path.dataset.k), path]));
  const dots = new Map(all(".dot").map((dot) => [Number(dot.dataset.k), dot]));
  for (const [k, path] of outlines) {
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = components[k][0];
    path.append(title);
  }
  const pick = (event) => {
    const mark = event.target.closest("[data-k]");
    if (mark) select(Number(mark.dataset.k));
  };
  all("#field, #quality .chart").forEach((element) => element.addEventListener("click", pick));

  // Walk through the components that are shown, in the order of their ids.
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !components.length || event.target.type === "radio") return;
    const shown = [...outlines.keys()].sort((a, b) => a - b).filter((k) =>
      find(`[data-layer=${components[k][1] ? "accepted" : "rejected"}]`).checked);
    if (!shown.length) return;
    event.preventDefault();
    const next = step > 0 ? shown.find((k) => k > current) : shown.findLast((k) => k < current);
    select(next ?? shown.at(step > 0 ? 0 : -1));
  });

  function select(k) {
    for (const marks of [outlines, dots]) {
      marks.get(current)?.classList.remove("selected");
      marks.get(k)?.classList.add("selected");
    }
    current = k;
    const [id, accepted, reason, snr, r, soma, probability, size, centre, x, y] = components[k];
    const text = (value) => (value === null ? "unknown" : String(value));
    const rows = [["signal to noise", text(snr)], ["spatial correlation", text(r)], ["soma score", text(soma)], ["probability", text(probability)],
      ["size", text(size) + " px"],
      [centre.length > 2 ? "x, y, z" : "x, y", centre.map(text).join(", ") + " px"]];
    if (reason) rows.push(["reason", reason]);
    const details = find("#details");
    details.replaceChildren();
    const title = document.createElement("h3");
    title.textContent = "Component " + id;
    const state = document.createElement("span");
    state.className = "key " + (accepted ? "accepted" : "rejected");
    state.textContent = accepted ? " accepted" : " rejected";
    title.append(state);
    const list = document.createElement("dl");
    for (const [name, value] of rows) {
      const term = document.createElement("dt");
      const entry = document.createElement("dd");
      term.textContent = name;
      entry.textContent = value;
      list.append(term, entry);
    }
    details.append(title, list);
    const side = Math.min(Math.max(6 * Math.sqrt(size || 25), 20), 160);
    find("#zoom").setAttribute("viewBox", `${x - side / 2} ${y - side / 2} ${side} ${side}`);
    find("#card").hidden = find("#trace-box").hidden = false;
    draw();
  }

  function points(k) {
    const row = place.get(k);
    if (row === undefined) return null;
    const start = row * (traces.raw + traces.denoised);
    const value = (byte) => (byte ? traces.low[row] + ((byte - 1) / 254) * (traces.high[row] - traces.low[row]) : NaN);
    const read = (from, count) => Array.from(bytes.subarray(from, from + count), value);
    return { unit: traces.units[row], raw: read(start, traces.raw), denoised: read(start + traces.raw, traces.denoised) };
  }

  function niceStep(span) {
    const power = 10 ** Math.floor(Math.log10(span / 5));
    return [1, 2, 5, 10].map((m) => m * power).find((step) => span / step <= 5.5);
  }

  function draw() {
    const canvas = find("#trace");
    const found = current >= 0 ? points(current) : null;
    if (!canvas || !found) return;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const known = [...found.raw, ...found.denoised].filter(Number.isFinite);
    const [low, high] = [Math.min(...known, 0), Math.max(...known, 1e-9)];
    const box = { left: 46, right: width - 14, top: 10, bottom: height - 36 };
    const px = (share) => box.left + share * (box.right - box.left);
    const py = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = "#66727f";
    context.strokeStyle = "#eef1f4";
    const label = (value) => String(Number(value.toPrecision(6)));
    const stepY = niceStep(high - low);
    context.textAlign = "right";
    for (let v = Math.ceil(low / stepY) * stepY; v <= high; v += stepY) {
      context.beginPath();
      context.moveTo(box.left, py(v));
      context.lineTo(box.right, py(v));
      context.stroke();
      context.fillText(label(v), box.left - 6, py(v) + 4);
    }
    context.textAlign = "center";
    const stepX = niceStep(traces.seconds);
    for (let t = 0; t <= traces.seconds; t += stepX) context.fillText(label(t), px(t / traces.seconds), box.bottom + 16);
    context.fillText("time (s)", (box.left + box.right) / 2, height - 5);
    context.save();
    context.translate(10, (box.top + box.bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(found.unit, 0, 0);
    context.restore();
    for (const [values, colour, thickness] of [[found.raw, "#b4bdc7", 1], [found.denoised, "#0f6b7d", 1.4]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.lineJoin = "round";
      context.beginPath();
      let down = false;
      values.forEach((value, i) => {
        if (!Number.isFinite(value)) { down = false; return; }
        const x = px(i / Math.max(values.length - 1, 1));
        if (down) context.lineTo(x, py(value));
        else context.moveTo(x, py(value));
        down = true;
      });
      context.stroke();
    }
  }
  window.addEventListener("resize", draw);

  const score = (k) => (components[k][1] ? 1e6 : 0) + (components[k][3] || 0);
  if (outlines.size) select([...outlines.keys()].reduce((a, b) => (score(b) > score(a) ? b : a)));
})();
