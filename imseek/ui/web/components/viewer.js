// One picture shown large, opened by the page, or named by the URL.
export default function (component) {
  return mounted(component, Viewer);
}

class Viewer {
  constructor(parent) {
    const search = (term) => window.location.assign(`${this.search}&like=${term}`);
    this.large = new Large(
      parent,
      (id, key) => {
        if (this.large.less) this.trigger("pressed", { id, key });
        else search(`id:${id}`);
      },
      (id, region) => search(`id:${id}@${region.join(",")}`),
    );
  }

  close() {
    this.large.leave();
  }

  update(data) {
    this.search = data.search;
    this.large.opens = data.opens;
    this.large.less = data.less;
    if (data.epoch === this.epoch) return;
    this.epoch = data.epoch;
    if (data.cards.length) this.large.open(data.cards, data.at, data.base);
    else this.large.restore([], data.base); // Nothing else on the page has the picture that the URL names.
  }
}
