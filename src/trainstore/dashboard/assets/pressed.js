// What would put other elements under the pointer waits until it is released: a click needs the same one for both.

/** @param {HTMLElement} element */
export function heldWhilePressed(element) {
  let pressed = false;
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const press = (/** @type {PointerEvent} */ event) => {
    pressed ||= event.button === 0;
  };
  const release = () => {
    // The click comes after this event, in the same moment.
    if (pressed) setTimeout(go);
  };
  const go = () => {
    pressed = false;
    const acts = [...waiting];
    waiting.clear();
    for (const act of acts) act();
  };
  element.addEventListener("pointerdown", press);
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  return {
    /** @param {() => void} act  Now, or once the pointer is released; once, however often it is asked for. */
    act(act) {
      if (pressed) waiting.add(act);
      else act();
    },
    dispose() {
      waiting.clear();
      removeEventListener("pointerup", release);
      removeEventListener("pointercancel", release);
    },
  };
}
