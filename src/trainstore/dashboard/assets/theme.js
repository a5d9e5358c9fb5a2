// Light, dark, or as the system has it; remembered in this browser.

const THEME_KEY = "trainstore.theme";
export const THEMES = ["system", "light", "dark"];

/**
 * What this browser remembers; "" also where it may not remember.
 * @param {string} key
 */
export function remembered(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/**
 * @param {string} key
 * @param {string} value  "" forgets.
 */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(key, value);
    else localStorage.removeItem(key);
  } catch {
    // Storage is off or full: the choice lasts as long as the page.
  }
}

export function chosenTheme() {
  const theme = remembered(THEME_KEY);
  return THEMES.includes(theme) ? theme : "system";
}

/** @param {string} theme */
export function useTheme(theme) {
  remember(THEME_KEY, theme === "system" ? "" : theme);
  applyTheme(theme);
}

/** @param {string} theme */
function applyTheme(theme) {
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

/** Apply what was chosen, and follow the system while nothing was. */
export function startTheme() {
  applyTheme(chosenTheme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => applyTheme(chosenTheme()));
}
