/** The error table, and services/docs/ERRORS.md, which people read. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  AntipodeError,
  codeOf,
  errorTable,
  exitCode,
  grpcStatus,
  isErrorCode,
  messageOf,
  nbdErrno,
} from "../../../services/base/errors.ts";

const DOCUMENT = join(import.meta.dirname, "..", "..", "..", "services", "docs", "ERRORS.md");

interface DocumentedError {
  /** The whole row but for the meaning, which only the document has. */
  readonly row: string;
  readonly meaning: string;
}

const documented: readonly DocumentedError[] = readFileSync(DOCUMENT, "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => {
    const [, code = "", meaning = "", ...rest] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    return { row: [code, ...rest].join(" | "), meaning };
  });

describe("ERRORS.md", () => {
  it("lists every code of the table, with the same statuses, retry and remedy, in the same order", () => {
    const rows = Object.entries(errorTable).map(([code, row]) =>
      [
        `\`${code}\``,
        `${row.grpc} (${grpcStatus[row.grpc]})`,
        `${row.nbd} (${nbdErrno[row.nbd]})`,
        `${row.exit} (${exitCode[row.exit]})`,
        row.retry,
        `${row.remedy.replaceAll("|", "\\|")} | `,
      ].join(" | "),
    );
    expect(documented.map((entry) => entry.row)).toEqual(rows);
  });

  it("says in words what each code means", () => {
    expect(
      documented.filter((entry) => entry.meaning.length < 10).map((entry) => entry.row),
    ).toEqual([]);
  });
});

describe("the error table", () => {
  it("has a whole sentence of advice for every code", () => {
    const bad = Object.entries(errorTable).filter(([, row]) => !/^[A-Z].*[.]$/.test(row.remedy));
    expect(bad.map(([code]) => code)).toEqual([]);
  });

  it("never asks to retry corrupt data at the same copy (P7)", () => {
    const rows = Object.entries(errorTable).filter(([, row]) => row.exit === "corrupt");
    expect(rows.filter(([, row]) => row.retry === "later").map(([code]) => code)).toEqual([]);
  });

  it("gives an error its code, retry, remedy, details and cause", () => {
    const cause = new Error("EIO");
    const error = new AntipodeError("DISK_FAILED", "cannot write", { path: "a", offset: 1 }, cause);
    expect([error.code, error.retry, error.details, error.cause]).toEqual([
      "DISK_FAILED",
      "elsewhere",
      { path: "a", offset: 1 },
      cause,
    ]);
    expect(error.remedy).toBe(errorTable.DISK_FAILED.remedy);
    expect([codeOf(error), codeOf(cause), codeOf(undefined)]).toEqual([
      "DISK_FAILED",
      undefined,
      undefined,
    ]);
  });

  it("knows its codes and no property names of objects", () => {
    expect([isErrorCode("DISK_FULL"), isErrorCode("toString"), isErrorCode("disk_full")]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it("makes a sentence of anything thrown", () => {
    expect([messageOf(new Error("x")), messageOf("y"), messageOf(undefined)]).toEqual([
      "x",
      "y",
      "undefined",
    ]);
  });
});
