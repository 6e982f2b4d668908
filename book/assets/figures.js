// What figures can do beyond a picture: say what a dot is, pointed at, touched or come to with the arrow keys; show one
// layer over all levels; show the figure of other tickets in their place. Without this script the pictures stand.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const [INK, CHANCE, PAPER, RULE] = ["#22262b", "#8a8a8a", "#c2410c", "#e2e5e9"];
  let count = 0;

  function made(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  // --- the dots of a picture --------------------------------------------------------------------------------------

  async function unpacked(box) {
    const packed = Uint8Array.from(atob(box.dataset.dots), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  }

  const named = ({ names, unit }, [row, which, values], n) =>
    `${row}, ${names[which ? which[n] : n]}: ${values[n]}${unit}`;

  // Where the dots of a picture are now, in pixels from the corner of its box, and what they are.
  function places(box, told) {
    const [source, image] = [box.querySelector("source"), box.querySelector("img")];
    const narrow = matchMedia(source.media).matches;
    const style = getComputedStyle(image);
    const [left, right] = [parseFloat(style.paddingLeft), parseFloat(style.paddingRight)];
    const scale = (image.clientWidth - left - right) / Number((narrow ? source : image).getAttribute("width"));
    return told.rows.flatMap((row) => {
      const [x, y] = row.slice(narrow ? 5 : 3);
      return row[2].map((_, n) => ({
        x: image.offsetLeft + image.clientLeft + left + scale * x[n],
        y: image.offsetTop + image.clientTop + parseFloat(style.paddingTop) + scale * y[n],
        text: named(told, row, n),
      }));
    });
  }

  // Lets a box say what the dots in it are; `dots` tells where they are.
  function telling(box, dots) {
    const mark = made("span", { className: "dots-mark", hidden: true });
    const said = made("output", { className: "dots-said", hidden: true });
    box.append(mark, said);
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Dots of the figure: the arrow keys go from one to the next");
    let chosen = -1;

    function show(dot) {
      mark.hidden = said.hidden = !dot;
      if (!dot) {
        chosen = -1;
        return;
      }
      said.value = dot.text;
      mark.style.left = `${dot.x}px`;
      mark.style.top = `${dot.y}px`;
      const half = said.offsetWidth / 2;
      said.style.left = `${Math.min(Math.max(dot.x, half), Math.max(box.clientWidth - half, half))}px`;
      said.style.top = `${dot.y}px`;
    }

    function near(event) {
      const corner = box.getBoundingClientRect();
      const far = (dot) => Math.hypot(dot.x + corner.left - event.clientX, dot.y + corner.top - event.clientY);
      const found = dots().map((dot, n) => ({ dot, n, distance: far(dot) }));
      const best = found.reduce((a, b) => (b.distance < a.distance ? b : a));
      const reached = best.distance <= (event.pointerType === "touch" ? 24 : 12);
      chosen = reached ? best.n : -1;
      show(reached && best.dot);
    }

    box.addEventListener("pointermove", near);
    box.addEventListener("pointerdown", near);
    box.addEventListener("pointerleave", (event) => event.pointerType === "touch" || show());
    box.addEventListener("blur", () => show());
    box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") show();
      if (!step) return;
      event.preventDefault();
      const all = dots();
      chosen = (Math.max(chosen + step, chosen < 0 ? 0 : -1) + all.length) % all.length;
      show(all[chosen]);
    });
  }

  // --- choices ----------------------------------------------------------------------------------------------------

  // A row of radio buttons that looks like the tabs of levels; `changed` gets the number of the chosen one.
  function choice(legend, className, labels, changed) {
    const name = `choice-${(count += 1)}`;
    const row = made("fieldset", { className: `choice ${className}` }, made("legend", { textContent: legend }));
    labels.forEach((text, n) => {
      const button = made("input", { type: "radio", name, id: `${name}-${n}`, checked: n === 0 });
      button.addEventListener("change", () => changed(n));
      row.append(button, made("label", { htmlFor: button.id, textContent: text }));
    });
    return row;
  }

  // Chooses a button of a row by its label's first words, if it has one.
  function choose(row, text) {
    const label = [...(row?.querySelectorAll("label") ?? [])].find((l) => l.textContent.split(",")[0] === text);
    if (label && text !== undefined) label.click();
  }

  const chosen = (row) => row?.querySelector("input:checked + label")?.textContent.split(",")[0];

  // --- one layer over all levels ----------------------------------------------------------------------------------

  // Adds the choice of a layer to a figure with tabs, if its dots can be held against chance.
  function layers(tabs, told) {
    const columns = [...tabs.querySelectorAll(":scope > div")].flatMap((pane) => {
      const data = told.get(pane.querySelector(".dots"));
      return data?.against ? [{ label: pane.previousElementSibling.textContent, data }] : [];
    });
    if (columns.length < 2) return;
    const names = [...new Set(columns.flatMap(({ data }) => data.rows.map(([name]) => name)))];
    const drawn = made("div", { className: "layer-view" });
    const row = choice("Layer", "layers", ["all layers", ...names], (n) => {
      tabs.hidden = n > 0;
      drawn.hidden = n === 0;
      drawn.replaceChildren();
      if (n) show(drawn, names[n - 1], columns, tabs.querySelector("legend").textContent);
    });
    drawn.hidden = true;
    tabs.before(row);
    tabs.after(drawn);
  }

  function show(place, layer, columns, choiceOf) {
    const found = columns.flatMap(({ label, data }) => {
      const n = data.rows.findIndex(([name]) => name === layer);
      return n < 0 ? [] : [{ label, data, row: data.rows[n], values: data.rows[n][2], against: data.against[n] }];
    });
    const { unit, axis } = found[0].data;
    const short = (x) => Number(x.toPrecision(3));
    const paper = found.some(({ against }) => against.length > 3);
    const said = found.map(({ label, values, against: [expected, low, high] }) => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return `${label}: mean ${short(mean)}${unit}, chance ${short(expected)}${unit} (${short(low)} to ${short(high)})`;
    });
    const ranges = new Set(found.map(({ against }) => [...new Set(against.slice(3))].join(" to ")).filter(Boolean));
    const sentence = `${layer}, ${axis}: ${said.join("; ")}.${paper ? ` Paper: ${[...ranges].join("; ")}${unit}.` : ""}`;
    const key = made("ul", { className: "layer-key" });
    const keys = [["mean", "mean"], ["expected", "expected by chance"], ["chance", "95 % of chance"]];
    keys.push(...(paper ? [["paper", "paper's text"]] : []));
    keys.forEach(([kind, words]) => key.append(made("li", { className: `key-${kind}`, textContent: words })));
    const box = made("div", { className: "dots chart" });
    place.append(key, box, made("p", { textContent: sentence }));
    let dots = [];
    telling(box, () => dots);
    let width = 0;
    new ResizeObserver(() => {
      if (box.clientWidth === width || !box.clientWidth) return;
      width = box.clientWidth;
      box.querySelector("svg")?.remove();
      const chart = drawing(found, axis, choiceOf, width);
      chart.svg.setAttribute("aria-label", sentence);
      box.prepend(chart.svg);
      dots = chart.dots;
    }).observe(box);
  }

  // The values of one layer, one column a level, as SVG of the given width.
  function drawing(found, axis, choiceOf, width) {
    const [left, right, top, plot] = [46, 12, 40, 260];
    const step = (width - left - right) / found.length;
    const letters = Math.max(4, Math.floor(step / 6.5));
    const ticks = found.map(({ label }) => wrapped(label, letters));
    // Words that are too long for their column stand on lines of their own, by turns.
    if (ticks.flat().some((text) => text.length > letters)) {
      ticks.forEach((lines, n) => n % 2 && lines.length > 1 && lines.splice(1, 0, ""));
    }
    const below = 18 + 14 * Math.max(...ticks.map((lines) => lines.length));
    const height = top + plot + below + 20;
    const all = found.flatMap(({ values, against }) => [...values, ...against]);
    const [least, most] = [Math.min(...all), Math.max(...all)];
    const room = 0.06 * (most - least || 1);
    const [low, high] = [least - (least === 0 ? 0.3 * room : room), most + room];
    const y = (value) => top + (plot * (high - value)) / (high - low);

    const svg = document.createElementNS(SVG, "svg");
    const draw = (tag, attributes, text) => {
      const node = document.createElementNS(SVG, tag);
      Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
      if (text !== undefined) node.textContent = text;
      svg.append(node);
    };
    const line = (x1, y1, x2, y2, stroke, more = {}) => draw("line", { x1, y1, x2, y2, stroke, ...more });
    Object.entries({ width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }).forEach(([name, value]) =>
      svg.setAttribute(name, value),
    );
    draw("text", { x: 10, y: 20, class: "title" }, axis);
    for (const value of marks(low, high)) {
      line(left, y(value), width - right, y(value), RULE);
      draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value);
    }
    const dots = [];
    found.forEach(({ data, row, values, against: [expected, from, to, ...paper] }, n) => {
      const middle = left + step * (n + 0.5);
      const [start, end] = [middle - 0.4 * step, middle + 0.4 * step];
      if (paper.length) {
        const [under, over] = [y(paper[0]), y(paper[1])];
        const [x, fill] = [left + step * n, PAPER];
        draw("rect", { x, y: over, width: step, height: under - over, fill, "fill-opacity": 0.1, class: "paper" });
        [under, over].forEach((at) => line(left + step * n, at, left + step * (n + 1), at, PAPER, { "stroke-width": 2 }));
      }
      const band = { x: start, y: y(to), width: end - start, height: Math.max(y(from) - y(to), 1), class: "chance" };
      draw("rect", { ...band, fill: CHANCE, "fill-opacity": 0.45 });
      line(start, y(expected), end, y(expected), INK, { "stroke-dasharray": "3 3" });
      values.forEach((value, k) => {
        const x = middle + 0.64 * step * ((k + 0.5) / values.length - 0.5);
        const fill = data.colours[data.shades[row[1] ? row[1][k] : k]];
        draw("circle", { cx: x, cy: y(value), r: 3, fill, stroke: "#fff", "stroke-width": 0.5 });
        dots.push({ x, y: y(value), text: `${found[n].label}: ${named(data, row, k)}` });
      });
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      line(start, y(mean), end, y(mean), INK, { "stroke-width": 1.5 });
      const number = { x: middle, y: y(Math.max(...values)) - 8, "text-anchor": "middle", class: "number" };
      draw("text", number, Number(mean.toPrecision(3)));
      ticks[n].forEach((text, k) =>
        draw("text", { x: middle, y: top + plot + 18 + 14 * k, "text-anchor": "middle" }, text),
      );
    });
    line(left, top + plot, width - right, top + plot, INK);
    draw("text", { x: left + (step * found.length) / 2, y: height - 6, "text-anchor": "middle", class: "title" }, choiceOf);
    return { svg, dots };
  }

  // Round values on an axis, at most seven.
  function marks(low, high) {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const found = [];
    for (let n = Math.ceil(low / step); n * step <= high; n += 1) found.push((n * step).toFixed(digits));
    return found;
  }

  // Words on lines of so many letters.
  function wrapped(text, letters) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const joined = `${lines.at(-1)} ${word}`.trim();
      if (lines.at(-1) && joined.length > letters) lines.push(word);
      else lines[lines.length - 1] = joined;
    }
    return lines;
  }

  // --- figures and those of other tickets -------------------------------------------------------------------------

  // Makes the dots of pictures work; returns what is told of them.
  async function dressed(boxes) {
    const told = new Map(await Promise.all(boxes.map(async (box) => [box, await unpacked(box)])));
    told.forEach((data, box) => telling(box, () => places(box, data)));
    return told;
  }

  // Makes what a figure holds work: its dots, its layers.
  async function dress(view) {
    const told = await dressed([...view.querySelectorAll(".dots")]);
    const tabs = view.querySelector(".levels");
    if (tabs) layers(tabs, told);
  }

  // Adds the choice of tickets, where the page has figures of the same kind; they are shown from copies.
  function others(view, bare) {
    const known = new Map([[view.dataset.tickets, view]]);
    for (const other of bare.keys()) {
      const { kind, tickets } = other.dataset;
      if (kind === view.dataset.kind && !known.has(tickets)) known.set(tickets, other);
    }
    if (known.size < 2) return;
    const stage = made("div", { className: "stage" }, ...view.childNodes);
    const note = made("p", { className: "shown-instead", hidden: true });
    let copy;
    const row = choice("Tickets", "tickets", [...known.keys()], async (n) => {
      const before = copy ?? stage;
      const [level, layer] = [".levels", ".layers"].map((kind) => chosen(before.querySelector(kind)));
      copy?.remove();
      copy = undefined;
      stage.hidden = n > 0;
      note.hidden = n === 0;
      if (!n) return;
      const [tickets, other] = [...known][n];
      const figure = other.closest("figure");
      const number = figure?.querySelector(".caption-number")?.textContent.trim() ?? "another figure";
      const link = made("a", { href: `#${figure?.id ?? ""}`, textContent: number.replace(/\.$/, "") });
      note.replaceChildren("In place of this figure: ", link, `, ${tickets}. Its caption is there.`);
      const shown = bare.get(other).cloneNode(true);
      count += 1;
      shown.querySelectorAll(".levels > input, .levels > label").forEach((node) => {
        for (const name of ["id", "name", "for"]) {
          if (node.hasAttribute(name)) node.setAttribute(name, `copy-${count}-${node.getAttribute(name)}`);
        }
      });
      copy = shown;
      view.append(shown);
      await dress(shown);
      if (copy !== shown) return;
      choose(shown.querySelector(".levels"), level);
      choose(shown.querySelector(".layers"), layer);
    });
    view.append(row, note, stage);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const views = [...document.querySelectorAll(".view")];
    const bare = new Map(views.filter((v) => v.dataset.kind).map((v) => [v, v.cloneNode(true)]));
    bare.forEach((copy) => copy.classList.replace("view", "stage"));
    dressed([...document.querySelectorAll(".dots")].filter((box) => !box.closest(".view")));
    views.forEach((view) => {
      dress(view);
      if (view.dataset.kind) others(view, bare);
    });
  });
})();
