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

/** @type {Map<string, RunStyle>} What each run was drawn in last, on whichever page. */
const lastStyles = new Map();

/**
 * A style for each run, the one that it had before wherever that can be.
 * @param {string[]} uids  In the order of selection.
 * @param {Map<string, RunStyle>} [now]  Of runs that are drawn already: they keep theirs before others get theirs back.
 * @returns {Map<string, RunStyle>}
 */
export function runColours(uids, now = new Map()) {
  const kept = new Map([...now].filter(([uid]) => uids.includes(uid)));
  const taken = new Set([...kept.values()].map(({ colour, dash }) => `${colour} ${dash}`));
  for (const uid of uids) {
    const style = lastStyles.get(uid);
    if (!style || kept.has(uid) || taken.has(`${style.colour} ${style.dash}`)) continue;
    kept.set(uid, style);
    taken.add(`${style.colour} ${style.dash}`);
  }
  const styles = assignColours(uids, kept);
  for (const [uid, style] of styles) lastStyles.set(uid, style);
  return styles;
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
