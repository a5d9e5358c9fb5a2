// Elements. Text goes in as text only: nothing here reads HTML.

/** @typedef {Node|string|number|null|undefined|false} Child */

const SVG_NAMES = new Set(["svg", "path", "line", "circle", "rect", "g", "text", "polyline", "polygon", "title"]);

/**
 * An element: `h("button", {class: "plain", on: {click: act}}, "Reset")`.
 *
 * Properties: `class`; `on`: listeners; `style`: an object; `data`: of `dataset`; true and false set and leave out an
 * attribute; anything else is an attribute, but for `value`, `checked`, `disabled`, `selected`, `hidden` and
 * `textContent`, which are the element's own. The tag may be one of SVG.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Child|Child[])} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  const svg = SVG_NAMES.has(tag) && tag !== "title";
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  setProperties(/** @type {HTMLElement} */ (element), properties);
  append(element, children);
  return element;
}

const OWN_PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "textContent", "indeterminate"]);

/**
 * @param {any} element
 * @param {Record<string, any>} properties
 */
export function setProperties(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "style") {
      for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (OWN_PROPERTIES.has(name)) {
      element[name] = value;
    } else if (value === false || value === null || value === undefined) {
      element.removeAttribute(name);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/**
 * @param {Node} parent
 * @param {(Child|Child[])[]} children
 */
function append(parent, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(typeof child === "object" ? child : document.createTextNode(String(child)));
  }
}

/**
 * Put these children in the place of all that an element has.
 * @param {Element} parent
 * @param {...(Child|Child[])} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/**
 * Children for items, kept as long as their item is there: focus and scroll positions stay.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 * @param {(element: HTMLElement, item: T) => void} [update]
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = /** @type {HTMLElement|undefined} */ (known.get(key));
    known.delete(key);
    if (!element) {
      element = make(item);
      element.dataset.key = key;
    } else if (update) {
      update(element, item);
    }
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
  }
  for (const old of known.values()) old.remove();
}

/**
 * Say something to screen readers.
 * @param {string} text
 */
export function announce(text) {
  const region = document.getElementById("live-region");
  if (region) region.textContent = text;
}

/**
 * Give a file to the user.
 * @param {string} name
 * @param {Blob} blob
 */
export function download(name, blob) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
