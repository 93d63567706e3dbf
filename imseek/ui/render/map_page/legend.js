"use strict";
// The legend of colours: a button for each class, or a scale.

/** Fills `box`; `pick(shade)` is called when a class is clicked, with -1 when it is clicked again. */
function fillLegend(box, colour, map, pick) {
  const make = (kind, text = "", name = "") => {
    const made = document.createElement(kind);
    made.textContent = text;
    made.className = name;
    return made;
  };
  box.append(make("h2", colour.column));
  if (colour.kind === "number") {
    const ramp = make("div"), ends = make("div", "", "ends");
    ramp.className = "ramp";
    const stops = map.colours.slice(0, -1).map((_, k) => cssColour(map, k / (map.colours.length - 2) * 254));
    ramp.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    for (const end of [colour.low, colour.high]) {
      ends.append(make("span", end === null ? "" : String(+end.toPrecision(6))));
    }
    box.append(ramp, ends);
    if (colour.none) box.append(make("p", `grey: no value (${colour.none.toLocaleString("en")})`));
    return;
  }
  const list = make("ul");
  let only = -1;
  for (const entry of colour.legend) {
    const button = make("button"), swatch = make("span", "", "swatch"), item = make("li");
    swatch.style.background = cssColour(map, entry.shade);
    button.type = "button";
    button.append(swatch, make("span", entry.label), make("span", entry.count.toLocaleString("en"), "n"));
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      only = only === entry.shade ? -1 : entry.shade;
      for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(only >= 0));
      pick(only);
    });
    item.append(button);
    list.append(item);
  }
  box.append(list);
}

