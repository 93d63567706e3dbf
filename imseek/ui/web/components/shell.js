// The parts of the top bar that Streamlit has nothing for: the mark with the switcher of collections, and the tasks.
// Both poll the state of all collections and tasks together: see status_route.py.
export default function (component) {
  return mounted(component, component.data.part === "tasks" ? Tasks : Switcher);
}

const BUSY = 1000; // Milliseconds between polls while something runs,
const IDLE = 8000; // and otherwise.
const live = (window.imseekLive ??= { listeners: new Set(), state: null, process: null, timer: 0, running: new Set() });

function listen(listener, address) {
  live.address = address;
  live.listeners.add(listener);
  if (live.state) listener.heard(live.state, []);
  poll();
}

function poll() {
  clearTimeout(live.timer);
  live.timer = setTimeout(poll, live.state?.tasks.some(isRunning) ? BUSY : IDLE);
  // Nobody sees a hidden page, except by its title and its notifications.
  if ((document.hidden && !live.running.size) || live.asking) return;
  live.asking = true;
  fetch(live.address)
    .then((answer) => (answer.ok ? answer.json() : null))
    .catch(() => null) // Streamlit notices, and so do we, by its connection.
    .then((state) => {
      live.asking = false;
      if (!state) return;
      const before = live.running;
      live.state = state;
      live.running = new Set(state.tasks.filter(isRunning).map(({ id }) => id));
      const ended = state.tasks.filter((task) => !isRunning(task) && before.has(task.id));
      if (live.running.size > before.size) poll(); // The next one sooner.
      live.listeners.forEach((listener) => listener.heard(state, ended));
    });
}

function isRunning(task) {
  return task.state === "running";
}

if (!live.watching) {
  live.watching = true;
  document.addEventListener("visibilitychange", () => !document.hidden && live.address && poll());
}

const CHEVRON = '<svg class="chevron" viewBox="0 0 10 10" aria-hidden="true"><path d="M1 3l4 4 4-4" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>';
// A button with a panel below it, which the browser closes on Esc or a click elsewhere.
class Panel {
  constructor(root, opener, label) {
    this.opener = opener;
    this.panel = make("div", "panel");
    this.panel.popover = "auto";
    this.panel.setAttribute("role", "group");
    this.panel.setAttribute("aria-label", label);
    opener.popoverTargetElement = this.panel;
    opener.setAttribute("aria-expanded", "false");
    this.panel.addEventListener("beforetoggle", (event) => {
      const opens = event.newState === "open";
      opener.setAttribute("aria-expanded", opens);
      if (!opens) return;
      const { left, right, bottom } = opener.getBoundingClientRect();
      const side = left < innerWidth / 2 ? { left: `${Math.max(left, 8)}px`, right: "auto" } : { right: `${Math.max(innerWidth - right, 8)}px`, left: "auto" };
      Object.assign(this.panel.style, { top: `${bottom + 6}px`, ...side });
    });
    this.panel.addEventListener("keydown", (event) => {
      event.stopPropagation(); // Streamlit has its own keys for the whole page.
      const steps = { ArrowDown: 1, ArrowUp: -1 };
      if (!(event.key in steps)) return;
      const stops = [...this.panel.querySelectorAll("input, button, a")];
      const at = stops.indexOf(root.getRootNode().activeElement);
      stops[(at + steps[event.key] + stops.length) % stops.length]?.focus();
      event.preventDefault();
    });
    root.append(this.panel);
  }

  get open() {
    return this.panel.matches(":popover-open");
  }
}

class Switcher {
  constructor(parent) {
    const root = make("div", "start");
    this.mark = make("a", "mark");
    this.early = document.getElementById("imseek-early"); // The bar before this one: see early_page.py.
    this.mark.append(this.early.querySelector("svg").cloneNode(true), make("span", "", "imseek"));
    this.mark.setAttribute("aria-label", "imseek");
    this.mark.addEventListener("click", (event) => follow(event, ""));
    this.opener = make("button", "opener");
    this.opener.type = "button";
    this.name = make("span", "name");
    this.name.dir = "auto";
    this.count = make("span", "count");
    this.opener.append(this.name, " ", this.count); // Its label has the words that it shows, one by one.
    this.opener.insertAdjacentHTML("beforeend", CHEVRON);
    const slash = make("span", "slash", "/");
    slash.setAttribute("aria-hidden", "true");
    this.fresh = make("button", "fresh");
    this.fresh.type = "button";
    this.fresh.hidden = true;
    this.fresh.addEventListener("click", () => this.renew());
    root.append(this.mark, slash, this.opener, this.fresh);
    parent.append(root);
    this.panel = new Panel(root, this.opener, "Collections");
    this.panel.panel.addEventListener("toggle", (event) => event.newState === "open" && this.fill(true));
    this.seek = make("input");
    this.seek.placeholder = "Filter";
    this.seek.setAttribute("aria-label", "Filter collections");
    this.seek.addEventListener("input", () => this.fill());
    this.watch = watchApp("data-test-script-state", () => this.point());
    this.moved = () => this.point(); // At once, not when the run of the page begins or ends.
    window.navigation?.addEventListener("currententrychange", this.moved);
    this.typed = () => (this.typing = performance.now());
    document.addEventListener("input", this.typed, true);
  }

