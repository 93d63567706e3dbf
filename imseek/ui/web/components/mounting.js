// Stands before every component. All text is set as text: names of files, captions and tags are anybody's.
const mounts = new WeakMap();

// What is in a place of the page, made by `Kind` at first. Streamlit calls components again on every run; what must
// outlive a run is kept by the element that it is in. The result goes back to Streamlit, which calls it when the place
// goes, but also where a call has been overtaken by another one: only the last has a say. `close` is where a Kind lets go
// of what is not in its place, such as listeners of the whole page.
function mounted(component, Kind) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  let one = mounts.get(parentElement);
  if (!one) {
    const before = new Set(parentElement.childNodes);
    one = new Kind(parentElement, data);
    one.nodes = [...parentElement.childNodes].filter((node) => !before.has(node));
    mounts.set(parentElement, one);
  }
  one.setState = setStateValue;
  one.trigger = setTriggerValue;
  one.update(data);
  const call = {};
  one.call = call;
  return () => {
    if (one.call !== call) return;
    one.call = null;
    mounts.delete(parentElement);
    one.close?.();
    for (const node of one.nodes) node.remove();
  };
}

function make(name, className, text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
