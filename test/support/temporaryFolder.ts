/** A folder of the machine for tests of real adapters, removed when the test file is done. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** Absolute path of a new empty folder. Call it at the top of a suite. */
export function temporaryFolder(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `antipode-${name}-`));
  afterAll(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}
