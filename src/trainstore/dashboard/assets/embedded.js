// Data that lies in the page itself, packed as packing.py says: a head of JSON, then arrays of numbers.

const DATA_ID = "trainstore-data";
const SIZES = { f4: 4, f8: 8, d8: 8 };

/** Whether this page brings its data along. */
export function hasEmbeddedData() {
  return document.getElementById(DATA_ID) !== null;
}

/**
 * @typedef {Object} Embedded
 * @property {any} head
 * @property {(number: number) => Float64Array} array
 */

/** @returns {Promise<Embedded>} */
export async function embeddedData() {
  const text = document.getElementById(DATA_ID)?.textContent ?? "";
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old to unpack the data: this page needs Chrome 114, Firefox 125 or Safari 17.");
  }
  try {
    const packed = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return unpack(await new Response(stream).arrayBuffer());
  } catch {
    throw new Error("This file is damaged: a part of it was lost on its way here. Ask for it once more.");
  }
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Embedded}
 */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const { arrays, ...head } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let place = 4 + length;
  /** @type {{kind: keyof typeof SIZES, count: number, place: number}[]} */
  const places = arrays.map((/** @type {[keyof typeof SIZES, number]} */ [kind, count]) => {
    const entry = { kind, count, place };
    place += SIZES[kind] * count;
    return entry;
  });
  /** @type {Map<number, Float64Array>} */
  const known = new Map();
  return {
    head,
    array(number) {
      let values = known.get(number);
      if (!values) known.set(number, (values = readArray(buffer, places[number])));
      return values;
    },
  };
}

/**
 * A number of single precision with the digits that it has: 0.1, not 0.10000000149.
 * @param {number} value
 */
function withoutNoise(value) {
  const short = Number(value.toPrecision(7));
  return Math.fround(short) === value ? short : Number(value.toPrecision(9));
}

/**
 * @param {ArrayBuffer} buffer
 * @param {{kind: keyof typeof SIZES, count: number, place: number}} entry
 */
function readArray(buffer, { kind, count, place }) {
  const size = SIZES[kind];
  const sorted = new Uint8Array(buffer, place, size * count);
  const bytes = new Uint8Array(size * count);
  for (let one = 0; one < size; one += 1) {
    for (let nr = 0; nr < count; nr += 1) bytes[nr * size + one] = sorted[one * count + nr];
  }
  if (kind === "f4") return Float64Array.from(new Float32Array(bytes.buffer), withoutNoise);
  const values = new Float64Array(bytes.buffer);
  if (kind === "d8") for (let nr = 1; nr < count; nr += 1) values[nr] += values[nr - 1];
  return values;
}