  close() {
    document.removeEventListener("input", this.typed, true);
    window.navigation?.removeEventListener("currententrychange", this.moved);
    live.listeners.delete(this);
    this.watch.disconnect();
  }

  update(data) {
    this.data = data;
    this.opener.hidden = !data.collections.length;
    this.opener.classList.toggle("missing", data.missing);
    this.name.textContent = data.missing ? `No collection ${data.collection}` : data.collection;
    this.opener.title = data.missing ? "There is no collection of this name. Choose another." : "Switch to another collection";
    this.images = data.images; // When the page was drawn.
    this.fresh.hidden = true;
    this.mark.href = data.collection ? `/?c=${encodeURIComponent(data.collection)}` : "/";
    this.point();
    this.early.hidden = true;
    listen(this, data.state);
  }

  // Marks the link to this page; it is Streamlit's, which does not.
  point() {
    const here = location.pathname.replaceAll("/", "");
    for (const link of pageLinks()) {
      if (pageOf(link) === here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  heard(state, ended) {
    this.state = state;
    const mine = state.collections.find(({ name }) => name === this.data.collection);
    const count = Number.isInteger(mine?.images) ? mine.images.toLocaleString("en") : "";
    this.count.textContent = this.data.missing ? "" : count;
    this.opener.setAttribute("aria-label", `Collection ${this.name.textContent}${count && `, ${pictures(mine.images)}`}`);
    if (this.panel.open) this.fill();
    // A search shows what has come; other pages see to it themselves.
    if (location.pathname !== "/" || !Number.isInteger(mine?.images) || !Number.isInteger(this.images)) return;
    const mineEnded = ended.some(({ collection }) => collection === this.data.collection);
    const more = mine.images - this.images;
    if (!more && !mineEnded) return;
    if (this.calm) return this.renew();
    this.fresh.textContent = more > 0 ? `Show ${pictures(more)} more` : "Show the changes";
    this.fresh.hidden = !more;
  }

  // Whether nothing that somebody does is disturbed by other pictures.
  get calm() {
    const open = document.querySelector("[role=dialog], [class*='-selection']") || window.imseekPicture?.shown;
    const main = document.querySelector("[data-testid=stMain]");
    return !open && (main?.scrollTop ?? 0) < 40 && !(performance.now() - this.typing < 4000);
  }

  renew() {
    this.images = null; // Until the page is drawn.
    this.fresh.hidden = true;
    this.trigger("renew", true);
  }

  fill(fresh = false) {
    if (fresh) this.seek.value = "";
    const { panel } = this.panel;
    const known = new Map((this.state?.collections ?? []).map((one) => [one.name, one]));
    const names = [...new Set([...this.data.collections, ...known.keys()])];
    const text = this.seek.value.trim().toLowerCase();
    const focused = panel.getRootNode().activeElement?.dataset?.name;
    const rows = names.filter((name) => name.toLowerCase().includes(text)).map((name) => this.row(name, known.get(name)));
    const all = make("a", "all", "All collections");
    all.href = "/collections";
    all.addEventListener("click", (event) => follow(event, "collections") && panel.hidePopover());
    if (names.length > 8 && !this.seek.isConnected) panel.prepend(this.seek);
    for (const old of [...panel.children]) if (old !== this.seek) old.remove();
    panel.append(...rows, all);
    if (focused) rows.find((row) => row.dataset.name === focused)?.focus();
    else if (fresh) (this.seek.isConnected ? this.seek : panel.querySelector('[aria-current="true"]') ?? rows[0])?.focus();
  }

  row(name, known) {
    const row = make("button", "one");
    const mine = name === this.data.collection;
    row.type = "button";
    row.dataset.name = name;
    if (mine) row.setAttribute("aria-current", "true");
    const title = make("span", "name", name);
    title.dir = "auto";
    const count = Number.isInteger(known?.images) ? known.images.toLocaleString("en") : "";
    const tick = make("span", "", mine ? "✓" : "");
    tick.setAttribute("aria-hidden", "true");
    row.append(tick, title, make("span", "count", count), make("span", "state", known?.state ?? ""));
    row.addEventListener("click", () => {
      this.panel.panel.hidePopover();
      if (!mine) this.trigger("chosen", name);
    });
    return row;
  }
}

class Tasks {
  constructor(parent) {
    this.root = make("div", "tasks");
    this.opener = make("button", "opener");
    this.opener.type = "button";
    this.opener.hidden = true;
    this.text = make("span", "count");
    this.opener.innerHTML =
      '<svg class="ring" viewBox="0 0 20 20" aria-hidden="true"><circle class="track" cx="10" cy="10" r="8"/>' +
      '<circle class="done" cx="10" cy="10" r="8" pathLength="100" stroke-dasharray="100"/></svg>';
    this.opener.append(this.text);
    this.root.append(this.opener);
    this.said = make("div", "ended");
    this.said.setAttribute("role", "status");
    this.said.hidden = true;
    this.offline = make("div", "offline", "imseek does not answer. If it was stopped, start it again with `imseek ui`: this page then goes on where it is.");
    this.offline.setAttribute("role", "alert");
    this.offline.hidden = true;
    parent.append(this.root, this.said, this.offline);
    this.panel = new Panel(this.root, this.opener, "Tasks");
    this.panel.panel.addEventListener("toggle", (event) => event.newState === "open" && this.fill());
    // Streamlit's state of its connection. A new server knows nothing of this page until a run: without one, what is
    // entered first would be lost.
    this.watch = watchApp("data-test-connection-state", (state) => this.connected(state === "CONNECTED"));
  }

  close() {
    live.listeners.delete(this);
    this.watch.disconnect();
    clearTimeout(this.patience);
    title("");
  }

  update(data) {
    listen(this, data.state);
  }

  connected(connected) {
    clearTimeout(this.patience);
    if (connected && this.lost) this.trigger("renew", true);
    this.lost = !connected;
    if (connected) this.offline.hidden = true;
    else this.patience = setTimeout(() => (this.offline.hidden = false), 1500); // A reload is no outage.
  }

  heard(state, ended) {
    this.tasks = state.tasks.filter(isRunning);
    const known = this.tasks.find(({ share }) => share !== null) ?? this.tasks[0];
    this.opener.hidden = !this.tasks.length;
    if (!known) {
      if (this.panel.open) this.panel.panel.hidePopover();
    } else {
      const ring = this.opener.querySelector(".ring");
      const percent = known.share === null ? null : Math.floor(100 * known.share);
      ring.classList.toggle("unknown", percent === null);
      ring.querySelector(".done").style.strokeDashoffset = 100 - (percent ?? 25);
      this.text.textContent = percent === null ? "" : `${percent}%`;
      const what = `${this.tasks.length === 1 ? "1 task" : `${this.tasks.length} tasks`}${percent === null ? "" : `, ${percent}%`}`;
      this.opener.setAttribute("aria-label", what);
      this.opener.title = [known.what, known.collection].filter(Boolean).join(": ");
      title(percent === null ? "… " : `${percent}% · `);
    }
    if (!known) title("");
    if (this.panel.open) this.fill();
    ended.forEach((task) => this.tell(task));
  }

  fill() {
    const rows = this.tasks.map((task) => {
      const row = make("div", "task");
      const bar = make("progress");
      if (task.share !== null) bar.value = task.share;
      bar.setAttribute("aria-label", task.what);
      row.append(make("div", "what", [task.what, task.collection].filter(Boolean).join(" · ")), bar, make("div", "how", task.how));
      return row;
    });
    if (globalThis.Notification?.permission === "default") {
      const ask = make("button", "notify", "Notify me when it is done");
      ask.type = "button";
      ask.addEventListener("click", () => Notification.requestPermission().then(() => this.fill()));
      rows.push(ask);
    }
    this.panel.panel.replaceChildren(...rows);
  }

  tell(task) {
    if (document.querySelector(".st-key-collections-run, .st-key-collections-ended")) return; // The page says so itself.
    const text = [task.what, task.collection].filter(Boolean).join(" · ");
    const said = task.collection ? text : `${text}: ${task.state}`;
    const away = make("button", "", "✕");
    away.type = "button";
    away.setAttribute("aria-label", "Dismiss");
    away.addEventListener("click", () => (this.said.hidden = true));
    this.said.replaceChildren(make("span", "", said), away);
    this.said.hidden = false;
    clearTimeout(this.shown);
    this.shown = setTimeout(() => (this.said.hidden = true), 10000);
    if (document.hidden && globalThis.Notification?.permission === "granted") new Notification("imseek", { body: said, tag: task.id });
  }
}

function pageLinks() {
  return [...document.querySelectorAll(".st-key-shell-pages a")];
}

// The page that a link leads to, empty for the first one. Streamlit writes them relative to the first page.
function pageOf(link) {
  return link.getAttribute("href").split("?")[0].replaceAll("/", "");
}

// Follows a link of the bar within the page: Streamlit's own link to that page does it. Others open as links do.
function follow(event, page) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return false;
  const link = pageLinks().find((one) => pageOf(one) === page);
  if (!link) return false;
  event.preventDefault();
  link.click();
  return true;
}

// What runs, before the title of the page, where it is seen while the page is not.
function title(prefix) {
  const plain = document.title.replace(/^(?:… |\d+% · )/, "");
  if (document.title !== prefix + plain) document.title = prefix + plain;
}

function pictures(n) {
  return `${n.toLocaleString("en")} ${n === 1 ? "picture" : "pictures"}`;
}
