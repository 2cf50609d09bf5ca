/**
 * Calls to another site's Cerebro. Any of its CVMs answers (and forwards to its leader), so a call
 * goes through the addresses in turn, beginning with the one that answered last.
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import type { Method } from "../../base/wire.ts";
import type { Term } from "../../platform/coordination/election.ts";
import { RemoteCerebroService, type Sender } from "../../platform/wire/remoteCerebro.ts";
import { CONFLICTS_MAX, REMOTE_DEADLINE_MS } from "../limits.ts";
import type { Site } from "../site.ts";
import { cerebroKeys, type RemoteRecord } from "../state/records.ts";
import { commit, putRecord, readRecord, unchanged } from "../state/store.ts";
import type { SiteKey } from "./identity.ts";
import { pinPeer, readPeer } from "./remotes.ts";

const TRY_NEXT = ["PEER_UNREACHABLE", "DEADLINE_EXCEEDED", "NOT_LEADER", "NO_LEADER"];

/** Index of the address that answered last, a remote site; a hint only. */
const lastGood = new WeakMap<Site, Map<string, number>>();

/** Who speaks, for every request between sites. */
export function senderOf(site: Site, term: Term, key: SiteKey): Sender {
  return {
    site: site.config.site,
    incarnation: site.config.siteIncarnation,
    epoch: term.epoch,
    publicKey: key.publicKey,
  };
}

/** Bounds of a call to another site. */
export interface RemoteCallOptions {
  /** For each address that is tried. */
  readonly deadlineMs: number;
  /** For all of them together; without it each address gets its turn. */
  readonly totalMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Calls the remote site.
 * @throws AntipodeError `REMOTE_UNAVAILABLE` when no address answers; else what the site answered
 */
export async function callRemote<Q, A>(
  site: Site,
  remote: RemoteRecord,
  method: Method<Q, A, "unary">,
  request: Q,
  options: RemoteCallOptions = { deadlineMs: REMOTE_DEADLINE_MS },
): Promise<A> {
  const good = lastGood.get(site) ?? new Map<string, number>();
  lastGood.set(site, good);
  const first = good.get(remote.name) ?? 0;
  const endsAt = site.clock.now() + (options.totalMs ?? Number.POSITIVE_INFINITY);
  let failure: unknown;
  for (let turn = 0; turn < remote.cerebros.length; turn++) {
    const index = (first + turn) % remote.cerebros.length;
    const address = remote.cerebros[index];
    const deadlineMs = Math.min(options.deadlineMs, endsAt - site.clock.now());
    if (address === undefined || deadlineMs <= 0) continue;
    try {
      const bounds = { ...options, deadlineMs };
      const answer = await site.rpc.connect(address).unary(method, request, bounds);
      good.set(remote.name, index);
      return answer;
    } catch (error) {
      if (!TRY_NEXT.includes(codeOf(error) ?? "")) throw error;
      failure = error;
    }
  }
  throw new AntipodeError(
    "REMOTE_UNAVAILABLE",
    `the remote site ${remote.name} does not answer: ${messageOf(failure)}`,
    { remote: remote.name },
    failure,
  );
}

/**
 * Makes the sites known to each other: tells the other who we are, and pins who it is. The other may
 * introduce itself at the same moment: then what it pinned here is compared, not overwritten.
 * @throws AntipodeError `REMOTE_UNAVAILABLE`, `REMOTE_IDENTITY_CHANGED`, `STALE_EPOCH`
 */
export async function meet(
  site: Site,
  term: Term,
  key: SiteKey,
  name: string,
  options?: RemoteCallOptions,
): Promise<RemoteRecord | undefined> {
  for (let conflict = 1; ; conflict++) {
    try {
      return await introduce({ site, term, key, name, options });
    } catch (error) {
      if (codeOf(error) !== "COORDINATOR_CONFLICT" || conflict >= CONFLICTS_MAX) throw error;
    }
  }
}

interface Introduction {
  readonly site: Site;
  readonly term: Term;
  readonly key: SiteKey;
  readonly name: string;
  readonly options: RemoteCallOptions | undefined;
}

async function introduce(input: Introduction): Promise<RemoteRecord | undefined> {
  const { site, term, key, name } = input;
  const remoteKey = cerebroKeys.remote(name);
  const known = await readRecord<RemoteRecord>(site.coordinator, remoteKey);
  if (known === undefined || known.value.site !== "") return known?.value;
  const request = { sender: senderOf(site, term, key), standings: [] };
  const answer = await callRemote(
    site,
    known.value,
    RemoteCerebroService.hello,
    request,
    input.options,
  );
  if (answer.site === site.config.site)
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      `the addresses of the remote site ${name} lead to this site itself`,
      { remote: name },
    );
  // Epoch 0: of the other's leader we have heard nothing but its name.
  const seen = await readPeer(site.coordinator, answer.site);
  const pin = await pinPeer(site.coordinator, answer, seen?.value.epochSeen ?? 0);
  const met: RemoteRecord = { ...known.value, site: answer.site };
  await commit(
    site.coordinator,
    term,
    [unchanged(known), ...pin.when],
    [putRecord(remoteKey, met), ...pin.operations],
  );
  return met;
}
