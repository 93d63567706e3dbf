// Keeps the page's URL: minor changes add no entry to the browser's history, and the collection and the size of
// pictures stay in it from page to page.
const known = (history.imseek ??= { collection: "", small: [], patched: false });
const { pushState, replaceState } = History.prototype;

export default function ({ data }) {
  Object.assign(known, data);
  // A link to this page is to name its collection.
  if (known.collection && !new URLSearchParams(location.search).has("c"))
    replaceState.call(history, history.state, "", withDefaults(location.pathname + location.search));
  if (known.patched) return;
  known.patched = true;
  history.pushState = function (state, title, url) {
    if (url === null || url === undefined) return pushState.call(this, state, title, url);
    const text = withDefaults(String(url));
    const now = new URL(text, location.href);
    const same = now.pathname === location.pathname && without(now.search) === without(location.search);
    return (same ? replaceState : pushState).call(this, state, title, text);
  };
}

// The URL with the collection and the size of pictures, unless it says something else or leads to another server.
function withDefaults(text) {
  const to = new URL(text, location.href);
  if (to.origin !== location.origin) return text;
  const stays = { c: known.collection, size: new URLSearchParams(location.search).get("size") };
  for (const [name, value] of Object.entries(stays))
    if (value && !to.searchParams.has(name)) text += `${text.includes("?") ? "&" : "?"}${name}=${encodeURIComponent(value)}`;
  return text;
}

function without(search) {
  const left = new URLSearchParams(search);
  ["size", "at", ...known.small].forEach((name) => left.delete(name));
  return left.toString();
}
