"use strict";
// The card beside a point.

/** Creates a line of text. */
function line(kind, text) {
  const made = document.createElement("p");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** Moves a card next to a point, and keeps it in view. */
function besidePoint(card, plane, i) {
  const box = card.getBoundingClientRect(), gap = plane.dotSize() / 2 + 10;
  const x = plane.screenX(plane.xs[i]);
  let left = x + gap, top = plane.screenY(plane.ys[i]) - box.height / 2;
  if (left + box.width > plane.width - 4) left = x - gap - box.width;
  left = Math.max(4, Math.min(plane.width - box.width - 4, left));
  top = Math.max(4, Math.min(plane.height - box.height - 4, top));
  card.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

/** Draws the ring around a point. */
function ring(context, plane, i) {
  context.strokeStyle = getComputedStyle(context.canvas).color;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(plane.screenX(plane.xs[i]), plane.screenY(plane.ys[i]), plane.dotSize() / 2 + 4, 0, 7);
  context.stroke();
}

