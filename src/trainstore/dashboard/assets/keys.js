// The keyboard: single keys, and two in a row such as "g r". A page adds its own and takes them away with it.

/** @typedef {{keys: string, text: string, act: (() => void)|null}} Shortcut  Without `act` it is told about only. */

/** @type {Set<Shortcut>} */
const shortcuts = new Set();
const SEQUENCE_MS = 1200;

/**
 * @param {string} keys  "t", "/", or "g r" for one after the other.
 * @param {string} text  What it does, for the help.
 * @param {(() => void)|null} act  Null if the help only tells about it, because another part listens.
 * @returns {() => void} How to take it away.
 */
export function addShortcut(keys, text, act) {
  const shortcut = { keys, text, act };
  shortcuts.add(shortcut);
  return () => shortcuts.delete(shortcut);
}

/** @returns {Shortcut[]} */
export function allShortcuts() {
  return [...shortcuts];
}

/** @param {EventTarget|null} target */
function takesText(target) {
  const element = /** @type {HTMLElement|null} */ (target);
  if (!element?.matches) return false;
  const typed = element.matches("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select");
  return typed || element.isContentEditable;
}

/** Listen, for as long as the page is there. */
export function startKeys() {
  let before = "";
  let at = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (takesText(event.target) || document.querySelector("dialog[open]")) return;
    const sequence = before && Date.now() - at < SEQUENCE_MS ? `${before} ${event.key}` : "";
    const all = allShortcuts().reverse(); // the page's own win over those of the frame
    const found =
      all.find(({ keys, act }) => act && keys === sequence) ?? all.find(({ keys, act }) => act && keys === event.key);
    before = event.key;
    at = Date.now();
    if (!found?.act) return;
    event.preventDefault();
    before = "";
    found.act();
  });
}
