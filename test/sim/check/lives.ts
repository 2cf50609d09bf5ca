/**
 * P4 (I6): an etcd that lost its data, or was put back, counts epochs for itself, so epochs alone do not keep
 * two leaders apart. Whoever takes orders of one life of an etcd turns to another life only while that is the
 * one that etcd is in: a leader of a life that is over finds nobody that obeys it.
 */

import type { Acceptance, Instant, RunRecord, Verdict } from "./contracts.ts";
import { Examination, momentItem } from "./examination.ts";

/** Faults during which a site's etcd is in a life of its own. */
const WIPES = /^(wipe|restore)Etcd/;
const ETCD = /^etcd of (.+)$/;

/** Since when etcd has been in a life. */
interface Turn {
  readonly since: number;
  readonly incarnation: string | undefined;
}

/** Checks every turn of a resource from one life of etcd to another. */
export function checkLives(record: RunRecord): Verdict {
  const examination = new Examination("P4", "orders are of the etcd that there is");
  const newest = new Map<string, Acceptance>();
  const turns = new Map<string, readonly Turn[]>();
  for (const acceptance of record.acceptances) {
    const { resource, token, incarnation, at, answered } = acceptance;
    if (ETCD.test(resource)) continue;
    const place = JSON.stringify([resource, token]);
    const before = newest.get(place);
    newest.set(place, acceptance);
    if (before === undefined || before.incarnation === incarnation) continue;
    const known = turns.get(token) ?? turnsOf(record, token);
    turns.set(token, known);
    examination.examine();
    if (livesWithin(known, before.at, answered ?? at).includes(incarnation)) continue;
    examination.violate(
      "order-of-another-life",
      momentItem(`${resource} took an order of ${token} of ${incarnation}`, at),
      momentItem(`it had taken one of ${before.incarnation}`, before.at),
    );
  }
  return examination.conclude("turns to another life of an etcd");
}

/** Lives of the etcd that counts the token, as leaders wrote them there, by the times at which it was wiped and put back. */
function turnsOf({ acceptances, faults }: RunRecord, token: string): readonly Turn[] {
  const written = acceptances.filter((one) => one.token === token && ETCD.test(one.resource));
  const site = ETCD.exec(written[0]?.resource ?? "")?.[1];
  const wipes = faults
    .filter(({ what, sites }) => WIPES.test(what) && sites.includes(site ?? ""))
    .map(({ from, until }) => ({
      from: from.order,
      until: until?.order ?? Number.POSITIVE_INFINITY,
    }));
  const moments = [
    ...written.map(({ at }) => at.order),
    ...wipes.flatMap((w) => [w.from, w.until]),
  ];
  const wipeAt = (order: number): number =>
    wipes.findIndex(({ from, until }) => from <= order && order < until);
  return moments
    .toSorted((a, b) => a - b)
    .map((since) => {
      const here = written.filter(
        ({ at }) => at.order <= since && wipeAt(at.order) === wipeAt(since),
      );
      return { since, incarnation: here.at(-1)?.incarnation };
    });
}

/** In which lives etcd was from one moment to another. */
function livesWithin(
  turns: readonly Turn[],
  from: Instant,
  until: Instant,
): readonly (string | undefined)[] {
  const first = turns.findLastIndex(({ since }) => since <= from.order);
  return turns
    .slice(Math.max(0, first))
    .filter(({ since }) => since <= until.order)
    .map(({ incarnation }) => incarnation);
}
