// Tabs: one panel at a time, moved through by the arrow keys.
import { fill, h } from "./dom.js";

/** @typedef {{id: string, label: string, count?: number|null}} Tab */

/**
 * @param {{label: string, panel: HTMLElement, onChoose: (id: string) => void}} options
 * @returns {{element: HTMLElement, show: (tabs: Tab[], chosen: string) => void}}
 */
export function tabList({ label, panel, onChoose }) {
  const element = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  panel.setAttribute("role", "tabpanel");
  panel.id = "tab-panel";
  /** @type {Tab[]} */
  let shown = [];
  let key = "";

  const keys = (/** @type {KeyboardEvent} */ event) => {
    const place = shown.findIndex(({ id }) => `tab-${id}` === document.activeElement?.id);
    const moves = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: shown.length - 1 };
    const to = moves[/** @type {keyof typeof moves} */ (event.key)];
    if (place < 0 || to === undefined) return;
    event.preventDefault();
    onChoose(shown[(to + shown.length) % shown.length].id);
    /** @type {HTMLElement|null} */ (element.querySelector("[aria-selected=true]"))?.focus();
  };
  element.addEventListener("keydown", keys);

  return {
    element,
    show(tabs, chosen) {
      const next = JSON.stringify([tabs, chosen]);
      if (next === key) return; // a button that is taken away while it is pressed is never clicked
      key = next;
      const had = element.contains(document.activeElement);
      shown = tabs;
      const buttons = tabs.map(({ id, label: text, count }) => {
        const selected = id === chosen;
        const properties = {
          role: "tab", id: `tab-${id}`, type: "button", "aria-selected": String(selected), "aria-controls": panel.id,
          tabindex: selected ? "0" : "-1", on: { click: () => onChoose(id) },
        }; // prettier-ignore
        return h("button", properties, text, count ? [" ", h("span", { class: "tab-count" }, count)] : null);
      });
      fill(element, buttons);
      panel.setAttribute("aria-labelledby", `tab-${chosen}`);
      const selected = /** @type {HTMLElement|null} */ (element.querySelector("[aria-selected=true]"));
      if (had) selected?.focus();
      const [box, frame] = [selected?.getBoundingClientRect(), element.getBoundingClientRect()];
      if (box && (box.right > frame.right || box.left < frame.left)) element.scrollLeft += box.left - frame.left - 40;
    },
  };
}
