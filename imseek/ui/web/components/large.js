// One picture large, in a dialog over the page. `base` is the address of the collection's pictures, `asked(id, letter)`
// is called for what the page is to do with a picture.
class Large {
  constructor(parent, asked) {
    this.asked = asked;
    this.items = [];
    this.dialog = make("dialog", "large");
    this.dialog.setAttribute("aria-label", "One picture large");
    const body = make("div", "body");
    this.stage = make("div", "stage");
    this.facts = make("div", "facts");
    body.append(this.stage, this.facts);
    this.dialog.append(body);
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.dialog.addEventListener("close", () => this.closed?.(this.at));
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    parent.append(this.dialog);
  }

  open(items, n, base) {
    this.items = items;
    this.base = base;
    this.show(n);
    if (!this.dialog.open) this.dialog.showModal();
  }

  show(n) {
    if (n < 0 || n >= this.items.length) return;
    this.at = n;
    const item = this.items[n];
    const image = document.createElement("img");
    image.alt = item.alt;
    image.src = `${this.base}/images/${item.id}/thumbnail?side=1024`;
    image.addEventListener("error", () => image.replaceWith(make("div", "gone", "no picture here any more")));
    const previous = this.button("‹", "previous", () => this.show(n - 1), "Previous picture");
    const next = this.button("›", "next", () => this.show(n + 1), "Next picture");
    previous.hidden = n === 0;
    next.hidden = n === this.items.length - 1;
    this.stage.replaceChildren(image, previous, next);
    const head = make("div", "head");
    head.append(make("span", "", `${n + 1} of ${this.items.length}`));
    head.append(this.button("✕", "close", () => this.dialog.close(), "Close"));
    const row = make("div", "row");
    row.append(
      this.button("More like this", "more", () => this.ask("m")),
      this.button("Less like this", "less", () => this.ask("l")),
    );
    this.facts.replaceChildren(head, make("h2", "", item.title), row);
    if (item.note) this.facts.append(make("div", "note", item.note));
  }

  ask(letter) {
    this.dialog.close();
    this.asked(this.items[this.at].id, letter);
  }

  button(text, name, act, label = text) {
    const made = make("button", name, text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  }

  pressed(event) {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: this.items.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.show(to);
    } else if (event.key === "m" || event.key === "l") this.ask(event.key);
  }
}

function make(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
