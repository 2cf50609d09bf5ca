/**
 * Who is active: what this site says of its domains to other sites, and what it does when it hears
 * that another site was activated later. The higher generation decides, at once and for good (P4).
 */

import { AntipodeError, codeOf } from "../../base/errors.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Standing } from "../../platform/wire/remoteCerebro.ts";
import { CONFLICTS_MAX } from "../limits.ts";
import type { Site } from "../site.ts";
import { cerebroKeys, type PdRecord } from "../state/records.ts";
import { commit, putRecord, readRecord, type Stored, unchanged } from "../state/store.ts";
import { mustYield, nextPdState } from "./pdMachine.ts";

/** What this site says of a domain; state "" when it does not know it. */
export function standingOf(name: string, pd: PdRecord | undefined): Standing {
  return { pd: name, state: pd?.state ?? "", generation: pd?.generation ?? 0 };
}

/** Steps back when the other site is active by a later activation. */
export async function heed(
  site: Site,
  term: Term,
  other: { readonly pd: string; readonly state: string; readonly generation: number },
): Promise<void> {
  for (let conflict = 0; conflict < CONFLICTS_MAX; conflict++) {
    const pd = await readRecord<PdRecord>(site.coordinator, cerebroKeys.pd(other.pd));
    if (pd === undefined || !mustYield(pd.value, other)) return;
    if (await tryYield(site, term, pd, other.generation)) return;
  }
  throw new AntipodeError(
    "COORDINATOR_CONFLICT",
    `the protection domain ${other.pd} was changed too often at the same time`,
    { pd: other.pd },
  );
}

async function tryYield(
  site: Site,
  term: Term,
  pd: Stored<PdRecord>,
  generation: number,
): Promise<boolean> {
  const yielded: PdRecord = {
    ...pd.value,
    state: nextPdState(pd.value, "receiveNewer"),
    generation,
  };
  try {
    await commit(site.coordinator, term, [unchanged(pd)], [putRecord(pd.key, yielded)]);
  } catch (error) {
    if (codeOf(error) === "COORDINATOR_CONFLICT") return false;
    throw error;
  }
  site.log.warn(
    { event: "pd.yielded", pd: pd.value.name, generation },
    "another site was activated; this one is inactive",
  );
  return true;
}
