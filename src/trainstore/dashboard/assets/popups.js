// Buttons that open something below them: closed by Escape, by a click elsewhere, or when the focus leaves.
import { fill, h } from "./dom.js";

/**
 * @param {string} text
 * @param {() => {element: HTMLElement, focus?: () => void}} make  Called each time it opens.
 * @param {Record<string, any>} [properties]  Of the button.
 */
export function popupButton(text, make, properties = {}) {
  const button = h("button", { "aria-haspopup": "dialog", "aria-expanded": "false", ...properties }, text);
  const element = h("span", { class: "popup-place" }, button);
  /** @type {HTMLElement|null} */
  let open = null;

  const close = () => {
    open?.remove();
    open = null;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
  };
  const outside = (/** @type {Event} */ event) => {
    if (!element.contains(/** @type {Node} */ (event.target))) close();
  };
  const show = () => {
    const content = make();
    open = content.element;
    element.append(open);
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    place(open);
    content.focus?.();
  };

  button.addEventListener("click", () => (open ? close() : show()));
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    close();
    button.focus();
  });
  element.addEventListener("focusout", (/** @type {FocusEvent} */ event) => {
    const to = /** @type {Node|null} */ (event.relatedTarget);
    if (to && open && !element.contains(to)) close();
  });
  return { element, button, close, label: (/** @type {string} */ next) => fill(button, next) };
}

/**
 * Into the window, if it would stand out of it at the right.
 * @param {HTMLElement} popup
 */
function place(popup) {
  popup.style.left = "0";
  const over = popup.getBoundingClientRect().right - document.documentElement.clientWidth + 8;
  if (over > 0) popup.style.left = `${-over}px`;
}
