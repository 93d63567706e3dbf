// One picture large, opened by the page. Streamlit calls this again on every run.
const viewers = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let viewer = viewers.get(parentElement);
  if (!viewer) {
    viewer = {};
    viewer.large = new Large(parentElement, (id, key) => {
      if (viewer.search === null) viewer.trigger("pressed", { id, key });
      else window.location.assign(`${viewer.search}&like=id:${id}`);
    });
    viewers.set(parentElement, viewer);
  }
  viewer.trigger = setTriggerValue;
  viewer.search = data.search;
  viewer.large.opens = data.opens;
  viewer.large.less = data.search === null;
  if (viewer.epoch === data.epoch) return;
  viewer.epoch = data.epoch;
  viewer.large.open(data.cards, data.at, data.base);
}
