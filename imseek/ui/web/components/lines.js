// A multi-line input that reports its text while it is typed; Streamlit's own reports it on blur.
const PAUSE = 250; // Milliseconds without a key press.

export default function (component) {
  return mounted(component, Lines);
}

class Lines {
  constructor(parent) {
    const label = document.createElement("label");
    this.name = document.createElement("span");
    this.area = document.createElement("textarea");
    this.area.spellcheck = false;
    this.area.autocapitalize = "none";
    this.help = document.createElement("small");
    label.append(this.name, this.area);
    parent.append(label, this.help);
    this.area.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.tell(), PAUSE);
    });
    this.area.addEventListener("blur", () => this.tell());
    // Streamlit has its own keys for the whole page.
    this.area.addEventListener("keydown", (event) => event.stopPropagation());
  }

  update(data) {
    this.name.textContent = data.label;
    this.help.textContent = data.help;
    this.area.placeholder = data.placeholder;
    this.area.rows = data.rows;
    this.area.maxLength = data.longest;
    if (data.epoch === this.epoch) return; // Keeps what is being typed.
    this.epoch = data.epoch;
    this.area.value = this.told = data.text;
  }

  tell() {
    clearTimeout(this.timer);
    if (this.area.value === this.told) return;
    this.told = this.area.value;
    this.setState("typed", { text: this.told, epoch: this.epoch });
  }
}
