/**
 * Whether a directory can be a lab's, asked before anything is started: what the user typed is
 * answered as such, not as the failure of a disk.
 */

import { constants } from "node:fs";
import { access, mkdir, readdir, rmdir, stat } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { AntipodeError } from "../base/errors.ts";

/**
 * The directory, or the nearest one above it that exists, is a folder that this user can write.
 * @throws AntipodeError INVALID_ARGUMENT
 */
export async function requireUsableDirectory(directory: string): Promise<void> {
  const nearest = await nearestExisting(directory);
  if (!(await stat(nearest)).isDirectory())
    throw unusable(directory, `${nearest} is a file, not a folder`);
  if (!(await isAllowed(nearest)))
    throw unusable(directory, `this user may not write in ${nearest}; give another one with --dir`);
  if (nearest !== directory) await requireFolderBelow(directory, nearest);
}

/**
 * A folder can be made there: file systems such as /proc say that it can be written and take no folder,
 * and a recursive mkdir of Node never comes back from that. What is made to see it is removed.
 */
async function requireFolderBelow(directory: string, nearest: string): Promise<void> {
  const [first = ""] = relative(nearest, directory).split(sep);
  const probe = join(nearest, first);
  try {
    await mkdir(probe);
    await rmdir(probe);
  } catch (error) {
    if (codeOf(error) === "EEXIST") return; // Somebody made it in between.
    throw unusable(
      directory,
      `no folder can be made in ${nearest} (${codeOf(error)}); give another one with --dir`,
    );
  }
}

/**
 * The directory is not there or empty: for a lab that is deleted at its end, with all that it holds.
 * @throws AntipodeError INVALID_ARGUMENT
 */
export async function requireNewDirectory(directory: string): Promise<void> {
  await requireUsableDirectory(directory);
  const names = await readdir(directory).catch(nothingIfMissing);
  if (names.length > 0)
    throw unusable(directory, "it is not empty, and this needs a lab of its own: name a new one");
}

function unusable(directory: string, why: string): AntipodeError {
  return new AntipodeError("INVALID_ARGUMENT", `no lab can be in ${directory}: ${why}`, {
    directory,
  });
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    try {
      await stat(at);
      return at;
    } catch (error) {
      // The root is always there: the loop ends.
      if (!isMissing(error)) throw unusable(path, `${at} cannot be looked at (${String(error)})`);
    }
  }
}

async function isAllowed(folder: string): Promise<boolean> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function nothingIfMissing(error: unknown): string[] {
  if (isMissing(error)) return [];
  throw error;
}

/** Below a file nothing exists either. */
function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** Of an error of the operating system, such as ENOENT. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
