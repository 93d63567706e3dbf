"use strict";
// Draws the points on the screen: in one vertex buffer with WebGL2, or as squares on a 2-D canvas without it. `map` is a plane (plane.js)
// with `shades` (one per point), `colours` (triples from 0 to 1) and `isRamp`.

const VERTEX = `#version 300 es
  in vec2 place; in float shade; in float flag;
  uniform vec2 middle, scale; uniform float size; uniform vec3 colours[24]; uniform int count; uniform bool ramp;
  out vec4 tint;
  void main() {
    vec3 found;
    if (ramp && shade < 254.5) {
      float at = shade / 254.0 * float(count - 2);
      int low = min(int(at), count - 3);
      found = mix(colours[low], colours[low + 1], at - float(low));
    } else {
      found = colours[min(int(shade + 0.5), count - 1)];
    }
    tint = vec4(found, flag > 1.5 ? 0.22 : flag > 0.5 ? 0.85 : 0.07);
    // In front: points shown in full, the high end of a scale, and colours before grey.
    float grey = ramp ? (shade > 254.5 ? 0.3 : 0.0) : (count > 2 && shade + 2.5 > float(count) ? 0.3 : 0.0);
    float depth = (flag > 0.5 && flag < 1.5 ? -0.5 : 0.0) + grey - (ramp ? shade / 1000.0 : 0.0);
    gl_Position = vec4((place - middle) * scale, depth, 1.0);
    gl_PointSize = size;
  }`;
const FRAGMENT = `#version 300 es
  precision mediump float;
  in vec4 tint; out vec4 colour; uniform float dot;
  void main() {
    float edge = (0.5 - length(gl_PointCoord - 0.5)) * dot;
    float alpha = tint.a * clamp(edge, 0.0, 1.0);
    if (alpha <= 0.0) discard;
    colour = vec4(tint.rgb * alpha, alpha);
  }`;

const TRIED = 30_000;  // points whose drawing is timed

/** The colour of a shade: three numbers up to 255. */
function colourOf(map, shade) {
  const last = map.colours.length - 1;
  let [from, to, part] = [Math.min(shade, last), Math.min(shade, last), 0];
  if (map.isRamp && shade < 255) {
    const at = shade / 254 * (last - 1);
    from = Math.min(Math.floor(at), last - 2);
    [to, part] = [from + 1, at - from];
  }
  return map.colours[from].map((v, k) => Math.round(255 * (v + (map.colours[to][k] - v) * part)));
}

function cssColour(map, shade) { return `rgb(${colourOf(map, shade).join(" ")})`; }

/** Draws with WebGL2; null without it. `lost` is called when the system revokes it. */
function shadedPoints(map, canvas, lost) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  let raw, places, small;
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  const attributes = [["place", 2, gl.FLOAT, 0], ["shade", 1, gl.UNSIGNED_BYTE, 8], ["flag", 1, gl.UNSIGNED_BYTE, 9]]
    .map(([name, ...rest]) => [gl.getAttribLocation(program, name), ...rest]);
  for (const [where, size, kind, at] of attributes) {
    gl.enableVertexAttribArray(where);
    gl.vertexAttribPointer(where, size, kind, false, 12, at);
  }
  const uniform = (name) => gl.getUniformLocation(program, name);
  const middle = uniform("middle"), scale = uniform("scale"), size = uniform("size"), dot = uniform("dot");
  const colours = uniform("colours"), count = uniform("count"), ramp = uniform("ramp");
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  canvas.addEventListener("webglcontextlost", lost);
  return {
    /** Uploads changed colours. */
    changed() {
      gl.uniform3fv(colours, new Float32Array(map.colours.flat()));
      gl.uniform1i(count, map.colours.length);
      gl.uniform1i(ramp, map.isRamp ? 1 : 0);
    },
    clear() {
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    },
    /** Draws the points on the screen, at most so many. */
    points(limit = map.count) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      this.clear();
      gl.uniform2f(middle, map.view.x, map.view.y);
      gl.uniform2f(scale, 2 * map.unit() / map.width, 2 * map.unit() / map.height);
      gl.uniform1f(size, map.dotSize() * map.ratio);
      gl.uniform1f(dot, map.dotSize() * map.ratio);
      const most = Math.min(limit, map.visible()), { sx, sy, looks } = map;
      if (!raw || raw.byteLength < 12 * most) {
        raw = new ArrayBuffer(12 * most);
        [places, small] = [new Float32Array(raw), new Uint8Array(raw)];
      }
      let n = 0;
      map.ranges(...map.window(), (first, last) => {
        for (let k = first; k < last && n < most; k++, n++) {
          places[3 * n] = sx[k];
          places[3 * n + 1] = sy[k];
          small[12 * n + 8] = looks[k];
          small[12 * n + 9] = looks[k] >> 8;
        }
      });
      gl.bufferData(gl.ARRAY_BUFFER, small.subarray(0, 12 * n), gl.DYNAMIC_DRAW);
      gl.drawArrays(gl.POINTS, 0, n);
    },
    /** How many points a frame of so many milliseconds draws, estimated from a part of them. */
    capacity(milliseconds) {
      const pixel = new Uint8Array(4);
      let began = 0;
      for (let n = 0; n < 2; n++) {  // The first time shaders are compiled.
        began = performance.now();
        this.points(TRIED);
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
      }
      return Math.min(map.count, TRIED) * milliseconds / Math.max(performance.now() - began, 0.5);
    },
  };
}

/** Draws squares on a canvas over the one that cannot be drawn on. */
function plainPoints(map, covered) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  canvas.className = "plain";
  covered.after(canvas);
  return {
    changed() {},
    clear() { context.clearRect(0, 0, canvas.width, canvas.height); },
    capacity: () => 20_000,
    points() {
      if (canvas.width !== covered.width) canvas.width = covered.width;
      if (canvas.height !== covered.height) canvas.height = covered.height;
      context.setTransform(map.ratio, 0, 0, map.ratio, 0, 0);
      context.clearRect(0, 0, map.width, map.height);
      const size = map.dotSize(), buckets = new Map();
      map.within(...map.window(), (i) => {
        const key = map.shades[i] + 256 * map.flags[i];
        if (!buckets.has(key)) buckets.set(key, []);
        buckets.get(key).push(i);
      });
      for (const [key, members] of [...buckets].sort(([a], [b]) => (a >> 8 === 1) - (b >> 8 === 1) || a - b)) {
        context.globalAlpha = [0.07, 0.85, 0.22][key >> 8];
        context.fillStyle = cssColour(map, key % 256);
        for (const i of members) {
          context.fillRect(map.screenX(map.xs[i]) - size / 2, map.screenY(map.ys[i]) - size / 2, size, size);
        }
      }
      context.globalAlpha = 1;
    },
  };
}

