// Rows of small pictures below headings, as examples of a class. Needs common.js and large.js.
export default function (component) {
  return mounted(component, Shelves);
}

class Shelves {
  constructor(parent) {
    this.root = make("div", "shelves");
    this.large = new Large(
      parent,
      (id, key) => this.trigger("pressed", { id, key }),
      (id, region) => this.trigger("searched", { id, region }),
    );
    this.large.less = false; // No search is active, so "less like this" is not offered.
    this.drawn = new Map();
    parent.append(this.root);
    this.root.addEventListener("keydown", (event) => this.moved(event));
  }

  close() {
    this.large.leave();
  }

  update(data) {
    this.base = data.base;
    this.large.opens = data.opens;
    // An unchanged shelf keeps its pictures, so that nothing flickers while the user types.
    const drawn = new Map();
    for (const shelf of data.shelves) {
      const text = JSON.stringify(shelf);
      drawn.set(text, this.drawn.get(text) ?? this.shelf(shelf));
    }
    this.drawn = drawn;
    this.root.replaceChildren(...drawn.values());
    const rows = data.shelves.flatMap((shelf) => shelf.rows.map((row) => row.cards));
    reopens(this.large, this.root, (id) => rows.find((cards) => numberOf(id, cards) >= 0), this.base);
  }

  shelf(shelf) {
    const section = make("section", "shelf");
    section.setAttribute("aria-label", shelf.title);
    const head = make("div", "head");
    const title = make("h3", "", shelf.title);
    title.title = shelf.title;
    head.append(title, make("span", "note", shelf.note));
    section.append(head);
    for (const row of shelf.rows) {
      const line = make("div", "line");
      line.append(make("div", "what", row.title));
      const strip = make("div", "strip");
      strip.append(...row.cards.map((card, n) => this.card(row.cards, card, n)));
      line.append(strip);
      section.append(line);
    }
    return section;
  }

  card(cards, card, n) {
    const made = make("button", "card");
    made.type = "button";
    made.title = card.title;
    made.setAttribute("aria-label", `${card.title}, ${card.note}`);
    made.append(thumb(card.src), make("span", "p", card.note));
    made.addEventListener("click", () => {
      this.large.closed = () => made.focus();
      this.large.open(cards, n, this.base);
    });
    return made;
  }

  moved(event) {
    const cards = [...this.root.querySelectorAll(".card")];
    const at = cards.indexOf(event.target.closest(".card"));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1 }[event.key];
    if (at < 0 || to === undefined || !cards[to]) return;
    cards[to].focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
