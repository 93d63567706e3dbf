// Albums as somewhere to put pictures: a menu, and a tray onto which pictures are dragged. `base` is the base URL of the
// collection. Needs common.js and changes.js.
const TRAY_STYLE = `
  :host { position: fixed; z-index: 1000; right: 16px; top: calc(var(--imseek-bar, 56px) + 12px); bottom: 16px; width: 220px; display: none; }
  :host(.open) { display: block; }
  .tray { max-height: 100%; box-sizing: border-box; overflow-y: auto; padding: 12px; border-radius: 12px; font: 0.88rem/1.35 "Source Sans", "Source Sans Pro", sans-serif;
    color: var(--imseek-ink); background: var(--imseek-paper); border: 1px solid var(--imseek-rule); box-shadow: 0 6px 24px #0005; }
  .head { font-weight: 600; margin: 0 0 8px; }
  .drop { display: flex; align-items: center; gap: 10px; min-height: 52px; padding: 5px; border: 2px dashed transparent; border-radius: 9px; }
  .drop.over { border-color: var(--imseek-primary); background: color-mix(in srgb, var(--imseek-primary) 14%, transparent); }
  .drop * { pointer-events: none; }
  .cover { flex: none; width: 44px; height: 44px; border-radius: 6px; object-fit: cover; background: var(--imseek-tile); display: grid; place-items: center; }
  .name { overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; overflow-wrap: anywhere; }
  .new { display: flex; gap: 6px; }
  .new :is(input, button) { font: inherit; color: inherit; padding: 4px 9px; border-radius: 6px; border: 1px solid var(--imseek-rule); background: none; }
  .new input { flex: 1; min-width: 0; }
  .count { color: color-mix(in srgb, currentColor 80%, transparent); font-size: 0.8rem; }
`;

// Adds pictures to an album: `what` names them, as `ids` or by the token of a selection.
async function addToAlbum(base, album, what, act = "add") {
  const { change, changed } = await ask(`${base}/albums`, { album, act, ...what });
  if (change) changes().made(base, change);
  else if (!changed) changes().say(`“${album}” has them already.`, false);
}

function pictureCount(n) {
  return `${n.toLocaleString("en")} ${n === 1 ? "picture" : "pictures"}`;
}

// The tray, which is open while pictures are dragged.
class AlbumTray {
  constructor() {
    this.host = document.createElement("div");
    const root = this.host.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = TRAY_STYLE;
    this.tray = make("div", "tray");
    this.tray.setAttribute("aria-hidden", "true"); // By keyboard, the menu of the selection does the same.
    root.append(style, this.tray);
    document.body.append(this.host);
  }

  async open(base, ids) {
    this.ids = ids;
    this.base = base;
    this.naming = false; // A drag may begin while the name of a new album is being typed.
    this.tray.setAttribute("aria-hidden", "true");
    const opening = (this.opening = {});
    const { albums } = await ask(`${base}/albums`).catch(() => ({ albums: [] }));
    if (opening !== this.opening) return;
    this.tray.replaceChildren(
      make("div", "head", `Add ${pictureCount(ids.length)} to`),
      this.place("♥", "Favourites", "", () => this.favour()),
      ...albums.map((one) => this.place(one.cover, one.name, pictureCount(one.images), () => addToAlbum(base, one.name, { ids }))),
      this.place("+", "New album", "", () => this.create()),
    );
    this.host.classList.add("open");
  }

  close() {
    if (this.naming) return;
    this.opening = null;
    this.host.classList.remove("open");
  }

  place(cover, name, count, act) {
    const made = make("div", "drop");
    const image = typeof cover === "number" ? make("img", "cover") : make("span", "cover", cover ?? "");
    if (typeof cover === "number") image.src = `${this.base}/images/${cover}/thumbnail?side=128`;
    const words = make("div", "name", name);
    if (count) words.append(make("div", "count", count));
    made.append(image, words);
    made.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
    });
    made.addEventListener("dragenter", () => made.classList.add("over"));
    made.addEventListener("dragleave", () => made.classList.remove("over"));
    made.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.close();
      Promise.resolve(act()).catch((error) => changes().say(error.message, false));
    });
    return made;
  }

  async favour() {
    const { change } = await ask(`${this.base}/tags`, { tag: "favourite", add: true, ids: this.ids });
    if (change) changes().made(this.base, change);
    else changes().say("They are favourites already.", false);
  }

  // Asks for a name, in the tray.
  create() {
    const { base, ids } = this;
    const form = make("form", "new");
    const input = make("input");
    input.maxLength = 200;
    input.setAttribute("aria-label", "Name of the new album");
    const done = () => {
      this.naming = false;
      this.close();
      this.tray.setAttribute("aria-hidden", "true");
    };
    form.append(input, make("button", "", "Create"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = input.value.trim();
      if (!name) return;
      done();
      addToAlbum(base, name, { ids }, "create").catch((error) => changes().say(error.message, false));
    });
    form.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") done();
    });
    form.addEventListener("focusout", ({ relatedTarget }) => !form.contains(relatedTarget) && done());
    this.naming = true;
    this.tray.removeAttribute("aria-hidden");
    this.tray.replaceChildren(make("div", "head", "Name of the new album"), form);
    this.host.classList.add("open");
    input.focus();
  }
}

function albumTray() {
  return (window.imseekAlbumTray ??= new AlbumTray());
}

// A button whose panel lists the albums; `what()` names the pictures to add.
function albumMenu(base, what) {
  const root = make("span", "albums");
  const panel = make("div", "album-panel");
  panel.popover = "auto";
  panel.setAttribute("role", "group");
  panel.setAttribute("aria-label", "Albums");
  const opener = button("Album ▾", "album", () => {}, "Add to an album");
  opener.popoverTargetElement = panel;
  const add = async (name, act) => {
    panel.hidePopover();
    opener.focus();
    await addToAlbum(base, name, what(), act).catch((error) => changes().say(error.message, false));
  };
  const form = make("form", "tagging");
  const input = make("input");
  input.placeholder = "New album";
  input.maxLength = 200;
  input.setAttribute("aria-label", "Name of a new album");
  form.append(input, make("button", "plain", "Create"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return input.focus();
    input.value = "";
    add(name, "create");
  });
  panel.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const stops = [...panel.querySelectorAll("button, input")];
    stops[(stops.indexOf(panel.getRootNode().activeElement) + step + stops.length) % stops.length]?.focus();
    event.preventDefault();
  });
  panel.addEventListener("toggle", async (event) => {
    opener.setAttribute("aria-expanded", event.newState === "open");
    if (event.newState !== "open") return;
    const { left, top } = opener.getBoundingClientRect();
    Object.assign(panel.style, { left: `${Math.max(8, Math.min(left, innerWidth - 268))}px`, bottom: `${innerHeight - top + 6}px` });
    const { albums } = await ask(`${base}/albums`).catch(() => ({ albums: [] }));
    const rows = albums.map((one) => {
      const row = button("", "choice", () => add(one.name, "add"));
      const name = make("span", "name", one.name);
      name.dir = "auto";
      row.append(name, make("span", "count", one.images.toLocaleString("en")));
      return row;
    });
    panel.replaceChildren(...rows, form);
    (rows[0] ?? input).focus();
  });
  root.append(opener, panel);
  return root;
}
