/**
 * What `antipode guest` and `antipode audit` share: where the record of a writer lies, and which disks
 * are meant by names and NBD URIs on the command line.
 */

import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { AntipodeError, codeOf } from "../base/errors.ts";
import { type NbdTarget, parseNbdUri } from "../guest/index.ts";
import type { Disk } from "../platform/disk.ts";
import type { Context } from "./command.ts";
import { SiteActions } from "./demo/siteActions.ts";

/** A record: a file outside the lab. */
export interface RecordPlace {
  readonly disk: Disk;
  /** Within `disk`. */
  readonly path: string;
  /** For messages. */
  readonly file: string;
  readonly exists: boolean;
}

/**
 * The record that `--record` names.
 * @throws AntipodeError `INVALID_ARGUMENT` when its folder is not there, or may not be written
 */
export async function recordPlace(context: Context, given: string): Promise<RecordPlace> {
  const file = resolve(given);
  const folder = dirname(file);
  const wrong = (why: string): AntipodeError =>
    new AntipodeError("INVALID_ARGUMENT", `${given} cannot be a record: ${why}`, { file });
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw wrong(`there is no folder ${folder}`);
  const kind = await stat(file).catch(() => undefined);
  if (kind !== undefined && !kind.isFile()) throw wrong("it is no file");
  const isAllowed = await access(kind === undefined ? folder : file, constants.R_OK).then(
    () => true,
    () => false,
  );
  if (!isAllowed) throw wrong("this user may not read it");
  const disk = context.world.diskAt(folder);
  return { disk, path: basename(file), file, exists: kind !== undefined };
}

/** A disk that the command line names. */
export interface NamedDisk {
  /** Of the vDisk in the record. */
  readonly name: string;
  readonly targets: () => Promise<readonly NbdTarget[]>;
}

/**
 * A disk by its URI: `nbd://HOST/EXPORT`, whose export is the vDisk's name, or `NAME=nbd://HOST/EXPORT`.
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function diskByUri(text: string): NamedDisk {
  const [, name, uri] = /^(?:([^=:/]+)=)?(nbd:.*)$/.exec(text) ?? [];
  const target = parseNbdUri(uri ?? text);
  return { name: name ?? target.exportName, targets: () => Promise.resolve([target]) };
}

/**
 * A disk at a site of the lab: `NAME`, `NAME@RECOVERY-POINT`, or `NAME=EXPORT` when it has another
 * name there.
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function diskAtSite(context: Context, site: string | undefined, text: string): NamedDisk {
  const [, name, point, other] = /^([^=@]+)(?:(@.+)|=(.+))?$/.exec(text) ?? [];
  if (name === undefined)
    throw new AntipodeError("INVALID_ARGUMENT", `"${text}" names no vDisk`, { vdisk: text });
  const exportName = other ?? `${name}${point ?? ""}`;
  return { name, targets: () => targetsAt(context, site, exportName) };
}

async function targetsAt(
  context: Context,
  siteName: string | undefined,
  exportName: string,
): Promise<readonly NbdTarget[]> {
  const open = await context.lab();
  const site = siteName ?? open.plan.sites[0]?.name ?? "";
  const actions = new SiteActions(context, open);
  const [vdisk = exportName] = exportName.split("@");
  try {
    return await actions.targets(site, vdisk, exportName);
  } catch (error) {
    // A recovery point is there before its vDisk is: any CVM serves it.
    if (vdisk === exportName || codeOf(error) !== "VDISK_NOT_FOUND") throw error;
    return actions.site(site).cvms.map(({ nbd }) => ({ address: nbd, exportName }));
  }
}
