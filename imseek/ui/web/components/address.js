// Keeps the page's URL: minor changes add no entry to the browser's history, and the collection and the size of
// pictures stay in it from page to page.
const known = (history.imseek ??= { collection: "", small: [], patched: false });

export default function ({ data }) {
  Object.assign(known, data);
  if (known.patched) return;
  known.patched = true;
  const push = history.pushState;
  history.pushState = function (state, title, url) {
    if (url === null || url === undefined) return push.call(history, state, title, url);
    let text = String(url);
    const to = new URL(text, location.href);
    const here = new URLSearchParams(location.search);
    const stays = { c: known.collection, size: here.get("size") };
    for (const [name, value] of Object.entries(to.origin === location.origin ? stays : {})) {
      if (!value || to.searchParams.has(name)) continue;
      text += `${text.includes("?") ? "&" : "?"}${name}=${encodeURIComponent(value)}`;
    }
    const now = new URL(text, location.href);
    const same = now.pathname === location.pathname && without(now.search) === without(location.search);
    return (same ? history.replaceState : push).call(history, state, title, text);
  };
}

function without(search) {
  const left = new URLSearchParams(search);
  ["size", "at", ...known.small].forEach((name) => left.delete(name));
  return left.toString();
}
