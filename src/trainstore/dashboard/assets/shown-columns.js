// Which columns the table shows: those of the address, else those remembered for the project, else the server's choice.
import { differs } from "./order.js";
import { remember, remembered } from "./theme.js";

const DIFFERING = "differs"; // in the address: all by which the filtered runs differ
const LAST_FACTS = new Set(["duration", "last_step", "attempts", "project"]);
const FACTS_ASIDE = new Set(["project", "attempts"]); // of the server's choice, where they tell nothing apart

/**
 * @param {import("./router.js").State} state
 * @param {import("./run-list.js").RunList} list
 */
export function shownColumns(state, list) {
  const key = () => `trainstore.columns.${state.text("project")}`;
  const chosen = () => {
    const cols = state.list("cols");
    return cols.length ? cols : remembered(key()).split("\n").filter(Boolean);
  };

  /** The server's choice, with what one compares before what one looks up. */
  const usual = () => {
    const ids = list.usual.get().filter((id) => !FACTS_ASIDE.has(id) || differs(list.rows.get(), id));
    const rank = (/** @type {string} */ id) => {
      if (LAST_FACTS.has(id)) return 3;
      return id.startsWith("metric.") ? 1 : id.includes(".") ? 2 : 0;
    };
    return ids.sort((a, b) => rank(a) - rank(b));
  };

  /** Facts and metrics as usual, and all else that differs. */
  const differing = () => {
    const aside = list.infos.get().filter(({ group, varies }) => varies && ["hp", "mth", "dbh", "tag"].includes(group));
    const kept = usual().filter((id) => !/^(hp|mth|dbh|env|tag)\./.test(id));
    return [...kept, ...aside.map(({ id }) => id)];
  };

  return {
    /** @returns {string[]} */
    get() {
      const ids = chosen();
      if (ids[0] === DIFFERING) return differing();
      return ids.length
        ? ids.filter((id) => id !== "name" && id !== "status")
        : usual().filter((id) => id !== "name" && id !== "status");
    },
    /** Whether the user chose the columns, one by one. */
    own: () => chosen().length > 0 && chosen()[0] !== DIFFERING,
    differing: () => chosen()[0] === DIFFERING,
    /** @param {string[]} ids */
    choose(ids) {
      remember(key(), ids.join("\n"));
      state.set({ cols: ids }, { push: true });
    },
    usual() {
      remember(key(), "");
      state.set({ cols: null }, { push: true });
    },
    flipDiffering() {
      if (chosen()[0] === DIFFERING) this.usual();
      else state.set({ cols: [DIFFERING] }, { push: true });
    },
  };
}

/** @typedef {ReturnType<typeof shownColumns>} ShownColumns */
