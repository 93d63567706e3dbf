"use strict";
// Positions of points: a plane that is moved and zoomed, and a grid that finds points near a position. The static page
// and the component of `imseek ui` are built from this file, points.js, tiles.js, card.js, gestures.js and legend.js.

const LARGEST = 4000, SMALLEST = 0.5;
const CELLS = 256;

/** `xs` and `ys` lie between -1 and 1, y upwards; `flags`: 1 shown in full, 2 paler (beside a selection), 0 dimmed.
 * `changed` is called when the view has changed. */
function makePlane(xs, ys, flags, changed) {
  const n = xs.length;
  const view = { x: 0, y: 0, scale: 1 };  // what is in the middle, and how many times it is enlarged
  const cellOf = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor((value + 1) / 2 * CELLS)));
  const starts = new Uint32Array(CELLS * CELLS + 1), inCells = new Uint32Array(n);
  for (let i = 0; i < n; i++) starts[cellOf(ys[i]) * CELLS + cellOf(xs[i]) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
  const filled = starts.slice();
  for (let i = 0; i < n; i++) inCells[filled[cellOf(ys[i]) * CELLS + cellOf(xs[i])]++] = i;

  const plane = {
    count: n, xs, ys, flags, view, width: 1, height: 1, ratio: 1,

    unit: () => 0.47 * Math.min(plane.width, plane.height) * view.scale,  // pixels for 1
    screenX: (x) => plane.width / 2 + (x - view.x) * plane.unit(),
    screenY: (y) => plane.height / 2 - (y - view.y) * plane.unit(),
    planeX: (px) => view.x + (px - plane.width / 2) / plane.unit(),
    planeY: (py) => view.y - (py - plane.height / 2) / plane.unit(),
    dotSize: () => Math.max(2.5,
      Math.min(14, 2 * Math.sqrt(plane.width * plane.height / n) / 6 * Math.sqrt(view.scale))),

    resized(width, height) {
      plane.ratio = Math.min(window.devicePixelRatio || 1, 2);
      [plane.width, plane.height] = [Math.max(1, width), Math.max(1, height)];
      changed();
    },

    /** Calls `each` for the points of all cells that intersect a square. */
    within(left, right, low, high, each) {
      for (let row = cellOf(low); row <= cellOf(high); row++) {
        const first = starts[row * CELLS + cellOf(left)], last = starts[row * CELLS + cellOf(right) + 1];
        for (let at = first; at < last; at++) each(inCells[at]);
      }
    },

    /** The point nearest to a position on the screen, -1 if none is near. */
    nearest(px, py) {
      const reach = Math.max(10, plane.dotSize()) / plane.unit(), x = plane.planeX(px), y = plane.planeY(py);
      let best = -1, least = reach * reach;
      plane.within(x - reach, x + reach, y - reach, y + reach, (i) => {
        const apart = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
        if (flags[i] && apart < least) [best, least] = [i, apart];
      });
      return best;
    },

    /** The nearest point to the right (1, 0), above (0, 1) and so on, if possible far enough away for the step to be
     * visible; from the middle if `from` is -1. */
    towards(from, right, up) {
      const x = from < 0 ? view.x : xs[from], y = from < 0 ? view.y : ys[from];
      const seen = from < 0 ? 0 : 10 / plane.unit();
      let best = from, least = Infinity, close = from, closest = Infinity;
      for (let i = 0; i < n; i++) {
        if (!flags[i] || i === from) continue;
        const dx = xs[i] - x, dy = ys[i] - y, apart = Math.hypot(dx, dy);
        const along = dx * right + dy * up, aside = Math.abs(dx * up) + Math.abs(dy * right);
        if (from >= 0 && (along <= 0 || aside > along)) continue;
        const cost = from < 0 ? apart : along + 2 * aside;
        if (apart >= seen && cost < least) [best, least] = [i, cost];
        if (apart > 0 && cost < closest) [close, closest] = [i, cost];
      }
      return least < Infinity ? best : close;
    },

    /** Moves just far enough to make a point visible. */
    reveal(i) {
      const px = plane.screenX(xs[i]), py = plane.screenY(ys[i]), border = 30;
      const over = (at, side) => Math.min(at - border, 0) || Math.max(at - (side - border), 0);
      plane.moveBy(-over(px, plane.width), -over(py, plane.height));
    },

    /** Moves so that all points shown in full are visible, with a margin of `border` pixels if there is room. */
    fit(border) {
      let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
      for (let i = 0; i < n; i++) {
        if (flags[i] !== 1) continue;
        [left, right] = [Math.min(left, xs[i]), Math.max(right, xs[i])];
        [low, high] = [Math.min(low, ys[i]), Math.max(high, ys[i])];
      }
      if (left > right) return;
      [view.x, view.y, view.scale] = [(left + right) / 2, (low + high) / 2, 1];
      const inner = (side) => Math.max(Math.min(0.92 * side, side - border), 1);
      const across = Math.max((right - left) / inner(plane.width), (high - low) / inner(plane.height), 1e-9);
      plane.zoomTo(1 / across / plane.unit());
    },

    zoomTo(scale) {
      view.scale = Math.max(SMALLEST, Math.min(LARGEST, scale));
      changed();
    },

    /** Zooms by a factor around a position on the screen. */
    zoomBy(factor, px = plane.width / 2, py = plane.height / 2) {
      const x = plane.planeX(px), y = plane.planeY(py);
      plane.zoomTo(view.scale * factor);
      view.x = x - (px - plane.width / 2) / plane.unit();
      view.y = y + (py - plane.height / 2) / plane.unit();
    },

    moveBy(px, py) {
      view.x = Math.max(-1.5, Math.min(1.5, view.x - px / plane.unit()));
      view.y = Math.max(-1.5, Math.min(1.5, view.y + py / plane.unit()));
      changed();
    },
  };
  return plane;
}

