// Pictures that are pasted or dropped anywhere on the page go to its uploader; "/" goes to the box of words.
const kept = new WeakMap();

export default function ({ data, parentElement }) {
  if (kept.has(parentElement)) return;
  const veil = document.createElement("div");
  veil.className = "veil";
  veil.textContent = "Drop a picture to search for what looks like it";
  veil.hidden = true;
  parentElement.appendChild(veil);
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const own = (event) => event.target instanceof Element && event.target.closest(data.uploader);

  const listeners = {
    keydown(event) {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping()) return;
      const box = document.querySelector(data.box);
      if (!box) return;
      event.preventDefault();
      box.focus();
      box.select();
    },
    paste(event) {
      const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
      if (files.length) give(files[0], event);
    },
    dragover(event) {
      if (!hasFiles(event)) return;
      event.preventDefault();
      veil.hidden = false;
    },
    dragleave(event) {
      if (!event.relatedTarget) veil.hidden = true;
    },
    drop(event) {
      veil.hidden = true;
      if (!hasFiles(event) || own(event)) return;
      event.preventDefault();
      if (event.dataTransfer.files.length) give(event.dataTransfer.files[0], event);
    },
  };

  function give(file, event) {
    const input = document.querySelector(`${data.uploader} input[type=file]`);
    if (!input) return;
    event.preventDefault();
    const carried = new DataTransfer();
    carried.items.add(file);
    input.files = carried.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  for (const [name, heard] of Object.entries(listeners)) document.addEventListener(name, heard);
  kept.set(parentElement, true);
  return () => {
    for (const [name, heard] of Object.entries(listeners)) document.removeEventListener(name, heard);
    kept.delete(parentElement);
    veil.remove();
  };
}

function isTyping() {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return Boolean(at && (/^(input|textarea|select)$/i.test(at.tagName) || at.isContentEditable));
}
