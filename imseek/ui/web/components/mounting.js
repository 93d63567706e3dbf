// Included before every component. All text is set as text: file names, captions and tags are untrusted.
const mounts = new WeakMap();

// Mounts a component, created by `Kind` on the first call. Streamlit calls it again on every run; what must outlive a
// run is stored on its element. Streamlit calls the returned function when the element is removed, but also when a call
// has been overtaken by another: only the last one counts. `close` is where a Kind releases what lies outside its
// element, such as listeners of the whole page.
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
