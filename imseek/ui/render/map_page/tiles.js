"use strict";
// Pictures on the map, where there is room for them.

const TILE = 60;  // pixels from one picture to the next, at least

/** `pictured` are points, the most representative first; `picture(at)` is the image of one of them, null until it has
 * loaded; `css(i)` the colour of a point. */
function makeTiles(plane, pictured, picture, css) {
  let picked = [], pickedAt = -1;  // numbers of pictures that are shown, and at which scale
  let drawn = [];  // [left, top, width, height, point]

  /** The points not too near to an earlier one: the same ones wherever the map is moved. */
  function pick() {
    const apart = TILE / plane.unit(), cells = new Map();
    const key = (column, row) => column * 65_536 + row;
    [picked, pickedAt] = [[], plane.unit()];
    for (let at = 0; at < pictured.length; at++) {
      const i = pictured[at], x = plane.xs[i], y = plane.ys[i];
      if (plane.flags[i] !== 1) continue;
      const column = Math.floor(x / apart), row = Math.floor(y / apart);
      let free = true;
      for (let near = 0; free && near < 9; near++) {
        const other = cells.get(key(column + near % 3 - 1, row + Math.floor(near / 3) - 1));
        free = other === undefined || Math.max(Math.abs(plane.xs[other] - x), Math.abs(plane.ys[other] - y)) >= apart;
      }
      if (!free) continue;
      cells.set(key(column, row), i);
      picked.push(at);
    }
  }

  return {
    /** Picks again at the next drawing, since other points are shown in full. */
    again() { pickedAt = -1; },

    clear() { drawn = []; },

    draw(context) {
      if (pickedAt !== plane.unit()) pick();
      const border = 2;
      for (const at of picked) {
        const i = pictured[at], x = plane.screenX(plane.xs[i]), y = plane.screenY(plane.ys[i]);
        if (x < -TILE || y < -TILE || x > plane.width + TILE || y > plane.height + TILE) continue;
        const image = picture(at);
        if (image === null) continue;
        const fit = (TILE - 4 * border) / Math.max(image.naturalWidth, image.naturalHeight);
        const w = fit * image.naturalWidth, h = fit * image.naturalHeight;
        const [left, top] = [x - w / 2, y - h / 2];
        context.fillStyle = css(i);
        context.fillRect(left - border, top - border, w + 2 * border, h + 2 * border);
        context.drawImage(image, left, top, w, h);
        drawn.push([left, top, w, h, i]);
      }
    },

    /** The point whose picture is at a position on the screen, -1 if there is none. */
    under(px, py) {
      const found = drawn.find(([left, top, w, h]) => px >= left && py >= top && px <= left + w && py <= top + h);
      return found === undefined ? -1 : found[4];
    },
  };
}

