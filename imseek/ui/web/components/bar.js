// Actions on selected images. The server knows them by the token of their selection, `data.taken`.
export default function (component) {
  return mounted(component, Bar);
}

class Bar {
  constructor(parent) {
    this.root = make("div", "bar");
    this.root.setAttribute("role", "toolbar");
    this.root.setAttribute("aria-label", "Selected pictures");
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    // Below the pictures, not below the sidebar, which may appear and disappear.
    const place = make("div");
    new ResizeObserver(() => {
      const { left, width } = place.getBoundingClientRect();
      this.root.style.setProperty("--middle", `${left + width / 2}px`);
      this.root.style.setProperty("--room", `${width}px`);
    }).observe(place);
    parent.append(place, this.root);
    this.sides = new SideBySide(parent);
    this.sides.closed = () => this.root.querySelector(".compare")?.focus();
    // The key may come before the run that tells what is selected.
    this.listen = ({ detail }) => {
      const ids = Array.isArray(detail) ? detail : this.data.compared;
      if (ids) this.sides.open(ids, this.data.base);
    };
    window.addEventListener("imseek-compare", this.listen); // From the key of the grid.
  }

  close() {
    window.removeEventListener("imseek-compare", this.listen);
  }

  update(data) {
    const drawn = JSON.stringify(data);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.data = data;
    this.root.classList.toggle("floating", data.floating);
    this.said = make("div", "said");
    this.said.setAttribute("role", "status");
    const parts = [make("span", "count", data.text)];
    if (data.whole) parts.push(button(data.whole, "all", () => this.trigger("all", true)));
    if (data.clears) parts.push(button("Clear", "clear", () => this.trigger("cleared", true)));
    if (data.compared) parts.push(button("Compare", "compare", this.listen, "Show them side by side (c)"));
    const these = data.single ? "this" : "these";
    const like = (what) => button(`${what} like ${these}`, "like", () => this.trigger("liked", what.toLowerCase()));
    if (data.likes) parts.push(like("More"), ...(data.less ? [like("Less")] : []));
    parts.push(make("span", "dim", "Download"));
    if (!data.refused) parts.push(this.link(`Zip (${data.size})`, "pictures.zip", "The pictures as they are stored"));
    parts.push(
      this.link("CSV", "pictures.csv", "A table for spreadsheets"),
      this.link("Parquet", "pictures.parquet", "A table with types"),
      button("Copy paths", "paths", () => this.paths()),
    );
    if (data.base) {
      parts.push(albumMenu(data.base, () => ({ choice: this.data.choice })));
      if (data.album) {
        parts.push(button("Remove from album", "leave", () => this.arrange("remove")), button("To the front", "front", () => this.arrange("front")));
        if (data.single) parts.push(button("Make cover", "cover", () => this.arrange("cover")));
      }
      const remove = (tag) => this.tag(tag, false);
      parts.push(tagging(data.base, (tag) => this.tag(tag, true), "A tag for the selected pictures", remove));
    }
    parts.push(this.said);
    this.root.replaceChildren(...parts);
    if (data.refused) this.say(data.refused);
  }

  link(text, file, title) {
    const made = make("a", "plain", text);
    made.href = `${this.data.taken}/${file}`;
    made.download = "";
    made.title = title;
    return made;
  }

  say(text) {
    this.said.textContent = text;
  }

  async paths() {
    const answer = await fetch(`${this.data.taken}/paths.txt`).catch(() => null);
    if (answer?.ok) copy((await answer.text()).trimEnd(), this.said, (said) => this.say(said));
    else this.say("This selection has expired. Select the pictures again.");
  }

  // Does what one can with pictures in their album.
  async arrange(act) {
    const { base, album, choice } = this.data;
    try {
      const { change } = await ask(`${base}/albums`, { album, act, choice });
      changes().made(base, change);
    } catch (error) {
      this.say(error.message);
    }
  }

  async tag(tag, add) {
    this.say(add ? "Adding…" : "Removing…");
    const slow = setTimeout(() => this.say("Waiting for another program that writes to this collection…"), 1500);
    try {
      const { changed, named, change } = await ask(`${this.data.base}/tags`, { tag, add, choice: this.data.choice });
      changes().made(this.data.base, change);
      const already = add && changed < named ? `${(named - changed).toLocaleString("en")} already had the tag.` : "";
      this.say(changed ? already : add ? "All of these pictures have that tag already." : "None of these pictures has that tag.");
    } catch (error) {
      this.say(error.message);
    } finally {
      clearTimeout(slow);
    }
  }
}
