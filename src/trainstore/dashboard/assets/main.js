// The beginning: where the data comes from, and which page is shown.
import { fill, h } from "./dom.js";
import { hasEmbeddedData } from "./embedded.js";
import { startRouter } from "./router.js";
import { fileSource } from "./source-file.js";
import { httpSource, takeToken } from "./source-http.js";

/** @type {Record<string, (context: import("./types.js").Context) => import("./types.js").Page>} */
const PAGES = {};

async function begin() {
  if (!hasEmbeddedData()) takeToken();
  const page = /** @type {HTMLElement} */ (document.getElementById("page"));
  let source;
  let meta;
  try {
    source = hasEmbeddedData() ? await fileSource() : httpSource();
    meta = await source.meta();
  } catch (error) {
    fill(page, h("div", { class: "empty" }, h("h2", {}, "The store cannot be read"), h("p", {}, String(error))));
    return;
  }
  const { route, state } = startRouter();
  const context = { source, meta, route, state, live: null };
  /** @type {import("./types.js").Page|null} */
  let shown = null;
  const show = () => {
    shown?.dispose();
    const make = PAGES[route.get().page];
    shown = make ? make(context) : { element: h("p", { class: "empty" }, "There is no such page."), dispose() {} };
    fill(page, shown.element);
  };
  route.listen(show);
  show();
}

begin();
