// Passes pictures pasted or dropped anywhere on the page to its uploader; "/" focuses the search box.
export default function (component) {
  return mounted(component, Asking);
}

class Asking {
  constructor(parent) {
    this.veil = make("div", "veil", "Drop a picture to search for what looks like it");
    this.veil.hidden = true;
    parent.append(this.veil);
    this.listeners = Object.fromEntries(
      ["keydown", "paste", "dragover", "dragleave", "drop"].map((name) => [name, (event) => this[name](event)]),
    );
    for (const [name, heard] of Object.entries(this.listeners)) document.addEventListener(name, heard);
    this.watch = new MutationObserver(() => this.name());
  }

  close() {
    this.watch.disconnect();
    for (const [name, heard] of Object.entries(this.listeners)) document.removeEventListener(name, heard);
  }

  update(data) {
    this.data = data;
    const box = document.querySelector(data.uploader)?.parentNode;
    if (box && box !== this.box) this.watch.observe((this.box = box), { childList: true, subtree: true });
    this.name();
  }

  // Streamlit's button has no name once its text is hidden, and a new one comes after each upload.
  name() {
    const button = document.querySelector(`${this.data.uploader} button:not([aria-label])`);
    button?.setAttribute("aria-label", "Search by a picture");
  }

  keydown(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping()) return;
    const box = document.querySelector(this.data.box);
    if (!box) return;
    event.preventDefault();
    box.focus();
    box.select();
  }

  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (files.length) this.give(files[0], event);
  }

  dragover(event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    this.veil.hidden = false;
  }

  dragleave(event) {
    if (!event.relatedTarget) this.veil.hidden = true;
  }

  drop(event) {
    this.veil.hidden = true;
    const own = event.target instanceof Element && event.target.closest(this.data.uploader);
    if (!hasFiles(event) || own) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) this.give(event.dataTransfer.files[0], event);
  }

  give(file, event) {
    const input = document.querySelector(`${this.data.uploader} input[type=file]`);
    if (!input) return;
    event.preventDefault();
    const carried = new DataTransfer();
    carried.items.add(file);
    input.files = carried.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

function hasFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

function isTyping() {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return Boolean(at && (/^(input|textarea|select)$/i.test(at.tagName) || at.isContentEditable));
}
