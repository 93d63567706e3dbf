// Suggestions below the page's search box, which is Streamlit's: together a combobox with a listbox (WAI-ARIA). The list
// shares the page's ids, since the box refers to its options. A suggestion is entered as if it had been typed.
export default function (component) {
  return mounted(component, Suggestions);
}

// Milliseconds without a key before the server is asked.
const PAUSE = 40;
const KINDS = { person: "person", keyword: "keyword", tag: "tag, as a filter", name: "in names", word: "" };

class Suggestions {
  constructor(parent) {
    this.list = make("ul", "imseek-suggestions");
    Object.assign(this.list, { id: "search-suggestion-list", hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Suggestions");
    // The box stays focused.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const n = [...this.list.children].indexOf(event.target.closest("li"));
      if (n >= 0) this.enter(n);
    });
    parent.append(this.list);
    this.shown = [];
    this.at = -1;
    this.stopped = new AbortController();
    // Before Streamlit's own listeners.
    const options = { capture: true, signal: this.stopped.signal };
    document.addEventListener("input", (event) => this.isBox(event) && this.typed(), options);
    document.addEventListener("keydown", (event) => this.isBox(event) && this.pressed(event), options);
    document.addEventListener("focusin", (event) => this.isBox(event) && this.describe(), options);
    document.addEventListener("focusout", (event) => this.isBox(event) && this.hide(), options);
    document.addEventListener("scroll", () => this.place(), options);
    window.addEventListener("resize", () => this.place(), options);
  }

  close() {
    this.hide();
    this.stopped.abort();
  }

  update(data) {
    const before = this.data?.source;
    this.data = data;
    if (data.source === before) return;
    this.hide();
    fetch(data.source).catch(() => null); // The server counts the words of the collection, which takes a moment.
  }

  box() {
    return document.querySelector(this.data.box);
  }

  isBox(event) {
    return !this.entering && event.target instanceof Element && event.target.matches(this.data.box);
  }

  describe() {
    const box = this.box();
    if (!box) return;
    const open = !this.list.hidden;
    const attributes = {
      role: "combobox",
      autocomplete: "off",
      "aria-autocomplete": "list",
      "aria-controls": this.list.id,
      "aria-expanded": String(open),
    };
    for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
    if (open && this.at >= 0) box.setAttribute("aria-activedescendant", this.list.children[this.at].id);
    else box.removeAttribute("aria-activedescendant");
  }

  typed() {
    clearTimeout(this.timer);
    this.waiting?.abort();
    if (!this.box().value.trim()) this.hide();
    else this.timer = setTimeout(() => this.ask(), PAUSE);
  }

  async ask() {
    const text = this.box().value;
    this.waiting = new AbortController();
    const { signal } = this.waiting;
    try {
      const answer = await fetch(`${this.data.source}?${new URLSearchParams({ q: text })}`, { signal });
      const { suggestions } = answer.ok ? await answer.json() : { suggestions: [] };
      const box = this.box();
      if (!signal.aborted && box?.value === text && box === document.activeElement) this.show(suggestions);
    } catch {
      if (!signal.aborted) this.hide(); // Without a server there are no suggestions, and the box works.
    }
  }

  show(suggestions) {
    this.shown = suggestions;
    this.list.replaceChildren(
      ...suggestions.map(({ text, kind }, n) => {
        const item = make("li");
        item.id = `search-suggestion-${n}`;
        item.setAttribute("role", "option");
        const words = make("span", "", text);
        words.dir = "auto";
        item.append(words, make("span", "", KINDS[kind] ?? ""));
        return item;
      }),
    );
    this.list.hidden = !suggestions.length;
    this.choose(-1);
    this.place();
  }

  place() {
    const box = this.list.hidden ? null : this.box();
    if (!box) return;
    const { left, bottom, width } = (box.closest("[data-baseweb], [data-testid=stTextInputRootElement]") ?? box).getBoundingClientRect();
    Object.assign(this.list.style, { left: `${left}px`, top: `${bottom + 4}px`, width: `${width}px` });
  }

  choose(n) {
    this.at = n;
    [...this.list.children].forEach((item, i) => item.setAttribute("aria-selected", i === n));
    this.list.children[n]?.scrollIntoView({ block: "nearest" });
    this.describe();
  }

  hide() {
    clearTimeout(this.timer);
    this.waiting?.abort();
    this.list.hidden = true;
    this.choose(-1);
  }

  pressed(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const open = !this.list.hidden;
    const last = this.shown.length - 1;
    if (event.key === "ArrowDown" && !open) this.typed();
    else if (event.key === "ArrowDown" && open) this.choose(this.at < last ? this.at + 1 : -1);
    else if (event.key === "ArrowUp" && open) this.choose(this.at < 0 ? last : this.at - 1);
    else if (event.key === "Escape" && open) this.hide();
    else if (event.key === "Enter" && open && this.at >= 0) this.enter(this.at);
    else {
      if (event.key === "Enter") this.hide();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  enter(n) {
    const { text, kind } = this.shown[n];
    const box = this.box();
    this.hide();
    this.entering = true;
    try {
      // React takes notice of a value only if it is set behind its back.
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(box, kind === "tag" ? `tag:${text}` : text);
      box.dispatchEvent(new Event("input", { bubbles: true }));
      box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", code: "Enter", keyCode: 13, bubbles: true }));
    } finally {
      this.entering = false;
    }
  }
}
