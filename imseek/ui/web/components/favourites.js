// Which pictures are favourites, as far as the page shows them: `base` is the base URL of their collection. Needs
// common.js and changes.js.
const FAVOURITE = "favourite";
const HEART = document.createElement("template"); // Cloned, which is faster than parsing it for every card.
HEART.innerHTML =
  '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 20.3 4.3 12.8a4.9 4.9 0 0 1 0-7 4.9 4.9 0 0 1 7 0l.7.7.7-.7a4.9 4.9 0 0 1 7 0 4.9 4.9 0 0 1 0 7z"/></svg>';

class Favourites {
  constructor() {
    this.hearts = new Map(); // By base, whether a picture is one, by id.
    this.listeners = new Set();
    changes().listeners.add(() => this.renew());
  }

  of(base) {
    if (!this.hearts.has(base)) this.hearts.set(base, new Map());
    return this.hearts.get(base);
  }

  has(base, id) {
    return this.of(base).get(id) ?? false;
  }

  // Learns of those among `ids` that are not known yet, or of all `again`.
  async load(base, ids, again = false) {
    const known = this.of(base);
    const news = again ? ids : ids.filter((id) => !known.has(id));
    const added = news.filter((id) => !known.has(id));
    for (const id of added) known.set(id, false);
    for (let at = 0; at < news.length; at += 2000) {
      const some = news.slice(at, at + 2000);
      try {
        const found = new Set((await ask(`${base}/favourites`, { ids: some })).favourites);
        some.forEach((id) => known.set(id, found.has(id)));
      } catch {
        for (const id of added) if (!known.get(id)) known.delete(id);
        return; // An extra: without it, pictures are shown without hearts.
      }
      this.tell();
    }
  }

  // After a change, which may have been one of favourites.
  renew() {
    for (const [base, known] of this.hearts) this.load(base, [...known.keys()], true);
  }

  async toggle(base, id) {
    const add = !this.has(base, id);
    this.of(base).set(id, add);
    this.tell();
    try {
      const { change } = await ask(`${base}/tags`, { tag: FAVOURITE, add, ids: [id] });
      changes().made(base, change);
    } catch (error) {
      this.of(base).set(id, !add);
      this.tell();
      changes().say(error.message, false);
    }
  }

  tell() {
    for (const listener of [...this.listeners]) listener();
  }
}

// The favourites that this page knows.
function favourites() {
  return (window.imseekFavourites ??= new Favourites());
}

function heart(className) {
  const made = make("span", className);
  made.append(HEART.content.cloneNode(true));
  return made;
}
