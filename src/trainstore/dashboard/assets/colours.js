// Which colour and dash a run is drawn in: by its uid, so the same everywhere, and apart from the others shown.

export const COLOURS = 8;

/**
 * In CSS pixels; the first is a solid line.
 * @type {number[][]}
 */
export const DASHES = [[], [6, 3], [2, 2], [8, 2, 2, 2]];

/** @typedef {{colour: number, dash: number}} RunStyle */

/**
 * A style for each run: no two are the same among 32, no two have the same colour among 8.
 * @param {string[]} uids  In the order of selection.
 * @param {Map<string, RunStyle>} [pinned]  What runs had before, or were given by hand: they keep it.
 * @returns {Map<string, RunStyle>}
 */
export function assignColours(uids, pinned = new Map()) {
  /** @type {Map<string, RunStyle>} */
  const styles = new Map();
  const used = DASHES.map(() => new Array(COLOURS).fill(0));
  for (const uid of uids) {
    const style = pinned.get(uid);
    if (style) {
      styles.set(uid, style);
      used[style.dash][style.colour] += 1;
    }
  }
  for (const uid of uids) {
    if (styles.has(uid)) continue;
    const style = freest(used, hashOf(uid));
    styles.set(uid, style);
    used[style.dash][style.colour] += 1;
  }
  return new Map(uids.map((uid) => [uid, /** @type {RunStyle} */ (styles.get(uid))]));
}

/**
 * The CSS variable of a colour.
 * @param {number} index
 */
export function colourOf(index) {
  return `--run-${index}`;
}

/**
 * The least used colour, beginning with the hash's own, and its least used dash.
 * @param {number[][]} used  By dash and colour.
 * @param {number} hash
 * @returns {RunStyle}
 */
function freest(used, hash) {
  const uses = (/** @type {number} */ colour) => used.reduce((sum, row) => sum + row[colour], 0);
  let colour = hash % COLOURS;
  for (let i = 1; i < COLOURS; i += 1) {
    const other = (hash + i) % COLOURS;
    if (uses(other) < uses(colour)) colour = other;
  }
  let dash = 0;
  for (let i = 1; i < DASHES.length; i += 1) if (used[i][colour] < used[dash][colour]) dash = i;
  return { colour, dash };
}

/**
 * FNV-1a.
 * @param {string} text
 * @returns {number}
 */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return (hash ^ (hash >>> 15)) >>> 0;
}
