// Colours for numbers: one hue from pale to strong, so that order is seen by any eyes.

/** Lightness, chroma and hue (OKLCH) of both ends, light and dark theme. */
const ENDS = {
  light: [[0.82, 0.09, 230], [0.33, 0.13, 268]],
  dark: [[0.5, 0.12, 268], [0.93, 0.06, 210]],
};

/**
 * @param {number} share  0 to 1; what is missing is grey.
 * @param {boolean} dark
 */
export function rampColour(share, dark) {
  if (!Number.isFinite(share)) return dark ? "#5a626c" : "#b9bfc7";
  const [from, to] = dark ? ENDS.dark : ENDS.light;
  const at = Math.min(1, Math.max(0, share));
  const [l, c, hue] = from.map((value, place) => value + at * (to[place] - value));
  return `oklch(${l.toFixed(3)} ${c.toFixed(3)} ${hue.toFixed(1)})`;
}

/** Whether the dark theme is on. */
export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

/** The height of a plot that leaves the controls above it on the screen. */
export function plotHeight() {
  return Math.max(320, Math.min(640, innerHeight - 280));
}

/**
 * A strip of the ramp with the numbers of its ends.
 * @param {HTMLCanvasElement} canvas
 * @param {boolean} dark
 */
export function drawRamp(canvas, dark) {
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  for (let x = 0; x < canvas.width; x += 1) {
    pen.fillStyle = rampColour(x / (canvas.width - 1), dark);
    pen.fillRect(x, 0, 1, canvas.height);
  }
}
