/** What a lab consists of: sites with their CVMs, the links' first settings, the kind of etcd. Pure. */

import { AntipodeError } from "../base/errors.ts";

export interface SiteShape {
  readonly name: string;
  readonly cvms: number;
}

export interface LabShape {
  readonly sites: readonly SiteShape[];
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** 0 is no limit. */
  readonly bitsPerSecond: number;
  readonly etcd: "embedded" | "real";
  /** Copies that the container `default` of every site keeps; 2, or 1 at a site of one CVM, when absent. */
  readonly replicationFactor?: number;
}

/** The last byte of a CVM's address; 100 and above are used for other things. */
export const CVMS_MAX = 32;
/** The third byte of a passage's address is 100 + the site's index. */
const SITES_MAX = 32;

const invalid = (message: string): AntipodeError => new AntipodeError("INVALID_ARGUMENT", message);

/**
 * Parses "A,B,C".
 * @throws AntipodeError `NAME_INVALID` or `INVALID_ARGUMENT`
 */
export function parseSiteNames(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names)
    if (!/^[A-Za-z][A-Za-z0-9-]{0,30}$/.test(name))
      throw new AntipodeError(
        "NAME_INVALID",
        `"${name}" is no name of a site: a letter, then letters, digits and dashes`,
        { name },
      );
  // Names of folders: a file system that ignores case must not mix two sites.
  if (new Set(names.map((name) => name.toLowerCase())).size !== names.length)
    throw invalid("two sites have one name");
  if (names.length > SITES_MAX) throw invalid(`a lab has at most ${SITES_MAX} sites`);
  return names;
}

/**
 * Parses "3", the same for every site, or "3,1", one a site.
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function parseCvmCounts(text: string, siteCount: number): readonly number[] {
  const parts = text.split(",").map((part) => part.trim());
  const counts = parts.map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 0));
  if (counts.some((count) => count < 1 || count > CVMS_MAX))
    throw invalid(`a site has 1 to ${CVMS_MAX} CVMs, not "${text}"`);
  const [first = 1] = counts;
  if (counts.length === 1) return Array.from({ length: siteCount }, () => first);
  if (counts.length !== siteCount)
    throw invalid(`${counts.length} numbers of CVMs were given for ${siteCount} sites`);
  return counts;
}

/** Copies that the container `default` of a site keeps. */
export function replicationFactorOf(
  shape: Pick<LabShape, "replicationFactor">,
  site: Pick<SiteShape, "cvms">,
): number {
  return shape.replicationFactor ?? Math.min(2, site.cvms);
}

/**
 * Parses "3": copies that every site of the shape can keep.
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function parseReplicationFactor(text: string, sites: readonly SiteShape[]): number {
  const copies = /^[123]$/.test(text) ? Number(text) : 0;
  if (copies === 0) throw invalid(`a site keeps 1, 2 or 3 copies, not "${text}"`);
  const small = sites.find((site) => site.cvms < copies);
  if (small !== undefined)
    throw invalid(`${copies} copies need as many CVMs; site ${small.name} has ${small.cvms}`);
  return copies;
}
