/**
 * What an activation asks of the site that was active before: is it reachable, is it active still?
 * And what it tells it. A source that cannot be reached does not stop a failover: that is what
 * failover is for. It becomes inactive when the sites meet again, because its generation is lower.
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { RemoteCerebroService } from "../../platform/wire/remoteCerebro.ts";
import { standingOf } from "../protection/standings.ts";
import { callRemote, meet, senderOf } from "../remote/client.ts";
import type { SiteKey } from "../remote/identity.ts";
import type { Site } from "../site.ts";
import { cerebroKeys, type PdRecord, type RemoteRecord } from "../state/records.ts";
import { listRecords } from "../state/store.ts";

/** An unreachable source must not delay a failover for long: some tries, two seconds in all. */
const SOURCE_CALL = { deadlineMs: 700, totalMs: 2000 } as const;

export interface SourceAnswer {
  readonly answered: boolean;
  readonly generation: number;
  readonly warnings: readonly string[];
}

/** The remote site behind which the domain's source is, if this site has one. */
async function remoteOfSource(site: Site, pd: PdRecord): Promise<RemoteRecord | undefined> {
  const remotes = await listRecords<RemoteRecord>(site.coordinator, cerebroKeys.remotes);
  return (
    remotes.find((remote) => remote.value.site === pd.sourceSite) ??
    remotes.find((remote) => remote.value.name === pd.sourceSite)
  )?.value;
}

/**
 * Asks the source for its standing.
 * @throws AntipodeError `PD_ALREADY_ACTIVE` when it is active there and `force` is false
 */
export async function askSource(
  site: Site,
  term: Term,
  key: SiteKey,
  pd: PdRecord,
  force: boolean,
): Promise<SourceAnswer> {
  if (pd.sourceSite === site.config.site) return { answered: false, generation: 0, warnings: [] };
  const remote = await remoteOfSource(site, pd);
  if (remote === undefined)
    return {
      answered: false,
      generation: 0,
      warnings: [
        `The site ${pd.sourceSite} is not defined as a remote site here: it was not asked whether ${pd.name} is still active there.`,
      ],
    };
  let generation: number;
  let state: string;
  try {
    await meet(site, term, key, remote.name, SOURCE_CALL);
    const answer = await callRemote(
      site,
      remote,
      RemoteCerebroService.hello,
      { sender: senderOf(site, term, key), standings: [standingOf(pd.name, pd)] },
      { ...SOURCE_CALL, signal: term.signal },
    );
    const standing = answer.standings.find((entry) => entry.pd === pd.name);
    generation = standing?.generation ?? 0;
    state = standing?.state ?? "";
  } catch (error) {
    site.log.warn(
      { event: "source.unasked", pd: pd.name, site: pd.sourceSite, err: error },
      "source could not be asked",
    );
    // What the transport says of a silent site is for the log.
    const isSilent = codeOf(error) === "REMOTE_UNAVAILABLE";
    const why = isSilent ? "it does not answer" : messageOf(error);
    return {
      answered: false,
      generation: 0,
      warnings: [
        `The site ${pd.sourceSite} could not be asked (${why}): writes that it acknowledges now are not in this failover.`,
      ],
    };
  }
  if (state !== "active") return { answered: true, generation, warnings: [] };
  if (!force)
    throw new AntipodeError(
      "PD_ALREADY_ACTIVE",
      `the protection domain ${pd.name} is active at the site ${pd.sourceSite}, which answers; give --force to deactivate it there and activate it here`,
      { pd: pd.name, site: pd.sourceSite, generation },
    );
  return {
    answered: true,
    generation,
    warnings: [
      `${pd.name} was active at the site ${pd.sourceSite}; it is told to become inactive. What was written there after the recovery point is not here.`,
    ],
  };
}

/** Tells the source; when it cannot be told now, the comparison of standings will. */
export async function tellSource(
  site: Site,
  term: Term,
  key: SiteKey,
  pd: PdRecord,
  generation: number,
): Promise<void> {
  const remote = await remoteOfSource(site, pd);
  if (remote === undefined || remote.site === site.config.site) return;
  try {
    await callRemote(
      site,
      remote,
      RemoteCerebroService.deactivate,
      { sender: senderOf(site, term, key), pd: pd.name, generation },
      { ...SOURCE_CALL, signal: term.signal },
    );
  } catch (error) {
    site.log.warn(
      { event: "source.untold", pd: pd.name, site: pd.sourceSite, err: error },
      "source could not be told of the activation",
    );
  }
}
