/** Export names: a vDisk, or a vDisk inside a recovery point. */

import { describe, expect, it } from "vitest";
import { isName, parseExportName } from "../../../services/base/siteRecords.ts";

describe("an export name", () => {
  it.each([
    ["disk", { vdisk: "disk", recoveryPoint: undefined }],
    ["disk@rp-3", { vdisk: "disk", recoveryPoint: "rp-3" }],
    ["disk@", { vdisk: "disk", recoveryPoint: "" }],
    ["disk@a@b", { vdisk: "disk", recoveryPoint: "a@b" }],
    ["@rp", { vdisk: "", recoveryPoint: "rp" }],
    ["", { vdisk: "", recoveryPoint: undefined }],
  ])("%j is taken apart at the first @", (name, expected) => {
    expect(parseExportName(name)).toEqual(expected);
  });

  it("is never ambiguous: no name contains an @ (P10)", () => {
    expect(isName("disk@rp")).toBe(false);
    expect(isName("disk")).toBe(true);
  });
});
