/**
 * Remote sites as records, and the identities of other sites. An identity (incarnation and public
 * key) is pinned when the sites first meet and never changes by itself: a site that comes back under
 * its old name with another key is refused until a person deletes the remote site.
 */

import { fromHex, toHex } from "../../base/bytes.ts";
import { AntipodeError } from "../../base/errors.ts";
import { isEnded } from "../../base/jobStates.ts";
import { isName } from "../../base/siteRecords.ts";
import type { Term } from "../../platform/coordination/election.ts";
import type { Compare, Coordinator, Operation } from "../../platform/coordinator.ts";
import { REMOTE_ADDRESSES_MAX, REMOTES_MAX } from "../limits.ts";
import { checkName, type Site } from "../site.ts";
import {
  type AddressRecord,
  cerebroKeys,
  type JobRecord,
  type PeerRecord,
  type RemoteRecord,
} from "../state/records.ts";
import {
  absent,
  commit,
  deleteKey,
  listRecords,
  putRecord,
  readRecord,
  type Stored,
  unchanged,
} from "../state/store.ts";

/** What a site says of itself. */
export interface SiteIdentity {
  readonly site: string;
  readonly incarnation: string;
  readonly publicKey: Uint8Array;
}

/**
 * @throws AntipodeError `REMOTE_NOT_FOUND`
 */
export async function readRemote(
  coordinator: Coordinator,
  name: string,
): Promise<Stored<RemoteRecord>> {
  const remote = await readRecord<RemoteRecord>(coordinator, cerebroKeys.remote(name));
  if (remote === undefined)
    throw new AntipodeError("REMOTE_NOT_FOUND", `there is no remote site ${name} here`, {
      remote: name,
    });
  return remote;
}

export type RemoteOrder = Pick<
  RemoteRecord,
  "name" | "cerebros" | "stargates" | "containers" | "requestId"
>;

/**
 * @throws AntipodeError `NAME_INVALID`, `INVALID_ARGUMENT`, `REMOTE_EXISTS` unless the same request made it
 */
export async function createRemote(
  site: Site,
  term: Term,
  order: RemoteOrder,
): Promise<RemoteRecord> {
  checkName("the remote site", order.name, isName(order.name));
  checkAddresses("Cerebro", order.cerebros);
  checkAddresses("Stargate", order.stargates);
  const key = cerebroKeys.remote(order.name);
  const remotes = await listRecords<RemoteRecord>(site.coordinator, cerebroKeys.remotes);
  const before = remotes.find((remote) => remote.key === key);
  if (before !== undefined) {
    if (before.value.requestId === order.requestId) return before.value;
    throw new AntipodeError("REMOTE_EXISTS", `there is a remote site ${order.name} already`, {
      remote: order.name,
    });
  }
  if (remotes.length >= REMOTES_MAX)
    throw new AntipodeError("OVERLOADED", `a site has at most ${REMOTES_MAX} remote sites`);
  const remote: RemoteRecord = {
    name: order.name,
    cerebros: order.cerebros.map(({ host, port }) => ({ host, port })),
    stargates: order.stargates.map(({ host, port }) => ({ host, port })),
    containers: order.containers.map(({ local, remote: there }) => ({ local, remote: there })),
    site: "",
    createdAtMs: site.clock.wall(),
    requestId: order.requestId,
  };
  await commit(site.coordinator, term, [absent(key)], [putRecord(key, remote)]);
  return remote;
}

function checkAddresses(what: string, addresses: readonly AddressRecord[]): void {
  const wrong = (why: string): never => {
    throw new AntipodeError("INVALID_ARGUMENT", `${why} of the remote site's ${what}s`);
  };
  if (addresses.length === 0) wrong("give at least one address");
  if (addresses.length > REMOTE_ADDRESSES_MAX) wrong("there are too many addresses");
  if (addresses.some(({ host, port }) => host === "" || port < 1 || port > 65535))
    wrong("give a host and a port from 1 to 65535 for every address");
}

/**
 * Forgets a remote site and the identity that was pinned for it.
 * @throws AntipodeError `REMOTE_NOT_FOUND`, `PD_IN_USE` while a job goes to it
 */
export async function deleteRemote(site: Site, term: Term, name: string): Promise<void> {
  const remote = await readRemote(site.coordinator, name);
  const jobs = await listRecords<JobRecord>(site.coordinator, cerebroKeys.jobs);
  const open = jobs.find(({ value }) => value.remote === name && !isEnded(value.state));
  if (open !== undefined)
    throw new AntipodeError(
      "PD_IN_USE",
      `the job ${open.value.id} replicates to the remote site ${name}`,
      { remote: name, job: open.value.id },
    );
  const then = [deleteKey(remote.key)];
  if (remote.value.site !== "") then.push(deleteKey(cerebroKeys.peer(remote.value.site)));
  await commit(site.coordinator, term, [unchanged(remote)], then);
}

/** The pinned identity of a site, when the sites have met. */
export function readPeer(
  coordinator: Coordinator,
  site: string,
): Promise<Stored<PeerRecord> | undefined> {
  return readRecord<PeerRecord>(coordinator, cerebroKeys.peer(site));
}

/** Public key of a pinned identity. */
export function publicKeyOf(peer: PeerRecord): Uint8Array {
  return fromHex(peer.publicKey) ?? new Uint8Array(0);
}

/**
 * What to write so that an identity is pinned with an epoch seen of it; nothing when it is already.
 * @throws AntipodeError `REMOTE_IDENTITY_CHANGED`, `STALE_EPOCH` when a higher epoch was seen
 */
export async function pinPeer(
  coordinator: Coordinator,
  identity: SiteIdentity,
  epoch: number,
): Promise<{ readonly when: readonly Compare[]; readonly operations: readonly Operation[] }> {
  const publicKey = toHex(identity.publicKey);
  const key = cerebroKeys.peer(identity.site);
  const record: PeerRecord = {
    site: identity.site,
    incarnation: identity.incarnation,
    publicKey,
    epochSeen: epoch,
  };
  const before = await readPeer(coordinator, identity.site);
  if (before === undefined) return { when: [absent(key)], operations: [putRecord(key, record)] };
  const { value } = before;
  if (value.incarnation !== identity.incarnation || value.publicKey !== publicKey)
    throw new AntipodeError(
      "REMOTE_IDENTITY_CHANGED",
      `the site ${identity.site} is not the one that was known under this name`,
      { site: identity.site },
    );
  if (epoch < value.epochSeen)
    throw new AntipodeError(
      "STALE_EPOCH",
      `a newer leader of the site ${identity.site} has spoken already`,
      { site: identity.site, epoch, epochSeen: value.epochSeen },
    );
  return {
    when: [unchanged(before)],
    operations: epoch > value.epochSeen ? [putRecord(key, record)] : [],
  };
}
