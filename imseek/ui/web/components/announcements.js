// Tells the page's list of changes what its Python has changed. Needs common.js and changes.js.
export default function (component) {
  return mounted(component, Announcements);
}

class Announcements {
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
    for (const { token, text, is_of_session } of data.changes) {
      if (known.has(token)) continue;
      known.add(token);
      if (is_of_session) changes().record(text, async () => this.trigger("undone", token));
      else changes().made(data.base, { token, text });
    }
    this.renews = data.renews;
  }
}
