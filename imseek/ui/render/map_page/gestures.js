"use strict";
// Pointer gestures: drag to move, pinch and wheel to zoom, click, and, if the page wants it, draw a line around points.

/** `on.hovered(px, py)`, `on.left()` and `on.clicked(px, py, event)` report the pointer. If `on.shape` exists and
 * returns `"lasso"` or `"box"` for an event, dragging draws: `on.drawn(corners, event)` receives the corners on the
 * screen at the end, `on.drawing(corners)` all the time (null: no longer). `on.wheels(event)` may leave the wheel to
 * the page around. */
function addGestures(canvas, plane, on) {
  const pointers = new Map();
  let travelled = 0, shape = null, corners = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const cancel = () => {
    if (corners !== null) on.drawing(null);
    shape = corners = null;
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    travelled = 0;
    if (pointers.size > 1) return cancel();  // Two fingers zoom, whatever one does.
    shape = on.shape ? on.shape(event) : null;
    corners = shape ? [at(event)] : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = at(event), before = pointers.get(event.pointerId);
    if (before === undefined) return on.hovered(...now);
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    pointers.set(event.pointerId, now);
    if (others.length) {
      const apart = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
      plane.zoomBy(apart(now, others[0]) / apart(before, others[0]), ...others[0]);
    } else if (shape === "box") {
      const [first] = corners;
      corners = [first, [now[0], first[1]], now, [first[0], now[1]]];
      on.drawing(corners);
    } else if (shape === "lasso") {
      const last = corners[corners.length - 1];
      if (Math.hypot(now[0] - last[0], now[1] - last[1]) >= 3) corners.push(now);
      on.drawing(corners);
    } else {
      plane.moveBy(now[0] - before[0], now[1] - before[1]);
      canvas.classList.add("moving");
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      if (!pointers.delete(event.pointerId)) return;
      canvas.classList.remove("moving");
      const drawn = corners;
      cancel();
      if (kind === "pointercancel") return;
      if (travelled < 5) on.clicked(...at(event), event);
      else if (drawn !== null && drawn.length > 2) on.drawn(drawn, event);
    });
  }
  canvas.addEventListener("pointerleave", () => on.left());
  canvas.addEventListener("dblclick", (event) => plane.zoomBy(2, ...at(event)));
  canvas.addEventListener("wheel", (event) => {
    if (on.wheels && !on.wheels(event)) return;
    event.preventDefault();
    plane.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), ...at(event));
  }, { passive: false });
  return { cancel };
}

