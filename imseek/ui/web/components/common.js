// Functions shared by several components.

// A thumbnail, loaded when it comes near the visible area; text if it is missing.
function thumb(src) {
  const image = make("img", "");
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = "";
  image.addEventListener("error", () => image.replaceWith(make("span", "gone", "no picture here any more")));
  image.src = src;
  return image;
}

// A button; `label` is its name if `text` has no words, and otherwise its description.
function button(text, className, act, label = "") {
  const made = make("button", `plain ${className}`, text);
  made.type = "button";
  if (label && !/\p{L}/u.test(text)) made.setAttribute("aria-label", label);
  if (label) made.title = label;
  made.addEventListener("click", act);
  return made;
}

const FEWEST_COMPARED = 2; // Pictures side by side.
const MOST_COMPARED = 4;

// The response of one of our routes, or an error whose message is for the user.
async function ask(address, body, options = {}) {
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address, { ...sent, ...options, priority: "high", headers: { "Content-Type": "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("imseek does not answer. Is it still running?");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const message = told.message || told.detail || `Something went wrong (${answer.status}).`;
  const error = new Error(`${message[0].toUpperCase()}${message.slice(1)}${told.hint ? `: ${told.hint}` : ""}`);
  throw Object.assign(error, { status: answer.status });
}

// Copies text to the clipboard; if the browser does not permit it, shows the text selected, to be copied by hand.
async function copy(text, place, say) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
    return;
  } catch {
    // Not available over plain HTTP from another machine, or without permission.
  }
  const field = make("textarea", "copied");
  field.value = text;
  field.readOnly = true;
  field.rows = 3;
  field.style.cssText = "display: block; width: 100%; box-sizing: border-box; font: inherit";
  field.setAttribute("aria-label", "Text to copy");
  place.append(field);
  const before = place.getRootNode().activeElement;
  field.select();
  if (document.execCommand("copy")) {
    field.remove();
    before?.focus();
    say("Copied.");
  } else {
    say("Press Ctrl+C to copy.");
    field.addEventListener("copy", () => setTimeout(() => field.remove()));
    field.addEventListener("blur", () => field.remove());
  }
}

// Where words stand in a text, as whole words: [start, end], ascending.
function spansOf(text, words) {
  const escaped = words.filter(Boolean).map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  if (!escaped.length) return [];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${escaped.join("|")})(?![\\p{L}\\p{N}])`, "gu");
  return [...text.matchAll(pattern)].map((found) => [found.index, found.index + found[0].length]);
}

// A text as nodes, with these words marked.
function marked(text, words) {
  const nodes = [];
  let at = 0;
  for (const [start, end] of spansOf(text, words)) {
    nodes.push(text.slice(at, start), make("mark", "", text.slice(start, end)));
    at = end;
  }
  return [...nodes, text.slice(at)];
}

// Why a picture is a hit: a word for the place, and what stands there. A short one begins near its first word.
function reasonNodes({ place, text, words }, short) {
  const first = spansOf(text, words)[0]?.[0] ?? 0;
  const from = short && first > 16 ? text.lastIndexOf(" ", first - 2) + 1 || first : 0;
  const made = make("span", "said-why");
  made.dir = "auto";
  made.append(...marked(from ? `…${text.slice(from)}` : text, words));
  return text ? [make("span", "where", place), " ", made] : [make("span", "where", place)];
}

// A name as nodes that show its end even where its middle does not fit, since names of files often begin alike. Text in
// which the direction of writing may change stays whole.
function nameNodes(name) {
  if (name.length < 13 || !/^[\x20-\x7e]*$/.test(name)) return [name];
  return [make("span", "start", name.slice(0, -9)), make("span", "tail", name.slice(-9))];
}

// A table of pairs, of which the first is the head of its row.
function headedRows(pairs) {
  const table = make("table");
  for (const [label, value] of pairs) {
    const row = make("tr");
    const head = make("th", "", label);
    head.scope = "row";
    row.append(head, make("td", "", value));
    table.append(row);
  }
  return table;
}

// The keys of a part of the page, in a dialog that Esc, ? or a click closes.
class Keys {
  constructor(parent) {
    this.dialog = make("dialog", "keys");
    this.dialog.setAttribute("aria-label", "Keys");
    this.dialog.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "?") this.dialog.close();
    });
    this.dialog.addEventListener("click", (event) => {
      event.stopPropagation();
      if (event.target === this.dialog || event.target.matches("button")) this.dialog.close();
    });
    this.dialog.addEventListener("close", (event) => {
      event.stopPropagation();
      this.closed?.();
    });
    parent.append(this.dialog);
  }

  show(help) {
    this.dialog.replaceChildren(make("h2", "", "Keys"), headedRows(help), make("button", "plain", "Close"));
    this.dialog.showModal();
  }
}

// A field for a tag, which suggests existing tags. `given(tag)` is called for each one added; with `taken(tag)`, tags
// can be removed too.
function tagging(base, given, label, taken) {
  const form = make("form", "tagging");
  const input = make("input");
  input.placeholder = taken ? "Tag" : "Add a tag";
  input.maxLength = 200;
  input.setAttribute("aria-label", label);
  const list = make("datalist");
  list.id = "tags-there";
  input.setAttribute("list", list.id);
  input.addEventListener(
    "focus",
    async () => {
      const { tags } = await ask(`${base}/tags`).catch(() => ({ tags: [] }));
      list.replaceChildren(
        ...tags.map((tag) => {
          const option = make("option");
          option.value = tag;
          return option;
        }),
      );
    },
    { once: true },
  );
  const add = make("button", "plain", "Add");
  form.append(input, list, add);
  const act = (doing) => {
    const tag = input.value.trim();
    if (!tag) return input.focus();
    input.value = "";
    doing(tag);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(given);
  });
  if (taken) form.append(button("Remove", "", () => act(taken)));
  form.addEventListener("keydown", (event) => event.stopPropagation());
  return form;
}

function isTyping(event) {
  return event.composedPath()[0].matches?.("input, textarea, select") ?? false;
}
