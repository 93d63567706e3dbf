// An input for a path, above the folders that complete it.

export default function (component) {
  return mounted(component, Picker);
}

class Picker {
  constructor(parent, data) {
    this.sent = data.typed;
    this.root = make("div", "picker");
    const id = `path-${Math.random().toString(36).slice(2)}`;
    const label = make("label", "label", data.label);
    label.htmlFor = id;
    this.input = make("input", "path");
    this.input.id = id;
    this.input.value = data.typed;
    this.input.spellcheck = false;
    this.input.autocomplete = "off";
    this.input.autocapitalize = "off";
    this.up = make("button", "step", "↑ Up");
    this.home = make("button", "step", "Home");
    for (const button of [this.up, this.home]) button.type = "button";
    const line = make("div", "line");
    line.append(this.input, this.up, this.home);
    this.told = make("div", "told");
    this.told.setAttribute("role", "status");
    this.list = make("div", "list");
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Folders");
    this.root.append(label, line, this.told, this.list);
    parent.appendChild(this.root);

    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.send(this.input.value), 200);
    });
    // Before a pressed button acts on the previous text.
    this.input.addEventListener("blur", () => {
      if (this.input.value !== this.sent) this.send(this.input.value);
    });
    for (const name of ["dragover", "drop"]) this.root.addEventListener(name, (event) => this.dropped(event));
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.focus(0);
      else if (event.key === "Enter") this.complete();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.up.addEventListener("click", () => this.data.above && this.go(this.data.above));
    this.home.addEventListener("click", () => this.go(this.data.home));
    this.list.addEventListener("click", (event) => this.enter(event.target.closest(".entry")));
    this.list.addEventListener("keydown", (event) => this.pressed(event));
  }

  update(data) {
    this.data = data;
    this.up.disabled = !data.above;
    // A late response must not disturb further typing.
    if (data.typed !== this.sent) return;
    if (data.typed !== this.input.value && this.input.getRootNode().activeElement !== this.input) {
      this.input.value = data.typed;
    }
    const drawn = JSON.stringify([data.folder, data.entries, data.summary]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const focused = this.list.contains(this.list.getRootNode().activeElement);
    this.told.textContent = `${data.folder} — ${data.summary}`;
    this.list.replaceChildren(...data.entries.map((entry) => this.entry(entry)));
    this.list.scrollTop = 0;
    if (focused) this.focus(0);
  }

  entry(entry) {
    const made = make("div", entry.path === null ? "entry closed" : "entry");
    made.setAttribute("role", "option");
    made.setAttribute("aria-disabled", entry.path === null);
    made.tabIndex = -1;
    made.path = entry.path;
    made.append(make("span", "name", entry.name), make("span", "note", entry.note));
    return made;
  }

  pressed(event) {
    const entries = [...this.list.children];
    const n = entries.indexOf(event.target.closest(".entry"));
    if (event.key === "ArrowDown") this.focus(Math.min(n + 1, entries.length - 1));
    else if (event.key === "ArrowUp" && n > 0) this.focus(n - 1);
    else if (event.key === "ArrowUp") this.input.focus();
    else if (event.key === "Enter" || event.key === "ArrowRight") this.enter(entries[n]);
    else if ((event.key === "ArrowLeft" || event.key === "Backspace") && this.data.above) this.go(this.data.above);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  focus(n) {
    const entry = this.list.children[n];
    if (entry) entry.focus();
    else this.input.focus();
  }

  enter(entry) {
    if (entry && entry.path !== null) this.go(entry.path);
  }

  // Takes the path of a folder that is dropped as text or as a link; of a dropped file, browsers hide where it is.
  dropped(event) {
    event.preventDefault();
    event.stopPropagation();
    if (event.type !== "drop") return;
    const path = pathOf(event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain"));
    if (path) this.go(path);
    else this.told.textContent = "Browsers do not say where a dropped folder is. Type or paste its path, or choose it below.";
  }

  // Enters the folder if only one matches, else sends the text as typed.
  complete() {
    const paths = this.data.entries.map((entry) => entry.path).filter((path) => path !== null);
    if (paths.length === 1) this.go(paths[0]);
    else this.send(this.input.value);
  }

  go(path) {
    this.input.value = path;
    this.send(path);
  }

  send(path) {
    clearTimeout(this.timer);
    this.sent = path;
    this.setState("path", path);
  }
}

// The path in a text or a file:// address, without what surrounds it; "" if there is none.
function pathOf(text) {
  const line = text.split("\n").map((one) => one.trim()).find((one) => one && !one.startsWith("#")) ?? "";
  const bare = line.replace(/^(['"])(.*)\1$/, "$2");
  if (!/^file:\/\//i.test(bare)) return /^[~/]/.test(bare) ? bare : "";
  try {
    return decodeURIComponent(new URL(bare).pathname);
  } catch {
    return "";
  }
}
