// Parts of a search as chips, each with its weight and a button to remove it.
export default function (component) {
  return mounted(component, Chips);
}

class Chips {
  constructor(parent) {
    this.list = make("ul", "chips");
    this.list.setAttribute("aria-label", "Search terms");
    parent.append(this.list);
  }

  update(data) {
    const drawn = JSON.stringify(data.chips);
    if (drawn === this.drawn) return; // Keeps the focus.
    this.drawn = drawn;
    const tell = (chip, what, value = null) => this.trigger("changed", { id: chip.id, what, value });
    this.list.replaceChildren(...data.chips.map((chip) => drawnChip(chip, tell)));
  }
}

function drawnChip(chip, tell) {
  const item = make("li", `chip ${chip.tone}`);
  if (chip.says) {
    const says = chip.flips ? button(chip.says, chip.flips, () => tell(chip, "flip")) : make("span", "says", chip.says);
    says.classList.add("says");
    item.append(says);
  }
  if (chip.src) {
    const image = document.createElement("img");
    image.src = chip.src;
    image.alt = "";
    if (chip.region.length) {
      // The box fits into a square that hides the rest of the picture.
      const [x, y, width, height] = chip.region;
      const frame = make("span", "part");
      image.addEventListener("load", () => {
        const [wide, high] = [image.naturalWidth * width, image.naturalHeight * height];
        const scale = 28 / Math.max(wide, high);
        Object.assign(frame.style, { width: `${wide * scale}px`, height: `${high * scale}px` });
        Object.assign(image.style, {
          width: `${image.naturalWidth * scale}px`,
          height: `${image.naturalHeight * scale}px`,
          transform: `translate(${-100 * x}%, ${-100 * y}%)`,
        });
      });
      frame.append(image);
      item.append(frame);
    } else item.append(image);
  }
  const text = make("span", "text", chip.text);
  text.title = chip.title || chip.text;
  item.append(text);
  if (chip.weight !== null) {
    const weight = make("input", "weight");
    Object.assign(weight, { type: "number", min: "0.1", max: "100", step: "any", value: String(chip.weight) });
    weight.setAttribute("aria-label", `Weight of ${chip.text}`);
    weight.title = "Weight: 2 counts twice as much as 1";
    weight.addEventListener("change", () => {
      if (weight.valueAsNumber > 0) tell(chip, "weight", weight.valueAsNumber);
      else weight.value = String(chip.weight);
    });
    item.append(make("span", "times", "×"), weight);
  }
  item.append(button("✕", `Remove ${chip.text}`, () => tell(chip, "remove")));
  item.lastChild.classList.add("remove");
  return item;
}

function button(text, label, clicked) {
  const made = make("button", "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.title = label;
  made.addEventListener("click", clicked);
  return made;
}
