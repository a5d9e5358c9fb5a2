// Notes are plain text; addresses of the web in them are links, and nothing else is.

const WEB_ADDRESS = /https?:\/\/[^\s<>"'`/][^\s<>"'`]*/gi;

/**
 * A text in parts, of which some are addresses. What ends a sentence does not belong to an address.
 * @param {string} text
 * @returns {{text: string, href: string|null}[]}
 */
export function linkedParts(text) {
  /** @type {{text: string, href: string|null}[]} */
  const parts = [];
  let place = 0;
  for (const found of text.matchAll(WEB_ADDRESS)) {
    const address = withoutSentenceEnd(found[0]);
    if (!isWebAddress(address)) continue;
    if (found.index > place) parts.push({ text: text.slice(place, found.index), href: null });
    parts.push({ text: address, href: address });
    place = found.index + address.length;
  }
  if (place < text.length) parts.push({ text: text.slice(place), href: null });
  return parts;
}

/** @param {string} address */
function withoutSentenceEnd(address) {
  let end = address.replace(/[.,;:!?…]+$/, "");
  while (end.endsWith(")") && occurrences(end, ")") > occurrences(end, "(")) end = end.slice(0, -1).replace(/[.,;:!?…]+$/, "");
  return end;
}

/**
 * @param {string} text
 * @param {string} character
 */
function occurrences(text, character) {
  return text.split(character).length - 1;
}

/** @param {string} address */
function isWebAddress(address) {
  try {
    const { protocol, hostname } = new URL(address);
    return (protocol === "http:" || protocol === "https:") && hostname !== "";
  } catch {
    return false;
  }
}
