// One picture shown large, opened by the page.
export default function (component) {
  return mounted(component, Viewer);
}

class Viewer {
  constructor(parent) {
    this.large = new Large(parent, (id, key) => {
      if (this.search === null) this.trigger("pressed", { id, key });
      else window.location.assign(`${this.search}&like=id:${id}`);
    });
  }

  update(data) {
    this.search = data.search;
    this.large.opens = data.opens;
    this.large.less = data.search === null;
    if (data.epoch === this.epoch) return;
    this.epoch = data.epoch;
    this.large.open(data.cards, data.at, data.base);
  }
}
