"use strict";
// Draws a map: as points while few are on the screen, otherwise as density, in tiles that count every point. `map` is a
// plane (plane.js) as points.js takes it.

const TILE_CELLS = 256;  // cells of a tile on each side, a pixel or two each
const TILES = 240;  // that are held
const DEEPEST = 16;
const PALENESS = [0.13, 1, 0.35];  // of points by their flag
const POINTS = 200_000;  // at most are drawn one by one
const FRAME = 16;  // milliseconds that a frame may take of points, and of tiles while the map moves
const AT_ONCE = 400;  // milliseconds for tiles where nothing else is to be seen

/** `lost` is called when the system revokes WebGL, or without it; then `withoutShaders` is true. */
function makePainter(map, canvas, lost) {
  const without = () => {
    painter.withoutShaders = true;
    points = plainPoints(map, canvas);
    points.changed();
    lost();
  };
  const { count, sx, sy, looks } = map;
  const cells = TILE_CELLS * TILE_CELLS;
  const sums = new Float32Array(8 * cells);
  // Of each cell the number and colours of points shown in full, behind these of all others.
  const pale = new Float32Array(cells);
  const palette = new Float32Array(3 * 256);
  let tiles = new Map(), fits = null, points = null, dense = false;

  /** Counts the points of a tile; null if it has none. */
  function tile(level, column, row) {
    const side = 2 / 2 ** level, left = -1 + column * side, low = -1 + row * side, scale = TILE_CELLS / side;
    let any = false;
    map.ranges(left, left + side, low, low + side, (first, last) => {
      for (let k = first; k < last; k++) {
        const x = (sx[k] - left) * scale, y = (sy[k] - low) * scale;
        if (!(x >= 0 && y >= 0 && x < TILE_CELLS && y < TILE_CELLS)) continue;
        const cell = (x | 0) + TILE_CELLS * (TILE_CELLS - 1 - (y | 0)), shade = 3 * (looks[k] & 255), flag = looks[k] >> 8;
        if (!any) {
          any = true;
          sums.fill(0);
          pale.fill(0);
        }
        const sum = 4 * (flag === 1 ? cell : cell + cells);
        sums[sum]++;
        sums[sum + 1] += palette[shade];
        sums[sum + 2] += palette[shade + 1];
        sums[sum + 3] += palette[shade + 2];
        if (PALENESS[flag] > pale[cell]) pale[cell] = PALENESS[flag];
      }
    });
    if (!any) return null;
    const made = document.createElement("canvas");
    made.width = made.height = TILE_CELLS;
    const context = made.getContext("2d"), image = context.createImageData(TILE_CELLS, TILE_CELLS), { data } = image;
    const full = Math.log1p(Math.max(3, map.densest / 2 / scale ** 2));
    for (let c = 0; c < cells; c++) {
      if (pale[c] === 0) continue;
      const sum = 4 * (sums[4 * c] > 0 ? c : c + cells), number = sums[sum];
      for (let part = 1; part < 4; part++) data[4 * c + part - 1] = sums[sum + part] / number;
      data[4 * c + 3] = 255 * pale[c] * (0.35 + 0.65 * Math.min(1, Math.log1p(number) / full));
    }
    context.putImageData(image, 0, 0);
    return made;
  }

  /** A tile that is held, or a part of a larger one: [canvas, left, top, side], canvas null for one without points. */
  function held(level, column, row) {
    for (let up = 0; level - up >= 0; up++) {
      const key = `${level - up} ${column >> up} ${row >> up}`;
      if (!tiles.has(key)) continue;
      const side = TILE_CELLS >> up, found = tiles.get(key);
      if (!up) {
        tiles.delete(key);  // The last one used is the last one dropped.
        tiles.set(key, found);
      }
      if (side < 1) return null;
      const left = side * (column - (column >> up << up)), top = TILE_CELLS - side * (row - (row >> up << up) + 1);
      return [found, left, top, side, up];
    }
    return null;
  }

  /** Draws the tiles on the screen; whether some are still missing. */
  function drawDensity(context) {
    const level = Math.max(0, Math.min(DEEPEST, Math.floor(Math.log2(2 * map.unit() / TILE_CELLS))));
    const side = 2 / 2 ** level, size = side * map.unit();
    const [left, right, low, high] = map.window().map((end) => Math.floor((end + 1) / side));
    const wanted = [];
    for (let column = left; column <= right; column++) for (let row = low; row <= high; row++) wanted.push([column, row]);
    const missing = wanted.filter(([column, row]) => held(level, column, row)?.[4] !== 0);
    const until = performance.now() + (missing.some(([column, row]) => held(level, column, row) === null) ? AT_ONCE : FRAME);
    while (missing.length && performance.now() < until) {
      const [column, row] = missing.pop();
      tiles.set(`${level} ${column} ${row}`, tile(level, column, row));
      if (tiles.size > TILES) tiles.delete(tiles.keys().next().value);
    }
    for (const [column, row] of wanted) {
      const [found, x, y, part] = held(level, column, row) ?? [null];
      if (found === null) continue;
      context.drawImage(found, x, y, part, part, map.screenX(-1 + column * side), map.screenY(-1 + (row + 1) * side), size, size);
    }
    return missing.length > 0;
  }

  const painter = {
    withoutShaders: false,

    /** After colours, shades or flags have changed. */
    changed() {
      for (let shade = 0; shade < 256; shade++) palette.set(colourOf(map, shade), 3 * shade);
      map.looked();
      tiles = new Map();
      points.changed();
    },

    /** Draws what has changed; `context` is that of the canvas above, which is empty. Returns whether more is to come. */
    draw(context, moved) {
      fits ??= count > TRIED ? Math.min(POINTS, points.capacity(FRAME)) : POINTS;
      if (map.visible() <= fits) {
        if (moved || dense) points.points();
        dense = false;
        return false;
      }
      if (!dense) points.clear();
      dense = true;
      return drawDensity(context);
    },
  };
  points = shadedPoints(map, canvas, without);
  if (points === null) without();
  return painter;
}

