// Text to be copied, above all commands.
import { announce, h } from "./dom.js";

/**
 * Copy a text; where a page may not, as on a plain http address, the old way.
 * @param {string} text
 * @returns {Promise<boolean>}
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { value: text, class: "visually-hidden", readonly: true });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/**
 * @param {string} text
 * @param {string} [what]  What it is, for screen readers.
 * @returns {HTMLButtonElement}
 */
export function copyButton(text, what = "command") {
  /** @type {HTMLButtonElement} */
  const button = h("button", { class: "copy small", "aria-label": `Copy the ${what}`, type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copyText(text);
    button.focus();
    button.textContent = done ? "Copied" : "Not allowed";
    announce(done ? `The ${what} is copied` : "The browser does not allow copying; select the text");
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

/**
 * A command, with a button that copies it.
 * @param {string} command
 * @param {string} [what]
 * @returns {HTMLElement}
 */
export function commandLine(command, what = "command") {
  return h("div", { class: "command" }, h("pre", { tabindex: "0" }, h("code", {}, command)), copyButton(command, what));
}

/**
 * An argument for a POSIX shell.
 * @param {string} text
 * @returns {string}
 */
export function shellQuoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}
