// Tells the page's list of changes what its Python has changed; those are undone by a run. Needs changes.js.
export default function (component) {
  return mounted(component, Announced);
}

class Announced {
  constructor() {
    // Pages that list tags or albums show what has become of them.
    this.listen = () => this.renews && this.trigger("renew", true);
    changes().listeners.add(this.listen);
  }

  close() {
    changes().listeners.delete(this.listen);
  }

  update(data) {
    const { known } = changes();
    this.renews = false;
    for (const { token, text } of data.changes) {
      if (known.has(token)) continue;
      known.add(token);
      changes().record(text, async () => this.trigger("undone", token));
    }
    this.renews = data.renews;
    if (!data.failed || data.failed.n === this.failed) return;
    this.failed = data.failed.n;
    changes().say(data.failed.text, false);
  }
}
