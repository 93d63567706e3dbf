// One picture shown large, opened by the page, or named by the URL.
export default function (component) {
  return mounted(component, Viewer);
}

class Viewer {
  constructor(parent) {
    const search = (term) => window.location.assign(`${this.search}&like=${term}`);
    this.large = new Large(
      parent,
      (id) => search(`id:${id}`),
      (id, region) => search(`id:${id}@${region.join(",")}`),
    );
    this.large.less = false; // No search is active, so "less like this" is not offered.
  }

  close() {
    this.large.leave();
  }

  update(data) {
    this.search = data.search;
    this.large.opens = data.opens;
    if (data.epoch === this.epoch) return;
    this.epoch = data.epoch;
    if (data.cards.length) this.large.open(data.cards, 0, data.base);
    else this.large.restore([], data.base); // Nothing else on the page has the picture that the URL names.
  }
}
