// The picture that is shown large, in the page's URL (?view=ID): Back closes it, and a link or a reload opens it.
const VIEW = "view";
// One for the page: Streamlit would run the script again for each of these changes.
const picture = (window.imseekPicture ??= { shown: null, after: null, rest: null });

class PictureAddress {
  // `close()` closes the large view.
  constructor(close) {
    this.close = close;
    if (picture.listening) return;
    picture.listening = true;
    addEventListener("popstate", wentBack, true); // Before Streamlit's own.
  }

  // The id in the URL, if nothing is shown yet.
  static requested() {
    const text = picture.shown ? null : new URLSearchParams(location.search).get(VIEW);
    return /^\d{1,15}$/.test(text ?? "") ? Number(text) : null;
  }

  // A picture is shown: the first adds an entry to the history, and each further one takes its place.
  show(id) {
    const other = picture.shown;
    picture.shown = this;
    if (other !== this) other?.close(); // Two parts of a page may show the picture that the URL names.
    clearTimeout(picture.timer);
    if (!new URLSearchParams(location.search).has(VIEW)) {
      History.prototype.pushState.call(history, { ...history.state, imseekView: true }, "", withView(id));
      // Browsers refuse changes that come faster than arrow keys held down.
    } else picture.timer = setTimeout(() => replace(id), 100);
    picture.rest = withView(null);
  }

  // The large view closes; `after` is called once the URL is the one of before.
  leave(after) {
    if (picture.shown !== this) return after?.();
    picture.shown = null;
    clearTimeout(picture.timer);
    if (history.state?.imseekView) {
      picture.after = after;
      history.back();
    } else {
      replace(null);
      after?.();
    }
  }
}

function replace(id) {
  History.prototype.replaceState.call(history, history.state, "", withView(id));
}

function withView(id) {
  const left = location.search.slice(1).split("&").filter((part) => part && !part.startsWith(`${VIEW}=`));
  if (id !== null) left.push(`${VIEW}=${id}`);
  return location.pathname + (left.length ? `?${left.join("&")}` : "");
}

function wentBack(event) {
  const { shown, after } = picture;
  clearTimeout(picture.timer);
  picture.after = null;
  const id = new URLSearchParams(location.search).get(VIEW);
  if (picture.rest === withView(null)) {
    event.stopImmediatePropagation(); // The page itself has not changed.
    if (id === null && shown) {
      picture.shown = null;
      shown.close();
    } else if (id !== null && !shown) picture.reopen?.();
  } else if (shown) {
    picture.shown = null;
    shown.close();
  }
  after?.();
}

// Calls `left`, `right`, `up` or `down` when one finger swipes over an element that way, unless `busy()`.
function swipes(element, busy, acts) {
  let start = null;
  element.addEventListener(
    "touchstart",
    ({ touches }) => (start = touches.length === 1 && !busy() ? touches[0] : null),
    { passive: true },
  );
  element.addEventListener("touchend", ({ changedTouches: [end] }) => {
    if (!start) return;
    const [x, y] = [end.clientX - start.clientX, end.clientY - start.clientY];
    start = null;
    if (Math.abs(x) > 50 && Math.abs(x) > 1.5 * Math.abs(y)) (x < 0 ? acts.left : acts.right)();
    else if (Math.abs(y) > 80 && Math.abs(y) > 1.5 * Math.abs(x)) (y < 0 ? acts.up : acts.down)();
  });
}
