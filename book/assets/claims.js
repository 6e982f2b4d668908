// Search and filter on the page of all claims. Without it the page is the whole ledger. A link may choose, such as
// claims.html?section=A+3.1&verdict=partly#a-3-1, or name one claim, such as claims.html#claim-A-F3a-2.
document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("claims-filter");
  if (!place) return;

  // Each row with what it is filtered by; each heading with the rows below it.
  const rows = [];
  const headings = [];
  for (const node of place.closest("article").querySelectorAll("h2, h3, table")) {
    if (node.tagName !== "TABLE") {
      headings.push({ node, level: node.tagName, rows: [] });
      continue;
    }
    for (const row of node.tBodies[0].rows) {
      const verdict = row.querySelector(".verdict");
      if (!row.querySelector("[id^=claim-]") || !verdict) continue;
      const section = headings.findLast((h) => h.level === "H3");
      const paper = headings.findLast((h) => h.level === "H2");
      const entry = {
        row,
        text: row.textContent.toLowerCase(),
        paper: section.node.textContent.trim()[0],
        section: section.node.textContent.replace(/#$/, "").trim(),
        verdict: verdict.textContent,
      };
      rows.push(entry);
      section.rows.push(entry);
      section.box = node.parentElement;
      paper.rows.push(entry);
    }
  }

  const form = document.createElement("form");
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Claims");
  form.addEventListener("submit", (event) => event.preventDefault());
  const labelled = (text, control) => {
    const label = document.createElement("label");
    label.append(text, control);
    form.append(label);
    control.addEventListener("input", update);
    return control;
  };
  const search = labelled("Search ", Object.assign(document.createElement("input"), { type: "search" }));
  const choice = (name, values) => {
    const select = document.createElement("select");
    select.append(new Option("all", ""), ...[...new Set(values)].map((value) => new Option(value, value)));
    return labelled(`${name} `, select);
  };
  const chosen = {
    paper: choice("Paper", rows.map((r) => r.paper)),
    section: choice("Section", rows.map((r) => r.section)),
    verdict: choice("Verdict", rows.map((r) => r.verdict)),
  };
  const all = Object.assign(document.createElement("button"), { type: "reset", textContent: "Show all" });
  form.addEventListener("reset", () => setTimeout(update));
  const count = document.createElement("output");
  form.append(all, count);
  place.append(form);

  const asked = new URLSearchParams(location.search);
  search.value = asked.get("search") ?? "";
  for (const [key, select] of Object.entries(chosen)) {
    const value = asked.get(key) ?? "";
    if ([...select.options].some((option) => option.value === value)) select.value = value;
  }
  update();
  goToTarget();
  addEventListener("hashchange", goToTarget);

  // What a link leads to is seen: if the filter hides it, everything is shown.
  function goToTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !place.closest("article").contains(target)) return;
    if (target.checkVisibility()) target.scrollIntoView();
    else {
      form.reset();
      setTimeout(() => target.scrollIntoView());
    }
  }

  function update() {
    // Only sections of the chosen paper can be chosen.
    const { paper, section } = chosen;
    for (const option of section.options) {
      option.hidden = option.disabled = Boolean(paper.value && option.value) && option.value[0] !== paper.value;
    }
    if (section.selectedOptions[0].disabled) section.value = "";
    all.disabled = !search.value && Object.values(chosen).every((select) => !select.value);
    const words = search.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const entry of rows) {
      const fits =
        words.every((word) => entry.text.includes(word)) &&
        Object.entries(chosen).every(([key, select]) => !select.value || select.value === entry[key]);
      entry.row.hidden = !fits;
      shown += fits;
    }
    for (const heading of headings) {
      const empty = heading.rows.length > 0 && heading.rows.every((entry) => entry.row.hidden);
      heading.node.hidden = empty;
      if (heading.box) heading.box.hidden = empty;
    }
    count.value = `${shown} of ${rows.length} claims`;
  }
});
