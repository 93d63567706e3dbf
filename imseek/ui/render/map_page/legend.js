"use strict";
// The legend of colours, which filters: a button for each class, or a scale with two ends that can be moved.

/** Fills `box`; `pick(shades)` is called with those that are to be shown, an array of 256 that is 1 for them, or with null
 * for all. With Ctrl or Shift, a click adds a class. */
function fillLegend(box, colour, map, pick) {
  const make = (kind, text = "", name = "") => {
    const made = document.createElement(kind);
    made.textContent = text;
    made.className = name;
    return made;
  };
  box.append(make("h2", colour.column));
  if (colour.kind === "number") {
    const ramp = make("div"), ends = make("div", "", "ends"), bounds = make("div", "", "bounds");
    ramp.className = "ramp";
    const stops = map.colours.slice(0, -1).map((_, k) => cssColour(map, k / (map.colours.length - 2) * 254));
    ramp.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    const write = (value) => String(+value.toPrecision(6));
    const texts = [colour.low, colour.high].map((end) => make("span", end === null ? "" : write(end)));
    ends.append(...texts);
    box.append(ramp);
    if (colour.low !== null && colour.low < colour.high) {
      const sliders = ["least", "most"].map((end, n) => {
        const slider = make("input");
        [slider.type, slider.min, slider.max, slider.value] = ["range", 0, 254, 254 * n];
        slider.setAttribute("aria-label", `${colour.column}: ${end}`);
        slider.addEventListener("input", () => {
          const [low, high] = sliders.map((one) => Number(one.value));
          if (low > high) sliders[1 - n].value = slider.value;
          moved();
        });
        bounds.append(slider);
        return slider;
      });
      const moved = () => {
        const chosen = sliders.map((one) => Number(one.value));
        chosen.forEach((shade, n) => {
          texts[n].textContent = write(colour.low + shade / 254 * (colour.high - colour.low));
          sliders[n].setAttribute("aria-valuetext", texts[n].textContent);
        });
        const whole = chosen[0] === 0 && chosen[1] === 254;
        pick(whole ? null : new Uint8Array(256).fill(1, chosen[0], chosen[1] + 1));
      };
      box.append(bounds);
    }
    box.append(ends);
    if (colour.none) box.append(make("p", `grey: no value (${colour.none.toLocaleString("en")})`));
    return;
  }
  const list = make("ul"), chosen = new Set();
  for (const entry of colour.legend) {
    const button = make("button"), swatch = make("span", "", "swatch"), item = make("li");
    swatch.style.background = cssColour(map, entry.shade);
    button.type = "button";
    button.append(swatch, make("span", entry.label), make("span", entry.count.toLocaleString("en"), "n"));
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", (event) => {
      const was = chosen.has(entry.shade);
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) chosen.clear();
      if (was) chosen.delete(entry.shade); else chosen.add(entry.shade);
      colour.legend.forEach(({ shade }, n) => list.children[n].firstChild.setAttribute("aria-pressed", String(chosen.has(shade))));
      const shown = new Uint8Array(256);
      for (const shade of chosen) shown[shade] = 1;
      pick(chosen.size ? shown : null);
    });
    item.append(button);
    list.append(item);
  }
  box.append(list);
}

