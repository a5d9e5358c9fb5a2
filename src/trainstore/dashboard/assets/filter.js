// The filter field: what one types is completed; an error stands under the place that it is about.
import { fill, h } from "./dom.js";
import { filterTokens, looksWhole, proposalsAt } from "./filter-words.js";
import { settled } from "./signals.js";

const TRY_AFTER_MS = 500;
const EXAMPLE = "hp.lr < 1e-3 and not tag.bad";

/**
 * @param {import("./router.js").State} state
 * @param {import("./run-list.js").RunList} list
 * @param {(q: string, decided: boolean) => void} apply  Decided: more than that the field was left.
 */
export function filterField(state, list, apply) {
  /** @type {import("./filter-words.js").Proposals} */
  let proposals = { from: 0, to: 0, items: [] };
  let marked = -1;
  let isTyped = false; // and not yet applied
  const field = h("input", {
    type: "text",
    class: "filter-field",
    role: "combobox",
    placeholder: `Filter, e.g. ${EXAMPLE}`,
    "aria-label": "Filter of runs",
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-controls": "filter-list",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    value: state.text("q"),
  });
  const listbox = h("ul", {
    class: "popup filter-list",
    role: "listbox",
    id: "filter-list",
    "aria-label": "What can come next",
    hidden: true,
  });
  const clear = h(
    "button",
    {
      class: "plain filter-clear",
      "aria-label": "Clear the filter",
      title: "Clear the filter",
      on: {
        click: () => {
          field.value = "";
          send();
          field.focus();
        },
      },
    },
    "×",
  );
  const problem = h("div", { class: "popup filter-problem", id: "filter-problem", role: "alert", hidden: true });
  const element = h("div", { class: "filter", role: "search" }, field, clear, listbox, problem);

  const hideList = () => {
    listbox.hidden = true;
    marked = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  };

  const send = (decided = true) => {
    later.cancel();
    hideList();
    clear.hidden = !field.value;
    isTyped = false;
    apply(field.value.trim(), decided);
  };
  const later = settled(TRY_AFTER_MS, () => {
    if (!looksWhole(field.value) || field.value.trim() === state.text("q")) return;
    isTyped = false;
    apply(field.value.trim(), true);
  });

  const valuesOf = (/** @type {string} */ id) => {
    const values = list.rows.get().columns.get(id)?.values ?? [];
    /** @type {Map<import("./types.js").Cell, number>} */
    const uses = new Map();
    for (const value of values) if (value !== null) uses.set(value, (uses.get(value) ?? 0) + 1);
    return [...uses].sort((a, b) => b[1] - a[1]).map(([value]) => value);
  };

  const propose = () => {
    proposals = proposalsAt(field.value, field.selectionStart ?? field.value.length, list.infos.get(), valuesOf);
    const typed = field.value.slice(proposals.from, proposals.to);
    if (!proposals.items.length || (proposals.items.length === 1 && proposals.items[0].text === typed))
      return hideList();
    marked = -1;
    fill(
      listbox,
      proposals.items.map((item, place) =>
        h(
          "li",
          {
            role: "option",
            id: `filter-item-${place}`,
            class: "filter-item",
            "aria-selected": "false",
            on: {
              mousedown: (/** @type {Event} */ event) => {
                event.preventDefault();
                accept(place);
              },
            },
          },
          h("span", { class: "mono cut" }, item.text),
          h("span", { class: "muted small" }, item.note),
        ),
      ),
    );
    listbox.hidden = false;
    problem.hidden = true;
    field.setAttribute("aria-expanded", "true");
  };

  const mark = (/** @type {number} */ place) => {
    const size = proposals.items.length;
    listbox.children[marked]?.setAttribute("aria-selected", "false");
    marked = (place + size) % size;
    const item = listbox.children[marked];
    item.setAttribute("aria-selected", "true");
    item.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", item.id);
  };

  const accept = (/** @type {number} */ place) => {
    const { from, to, items } = proposals;
    const text = items[place].text;
    const rest = field.value.slice(to);
    const space = text.endsWith("(") || rest.startsWith(" ") ? "" : " ";
    field.value = field.value.slice(0, from) + text + space + rest;
    const caret = from + text.length + 1;
    field.setSelectionRange(caret, caret);
    isTyped = true;
    clear.hidden = false;
    propose();
    later();
  };

  const keydown = (/** @type {KeyboardEvent} */ event) => {
    const open = !listbox.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return propose();
      mark(marked + (event.key === "ArrowDown" ? 1 : marked < 0 ? 0 : -1));
    } else if (event.key === "Tab" && open && marked >= 0) {
      event.preventDefault();
      accept(marked);
    } else if (event.key === "Enter") {
      if (open && marked >= 0) accept(marked);
      else send();
    } else if (event.key === "Escape") {
      if (open) hideList();
      else if (!problem.hidden) problem.hidden = true;
      else field.blur();
    }
  };

  /** The error under the field, its sign at the place that it is about. */
  const tell = () => {
    const { error } = list.status.get();
    const wrong = error?.code === "filter" && !error.elsewhere && field.value.trim() !== "" ? error : null;
    field.setAttribute("aria-invalid", String(Boolean(wrong)));
    if (wrong) field.setAttribute("aria-describedby", "filter-problem");
    else field.removeAttribute("aria-describedby");
    problem.hidden = !wrong;
    if (!wrong) return;
    hideList();
    const text = state.text("q");
    const place = Math.min(wrong.position ?? 0, text.length);
    const token = filterTokens(text).find(({ from, to }) => from <= place && place < to);
    const end = Math.max(place + 1, token?.from === place ? token.to : 0);
    const message = wrong.message.replace(/^where, character \d+: /, "");
    fill(
      problem,
      h(
        "pre",
        { class: "filter-place", "aria-hidden": "true" },
        ...[text.slice(0, place), h("mark", {}, text.slice(place, end) || " "), text.slice(end)],
        `\n${" ".repeat(place)}▲`,
      ),
      h("p", {}, message),
      wrong.hint && h("p", { class: "muted" }, wrong.hint),
    ); // it is an alert: read aloud as it appears
  };

  field.addEventListener("input", () => {
    isTyped = true;
    clear.hidden = !field.value;
    propose();
    later();
  });
  field.addEventListener("keydown", keydown);
  field.addEventListener("click", () => field.value === "" && propose());
  field.addEventListener("blur", () => {
    hideList();
    if (isTyped && field.value.trim() !== state.text("q")) send(false);
  });
  /** Show what the address says, but for what is just being typed. */
  const reset = () => {
    const isKept = isTyped && document.activeElement === field;
    if (!isKept && field.value.trim() !== state.text("q")) field.value = state.text("q");
    clear.hidden = !field.value;
  };
  state.listen(["q"], reset);
  list.status.listen(tell);
  clear.hidden = !field.value;
  return { element, focus: () => field.select(), reset };
}
