// Says what a dot of a figure is: pointed at, touched, or come to with the arrow keys. Without it the picture stands.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".dots").forEach(async (box) => {
    const packed = Uint8Array.from(atob(box.dataset.dots), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const { unit, names, rows } = await new Response(stream).json();
    const [source, image] = [box.querySelector("source"), box.querySelector("img")];
    const narrow = matchMedia(source.media);
    const mark = Object.assign(document.createElement("span"), { className: "dots-mark", hidden: true });
    const said = Object.assign(document.createElement("output"), { className: "dots-said", hidden: true });
    box.append(mark, said);
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Dots of the figure: the arrow keys go from one to the next");
    let chosen = -1;

    // The dots where they are now, in pixels from the corner of the box.
    function dots() {
      const style = getComputedStyle(image);
      const [left, right] = [parseFloat(style.paddingLeft), parseFloat(style.paddingRight)];
      const width = Number((narrow.matches ? source : image).getAttribute("width"));
      const scale = (image.clientWidth - left - right) / width;
      return rows.flatMap(([row, which, values, ...places]) => {
        const [x, y] = narrow.matches ? places.slice(2) : places;
        return values.map((value, n) => ({
          x: image.offsetLeft + image.clientLeft + left + scale * x[n],
          y: image.offsetTop + image.clientTop + parseFloat(style.paddingTop) + scale * y[n],
          text: `${row}, ${names[which ? which[n] : n]}: ${value}${unit}`,
        }));
      });
    }

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
  });
});
