/**
 * The blocks of a vDisk as a grid, first block at the top left. What is bad is drawn with a sign as
 * well as a colour, and listed below in words.
 */

import { type BlockMap, type CellLetter, cellLetters } from "../result.ts";
import { el, escaped, label, titled } from "./markup.ts";

/** A write that is pointed out. */
interface Marked {
  readonly lba: number;
  readonly bytes: number;
  readonly gseq: number;
  readonly mark: "missing" | "present";
}

const COLUMNS = 96;
const CELL = 10;
const BLOCK_BYTES = 4096;
/** Ranges of bad cells that are listed in words. */
const RANGES_MAX = 12;
const LETTERS = Object.keys(cellLetters) as readonly CellLetter[];
const SIGNS: Readonly<Partial<Record<CellLetter, string>>> = {
  s: "!",
  t: "/",
  r: "×",
  m: "→",
  g: "?",
};
const CLASSES: Readonly<Record<CellLetter, string>> = {
  ".": "cellEmpty",
  o: "cellWhole",
  l: "cellLost",
  s: "cellStale",
  t: "cellTorn",
  r: "cellRot",
  m: "cellMisdirected",
  g: "cellGhost",
};

interface Range {
  readonly letter: CellLetter;
  readonly from: number;
  /** Not included. */
  readonly to: number;
}

/** Neighbours with one letter, as one range. */
export function rangesOf(cells: string): readonly Range[] {
  const ranges: { letter: CellLetter; from: number; to: number }[] = [];
  for (let at = 0; at < cells.length; at++) {
    const letter = LETTERS.find((one) => one === cells[at]) ?? ".";
    const last = ranges.at(-1);
    if (last?.letter === letter) last.to = at + 1;
    else ranges.push({ letter, from: at, to: at + 1 });
  }
  return ranges;
}

/** Which letters mean what: those that occur. */
export function mapLegend(maps: readonly BlockMap[]): string {
  const used = LETTERS.filter((letter) => maps.some((map) => map.cells.includes(letter)));
  const entries = used.map((letter) => {
    const box = el("rect", { class: CLASSES[letter], x: 1, y: 1, width: 12, height: 12 });
    const sign = label({ class: "cellSign mid", x: 7, y: 11 }, SIGNS[letter] ?? "");
    const sample = el(
      "svg",
      { class: "sample", viewBox: "0 0 14 14", "aria-hidden": "true" },
      box,
      sign,
    );
    return el("li", {}, sample, escaped(` ${cellLetters[letter]}`));
  });
  return el("ul", { class: "mapLegend" }, ...entries);
}

export function blockMap(map: BlockMap, marks: readonly Marked[]): string {
  const rows = Math.ceil(map.cells.length / COLUMNS);
  const ranges = rangesOf(map.cells);
  const bad = ranges.filter(({ letter }) => letter in SIGNS);
  const size = `${map.blocks} blocks of 4 KiB, ${map.blocksPerCell === 1 ? "one" : map.blocksPerCell} a cell`;
  const shapes = ranges.filter(({ letter }) => letter !== ".").flatMap(rowPieces);
  const drawing = el(
    "svg",
    {
      class: "map",
      viewBox: `-5 -5 ${COLUMNS * CELL + 10} ${rows * CELL + 10}`,
      role: "img",
      "aria-label": `Block map of ${map.vdisk}: ${bad.length} ranges of bad blocks`,
    },
    el("rect", { class: "cellEmpty", x: 0, y: 0, width: COLUMNS * CELL, height: rows * CELL }),
    ...shapes.map(pieceShape),
    ...marks.map((mark) => markShape(mark, map.blocksPerCell)),
  );
  const said = [
    ...marks.map(markText),
    ...bad.slice(0, RANGES_MAX).map((one) => rangeText(one, map)),
  ];
  const more = bad.length > RANGES_MAX ? [`and ${bad.length - RANGES_MAX} more ranges`] : [];
  const words = [...said, ...more].map((text) => el("li", {}, escaped(text)));
  return el(
    "figure",
    { class: "mapFigure" },
    el("figcaption", {}, el("strong", {}, escaped(map.vdisk)), escaped(` · ${size}`)),
    drawing,
    words.length === 0 ? "" : el("ul", { class: "plain" }, ...words),
  );
}

interface Piece {
  readonly letter: CellLetter;
  readonly row: number;
  readonly column: number;
  readonly cells: number;
}

/** A range row by row. */
function rowPieces({ letter, from, to }: Range): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let at = from; at < to; ) {
    const row = Math.floor(at / COLUMNS);
    const cells = Math.min(to, (row + 1) * COLUMNS) - at;
    pieces.push({ letter, row, column: at % COLUMNS, cells });
    at += cells;
  }
  return pieces;
}

function pieceShape({ letter, row, column, cells }: Piece): string {
  const [x, y] = [column * CELL, row * CELL];
  const box = {
    class: CLASSES[letter],
    x,
    y: y + 0.5,
    width: cells * CELL - 0.5,
    height: CELL - 1,
  };
  const sign = SIGNS[letter];
  if (sign === undefined) return el("rect", box);
  const signs = Array.from({ length: cells }, (_, index) =>
    label({ class: "cellSign mid", x: x + (index + 0.5) * CELL, y: y + 8.5 }, sign),
  );
  return titled("rect", box, cellLetters[letter]) + signs.join("");
}

function markShape({ lba, bytes, mark, gseq }: Marked, blocksPerCell: number): string {
  const first = Math.floor(lba / blocksPerCell);
  const last = Math.floor((lba + bytes / BLOCK_BYTES - 1) / blocksPerCell);
  const row = Math.floor(first / COLUMNS);
  const column = first % COLUMNS;
  const cells = Math.min(last - first + 1, COLUMNS - column);
  const box = {
    class: `mark ${mark}`,
    x: column * CELL - 2.5,
    y: row * CELL - 2.5,
    width: cells * CELL + 5,
    height: CELL + 5,
    rx: 3,
  };
  return titled("rect", box, `write ${gseq} is ${mark}`);
}

function markText({ lba, mark, gseq }: Marked): string {
  const ring = mark === "missing" ? "dashed ring" : "solid ring";
  return `${ring}: block ${lba}, write ${gseq} is ${mark === "missing" ? "missing" : "there"}`;
}

function rangeText({ letter, from, to }: Range, { blocks, blocksPerCell }: BlockMap): string {
  const first = from * blocksPerCell;
  const last = Math.min(blocks, to * blocksPerCell) - 1;
  const where = first === last ? `block ${first}` : `blocks ${first} to ${last}`;
  return `${where}: ${cellLetters[letter]}`;
}
