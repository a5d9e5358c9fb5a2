// The frames in which curves travel (wire.py): a head of JSON, then the numbers as they are in memory.

/**
 * @param {ArrayBuffer} buffer
 * @returns {import("./types.js").Curve[]}
 */
export function curvesOfFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  /** @type {any[]} */
  const heads = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let place = 4 + length;
  const take = (/** @type {number} */ count) => {
    const array = new Float64Array(buffer, place, count);
    place += 8 * count;
    return array;
  };
  return heads.map((head) => ({
    ...head,
    x: take(head.n),
    mean: take(head.n),
    low: take(head.n),
    high: take(head.n),
    count: take(head.n),
    oddX: take(head.odd),
    odd: take(head.odd),
  }));
}

/**
 * A number of a JSON answer, which has no NaN and no infinities.
 * @param {import("./types.js").Cell} cell
 * @returns {number}  NaN also for what is missing or no number.
 */
export function numberOf(cell) {
  if (typeof cell === "number") return cell;
  if (cell === "Infinity") return Infinity;
  if (cell === "-Infinity") return -Infinity;
  return NaN;
}
