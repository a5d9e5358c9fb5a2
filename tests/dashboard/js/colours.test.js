// The colours of runs: given by uid, and told apart by all eyes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assignColours, COLOURS, colourOf, DASHES, runColours } from "../../../src/trainstore/dashboard/assets/colours.js";

const css = readFileSync(new URL("../../../src/trainstore/dashboard/assets/theme.css", import.meta.url), "utf8");

/** What theme.css says of one theme. */
function theme(name) {
  const block = name === "dark" ? css.split('[data-theme="dark"]')[1] : css.split('[data-theme="dark"]')[0];
  const value = (variable) => new RegExp(`${variable}: (#[0-9a-f]{6})`).exec(block)[1];
  return { background: value("--bg"), runs: Array.from({ length: COLOURS }, (_, i) => value(colourOf(i))) };
}

const linear = (hex) => [1, 3, 5].map((place) => {
  const part = parseInt(hex.slice(place, place + 2), 16) / 255;
  return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
});

function contrast(a, b) {
  const [dark, light] = [a, b]
    .map((hex) => linear(hex))
    .map(([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue)
    .sort((one, other) => one - other);
  return (light + 0.05) / (dark + 0.05);
}

// Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
const SIGHT = {
  normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

function lab(hex, matrix) {
  const [r, g, b] = matrix.map((row) => Math.min(1, Math.max(0, row.reduce((sum, f, i) => sum + f * linear(hex)[i], 0))));
  const xyz = [
    (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
    0.2126 * r + 0.7152 * g + 0.0722 * b,
    (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
  ];
  const [fx, fy, fz] = xyz.map((t) => (t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 * t + 16) / 116));
  return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
}

for (const name of ["light", "dark"]) {
  const { background, runs } = theme(name);

  test(`every colour of the ${name} theme stands out from the background`, () => {
    for (const colour of runs) assert.ok(contrast(colour, background) >= 3, `${colour}: ${contrast(colour, background)}`);
  });

  for (const [sight, matrix] of Object.entries(SIGHT)) {
    test(`no two colours of the ${name} theme look alike to eyes of ${sight} sight`, () => {
      for (const [place, one] of runs.entries()) {
        for (const other of runs.slice(0, place)) {
          const [a, b] = [lab(one, matrix), lab(other, matrix)];
          const distance = Math.hypot(...a.map((part, i) => part - b[i]));
          assert.ok(distance >= 24, `${one} and ${other}: ${distance.toFixed(1)}`);
        }
      }
    });
  }
}

const uids = (count) => Array.from({ length: count }, (_, i) => `0f3c${(i * 7919).toString(16).padStart(8, "0")}${i}`);

test("32 runs have 32 styles, 8 runs 8 colours and solid lines", () => {
  const all = [...assignColours(uids(COLOURS * DASHES.length)).values()];
  assert.equal(new Set(all.map(({ colour, dash }) => `${colour} ${dash}`)).size, 32);
  const few = [...assignColours(uids(8)).values()];
  assert.equal(new Set(few.map(({ colour }) => colour)).size, 8);
  assert.ok(few.every(({ dash }) => dash === 0));
});

test("a run alone has the same style in every selection that begins with it", () => {
  for (const uid of uids(50)) {
    const alone = assignColours([uid]).get(uid);
    assert.deepEqual(assignColours([uid, ...uids(60)]).get(uid), alone);
  }
});

test("a run has the same style on another page, and gets it back when it is selected again", () => {
  const many = uids(12);
  const first = runColours(many);
  assert.deepEqual(runColours([many[7]]).get(many[7]), first.get(many[7]));
  assert.deepEqual(runColours(many), first);
});

test("a style that another run has meanwhile is not given twice", () => {
  const many = Array.from({ length: 40 }, (_, i) => `c0ffee${i}`);
  runColours(many.slice(0, 20));
  const now = runColours(many.slice(20, 40));
  const both = runColours([...many.slice(0, 12), ...many.slice(20, 40)], now);
  assert.equal(new Set([...both.values()].map(({ colour, dash }) => `${colour} ${dash}`)).size, 32);
  for (const uid of many.slice(20, 40)) assert.deepEqual(both.get(uid), now.get(uid));
});

test("a run keeps its style while it is selected, whoever comes and goes", () => {
  const many = uids(20);
  const before = assignColours(many);
  const after = assignColours([...uids(40).slice(20), ...many.slice(3)], before);
  for (const uid of many.slice(3)) assert.deepEqual(after.get(uid), before.get(uid));
  assert.equal(after.has(many[0]), false);
});

test("a style given by hand is kept, and the others keep away from it", () => {
  const [one, two] = uids(2);
  const given = assignColours([one]).get(one);
  const styles = assignColours([one, two], new Map([[two, given]]));
  assert.deepEqual(styles.get(two), given);
  assert.notEqual(styles.get(one).colour, given.colour);
});

test("more runs than styles share them evenly", () => {
  const uses = new Map();
  for (const { colour, dash } of assignColours(uids(320)).values()) {
    uses.set(`${colour} ${dash}`, (uses.get(`${colour} ${dash}`) ?? 0) + 1);
  }
  assert.deepEqual(new Set(uses.values()), new Set([10]));
});
