// What was changed from this page, and how it is undone: a toast after each change, whose button and Ctrl+Z undo it.
// One for the page, whatever component a change comes from. `undo` of a change returns a promise.
const TOAST_STYLE = `
  :host { position: fixed; z-index: 1001; left: 50%; top: calc(var(--imseek-bar, 56px) + 10px); translate: -50%; width: max-content; max-width: calc(100vw - 24px); font-family: "Source Sans", "Source Sans Pro", sans-serif; }
  .toast { display: flex; align-items: center; gap: 4px; padding: 6px 6px 6px 16px; border-radius: 10px; font-size: 0.9rem; line-height: 1.4;
    background: var(--imseek-ink, #222); color: var(--imseek-paper, #fff); box-shadow: 0 3px 14px #0005; }
  .toast:has(> [role=status]:empty) { padding: 0; box-shadow: none; background: none; }
  .toast:has(> [role=status]:empty) button { display: none; }
  [role=status] { min-width: 0; overflow-wrap: anywhere; unicode-bidi: plaintext; }
  .keys { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; white-space: nowrap; }
  button { flex: none; min-height: 32px; padding: 2px 12px; border: 0; border-radius: 7px; font: inherit; font-weight: 600; color: inherit; background: none; cursor: pointer; text-decoration: underline; text-underline-offset: 3px; }
  button.away { padding: 2px 10px; text-decoration: none; font-weight: 400; }
  button:hover { background: color-mix(in srgb, currentColor 18%, transparent); }
  button:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
`;
const STAY = 8000; // Milliseconds that a toast stays.
const MOST_CHANGES = 100;

class Changes {
  constructor() {
    this.list = []; // The latest last.
    this.listeners = new Set();
    this.known = new Set(); // Tokens of changes that the page's Python has made.
    this.host = document.createElement("div");
    this.host.className = "imseek-changes";
    const root = this.host.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = TOAST_STYLE;
    this.toast = make("div", "toast");
    this.said = make("div", "");
    this.said.setAttribute("role", "status");
    this.button = make("button", "undo", "Undo");
    this.button.type = "button";
    this.button.addEventListener("click", () => this.undo());
    this.away = make("button", "away", "✕");
    this.away.type = "button";
    this.away.setAttribute("aria-label", "Dismiss");
    this.away.addEventListener("click", () => this.hide());
    this.toast.append(this.said, this.button, this.away);
    // A click leaves the focus where it is; by keyboard it goes back there once the toast has gone.
    this.toast.addEventListener("mousedown", (event) => event.preventDefault());
    this.toast.addEventListener("focusin", (event) => {
      if (event.relatedTarget && !this.toast.contains(event.relatedTarget)) this.before = event.relatedTarget;
      clearTimeout(this.leaving);
    });
    this.toast.addEventListener("focusout", () => this.wait());
    this.toast.addEventListener("pointerenter", () => clearTimeout(this.leaving));
    this.toast.addEventListener("pointerleave", () => this.wait());
    root.append(style, this.toast);
    document.body.append(this.host);
    // Before the large view and Streamlit, which keep keys to themselves.
    addEventListener("keydown", (event) => this.pressed(event), true);
  }

  // Where the toast is shown: in a dialog, since nothing outside an open one can be used; null: on the page.
  within(dialog) {
    (dialog ?? document.body).append(this.host);
  }

  // Offers to undo a change, and says what it was.
  record(text, undo) {
    this.list.push({ text, undo });
    if (this.list.length > MOST_CHANGES) this.list.shift();
    this.say(text, true);
    this.tell();
  }

  // The same for a change that a route below `base` has made; null if nothing has changed.
  made(base, change) {
    if (change) this.record(change.text, () => ask(`${base}/changes/${change.token}/undo`, {}));
  }

  async undo() {
    const change = this.undoing ? null : this.list.pop();
    if (!change) return;
    this.undoing = true;
    try {
      await change.undo();
      this.say(`Undone: ${change.text}`, false);
      this.tell();
    } catch (error) {
      // What can never be undone must not stand before earlier changes.
      const final = error.status === 410;
      if (!final) this.list.push(change);
      this.say(error.message, !final);
    } finally {
      this.undoing = false;
    }
  }

  tell() {
    for (const listener of [...this.listeners]) listener();
  }

  say(text, undoable) {
    this.button.hidden = !undoable;
    this.button.style.display = undoable ? "" : "none";
    if (!this.host.isConnected) document.body.append(this.host); // The dialog that it was in may have gone.
    this.said.replaceChildren(text);
    if (undoable) this.said.append(make("span", "keys", ". To undo, press Control Z."));
    this.wait();
  }

  wait() {
    clearTimeout(this.leaving);
    this.leaving = setTimeout(() => this.hide(), STAY);
  }

  hide() {
    clearTimeout(this.leaving);
    const focused = this.host.shadowRoot.activeElement;
    this.said.replaceChildren();
    if (focused) this.before?.focus({ preventScroll: true });
  }

  pressed(event) {
    if (event.key?.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    if (!this.list.length || isTyping(event)) return; // A field undoes what was typed in it.
    event.preventDefault();
    event.stopImmediatePropagation();
    this.undo();
  }
}

// The changes of this page.
function changes() {
  return (window.imseekChanges ??= new Changes());
}
