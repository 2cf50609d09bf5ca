/** What the contract of platform/log.ts looks like in a log file. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../services/base/errors.ts";
import { createLog } from "../../services/platform/adapters/log.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const root = temporaryFolder("log");

const linesOf = (path: string): Record<string, unknown>[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("log", () => {
  it("writes one JSON line a call, with level, time, base fields, event and phrase", () => {
    const log = createLog({
      level: "info",
      base: { service: "test", cvm: 2 },
      destination: `${root}/a/b.log`,
    });
    log.debug({ event: "x.y" }, "not written");
    log.info({ event: "oplog.recovered", lsn: 7 }, "oplog recovered");
    log.child({ vdisk: "v1" }).warn({ event: "x.slow", elapsedMs: 3 }, "slow");
    const [first, second, ...rest] = linesOf(`${root}/a/b.log`);
    expect(first).toMatchObject({
      level: "info",
      service: "test",
      cvm: 2,
      event: "oplog.recovered",
      lsn: 7,
      phrase: "oplog recovered",
    });
    expect(Number.isNaN(Date.parse(String(first?.["time"])))).toBe(false);
    expect(second).toMatchObject({ level: "warn", vdisk: "v1", cvm: 2, phrase: "slow" });
    expect(rest).toEqual([]);
  });

  it("writes an error with its code, details, stack and cause", () => {
    const log = createLog({ level: "info", base: {}, destination: `${root}/err.log` });
    const err = new AntipodeError("DISK_FAILED", "cannot write", { path: "p" }, new Error("EIO"));
    log.error({ event: "disk.failed", err }, "a disk failed");
    const written = linesOf(`${root}/err.log`)[0]?.["err"];
    expect(written).toMatchObject({
      code: "DISK_FAILED",
      details: { path: "p" },
      message: "cannot write",
      stack: expect.stringContaining("log.test") as string,
      cause: { message: "EIO" },
    });
  });

  it("has written everything when a fatal line returns", () => {
    const log = createLog({ level: "info", base: {}, destination: `${root}/fatal.log` });
    for (let i = 0; i < 100; i++) log.info({ event: "x.y", i }, "line");
    log.fatal({ event: "x.end" }, "the end");
    expect(linesOf(`${root}/fatal.log`)).toHaveLength(101);
  });

  it.runIf(existsSync("/dev/full"))(
    "drops what a full disk does not take, and goes on (P10)",
    () => {
      const log = createLog({ level: "info", base: {}, destination: "/dev/full" });
      log.error({ event: "disk.full" }, "disk full");
      log.fatal({ event: "x.end" }, "the end");
    },
  );
});
