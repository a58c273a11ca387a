"use strict";
// The parts of the page that answer: the latent map, the threshold, the unusual rows.
// `decode`, where there is one, is the decoder as tinyae wrote it from the model's program.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const canDecode = typeof decode === "function";
  const isImage = data.kind === "image";
  const size = data.shape.reduce((a, b) => a * b, 1);

  // ---- numbers and names ----------------------------------------------------------------------
  function textOf(v, digits = 3) {
    if (!Number.isFinite(v)) return String(v);
    if (v === 0) return "0";
    const power = Math.floor(Math.log10(Math.abs(v)));
    let text;
    if (power < -4 || power > 8) text = v.toExponential(digits - 1);
    else {
      text = v.toFixed(Math.max(digits - 1 - power, 0));
      if (text.includes(".")) text = text.replace(/\.?0+$/, "");
    }
    return text.replace("-", "−");
  }
  const percent = (share) => `${textOf(100 * share, share < 0.95 ? 2 : 3)} %`;
  const counted = (n) => n.toLocaleString("en");
  const nameOf = (i) => data.names[i] + (data.labels ? `, class ${data.classes[data.labels[i]]}` : "");

  // ---- the rows of the page ---------------------------------------------------------------------
  const raw = data.x ? (isImage ? bytes(data.x) : floats(data.x)) : null;
  const made = data.y ? (isImage ? bytes(data.y) : floats(data.y)) : null;
  const codes = data.codes ? floats(data.codes) : null;
  const D = codes ? floats(data.mean).length : 0;
  const count = codes ? codes.length / D : raw ? raw.length / size : 0;
  const scores = data.scores ? floats(data.scores) : null;
  const all = data.all ? floats(data.all) : null;
  const unpack = (a, i) => {
    const part = a.subarray(i * size, (i + 1) * size);
    return isImage ? Float32Array.from(part, (v) => data.low + (v / 255) * (data.high - data.low)) : part;
  };
  const sample = (i) => unpack(raw, i);
  const codeOf = (i) => codes.subarray(i * D, (i + 1) * D);
  const reconstruction = (i) => (canDecode ? decoded(codeOf(i), data.labels && data.labels[i]) : unpack(made, i));
  function decoded(z, kind) {
    if (!data.conditions) return decode(z);
    // A conditional decoder takes the code and then its class, 1 among zeros, at every place.
    const given = new Float32Array(z.length + data.conditions * data.spread), first = z.length + (kind || 0) * data.spread;
    given.set(z);
    given.fill(1, first, first + data.spread);
    return decode(given);
  }
  const errorsOf = (x, y) =>
    Float32Array.from(x, (v, k) => ((y[k] - v) / (data.scale.length ? data.scale[k] : data.scale || 1)) ** 2);

  // ---- pictures of samples ----------------------------------------------------------------------
  const SVG = "http://www.w3.org/2000/svg";
  function element(tag, attributes = {}, ...inside) {
    const e = tag === "svg" || tag === "path" ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    e.append(...inside);
    return e;
  }
  function canvas(name, css = "") {
    const [, height, width] = data.shape;
    return element("canvas", { width, height, class: `pixels ${data.ink ? "ink" : ""} ${css}`, role: "img", "aria-label": name });
  }
  function paint(target, values) {
    const [channels, height, width] = data.shape;
    const context = target.getContext("2d"), image = context.createImageData(width, height);
    const n = height * width, factor = 255 / (data.high - data.low);
    for (let p = 0, k = 0; p < n; p++) {
      for (let c = 0; c < 3; c++) image.data[k++] = (values[(channels === 3 ? c * n : 0) + p] - data.low) * factor + 0.5;
      image.data[k++] = 255;
    }
    context.putImageData(image, 0, 0);
  }
  function paintDifference(target, x, y) {
    const [channels, height, width] = data.shape;
    const context = target.getContext("2d"), image = context.createImageData(width, height);
    const n = height * width, d = new Float32Array(n);
    for (let k = 0; k < x.length; k++) d[k % n] += (y[k] - x[k]) / channels;
    const most = d.reduce((a, v) => Math.max(a, Math.abs(v)), 1e-12);
    for (let p = 0; p < n; p++) {
      const [r, g, b] = d[p] > 0 ? [200, 78, 32] : [45, 108, 180];
      image.data.set([r, g, b, 255 * (Math.abs(d[p]) / most) ** 0.75], 4 * p);
    }
    context.putImageData(image, 0, 0);
  }
  function lines(series, name, width = 300, height = 130) {
    const low = data.low - 0.06 * (data.high - data.low), high = data.high + 0.06 * (data.high - data.low);
    const L = data.shape[data.shape.length - 1];
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
    for (const [values, css] of series)
      for (let c = 0; c < values.length / L; c++) {
        let d = "";
        for (let i = 0; i < L; i++) {
          const y = height - ((values[c * L + i] - low) / (high - low)) * height;
          d += `${i ? "L" : "M"}${((i / Math.max(L - 1, 1)) * width).toFixed(1)},${y.toFixed(1)}`;
        }
        svg.append(element("path", { class: css, d }));
      }
    return svg;
  }
  function rows(x, y, which) {
    const place = (v, k) => 100 * Math.min(Math.max((v - data.low[k]) / (data.high[k] - data.low[k]), 0), 1);
    return element("div", { class: "rows" }, ...which.map((k) => {
      const track = element("span", { class: "track" }), b = place(y[k], k);
      if (x) {
        const a = place(x[k], k);
        track.append(
          element("i", { class: "span", style: `left:${Math.min(a, b)}%;right:${100 - Math.max(a, b)}%` }),
          element("i", { class: "ring", style: `left:${a}%` }));
      }
      track.append(element("i", { class: "dot", style: `left:${b}%` }));
      const value = x ? `${textOf(x[k])} → ${textOf(y[k])}` : textOf(y[k]);
      return element("div", { class: "row" },
        element("span", { class: "name", title: data.columns[k] }, data.columns[k]), track,
        element("span", { class: "value" }, value));
    }));
  }
  /** A small picture of values, of whatever kind. */
  function picture(values, name, reference = null) {
    if (isImage) {
      const target = canvas(name);
      paint(target, values);
      return target;
    }
    if (data.kind === "signal") return lines([...(reference ? [[reference, "given"]] : []), [values, "line"]], name);
    const order = [...values.keys()];
    return rows(reference, values, order.slice(0, 24));
  }

  // ---- the explorer -----------------------------------------------------------------------------
  const map = $("map");
  if (map) {
    const handle = $("handle"), follow = $("follow"), shown = $("shown"), near = $("near"), tip = $("tip");
    const axes = floats(data.axes), mean = floats(data.mean), A = axes.length / D;
    const [a, b, c] = data.view;
    const dots = [...document.querySelectorAll("#dots circle")];
    const place = Float64Array.from({ length: A }, (_, k) => (data.ranges[k][0] + data.ranges[k][1]) / 2);
    if (D > 2) place.fill(0); // the mean of all codes
    const rest = new Float32Array(D); // of the row that one started from, off the axes that are shown
    const z = new Float32Array(D);
    let vertical = A > 1 ? 0 : 1e-9, kind = 0, chosen = -1, waiting = false;
    const big = canDecode && isImage ? canvas("the decoded code") : null;
    if (big) shown.append(big);
    const sliders = [...document.querySelectorAll("[data-axis]")];

    function code() {
      for (let j = 0; j < D; j++) {
        let sum = mean[j] + rest[j];
        for (let k = 0; k < A; k++) sum += place[k] * axes[k * D + j];
        z[j] = sum;
      }
      return z;
    }
    function nearest() {
      let best = -1, least = Infinity;
      for (let i = 0; i < count; i++) {
        let d = 0;
        for (let j = 0; j < D; j++) d += (codes[i * D + j] - z[j]) ** 2;
        if (d < least) [best, least] = [i, d];
      }
      return best;
    }
    function draw() {
      waiting = false;
      code();
      const x = a * place[0] + b, y = A > 1 ? -a * place[1] + c : c - vertical;
      handle.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})`);
      const i = raw ? nearest() : -1;
      if (canDecode) {
        const values = decoded(z, kind);
        if (big) paint(big, values);
        else shown.replaceChildren(picture(values, "the decoded code", raw && data.kind === "table" ? sample(i) : null));
      } else if (i !== chosen) shown.replaceChildren(picture(reconstruction(i), "the reconstruction"));
      for (const slider of sliders) {
        const k = Number(slider.dataset.axis);
        slider.value = place[k];
        slider.nextElementSibling.value = textOf(place[k], 2);
      }
      if (i === chosen) return;
      if (chosen >= 0) dots[chosen].classList.remove("on");
      dots[i].classList.add("on");
      chosen = i;
      near.replaceChildren(data.kind === "table" ? "" : picture(sample(i), nameOf(i)), element("span", {}, `The nearest in the data${data.kind === "table" ? ", drawn as rings" : ""}: ${nameOf(i)}` + (scores ? `, error ${textOf(scores[i])}.` : ".")));
      handle.setAttribute("aria-valuetext", `${[...place.slice(0, 2)].map((v) => textOf(v, 2)).join(", ")}; nearest ${nameOf(i)}`);
    }
    function soon() {
      if (!waiting) requestAnimationFrame(draw);
      waiting = true;
    }
    function moveTo(x, y) {
      place[0] = (x - b) / a;
      if (A > 1) place[1] = (c - y) / a;
      else vertical = c - y;
      if (D > 2 && (!follow || follow.getAttribute("aria-pressed") === "true")) goAlong(x, y);
      soon();
    }
    /** Give the other axes the mean of the samples near a place on the map, the nearer the weightier. */
    function goAlong(x, y) {
      const distances = places.map(([u, v]) => (u - x) ** 2 + (v - y) ** 2);
      const least = Math.min(...distances), between = new Float64Array(D);
      let total = 0;
      distances.forEach((d, i) => {
        const weight = Math.exp((least - d) / 160); // a standard deviation of nine units of the map
        if (weight < 1e-4) return;
        total += weight;
        for (let j = 0; j < D; j++) between[j] += weight * codes[i * D + j];
      });
      split(between.map((v) => v / total), 2);
    }
    /** A code as places along the axes from the first-th on, and the rest; the axes before stay. */
    function split(own, first = 0) {
      const along = new Float64Array(A);
      for (let k = 0; k < A; k++) for (let j = 0; j < D; j++) along[k] += (own[j] - mean[j]) * axes[k * D + j];
      for (let j = 0; j < D; j++) {
        rest[j] = own[j] - mean[j];
        for (let k = 0; k < A; k++) rest[j] -= along[k] * axes[k * D + j];
      }
      for (let k = first; k < A; k++) place[k] = along[k];
    }
    /** Go to a row's code, with what of it lies off the shown axes. */
    function goTo(i) {
      split(codeOf(i));
      if (data.conditions && data.labels) choose(data.labels[i]);
      soon();
    }
    function choose(k) {
      kind = k;
      for (const button of document.querySelectorAll("[data-kind]"))
        button.setAttribute("aria-pressed", Number(button.dataset.kind) === k);
    }
    const inside = (event) => {
      const box = map.getBoundingClientRect(), view = map.viewBox.baseVal;
      return [((event.clientX - box.left) / box.width) * view.width, ((event.clientY - box.top) / box.height) * view.height];
    };
    const places = dots.map((dot) => [dot.cx.baseVal.value, dot.cy.baseVal.value]);
    function at(x, y, reach = 9) {
      let best = -1, least = reach * reach;
      places.forEach(([u, v], i) => {
        const d = (u - x) ** 2 + (v - y) ** 2;
        if (d < least) [best, least] = [i, d];
      });
      return best;
    }
    let pressed = null;
    map.addEventListener("pointerdown", (event) => {
      pressed = { from: inside(event), moved: false };
      map.setPointerCapture(event.pointerId);
      tip.hidden = true;
      stop();
    });
    map.addEventListener("pointermove", (event) => {
      const [x, y] = inside(event);
      if (pressed) {
        pressed.moved ||= Math.hypot(x - pressed.from[0], y - pressed.from[1]) > 4;
        if (pressed.moved) moveTo(x, y);
      } else hover(x, y, event);
    });
    map.addEventListener("pointerup", (event) => {
      if (pressed && !pressed.moved) {
        const i = at(...pressed.from);
        if (i >= 0) goTo(i);
        else moveTo(...pressed.from);
      }
      pressed = null;
    });
    map.addEventListener("pointerleave", () => (tip.hidden = true));
    let hovered = -1;
    function hover(x, y, event) {
      const i = raw ? at(x, y) : -1;
      tip.hidden = i < 0;
      if (i < 0 || i === hovered) return void (hovered = i);
      hovered = i;
      const parts = data.kind === "table" ? [] : [picture(sample(i), nameOf(i))];
      if (isImage && (canDecode || made)) parts.push(picture(reconstruction(i), "its reconstruction"));
      tip.replaceChildren(...parts, element("span", {}, element("b", {}, nameOf(i)), scores ? element("br") : "", scores ? `error ${textOf(scores[i])}` : ""));
      const box = map.getBoundingClientRect(), left = event.clientX - box.left, top = event.clientY - box.top;
      tip.style.left = left > box.width / 2 ? "auto" : `${left + 16}px`;
      tip.style.right = left > box.width / 2 ? `${box.width - left + 16}px` : "auto";
      tip.style.top = `${Math.min(Math.max(top - 30, 6), box.height - 90)}px`;
    }
    handle.addEventListener("keydown", (event) => {
      const step = (event.shiftKey ? 40 : 10), x = a * place[0] + b, y = A > 1 ? -a * place[1] + c : c - vertical;
      const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (!by) return;
      event.preventDefault();
      stop();
      const { width, height } = map.viewBox.baseVal;
      moveTo(Math.min(Math.max(x + by[0], 0), width), Math.min(Math.max(y + by[1], 0), height));
    });
    for (const slider of sliders) slider.addEventListener("input", () => {
      place[Number(slider.dataset.axis)] = Number(slider.value);
      stop();
      soon();
    });
    for (const button of document.querySelectorAll("[data-kind]")) button.addEventListener("click", () => {
      choose(Number(button.dataset.kind));
      soon();
    });

    // A walk from row to row, in straight lines through the codes.
    let walking = 0;
    const walk = $("walk");
    function stop() {
      cancelAnimationFrame(walking);
      walking = 0;
      if (walk) walk.setAttribute("aria-pressed", "false");
    }
    function stroll() {
      const from = Float32Array.from(code());
      const to = codeOf(Math.floor(Math.random() * count));
      const start = performance.now();
      const frame = (now) => {
        const t = Math.min((now - start) / 2200, 1), s = t * t * (3 - 2 * t);
        split(from.map((v, j) => v + s * (to[j] - v)));
        draw();
        if (t < 1) walking = requestAnimationFrame(frame);
        else stroll();
      };
      walking = requestAnimationFrame(frame);
    }
    if (follow) follow.addEventListener("click", () => follow.setAttribute("aria-pressed", follow.getAttribute("aria-pressed") !== "true"));
    if (walk) walk.addEventListener("click", () => {
      if (walking) return stop();
      walk.setAttribute("aria-pressed", "true");
      stroll();
    });
    $("any").addEventListener("click", () => {
      stop();
      goTo(Math.floor(Math.random() * count));
    });
    $("centre").addEventListener("click", () => {
      stop();
      place.fill(0);
      if (D <= 2) data.ranges.forEach(([low, high], k) => (place[k] = (low + high) / 2));
      rest.fill(0);
      soon();
    });
    if (data.conditions) choose(0);
    if (data.start !== undefined) goTo(data.start);
    draw();
  }

  // ---- the threshold ----------------------------------------------------------------------------
  const cut = $("cut");
  if (cut) {
    const line = $("threshold"), said = $("cut-said"), box = cut.dataset;
    const normal = data.normal ? floats(data.normal) : null;
    const above = (ordered, t) => {
      let low = 0, high = ordered.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ordered[middle] > t) high = middle;
        else low = middle + 1;
      }
      return ordered.length - low;
    };
    const scale = (v) => (Number(box.log) ? Math.log10(v) : v), back = (v) => (Number(box.log) ? 10 ** v : v);
    const show = (t) => {
      const low = Number(cut.min), high = Number(cut.max), left = Number(box.left), right = Number(box.right);
      const x = left + ((scale(t) - low) / (high - low)) * (right - left);
      line.setAttribute("transform", `translate(${Math.min(Math.max(x, left), right).toFixed(1)},0)`);
      line.setAttribute("visibility", "visible");
      const n = above(all, t);
      let words = `Above ${textOf(t)}: ${counted(n)} of ${counted(all.length)} samples, ${percent(n / all.length)}`;
      if (normal) {
        const wrong = above(normal, t), rare = all.length - normal.length;
        words += `; ${percent(wrong / normal.length)} of the normal and ${percent((n - wrong) / rare)} of the abnormal`;
      }
      said.value = `${words}.`;
    };
    cut.addEventListener("input", () => show(back(Number(cut.value))));
    if (data.threshold !== null) {
      cut.value = scale(data.threshold);
      show(data.threshold);
    } else show(back(Number(cut.value)));
  }

  // ---- unusual rows -----------------------------------------------------------------------------
  const why = $("why");
  const buttons = [...document.querySelectorAll("[data-row]")];
  function explain(i) {
    const x = sample(i), y = reconstruction(i), errors = errorsOf(x, y);
    const total = errors.reduce((p, v) => p + v, 0) || 1;
    const worse = all.filter((v) => v > scores[i]).length;
    const order = [...errors.keys()].sort((p, q) => errors[q] - errors[p]);
    let half = 0, sum = 0;
    while (sum < total / 2 && half < order.length) sum += errors[order[half++]];
    const words = element("p", {});
    words.append(element("b", {}, nameOf(i).replace(/^s/, "S")), `: error ${textOf(scores[i])}, ${worse ? `larger for only ${worse} of ${counted(all.length)} samples` : `the largest of ${counted(all.length)} samples`}. `);
    const labelled = (inside, text) => element("div", {}, inside, element("small", {}, text));
    if (isImage) {
      const difference = canvas("output − input");
      difference.classList.remove("ink");
      paintDifference(difference, x, y);
      words.append(`Half of it lies in ${half} of ${size} ${data.shape[0] === 1 ? "pixels" : "numbers"}. `,
        element("b", { class: "more" }, "Where the model sees something"), " that is not there, and ",
        element("b", { class: "less" }, "where it misses what is"), ".");
      why.replaceChildren(labelled(picture(x, "the sample"), "the sample"), labelled(picture(y, "what the model makes of it"), "what the model makes of it"), labelled(difference, "difference"), words);
    } else if (data.kind === "signal") {
      words.append(`Half of it lies in ${half} of ${size} time steps. Grey, the sample; coloured, what the model makes of it.`);
      why.replaceChildren(lines([[x, "given"], [y, "line"]], "the sample and its reconstruction", 640, 230), words);
    } else {
      const first = order.slice(0, 3).map((k) => `${data.columns[k]} (${percent(errors[k] / total)}: ${textOf(x[k])} where the model expects ${textOf(y[k])})`);
      words.append(`Most of it comes from ${first.join(", ")}.`);
      why.replaceChildren(rows(x, y, order.slice(0, 14)), words);
    }
    for (const button of buttons) button.setAttribute("aria-pressed", Number(button.dataset.row) === i);
  }
  for (const button of buttons) button.addEventListener("click", () => explain(Number(button.dataset.row)));
  if (why && buttons.length) explain(Number(buttons[0].dataset.row));
})();
