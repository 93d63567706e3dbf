// What a search is made of, each piece with its weight and a way to be rid of it.
const kept = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let list = kept.get(parentElement);
  if (!list) {
    list = element("ul", "chips");
    list.setAttribute("aria-label", "What is asked");
    parentElement.appendChild(list);
    kept.set(parentElement, list);
  }
  const drawn = JSON.stringify(data.chips);
  if (list.drawn === drawn) return; // Focus stays.
  list.drawn = drawn;
  const tell = (chip, what, value = null) => setTriggerValue("changed", { id: chip.id, what, value });
  list.replaceChildren(...data.chips.map((chip) => drawnChip(chip, tell)));
}

function drawnChip(chip, tell) {
  const item = element("li", `chip ${chip.tone}`);
  if (chip.says) {
    const says = chip.flips ? button(chip.says, chip.flips, () => tell(chip, "flip")) : element("span", "says", chip.says);
    says.classList.add("says");
    item.append(says);
  }
  if (chip.src) {
    const image = document.createElement("img");
    image.src = chip.src;
    image.alt = "";
    item.append(image);
  }
  const text = element("span", "text", chip.text);
  text.title = chip.title || chip.text;
  item.append(text);
  if (chip.weight !== null) {
    const weight = element("input", "weight");
    Object.assign(weight, { type: "number", min: "0.1", max: "100", step: "any", value: String(chip.weight) });
    weight.setAttribute("aria-label", `Weight of ${chip.text}`);
    weight.title = "Weight: 2 counts twice as much as 1";
    weight.addEventListener("change", () => {
      if (weight.valueAsNumber > 0) tell(chip, "weight", weight.valueAsNumber);
      else weight.value = String(chip.weight);
    });
    item.append(element("span", "times", "×"), weight);
  }
  item.append(button("✕", `Remove ${chip.text}`, () => tell(chip, "remove")));
  item.lastChild.classList.add("remove");
  return item;
}

function button(text, label, clicked) {
  const made = element("button", "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.title = label;
  made.addEventListener("click", clicked);
  return made;
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
